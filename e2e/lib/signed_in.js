// On the way to a gateway, for a program that cannot log in: adds the token of somebody who has. All else passes as it
// comes, both ways and at once, streams and their ends as well.
import http from 'node:http';

/** Starts it on a free port of 127.0.0.1, before the origin `to`. */
export async function startSignedIn(to, token) {
  const { hostname, port } = new URL(to);
  const server = http.createServer((req, res) => {
    const headers = [...req.rawHeaders, 'Authorization', `Bearer ${token}`];
    const onward = http.request({ hostname, port, method: req.method, path: req.url, headers, agent: false });
    onward.on('response', (answer) => {
      res.writeHead(answer.statusCode, answer.rawHeaders);
      answer.on('error', () => res.destroy());
      answer.pipe(res);
      res.flushHeaders();
    });
    onward.on('error', () => res.destroy());
    res.on('close', () => onward.destroy());
    req.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
