// A stdio server that speaks MCP 2026-07-28 and nothing before it: every request stands for itself.
import { createInterface } from 'node:readline';

const REVISION = '2026-07-28';
const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId';
const send = (message) => process.stdout.write(`${JSON.stringify({ jsonrpc: '2.0', ...message })}\n`);
const cached = { resultType: 'complete', ttlMs: 0, cacheScope: 'private' };
const listeners = new Map();

const methods = {
  'server/discover': () => ({ ...cached, supportedVersions: [REVISION], capabilities: { tools: { listChanged: true } } }),
  'tools/list': () => ({ ...cached, tools: [{ name: 'Wer bin ich, Zoë?', inputSchema: { type: 'object' } }] }),
  'tools/call': ({ name }) => {
    for (const id of listeners.keys()) {
      send({ method: 'notifications/tools/list_changed', params: { _meta: { [SUBSCRIPTION]: id } } });
    }
    return { resultType: 'complete', content: [{ type: 'text', text: `${name} ${process.env.WHO} ${process.pid}` }] };
  },
  'subscriptions/listen': ({ notifications }, id) => {
    listeners.set(id, true);
    send({ method: 'notifications/subscriptions/acknowledged', params: { notifications, _meta: { [SUBSCRIPTION]: id } } });
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { id, method, params } = JSON.parse(line);
  if (method === 'notifications/cancelled') listeners.delete(params.requestId);
  if (id === undefined) continue;
  const said = params?._meta?.['io.modelcontextprotocol/protocolVersion'];
  if (said !== REVISION) {
    send({ id, error: { code: -32022, message: 'unsupported', data: { supported: [REVISION], requested: said ?? 'none' } } });
  } else if (methods[method]) {
    const result = methods[method](params, id);
    if (result) send({ id, result });
  } else {
    send({ id, error: { code: -32601, message: 'no such method' } });
  }
}
