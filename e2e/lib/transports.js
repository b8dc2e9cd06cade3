// MCP servers of the official SDKs, one for each transport there has been, which keep what reached them and what they wrote.
import http from 'node:http';
import { EventEmitter, once } from 'node:events';
import { randomUUID } from 'node:crypto';
import { toNodeHandler } from '@modelcontextprotocol/node';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { CallToolRequestSchema, ElicitResultSchema, ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { request, within } from './http.js';
import { freePort, ready, start } from './process.js';

/** A server on a free port whose requests are kept: `{ method, url, headers, wrote, closed, res }`. */
async function kept(answer) {
  const requests = [];
  const events = new EventEmitter();
  const server = http.createServer((req, res) => {
    const record = { method: req.method, url: req.url, headers: req.headers, wrote: '', res };
    record.closed = new Promise((resolve) => res.on('close', () => resolve({ whole: res.writableFinished })));
    for (const name of ['write', 'end']) {
      const original = res[name].bind(res);
      res[name] = (chunk, ...rest) => {
        if (chunk !== undefined && chunk !== null && typeof chunk !== 'function') record.wrote += Buffer.from(chunk).toString();
        return original(chunk, ...rest);
      };
    }
    requests.push(record);
    events.emit('request');
    Promise.resolve(answer(req, res, record)).catch((error) => {
      if (res.headersSent) res.destroy(error);
      else res.writeHead(500).end(String(error));
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    requests,
    /** The last request for which this holds; waits for it. */
    async seen(is) {
      for (;;) {
        const found = requests.findLast(is);
        if (found) return found;
        await within(5000, 'the request at the backend', once(events, 'request'));
      }
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** What was sent on each stream, in the order in which it was. */
class Events {
  all = [];

  async storeEvent(stream, message) {
    this.all.push({ stream, message, id: `${stream}/${this.all.length}` });
    return this.all.at(-1).id;
  }

  async getStreamIdForEventId(id) { return this.all.find((event) => event.id === id)?.stream; }

  async replayEventsAfter(id, { send }) {
    const at = this.all.findIndex((event) => event.id === id);
    const { stream } = this.all[at];
    for (const event of this.all.slice(at + 1)) {
      if (event.stream === stream && event.message.jsonrpc) await send(event.id, event.message);
    }
    return stream;
  }
}

const QUESTION = {
  mode: 'form', message: 'Your name?', requestedSchema: { type: 'object', properties: { name: { type: 'string' } } },
};

/** The tools of all of them. `gate` is what `poll` waits for. */
function tools(gate) {
  const text = (value) => ({ content: [{ type: 'text', text: String(value) }] });
  const run = {
    whoami: (_, extra) => text(extra.requestInfo.headers['x-forwarded-user']),
    add: ({ a, b }) => text(a + b),
    delete_all: () => text('gone'),
    async ask(_, extra) {
      const answer = await extra.sendRequest({ method: 'elicitation/create', params: QUESTION }, ElicitResultSchema);
      return text(answer.content.name);
    },
    async poll(_, extra) {
      extra.closeSSEStream();
      await gate();
      return text('at last');
    },
  };
  const mcp = new Server({ name: 'e2e-transports', version: '1.0.0' }, { capabilities: { tools: { listChanged: true }, logging: {} } });
  mcp.setRequestHandler(ListToolsRequestSchema, () => ({ tools: Object.keys(run).map((name) => ({ name, inputSchema: { type: 'object' } })) }));
  mcp.setRequestHandler(CallToolRequestSchema, ({ params }, extra) => run[params.name](params.arguments ?? {}, extra));
  return mcp;
}

/** Streamable HTTP with sessions and resumption: SDK 1.x, protocol 2025-03-26 to 2025-11-25. */
export async function startStreamable() {
  const sessions = new Map(); // id → { transport, mcp }
  const gates = [];
  const gate = () => new Promise((resolve) => gates.push(resolve));
  const server = await kept(async (req, res, record) => {
    if (req.method === 'POST') record.message = JSON.parse((await req.toArray()).join(''));
    const id = req.headers['mcp-session-id'];
    if (id) {
      const known = sessions.get(id);
      return known ? known.transport.handleRequest(req, res, record.message) : res.writeHead(404).end();
    }
    const mcp = tools(gate);
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: new Events(),
      retryInterval: 20,
      onsessioninitialized: (opened) => sessions.set(opened, { transport, mcp }),
      onsessionclosed: (closed) => sessions.delete(closed),
    });
    await mcp.connect(transport);
    return transport.handleRequest(req, res, record.message);
  });
  return {
    ...server,
    url: `${server.origin}/mcp`,
    /** The session that was opened last. */
    get session() {
      return [...sessions.values()].at(-1);
    },
    sessions,
    question: QUESTION,
    open: () => gates.shift()(),
  };
}

/** Streamable HTTP without sessions: SDK 2.x, protocol 2026-07-28. */
export async function startStateless() {
  const handler = createMcpHandler(() => {
    const mcp = new McpServer({ name: 'e2e-stateless', version: '1.0.0' }, { capabilities: { tools: { listChanged: true } } });
    mcp.registerTool('whoami', { description: 'Who is calling' }, (context) => ({
      content: [{ type: 'text', text: context.http.req.headers.get('x-forwarded-user') }],
    }));
    return mcp;
  }, { keepAliveMs: 0 });
  const answer = toNodeHandler(handler);
  const server = await kept((req, res) => answer(req, res));
  return { ...server, url: `${server.origin}/mcp`, notify: handler.notify };
}

/** The HTTP+SSE pair of SDK 1.x, protocol 2024-11-05: `/sse` names `/messages`. `/absolute` and `/foreign` name it otherwise. */
export async function startSse() {
  const streams = new Map();
  const server = await kept(async (req, res) => {
    const url = new URL(req.url, server.origin);
    if (req.method === 'POST' && url.pathname === '/messages') {
      const transport = streams.get(url.searchParams.get('sessionId'));
      return transport ? transport.handlePostMessage(req, res) : res.writeHead(404).end();
    }
    if (req.method !== 'GET') return res.writeHead(405).end();
    const base = { '/absolute': server.origin, '/foreign': 'http://127.0.0.2:9' }[url.pathname];
    if (base) {
      const write = res.write.bind(res);
      res.write = (chunk) => write(String(chunk).replace('data: /', `data: ${base}/`));
    }
    const transport = new SSEServerTransport('/messages', res);
    const mcp = tools();
    streams.set(transport.sessionId, transport);
    res.on('close', () => streams.delete(transport.sessionId));
    return mcp.connect(transport);
  });
  return { ...server, url: `${server.origin}/sse` };
}

/** The same pair of the Python SDK, in a process of its own. */
export async function startPythonSse() {
  const [cwd, port] = [fileURLToPath(new URL('..', import.meta.url)), await freePort()];
  const server = start(path.join(cwd, '.venv/bin/python'), ['server_python.py', String(port)], { cwd });
  const url = `http://127.0.0.1:${port}/sse`;
  await ready(server, 'the Python server', () => request('DELETE', url, { timeout: 2000 }).then(() => true, () => false));
  return { url, stop: () => server.stop({ signal: 'SIGKILL' }) };
}
