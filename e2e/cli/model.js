// A language model that needs no thought: it calls one tool, then says what the tool said. In the two streaming formats
// that the programs under test speak.
import http from 'node:http';

/** Starts it on a free port. `tool` is how the tool's name ends. */
export async function startModel(tool) {
  const server = http.createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    const { pathname } = new URL(req.url, 'http://model');
    const answer = { '/v1/messages': messages, '/v1/responses': responses }[pathname];
    if (req.method !== 'POST' || !answer) return void res.writeHead(404, { 'content-type': 'application/json' }).end('{}');
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of answer(JSON.parse(Buffer.concat(chunks).toString('utf8')), tool)) res.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`);
    return void res.end();
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

/** Claude Code. */
function messages(body, tool) {
  const parts = body.messages.flatMap((message) => (Array.isArray(message.content) ? message.content : []));
  const said = parts.find((part) => part.type === 'tool_result');
  const known = body.tools?.find((one) => one.name?.endsWith(tool));
  const call = known && !said;
  const block = call
    ? [{ type: 'tool_use', id: 'toolu_1', name: known.name, input: {} }, { type: 'input_json_delta', partial_json: '{}' }]
    : [{ type: 'text', text: '' }, { type: 'text_delta', text: said ? `SAID ${JSON.stringify(said.content)}` : 'no tool' }];
  return [
    { type: 'message_start', message: { id: 'msg_1', type: 'message', role: 'assistant', model: body.model, content: [], stop_reason: null, stop_sequence: null, usage: { input_tokens: 1, output_tokens: 1 } } },
    { type: 'content_block_start', index: 0, content_block: block[0] },
    { type: 'content_block_delta', index: 0, delta: block[1] },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: call ? 'tool_use' : 'end_turn', stop_sequence: null }, usage: { output_tokens: 1 } },
    { type: 'message_stop' },
  ];
}

/** Codex. */
function responses(body, tool) {
  const said = body.input.find((item) => item.type === 'function_call_output');
  const tools = body.tools.flatMap((one) => (one.type === 'namespace' ? one.tools.map(({ name }) => ({ name, namespace: one.name })) : [{ name: one.name }]));
  const known = tools.find((one) => one.name?.endsWith(tool));
  const item = known && !said
    ? { type: 'function_call', id: 'fc_1', call_id: 'call_1', ...known, arguments: '{}' }
    : { type: 'message', id: 'msg_1', role: 'assistant', content: [{ type: 'output_text', text: said ? `SAID ${JSON.stringify(said.output)}` : 'no tool' }] };
  const usage = { input_tokens: 1, input_tokens_details: null, output_tokens: 1, output_tokens_details: null, total_tokens: 2 };
  return [
    { type: 'response.created', response: { id: 'resp_1' } },
    { type: 'response.output_item.done', output_index: 0, item },
    { type: 'response.completed', response: { id: 'resp_1', usage } },
  ];
}
