// The MCP server behind the gateway: the official SDK 1.x server, stateless and with sessions, which remembers what
// reached it.
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import { randomUUID } from 'node:crypto';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CallToolRequestSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { within } from './http.js';

const BODY_LIMIT = 64 * 1024 * 1024;

/** Starts the backend on a port of 127.0.0.1, a free one unless it is given. */
export async function startBackend({ port = 0 } = {}) {
  const requests = []; // { method, url, headers, rawHeaders, bytes, rpc }
  const events = new EventEmitter(); // 'tick-wait', 'abort'
  const gates = []; // resolvers of `ticks` calls that wait for a release
  const sessions = new Map(); // id → transport, of the server with sessions
  const hooks = {}; // dies: whether the connection is cut once this request was read
  let aborted = 0;

  const server = http.createServer(async (req, res) => {
    const record = { method: req.method, url: req.url, headers: req.headers, rawHeaders: req.rawHeaders };
    requests.push(record);
    res.on('close', () => {
      if (!res.writableFinished) {
        aborted += 1;
        events.emit('abort');
      }
    });
    try {
      const stream = req.method === 'GET' && sessions.get(req.headers['mcp-session-id']);
      if (stream && req.url === '/sessions') return void (await stream.handleRequest(req, res));
      if (req.method !== 'POST') return void plain(res, 405, { allow: 'POST' });
      const body = await read(req);
      record.bytes = body.length;
      let message;
      try {
        message = JSON.parse(body.toString('utf8'));
      } catch {
        return void plain(res, 400);
      }
      record.rpc = [message].flat().map((one) => one?.method);
      if (hooks.dies?.(record)) return void req.socket.destroy();
      if (req.url === '/sessions') return void (await inSession(req, res, message));
      const mcp = tools({ headers: req.headers, gate });
      const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
      res.on('close', () => {
        transport.close();
        mcp.close();
      });
      await mcp.connect(transport);
      await transport.handleRequest(req, res, message);
    } catch (error) {
      if (!res.headersSent) plain(res, 400);
      else res.destroy(error);
    }
    return undefined;
  });
  await new Promise((resolve) => server.listen(port, '127.0.0.1', resolve));

  /** Opens a session with `initialize`; everything else needs one. */
  async function inSession(req, res, message) {
    const known = sessions.get(req.headers['mcp-session-id']);
    if (known) return known.handleRequest(req, res, message);
    if (message.method !== 'initialize') return plain(res, 404);
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    await tools({ headers: req.headers, gate }).connect(transport);
    return transport.handleRequest(req, res, message);
  }

  function gate() {
    return new Promise((resolve) => {
      gates.push(resolve);
      events.emit('tick-wait');
    });
  }

  return {
    url: `http://127.0.0.1:${server.address().port}/mcp`,
    sessionsUrl: `http://127.0.0.1:${server.address().port}/sessions`,
    port: server.address().port,
    requests,
    hooks,
    /** How many answers were cut off by the other side. */
    aborted: () => aborted,
    /** Lets the waiting `ticks` call send its next event (waits for it to arrive there first). */
    async release() {
      if (gates.length === 0) await within(5000, 'a waiting ticks call', once(events, 'tick-wait'));
      gates.shift()();
    },
    /** Resolves when a `ticks` call waits to be released. */
    async waiting() {
      if (gates.length === 0) await within(5000, 'a waiting ticks call', once(events, 'tick-wait'));
    },
    /** Tells every session by its own stream, the one of a GET, that the tools have changed. */
    async announce() {
      for (const transport of sessions.values()) await transport.send({ jsonrpc: '2.0', method: 'notifications/tools/list_changed' });
    },
    /** Resolves once more than `before` answers were cut off. */
    async abortedAfter(before) {
      if (aborted <= before) await within(5000, 'the cancelled backend request', once(events, 'abort'));
    },
    async stop() {
      for (const transport of sessions.values()) await transport.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const number = { type: 'number' };
const TOOLS = [
  { name: 'whoami', description: 'Who the gateway says is calling', inputSchema: { type: 'object', properties: {} } },
  { name: 'add', description: 'Adds two numbers', inputSchema: { type: 'object', properties: { a: number, b: number, padding: { type: 'string' } }, required: ['a', 'b'] } },
  { name: 'ticks', description: 'Progress, one event per release', inputSchema: { type: 'object', properties: { count: number }, required: ['count'] } },
];

function tools({ headers, gate }) {
  const run = {
    whoami: () => ({
      user: headers['x-forwarded-user'],
      email: headers['x-forwarded-email'],
      preferred_username: headers['x-forwarded-preferred-username'],
      client: headers['x-forwarded-client'],
      scope: headers['x-forwarded-scope'],
      headers,
    }),
    add: ({ a, b }) => a + b,
    async ticks({ count }, extra) {
      for (let progress = 1; progress <= Math.min(count, 100); progress += 1) {
        await gate();
        await extra.sendNotification({
          method: 'notifications/progress',
          params: { progressToken: extra._meta?.progressToken ?? 'none', progress, total: count },
        });
      }
      return 'done';
    },
  };
  const mcp = new Server({ name: 'e2e-backend', version: '1.0.0' }, { capabilities: { tools: {} } });
  mcp.setRequestHandler(ListToolsRequestSchema, () => ({ tools: TOOLS }));
  mcp.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    const value = await run[params.name](params.arguments ?? {}, extra);
    return { content: [{ type: 'text', text: typeof value === 'string' ? value : JSON.stringify(value) }] };
  });
  return mcp;
}

function plain(res, status, headers = {}) {
  res.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(http.STATUS_CODES[status]);
}

async function read(req) {
  const chunks = [];
  let size = 0;
  for await (const chunk of req) {
    size += chunk.length;
    if (size > BODY_LIMIT) throw new Error('body too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
