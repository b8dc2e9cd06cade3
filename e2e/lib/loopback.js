// The listener that a native client opens for its redirect URI.
import http from 'node:http';
import { within } from './http.js';

/** Starts it on a free port: `url` is the redirect URI, `next()` the next callback URL that a browser brings. */
export async function startLoopback() {
  const waiting = [];
  const arrived = [];
  const server = http.createServer((req, res) => {
    const url = new URL(req.url, `http://127.0.0.1:${server.address().port}`);
    if (url.pathname !== '/callback') return void res.writeHead(404).end();
    res.writeHead(200, { 'content-type': 'text/html; charset=utf-8' });
    res.end('<!doctype html><title>Client</title><h1>Back in the client</h1>');
    const next = waiting.shift();
    if (next) next(url);
    else arrived.push(url);
    return undefined;
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/callback`,
    next: () => (arrived.length > 0
      ? Promise.resolve(arrived.shift())
      : within(20_000, 'the callback at the client', new Promise((resolve) => waiting.push(resolve)))),
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
