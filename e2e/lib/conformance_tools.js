// What the conformance suite asks a server to offer: the tools, resources and prompts that its scenarios name, with the
// answers that they look for. One definition, served to both revisions of the protocol.
import { randomBytes } from 'node:crypto';
import {
  acceptedContent, CLIENT_CAPABILITIES_META_KEY, createRequestStateCodec, fromJsonSchema, inputRequired, McpServer, ResourceTemplate,
} from '@modelcontextprotocol/server';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNk+A8AAQUBAScY42YAAAAASUVORK5CYII=';
const WAV = 'UklGRiQAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YQAAAAA=';

const string = { type: 'string' };
const object = (properties = {}, required = []) => ({ type: 'object', properties, required });
const text = (words) => ({ type: 'text', text: words });
const says = (...content) => ({ content: content.map((one) => (typeof one === 'string' ? text(one) : one)) });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const embedded = (uri, mimeType, words) => ({ type: 'resource', resource: { uri, mimeType, text: words } });

/** What a server asks its client for, in both revisions: a request of its own until 2025-11-25, a result after it. */
const asks = {
  name: inputRequired.elicit({ message: 'What is your name?', requestedSchema: object({ name: string }, ['name']) }),
  colour: inputRequired.elicit({ message: 'Which colour do you like?', requestedSchema: object({ color: string }, ['color']) }),
  yes: inputRequired.elicit({ message: 'Shall it be so?', requestedSchema: object({ ok: { type: 'boolean' } }, ['ok']) }),
  context: inputRequired.elicit({ message: 'What is it about?', requestedSchema: object({ context: string }, ['context']) }),
  model: (words) => inputRequired.createMessage({ messages: [{ role: 'user', content: text(words) }], maxTokens: 50 }),
  roots: inputRequired.listRoots(),
};

// SEP-1034 and SEP-1330: what a form may be made of.
const DEFAULTS = object({
  name: { ...string, default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { ...string, enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
});
const titled = (words) => words.map((word, at) => ({ const: `value${at + 1}`, title: `${word} Option` }));
const ENUMS = object({
  untitledSingle: { ...string, enum: ['option1', 'option2', 'option3'] },
  titledSingle: { ...string, oneOf: titled(['First', 'Second', 'Third']) },
  legacyEnum: { ...string, enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
  untitledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { ...string, enum: ['option1', 'option2', 'option3'] } },
  titledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { anyOf: titled(['First', 'Second', 'Third']) } },
});

// SEP-1613 and SEP-2106: what has to survive a list of tools.
const WHOLE_SCHEMA = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  ...object({ name: string, address: { $ref: '#/$defs/address' }, contactMethod: { ...string, enum: ['phone', 'email'] }, phone: string, email: string }),
  $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: string, city: string } } },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

/** What a client has answered under a name; `undefined` if it has not. */
const given = (context, name) => context.mcpReq.inputResponses?.[name];
const accepted = (context, name) => acceptedContent(context.mcpReq.inputResponses, name);

/**
 * The tools: `[what, input schema, what it does]`. `seal` seals a state that goes through the client, `host` is what
 * serves this: `closeStream(context)` cuts the answer off, `changed('tools')` tells who listens.
 */
