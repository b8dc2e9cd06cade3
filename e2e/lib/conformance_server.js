// The MCP server that the conformance suite is let loose on, directly and through the gateway: the official SDK 2.x, with
// sessions and an event store for the revisions until 2025-11-25, and without for 2026-07-28, at one address.
import { randomUUID } from 'node:crypto';
import http from 'node:http';
import { localhostHostValidation, localhostOriginValidation, NodeStreamableHTTPServerTransport, toNodeHandler } from '@modelcontextprotocol/node';
import { classifyInboundRequest, createMcpHandler, isInitializeRequest } from '@modelcontextprotocol/server';
import { conformanceServer } from './conformance_tools.js';

/** How soon a client may come back whose stream was ended, in ms. */
const RETRY = 100;

/** Starts it on a free port of 127.0.0.1. */
export async function startConformanceServer() {
  const sessions = new Map(); // id → transport
  const host = {
    closeStream: ({ sessionId, mcpReq }) => sessions.get(sessionId)?.closeSSEStream(mcpReq.id),
    changed: (what) => stateless.notify[`${what}Changed`](),
  };
  const stateless = createMcpHandler(() => conformanceServer(host));
  const answerStateless = toNodeHandler(stateless);

  async function post(req, res) {
    const message = await read(req);
    const { kind } = classifyInboundRequest({
      httpMethod: 'POST', protocolVersionHeader: req.headers['mcp-protocol-version'], mcpMethodHeader: req.headers['mcp-method'], body: message,
    });
    if (kind !== 'legacy') return answerStateless(req, res, message);
    if (req.headers['mcp-session-id'] || !isInitializeRequest(message)) return inSession(req, res, message);
    const transport = new NodeStreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore: eventStore(),
      retryInterval: RETRY,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    transport.onclose = () => sessions.delete(transport.sessionId);
    await conformanceServer(host).connect(transport);
    return transport.handleRequest(req, res, message);
  }

  function inSession(req, res, message) {
    const id = req.headers['mcp-session-id'];
    const transport = sessions.get(id);
    return transport ? transport.handleRequest(req, res, message) : refuse(res, id ? 404 : 400);
  }

  const guards = [localhostHostValidation(), localhostOriginValidation()];
  const server = http.createServer(async (req, res) => {
    if (!guards.every((guard) => guard(req, res))) return;
    try {
      await (req.method === 'POST' ? post(req, res) : inSession(req, res));
    } catch (error) {
      if (!res.headersSent) refuse(res, 400);
      else res.destroy(error);
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}/mcp`,
    async stop() {
      for (const transport of [...sessions.values()]) await transport.close();
      await stateless.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** The events of one session, for a client that comes back (SEP-1699). */
function eventStore() {
  const events = []; // { eventId, streamId, message }
  return {
    async storeEvent(streamId, message) {
      const eventId = `${streamId}.${events.length}`;
      events.push({ eventId, streamId, message });
      return eventId;
    },
    async replayEventsAfter(last, { send }) {
      const at = events.findIndex(({ eventId }) => eventId === last);
      const { streamId } = events[at];
      for (const { eventId, streamId: of, message } of events.slice(at + 1)) if (of === streamId) await send(eventId, message);
      return streamId;
    },
  };
}

function refuse(res, status) {
  res.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ jsonrpc: '2.0', id: null, error: { code: -32000, message: http.STATUS_CODES[status] } }));
}

async function read(req) {
  const chunks = [];
  for await (const chunk of req) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString('utf8'));
}
