// Every transport that MCP has had, through the gateway: servers and clients of the official SDKs, and what is on the wire.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Client as Client2, StreamableHTTPClientTransport as Streamable2 } from '@modelcontextprotocol/client';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { ElicitRequestSchema, ToolListChangedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { PythonClient } from '../lib/client_python.js';
import { Sdk1Client } from '../lib/client_sdk1.js';
import { startGateway } from '../lib/gateway.js';
import { open, request, within } from '../lib/http.js';
import { call, OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { frames } from '../lib/sse.js';
import { freePort } from '../lib/process.js';
import { startPythonSse, startSse, startStateless, startStreamable } from '../lib/transports.js';
import { startUpstream, USERS } from '../lib/upstream.js';
import { together, use } from '../lib/world.js';

const WRITE = { 'delete_*': ['mcp:write'] };

const w = use(() => together(async (add) => {
  const port = await freePort();
  const upstream = await add(startUpstream({ callback: `http://127.0.0.1:${port}/callback` }));
  const streamable = await add(startStreamable());
  const stateless = await add(startStateless());
  const sse = await add(startSse());
  const python = await add(startPythonSse());
  const old = (path, at) => ({ path, backend: `${sse.origin}${at}`, transport: 'sse', tool_scopes: WRITE });
  const gateway = await add(startGateway({
    port,
    upstream: upstream.settings,
    resources: [
      { path: '/mcp', backend: streamable.url },
      { path: '/stateless', backend: stateless.url },
      old('/old', '/sse'), old('/absolute', '/absolute'), old('/foreign', '/foreign'),
      { path: '/python', backend: python.url, transport: 'sse' },
    ],
    name: 'transport',
  }));
  return { gateway, streamable, stateless, sse };
}));

const ACCEPT = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' };
const note = (method) => ({ jsonrpc: '2.0', method });
const data = (frame) => JSON.parse(frame.data);

/** A person's token for the server at a path, and requests with it. */
async function signedIn(path, user = 'ada', scope = 'mcp') {
  const resource = `${w.gateway.url}${path}`;
  const client = new OAuthClient(w.gateway.url, { resource });
  const { tokens } = await client.login(new Person({ user }), { scope });
  const authorization = `Bearer ${tokens.access_token}`;
  return {
    resource,
    authorization,
    send: (method, { headers = {}, json, url = resource } = {}) => request(method, url, { json, headers: { authorization, ...ACCEPT, ...headers } }),
    stream: async (method, { headers = {}, json, url = resource } = {}) => {
      const answer = await open(method, url, { json, headers: { authorization, ...ACCEPT, ...headers } });
      return { ...answer, feed: frames(answer.stream) };
    },
  };
}

const initialize = (version, capabilities = {}) => ({
  jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: version, capabilities, clientInfo: { name: 'e2e', version: '1' } },
});

/** What an exchange says besides what belongs to its connection, to its moment, and to whoever asks. */
function own(headers) {
  const other = /^(connection|keep-alive|transfer-encoding|content-length|date|host|authorization|mcp-session-id|vary|access-control-.*|x-request-id|x-forwarded-.*)$/;
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !other.test(name)));
}

describe('what a request and its answer say', () => {
  const said = {
    ...ACCEPT, 'mcp-protocol-version': '2025-11-25', 'last-event-id': 'not/known 1', 'mcp-method': 'initialize', 'mcp-name': '=?base64?eA==?=',
    'mcp-param-region': 'eu', 'mcp-param-limit': '42', traceparent: '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01', 'user-agent': 'e2e/1',
    'accept-language': 'en', 'x-app': 'kept', cookie: 'theme=dark',
  };

  for (const [path, server] of [['/mcp', 'streamable'], ['/stateless', 'stateless']]) {
    test(`${path} is told all of it, and so is the client`, async () => {
      const ada = await signedIn(path);
      const json = initialize('2025-11-25');
      const through = await ada.send('POST', { json, headers: said });
      assert.equal(through.status, 200, through.text);
      const reached = w[server].requests.at(-1);
      assert.deepEqual(own(reached.headers), own(said), 'nothing lost, nothing added');
      const ours = Object.keys(reached.headers).filter((name) => /^x-forwarded-|^x-request-id/.test(name)).sort();
      assert.deepEqual(ours, ['client', 'email', 'for', 'host', 'preferred-username', 'proto', 'scope', 'user'].map((name) => `x-forwarded-${name}`).concat('x-request-id'));
      const direct = await request('POST', w[server].url, { json, headers: said });
      assert.deepEqual(own(through.headers), own(direct.headers));
      assert.equal(Boolean(through.headers['mcp-session-id']), Boolean(direct.headers['mcp-session-id']));
      assert.equal(through.text.replace(/^id: .*$/gm, ''), direct.text.replace(/^id: .*$/gm, ''));
    });
  }
});