function tools({ seal, host }) {
  const elicits = (requestedSchema, message) => async (given_, { mcpReq }) => {
    const { action, content } = await mcpReq.send({ method: 'elicitation/create', params: { message: given_.message ?? message, requestedSchema } });
    return says(`The answer: ${action} ${JSON.stringify(content ?? {})}`);
  };
  return {
    test_simple_text: ['text', object(), () => says('This is a simple text response for testing.')],
    test_image_content: ['an image', object(), () => says(image)],
    test_audio_content: ['a sound', object(), () => says({ type: 'audio', data: WAV, mimeType: 'audio/wav' })],
    test_embedded_resource: ['a resource', object(), () => says(embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.'))],
    test_multiple_content_types: ['several things', object(), () => says('Multiple content types test:', image, embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}'))],
    test_error_handling: ['fails', object(), () => {
      throw new Error('This tool intentionally returns an error for testing');
    }],
    test_tool_with_logging: ['logs', object(), async (_, { mcpReq }) => {
      for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
        await mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data } });
      }
      return says('logged');
    }],
    test_tool_with_progress: ['tells how far it is', object(), async (_, { mcpReq }) => {
      const progressToken = mcpReq._meta?.progressToken;
      for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
        await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
      }
      return says('done');
    }],
    // SEP-1699: the stream ends before there is an answer, which is then asked for with `Last-Event-ID`.
    test_reconnection: ['ends its stream early', object(), (_, context) => {
      host.closeStream(context);
      return says('You came back.');
    }],
    test_sampling: ['asks the model', object({ prompt: string }, ['prompt']), async ({ prompt }, { mcpReq }) => {
      const { content } = await mcpReq.send({ method: 'sampling/createMessage', params: { messages: [{ role: 'user', content: text(prompt) }], maxTokens: 100 } });
      return says(`The model said: ${content.text}`);
    }],
    test_elicitation: ['asks the person', object({ message: string }, ['message']), elicits(object({ response: string }, ['response']))],
    test_elicitation_sep1034_defaults: ['asks with defaults', object(), elicits(DEFAULTS, 'Look through the form')],
    test_elicitation_sep1330_enums: ['asks with choices', object(), elicits(ENUMS, 'Choose')],
    json_schema_2020_12_tool: ['has a schema of every kind', WHOLE_SCHEMA, (sent) => says(JSON.stringify(sent))],

    // 2026-07-28: headers that repeat arguments (SEP-2243), what every request says of itself (SEP-2575).
    test_x_mcp_header: ['has an argument that a header repeats', object({ region: { ...string, 'x-mcp-header': 'Region' }, level: { type: 'integer' } }), ({ region }) => says(`region ${region}`)],
    test_missing_capability: ['needs a client with a model', object(), (_, context) => (given(context, 'answer') ? says('answered') : inputRequired({ inputRequests: { answer: asks.model('Say yes') } }))],
    test_streaming_elicitation: ['asks nothing on its stream', object(), () => says('nothing but a result')],
    test_logging_tool: ['logs if it is asked to', object(), async (_, { mcpReq }) => {
      await mcpReq.log('info', 'only where the request names a level');
      return says('logged');
    }],
    test_trigger_tool_change: ['changes the tools', object(), () => {
      host.changed('tools');
      return says('changed');
    }],
    test_trigger_prompt_change: ['changes the prompts', object(), () => {
      host.changed('prompts');
      return says('changed');
    }],

    // 2026-07-28: a result that asks for more, and the same call again with the answers (SEP-2322).
    test_input_required_result_elicitation: ['asks for a name', object(), (_, context) => {
      const name = accepted(context, 'user_name')?.name;
      return typeof name === 'string' ? says(`Hello, ${name}!`) : inputRequired({ inputRequests: { user_name: asks.name } });
    }],
    test_input_required_result_sampling: ['asks the model', object(), (_, context) => {
      const answer = given(context, 'capital_question');
      return answer ? says(`It says: ${answer.content?.text}`) : inputRequired({ inputRequests: { capital_question: asks.model('What is the capital of France?') } });
    }],
    test_input_required_result_list_roots: ['asks for the roots', object(), (_, context) => {
      const roots = given(context, 'client_roots')?.roots;
      return roots ? says(`Roots: ${roots.map(({ uri }) => uri).join(' ')}`) : inputRequired({ inputRequests: { client_roots: asks.roots } });
    }],
    test_input_required_result_request_state: ['remembers through the client', object(), async (_, context) => {
      if (accepted(context, 'confirm') && context.mcpReq.requestState()) return says('state-ok');
      return inputRequired({ inputRequests: { confirm: asks.yes }, requestState: await seal({}) });
    }],
    test_input_required_result_tampered_state: ['notices a changed memory', object(), async (_, context) => {
      if (accepted(context, 'confirm') && context.mcpReq.requestState()) return says('integrity-ok');
      return inputRequired({ inputRequests: { confirm: asks.yes }, requestState: await seal({}) });
    }],
    test_input_required_result_multiple_inputs: ['asks for three things at once', object(), async (_, context) => {
      const [name, greeting, roots] = [accepted(context, 'user_name')?.name, given(context, 'greeting')?.content?.text, given(context, 'client_roots')?.roots];
      if (name && greeting && roots) return says(`${greeting}, ${name}, with ${roots.length} roots`);
      return inputRequired({ inputRequests: { user_name: asks.name, greeting: asks.model('Greet'), client_roots: asks.roots }, requestState: await seal({}) });
    }],
    test_input_required_result_multi_round: ['asks twice', object(), async (_, context) => {
      const { round, name } = context.mcpReq.requestState() ?? {};
      if (round === 2) return says(`${name} likes ${accepted(context, 'step2')?.color}`);
      if (round === 1) {
        return inputRequired({ inputRequests: { step2: asks.colour }, requestState: await seal({ round: 2, name: accepted(context, 'step1')?.name }) });
      }
      return inputRequired({ inputRequests: { step1: asks.name }, requestState: await seal({ round: 1 }) });
    }],
    test_input_required_result_capabilities: ['asks for what the client has', object(), (_, context) => {
      if (context.mcpReq.inputResponses) return says('answered');
      const has = context.mcpReq.envelope?.[CLIENT_CAPABILITIES_META_KEY] ?? {};
      const inputRequests = {
        ...(has.elicitation && { user_name: asks.name }), ...(has.sampling && { greeting: asks.model('Greet') }), ...(has.roots && { client_roots: asks.roots }),
      };
      return Object.keys(inputRequests).length > 0 ? inputRequired({ inputRequests }) : says('nothing to ask for');
    }],
  };
}

