// Stands before a service's own endpoints: keeps what the gateway asks and is answered, and may hold or change it.
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import { request, within } from './http.js';

/**
 * Starts it on a free port, on the way to the origin `to`.
 * `hooks.asked(exchange)` is called before a request goes on, `hooks.answered(exchange)` before its answer goes back, which is
 * `exchange.json` then. Whoever has hung up meanwhile is neither passed on nor answered.
 */
export async function startForwarder(to) {
  const exchanges = []; // { method, path, headers, form, status, json, closed }
  const events = new EventEmitter(); // 'asked', 'answered'
  const hooks = {};

  const server = http.createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const body = Buffer.concat(chunks).toString('utf8');
    const exchange = { method: req.method, path: req.url, headers: req.headers, body, form: Object.fromEntries(new URLSearchParams(body)) };
    exchange.closed = new Promise((resolve) => res.on('close', resolve));
    exchanges.push(exchange);
    events.emit('asked', exchange);
    await hooks.asked?.(exchange);
    if (res.destroyed) return;
    const { host, connection, ...headers } = req.headers;
    const answer = await request(req.method, to + req.url, { headers, body: body || undefined });
    exchange.status = answer.status;
    if (answer.headers['content-type']?.startsWith('application/json')) exchange.json = answer.json;
    await hooks.answered?.(exchange);
    if (res.destroyed) return;
    const text = exchange.json ? JSON.stringify(exchange.json) : answer.text;
    res.writeHead(answer.status, { 'content-type': answer.headers['content-type'] ?? 'text/plain', 'cache-control': 'no-store' }).end(text);
    events.emit('answered', exchange);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));

  const of = (grantType) => exchanges.filter((exchange) => exchange.form.grant_type === grantType);
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    exchanges,
    hooks,
    /** The codes that came this way. */
    codes: () => exchanges.filter((exchange) => exchange.form.code),
    /** The refreshes that came this way. */
    refreshes: () => of('refresh_token'),
    /** The next exchange that is 'asked' or 'answered'. */
    async next(what) {
      const [exchange] = await within(5000, `an exchange that is ${what}`, once(events, what));
      return exchange;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/**
 * Makes the next `count` access tokens end before they are used: they are said to live for a second, the least there is, and
 * take one to arrive.
 */
export function shorten(forwarder, count = 1) {
  let left = count;
  forwarder.hooks.answered = async (exchange) => {
    if (!exchange.json?.access_token || left === 0) return;
    left -= 1;
    exchange.json.expires_in = 1;
    await new Promise((resolve) => setTimeout(resolve, 1000));
  };
}
