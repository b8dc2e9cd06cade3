// Sites that serve Client ID Metadata Documents, and sockets that nobody may connect to.
import http from 'node:http';
import net from 'node:net';
import { fileURLToPath } from 'node:url';

/** Environment of a gateway that trusts no site of the internet, only a CA whose key was thrown away: no document of a
 * well-known client can be read, on no machine, so that the copies stand in. */
export const NO_INTERNET = { SSL_CERT_FILE: fileURLToPath(new URL('nobody.pem', import.meta.url)), SSL_CERT_DIR: '/dev/null' };

/** A site on 127.0.0.1: `host` is what the operator names, `serve` puts something at a path, `asked` counts. */
export async function startSite() {
  const handlers = new Map();
  const requests = [];
  const server = http.createServer((req, res) => {
    requests.push(req.url);
    const handler = handlers.get(req.url);
    if (handler) handler(req, res);
    else res.writeHead(404).end();
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const host = `127.0.0.1:${server.address().port}`;
  const site = {
    host,
    requests,
    asked: (url) => requests.filter((path) => path === new URL(url).pathname).length,
    /** Puts a handler at a path; gives the address. */
    serve(path, handler) {
      handlers.set(path, handler);
      return `http://${host}${path}`;
    },
    /** Puts an answer there. */
    answer: (path, body, { status = 200, headers = {} } = {}) => site.serve(path, (req, res) => {
      res.writeHead(status, { 'content-type': 'application/json', ...headers }).end(body);
    }),
    /** Puts the document of a client there, with some members changed (`undefined`: left out). */
    document: (path, changes = {}, options = {}) => site.answer(path, JSON.stringify({
      client_id: `http://${host}${path}`,
      client_name: 'described client',
      redirect_uris: ['http://127.0.0.1:47813/callback'],
      token_endpoint_auth_method: 'none',
      ...changes,
    }), options),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  return site;
}

/** A port that listens on every address of this machine and counts who comes, before a byte is said. */
export async function startTrap() {
  let connections = 0;
  const server = net.createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  const listen = (address) => new Promise((resolve, reject) => server.once('error', reject).listen(0, address, resolve));
  await listen('::').catch(() => listen('0.0.0.0')); // a machine without IPv6
  const { port, family } = server.address();
  return {
    port,
    loopback: family === 'IPv6' ? ['127.0.0.1', '127.1.2.3', '::1'] : ['127.0.0.1', '127.1.2.3'],
    connections: () => connections,
    /** One connection of our own: proof that one would be seen. */
    async spring(host) {
      const before = connections;
      await new Promise((resolve, reject) => {
        net.connect({ port, host }).on('close', resolve).on('error', (error) => (error.code === 'ECONNRESET' ? undefined : reject(error)));
      });
      return connections - before;
    },
    stop: () => new Promise((resolve) => server.close(resolve)),
  };
}