const RESOURCES = {
  'test://static-text': ['text/plain', { text: 'This is the content of the static text resource.' }],
  'test://static-binary': ['image/png', { blob: PNG }],
  'test://watched-resource': ['text/plain', { text: 'Nothing has changed.' }],
};

/** The prompts: `[arguments, messages]`. */
const PROMPTS = {
  test_simple_prompt: [undefined, () => ['This is a simple prompt for testing.']],
  test_prompt_with_arguments: [['arg1', 'arg2'], ({ arg1, arg2 }) => [`arg1 is ${arg1}, arg2 is ${arg2}`]],
  test_prompt_with_embedded_resource: [['resourceUri'], ({ resourceUri }) => [embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.'), 'Look at it.']],
  test_prompt_with_image: [undefined, () => [image, 'Look at it.']],
};

const { mint: seal, verify } = createRequestStateCodec({ key: randomBytes(32) });

/** The names of the tools. */
export const TOOLS = Object.keys(tools({ seal }));

/** A server for one session, or for one request of a revision without sessions. */
export function conformanceServer(host) {
  const mcp = new McpServer({ name: 'e2e-conformance', version: '1.0.0' }, {
    capabilities: { tools: { listChanged: true }, resources: { subscribe: true, listChanged: true }, prompts: { listChanged: true }, logging: {}, completions: {} },
    requestState: { verify },
  });
  for (const [name, [what, schema, run]] of Object.entries(tools({ seal, host }))) {
    mcp.registerTool(name, { description: what, inputSchema: fromJsonSchema(schema) }, async (sent, context) => run(sent ?? {}, context));
  }
  for (const [uri, [mimeType, content]] of Object.entries(RESOURCES)) {
    mcp.registerResource(new URL(uri).host, uri, { mimeType }, async () => ({ contents: [{ uri, mimeType, ...content }] }));
  }
  const template = new ResourceTemplate('test://template/{id}/data', { list: undefined });
  mcp.registerResource('template', template, { mimeType: 'application/json' }, async ({ href }, { id }) => ({ contents: [{ uri: href, mimeType: 'application/json', text: JSON.stringify({ id }) }] }));
  const messages = (content) => ({ messages: content.map((one) => ({ role: 'user', content: typeof one === 'string' ? text(one) : one })) });
  for (const [name, [names, run]] of Object.entries(PROMPTS)) {
    const argsSchema = names && fromJsonSchema(object(Object.fromEntries(names.map((one) => [one, string])), names));
    mcp.registerPrompt(name, { description: name, argsSchema }, async (sent) => messages(run(sent)));
  }
  mcp.registerPrompt('test_input_required_result_prompt', { description: 'asks first' }, async (context) => {
    const answer = accepted(context, 'user_context')?.context;
    return answer ? messages([`About ${answer}`]) : inputRequired({ inputRequests: { user_context: asks.context } });
  });
  for (const method of ['resources/subscribe', 'resources/unsubscribe', 'logging/setLevel']) mcp.server.setRequestHandler(method, () => ({}));
  mcp.server.setRequestHandler('completion/complete', () => ({ completion: { values: ['Paris'], total: 1, hasMore: false } }));
  return mcp;
}