describe('Streamable HTTP with sessions', () => {
  let ada;
  before(async () => { ada = await signedIn('/mcp'); });

  /** An open session: its headers. */
  async function session(version, capabilities) {
    const opened = await ada.stream('POST', { json: initialize(version, capabilities) });
    assert.equal(opened.status, 200);
    await opened.feed.rest();
    const headers = { 'mcp-session-id': opened.headers['mcp-session-id'], 'mcp-protocol-version': version };
    assert.equal((await ada.send('POST', { json: note('notifications/initialized'), headers })).status, 202);
    return headers;
  }

  for (const version of ['2025-03-26', '2025-06-18', '2025-11-25']) {
    test(`${version} passes as it is`, async () => {
      const headers = await session(version);
      const opened = w.streamable.requests.findLast((one) => one.message?.method === 'initialize');
      assert.ok(opened.wrote.includes(`"protocolVersion":"${version}"`), 'the backend has agreed to it');
      const answer = await ada.stream('POST', { json: call('whoami'), headers });
      const text = await answer.feed.rest();
      const reached = w.streamable.requests.at(-1);
      assert.equal(reached.headers['mcp-protocol-version'], version);
      assert.equal(reached.headers.accept, ACCEPT.accept);
      assert.equal(text, reached.wrote, 'byte for byte');
      assert.match(text, new RegExp(`"text":"${USERS.ada.sub}"`));
      assert.match(text, /^id: /m, 'the ids of events are there');
      assert.match(answer.headers['content-type'], /^text\/event-stream/);
      assert.equal(w.streamable.sessions.has(reached.headers['mcp-session-id']), true, 'the backend sees its own id');
      const unknown = await ada.send('POST', { json: call('whoami'), headers: { ...headers, 'mcp-protocol-version': '1999-01-01' } });
      assert.equal(unknown.status, 400, 'what the backend says of a version is said to the client');
      assert.equal(unknown.text, w.streamable.requests.at(-1).wrote);
    });
  }

  test('a stream is opened, cut, resumed and ended with its session', async () => {
    const headers = await session('2025-11-25');
    const first = await ada.stream('GET', { headers });
    assert.equal(first.status, 200);
    await w.streamable.seen((one) => one.method === 'GET');
    const { mcp } = w.streamable.session;
    await mcp.sendLoggingMessage({ level: 'info', data: 'one' });
    const seen = await first.feed.next();
    assert.equal(data(seen).params.data, 'one');
    assert.ok(seen.id);

    const cut = w.streamable.requests.at(-1);
    first.abort();
    assert.equal((await within(5000, 'the end of the stream at the backend', cut.closed)).whole, false);
    for (const word of ['two', 'three']) await mcp.sendLoggingMessage({ level: 'info', data: word });

    const again = await ada.stream('GET', { headers: { ...headers, 'last-event-id': seen.id } });
    for (const word of ['two', 'three']) {
      const replayed = await again.feed.next();
      assert.equal(data(replayed).params.data, word);
      assert.notEqual(replayed.id, seen.id);
    }
    assert.equal(w.streamable.requests.at(-1).headers['last-event-id'], seen.id);
    await mcp.sendLoggingMessage({ level: 'info', data: 'four' });
    assert.equal(data(await again.feed.next()).params.data, 'four', 'and goes on');

    assert.equal((await ada.send('DELETE', { headers })).status, 200);
    const whole = await again.feed.rest();
    assert.equal(whole, w.streamable.requests.findLast((one) => one.method === 'GET').wrote, 'byte for byte');
    assert.equal((await ada.send('POST', { json: call('whoami'), headers })).status, 404);
    assert.equal((await ada.send('GET', { headers })).status, 404);
  });

  test('an answer that the server keeps for later is fetched with the id and after the time it gave', async () => {
    const headers = await session('2025-11-25');
    const polled = await ada.stream('POST', { json: call('poll'), headers });
    const primer = await polled.feed.next();
    assert.deepEqual(primer, { id: primer.id, retry: '20', data: '' });
    await polled.feed.rest();
    const again = await ada.stream('GET', { headers: { ...headers, 'last-event-id': primer.id } });
    await w.streamable.seen((one) => one.headers['last-event-id'] === primer.id);
    w.streamable.open();
    let frame = await again.feed.next();
    if (!frame.data) frame = await again.feed.next();
    assert.equal(data(frame).result.content[0].text, 'at last');
    again.abort();
  });

  test('a batch of 2025-03-26 is one request with all its answers', async () => {
    const headers = await session('2025-03-26');
    const json = [{ ...call('add', { a: 1, b: 2 }), id: 'a' }, note('notifications/cancelled'), { ...call('add', { a: 3, b: 4 }), id: 'b' }];
    const answer = await ada.stream('POST', { json, headers });
    assert.equal(answer.status, 200);
    const found = {};
    for (let frame = await answer.feed.next(); frame; frame = await answer.feed.next()) {
      const { id, result } = data(frame);
      found[id] = result.content[0].text;
    }
    assert.deepEqual(found, { a: '3', b: '7' });
    assert.deepEqual(w.streamable.requests.at(-1).message, json);
    const answers = await ada.send('POST', { json: [{ jsonrpc: '2.0', id: 'x', result: {} }], headers });
    assert.equal(answers.status, 202, 'a batch of answers');
  });

  test('what the server asks is answered by another request, on the stream of a call and on the open one', async () => {
    const headers = await session('2025-11-25', { elicitation: {} });
    const answering = async (asked) => {
      const { id, method, params } = data(asked);
      assert.equal(method, 'elicitation/create');
      assert.equal(params.message, w.streamable.question.message);
      const json = { jsonrpc: '2.0', id, result: { action: 'accept', content: { name: 'Ada' } } };
      assert.equal((await ada.send('POST', { json, headers })).status, 202);
    };
    const asking = await ada.stream('POST', { json: call('ask'), headers });
    let frame = await asking.feed.next();
    if (!frame.data) frame = await asking.feed.next();
    await answering(frame);
    assert.equal(data(await asking.feed.next()).result.content[0].text, 'Ada');

    const stream = await ada.stream('GET', { headers });
    await w.streamable.seen((one) => one.method === 'GET' && one.headers['mcp-session-id'] && !one.res.writableEnded);
    const answer = w.streamable.session.mcp.elicitInput(w.streamable.question);
    await answering(await stream.feed.next());
    assert.deepEqual((await answer).content, { name: 'Ada' });
    stream.abort();
  });

  test('the SDK’s own client is asked, told, cut off, and goes on', async () => {
    const client = new Client({ name: 'e2e', version: '1' }, { capabilities: { elicitation: {} } });
    client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { name: 'Grace' } }));
    let told = () => {};
    client.setNotificationHandler(ToolListChangedNotificationSchema, () => told());
    const transport = new StreamableHTTPClientTransport(new URL(ada.resource), {
      requestInit: { headers: { authorization: ada.authorization } },
      reconnectionOptions: { initialReconnectionDelay: 10, maxReconnectionDelay: 10, reconnectionDelayGrowFactor: 1, maxRetries: 5 },
    });
    await client.connect(transport);
    const own = w.streamable.session;
    const isOpen = (one) => one.method === 'GET' && own.transport.sessionId === one.headers['mcp-session-id'];
    const stream = await w.streamable.seen(isOpen);
    assert.equal((await client.callTool({ name: 'ask' })).content[0].text, 'Grace');
    assert.equal((await client.callTool({ name: 'whoami' })).content[0].text, USERS.ada.sub);
    const first = new Promise((resolve) => { told = resolve; });
    await own.mcp.sendToolListChanged();
    await within(5000, 'the notification', first);
    const second = new Promise((resolve) => { told = resolve; });
    stream.res.destroy();
    await within(5000, 'the end of the stream', stream.closed);
    await own.mcp.sendToolListChanged(); // nobody listens
    await within(5000, 'the notification after the cut', second);
    assert.ok((await w.streamable.seen((one) => isOpen(one) && one !== stream)).headers['last-event-id']);
    await transport.terminateSession();
    assert.equal(w.streamable.sessions.has(own.transport.sessionId), false);
    await client.close();
  });
});

