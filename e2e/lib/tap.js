// On the way to a backend: keeps every byte that is sent there, whatever a parser makes of it.
import net from 'node:net';

/** Starts it on a free port of 127.0.0.1, before the URL `to`; `url` is what a gateway is told instead. */
export async function startTap(to) {
  const { hostname, port, pathname } = new URL(to);
  const sockets = new Set();
  let seen = [];
  const server = net.createServer((socket) => {
    const onward = net.connect(Number(port), hostname);
    for (const [one, other] of [[socket, onward], [onward, socket]]) {
      sockets.add(one);
      one.on('error', () => {});
      one.on('close', () => {
        sockets.delete(one);
        other.destroy();
      });
      one.pipe(other);
    }
    socket.on('data', (chunk) => seen.push(chunk));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}${pathname}`,
    /** What has been sent to the backend since the last time, a character for a byte. */
    take() {
      const taken = Buffer.concat(seen).toString('latin1');
      seen = [];
      return taken;
    },
    async stop() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