describe('Streamable HTTP without sessions, 2026-07-28', () => {
  let ada;
  const clients = [];
  before(async () => { ada = await signedIn('/stateless'); });
  after(() => Promise.all(clients.map((client) => client.close())));

  async function connected() {
    const client = new Client2({ name: 'e2e', version: '1' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
    clients.push(client);
    await client.connect(new Streamable2(new URL(ada.resource), { requestInit: { headers: { authorization: ada.authorization } } }));
    return client;
  }
  const last = (method) => w.stateless.requests.findLast((one) => one.headers['mcp-method'] === method);

  test('is discovered, and called with the headers that say what it is', async () => {
    const client = await connected();
    const discovery = last('server/discover');
    assert.equal(discovery.headers['mcp-protocol-version'], '2026-07-28');
    assert.equal(client.getServerVersion().name, 'e2e-stateless');
    const result = await client.callTool({ name: 'whoami' });
    assert.equal(result.content[0].text, USERS.ada.sub);
    const called = last('tools/call');
    assert.deepEqual(['mcp-name', 'mcp-protocol-version', 'mcp-session-id'].map((name) => called.headers[name]), ['whoami', '2026-07-28', undefined]);
    assert.ok(w.stateless.requests.every((one) => one.method === 'POST'), 'no session, no stream of its own');
  });

  const meta = {
    'io.modelcontextprotocol/protocolVersion': '2026-07-28',
    'io.modelcontextprotocol/clientInfo': { name: 'e2e', version: '1' },
    'io.modelcontextprotocol/clientCapabilities': {},
  };
  const modern = (method, name) => ({ 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(name && { 'mcp-name': name }) });

  test('what the backend says of headers that do not fit is said to the client', async () => {
    const answer = await ada.send('POST', { json: call('whoami', {}, { _meta: meta }), headers: modern('tools/call', 'add') });
    assert.equal(answer.status, 400);
    assert.equal(answer.json.error.code, -32020);
    assert.equal(answer.text, w.stateless.requests.at(-1).wrote);
    const unknown = await ada.send('POST', { json: { jsonrpc: '2.0', id: 1, method: 'no/such', params: { _meta: meta } }, headers: modern('no/such') });
    assert.deepEqual([unknown.status, unknown.json.error.code], [404, -32601]);
  });

  test('a subscription stays open, tells, and ends at the backend when its client goes away', async () => {
    const json = { jsonrpc: '2.0', id: 7, method: 'subscriptions/listen', params: { _meta: meta, notifications: { toolsListChanged: true } } };
    const listening = await ada.stream('POST', { json, headers: modern('subscriptions/listen') });
    assert.equal(listening.status, 200);
    assert.match(listening.headers['content-type'], /^text\/event-stream/);
    assert.equal(data(await listening.feed.next()).method, 'notifications/subscriptions/acknowledged');
    const reached = w.stateless.requests.at(-1);
    for (let n = 0; n < 2; n += 1) {
      w.stateless.notify.toolsChanged();
      const told = data(await listening.feed.next());
      assert.equal(told.method, 'notifications/tools/list_changed');
      assert.equal(told.params._meta['io.modelcontextprotocol/subscriptionId'], 7);
    }
    assert.equal(listening.headers['x-accel-buffering'], 'no');
    assert.equal(listening.feed.text(), reached.wrote, 'byte for byte');
    listening.abort();
    assert.equal((await within(5000, 'the end at the backend', reached.closed)).whole, false);
  });

  test('the SDK’s own client listens and stops listening', async () => {
    const client = await connected();
    let told;
    const first = new Promise((resolve) => { told = resolve; });
    client.setNotificationHandler('notifications/tools/list_changed', () => told());
    const subscription = await client.listen({ toolsListChanged: true });
    const reached = last('subscriptions/listen');
    w.stateless.notify.toolsChanged();
    await within(5000, 'the notification', first);
    await subscription.close();
    assert.equal((await within(5000, 'the end at the backend', reached.closed)).whole, false);
  });
});

describe('HTTP+SSE, 2024-11-05', () => {
  let ada, alan;
  before(async () => { [ada, alan] = [await signedIn('/old'), await signedIn('/old', 'alan')]; });

  /** A stream, and the address that it names. */
  async function opened(who) {
    const stream = await who.stream('GET');
    assert.equal(stream.status, 200);
    const { event, data: named } = await stream.feed.next();
    assert.equal(event, 'endpoint');
    return { ...stream, url: String(new URL(named, who.resource)), named };
  }

  class SseHost extends Sdk1Client {
    static Transport = SSEClientTransport;
  }

  test('the SDK’s own client logs in, is asked, and goes', async () => {
    const host = new SseHost({ mcpUrl: ada.resource, visit: (url, until) => new Person().visit(url, until) });
    await host.connect();
    assert.equal(host.logins, 1);
    assert.ok((await host.listTools()).includes('whoami'));
    assert.equal(await host.call('whoami'), USERS.ada.sub);
    const stream = w.sse.requests.findLast((one) => one.method === 'GET');
    const posted = w.sse.requests.at(-1);
    assert.match(posted.url, /^\/messages\?sessionId=[0-9a-f-]{36}$/, 'the address that the server has named');
    assert.equal(posted.headers['x-forwarded-user'], USERS.ada.sub);
    assert.equal(posted.headers.authorization, undefined);
    await host.close();
    assert.equal((await within(5000, 'the end of the stream at the backend', stream.closed)).whole, false);
  });

  test('so does the Python SDK, and its server', async (t) => {
    const visit = (url, until) => new Person({ user: 'alan' }).visit(url, until);
    for (const path of ['/old', '/python']) {
      const client = new PythonClient({ mcpUrl: `${w.gateway.url}${path}`, visit, transport: 'sse' });
      t.after(() => client.close());
      await client.connect();
      assert.equal(client.logins, 1);
      assert.equal(await client.call('whoami'), USERS.alan.sub, path);
    }
    const other = new SseHost({ mcpUrl: `${w.gateway.url}/python`, visit });
    t.after(() => other.close());
    await other.connect();
    assert.equal(await other.call('whoami'), USERS.alan.sub);
  });

  test('two clients of the SDK at once have answers of their own', async () => {
    const connect = async ({ resource, authorization }) => {
      const client = new Client({ name: 'e2e', version: '1' }, { capabilities: { elicitation: {} } });
      client.setRequestHandler(ElicitRequestSchema, () => ({ action: 'accept', content: { name: authorization } }));
      await client.connect(new SSEClientTransport(new URL(resource), { requestInit: { headers: { authorization } } }));
      return client;
    };
    const clients = await Promise.all([connect(ada), connect(alan)]);
    const names = await Promise.all(clients.map((client) => client.callTool({ name: 'whoami' })));
    assert.deepEqual(names.map((result) => result.content[0].text), [USERS.ada.sub, USERS.alan.sub]);
    const asked = await Promise.all(clients.map((client) => client.callTool({ name: 'ask' })));
    assert.deepEqual(asked.map((result) => result.content[0].text), [ada.authorization, alan.authorization]);
    await Promise.all(clients.map((client) => client.close()));
  });

  test('the first event names our own address, and nothing else is changed', async () => {
    const stream = await opened(ada);
    assert.match(stream.named, /^\/old\?sessionId=[\w-]+\.[\w-]{22}$/);
    assert.equal((await ada.send('POST', { url: stream.url, json: call('whoami') })).status, 202);
    assert.equal(data(await stream.feed.next()).result.content[0].text, USERS.ada.sub);
    const reached = w.sse.requests.findLast((one) => one.method === 'GET');
    const named = /data: (.*)/.exec(reached.wrote)[1];
    assert.equal(stream.feed.text(), reached.wrote.replace(named, stream.named), 'byte for byte');
    stream.abort();
    await within(5000, 'the end of the stream at the backend', reached.closed);
  });

  test('nobody posts into the stream of somebody else', async () => {
    const [hers, his] = [await opened(ada), await opened(alan)];
    assert.equal((await ada.send('POST', { url: hers.url, json: call('whoami') })).status, 202);
    await hers.feed.next();
    const before_ = w.sse.requests.length;
    const post = (who, url) => who.send('POST', { url, json: call('whoami') });
    const [mine, tag] = [hers.url.slice(0, hers.url.lastIndexOf('.')), his.url.split('.').pop()];
    const made = `${ada.resource}?sessionId=${Buffer.from('/messages?sessionId=1').toString('base64url')}`;
    for (const url of [hers.url, mine, `${mine}.`, `${mine}.${tag}`, made, `${made}.${tag}`, `${his.url}&x=1`, `${his.url}%2E`, `${ada.resource}?sessionId=`]) {
      assert.equal((await post(alan, url)).status, 404, url);
    }
    const nobody = await request('POST', hers.url, { json: call('whoami') });
    assert.equal(nobody.status, 401);
    const { pathname, search } = new URL(w.sse.requests.findLast((one) => one.method === 'POST').url, w.sse.origin);
    for (const url of [`${ada.resource}${pathname}${search}`, `${ada.resource}/x${search}`]) {
      assert.ok([403, 404].includes((await post(alan, url)).status), url);
    }
    // A token that may do all gets no further.
    const all = await signedIn('/old', 'alan', 'mcp mcp:write');
    for (const url of [`${ada.resource}${pathname}${search}`, `${ada.resource}/x${search}`]) assert.equal((await post(all, url)).status, 404, url);
    for (const query of [search, '?a=1', new URL(hers.url).search]) {
      assert.equal((await all.send('GET', { url: `${ada.resource}${query}` })).status, 404, `GET ${query}`);
    }
    const elsewhere = await signedIn('/absolute');
    assert.equal((await post(elsewhere, hers.url.replace('/old', '/absolute'))).status, 404, 'another server');
    assert.equal(w.sse.requests.length, before_, 'nothing reached the backend');
    hers.abort();
    his.abort();
  });

  test('a client that speaks both is sent to the stream', async () => {
    for (const [method, json] of [['POST', initialize('2025-11-25')], ['DELETE', undefined]]) {
      const answer = await ada.send(method, { json });
      assert.equal(answer.status, 405, answer.text);
      assert.equal(answer.headers.allow, 'GET');
    }
    assert.equal((await ada.send('POST', { json: initialize('2025-11-25'), url: `${ada.resource}/` })).status, 405);
  });

  test('a call needs the scopes of its tool, like anywhere', async () => {
    const stream = await opened(ada);
    const refused = await ada.send('POST', { url: stream.url, json: call('delete_all') });
    assert.equal(refused.status, 403);
    assert.match(refused.headers['www-authenticate'], /error="insufficient_scope"/);
    assert.match(refused.headers['www-authenticate'], /scope="mcp mcp:write"/);
    assert.equal((await ada.send('POST', { url: stream.url, json: call('add', { a: 1, b: 1 }) })).status, 202);
    assert.equal(data(await stream.feed.next()).result.content[0].text, '2');
    const more = await signedIn('/old', 'ada', 'mcp mcp:write');
    assert.equal((await more.send('POST', { url: stream.url, json: call('delete_all') })).status, 202, 'another login of the same person');
    assert.equal(data(await stream.feed.next()).result.content[0].text, 'gone');
    stream.abort();
  });

  test('an address may be absolute, and is of the server’s own origin', async () => {
    const own = await opened(await signedIn('/absolute'));
    assert.match(own.named, /^\/absolute\?sessionId=/);
    own.abort();
    const foreign = await (await signedIn('/foreign')).send('GET');
    assert.equal(foreign.status, 502, foreign.text);
    assert.equal((await w.sse.requests.at(-1).closed).whole, false, 'the stream is closed');
    assert.match(w.gateway.log(), /WARN.*mcp="\/foreign".*names another origin than that of mcp\.backend/);
    assert.doesNotMatch(w.gateway.log(), /127\.0\.0\.2/);
  });
});
