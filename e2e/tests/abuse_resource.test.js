// Abuse of registration, the MCP endpoint and revocation: cases 43–44 and 53–63. For a token that has expired (54) see
// abuse_list.test.js.
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { cases, challenge, checkError, checkInvalidToken, RESOURCES } from '../lib/abuse.js';
import { request } from '../lib/http.js';
import { bearer, call, messageOf, OAuthClient, resultOf } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} };
/** Tools that need more than the baseline, and what that lets a client do. */
const TOOLS = {
  path: '/tools', auth: 'lazy', scopes: ['mcp'], public_tools: ['whoami'], hide_tools: true,
  tool_scopes: { add: ['mcp:write'], 'tick*': ['mcp:write', 'mcp:watch'] },
  scope_descriptions: { 'mcp:write': 'Add <b>numbers</b>', 'mcp:watch': 'Watch the clock' },
};
const b64 = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');

describe('registration, resource and the rest', () => {
  const sessions = { path: '/sessions', auth: 'required', scopes: ['mcp'], sessions: true };
  const w = useWorld({ resources: [...RESOURCES, sessions, TOOLS], name: 'abuse-resource' });
  const person = new Person();
  let client, tokens;
  before(async () => {
    client = new OAuthClient(w.gateway.url);
    ({ tokens } = await client.login(person));
  });

  const register = (metadata) => new OAuthClient(w.gateway.url).register(metadata);
  const refusedUri = async (...uris) => checkError(await register({ redirect_uris: uris }), 400, 'invalid_redirect_uri');
  const raw = (body) => request('POST', `${w.gateway.url}/register`, { body, headers: { 'content-type': 'application/json' } });

  /** A client of `/tools`: `login(scope)` gives a token. */
  function tools() {
    const own = new OAuthClient(w.gateway.url, { resource: `${w.gateway.url}/tools` });
    const login = async (scope) => (await own.login(person, { scope })).tokens.access_token;
    return { client: own, login, mcp: (token, message) => own.mcp(token, message) };
  }
  const listed = (answer) => messageOf(answer).result.tools.map(({ name }) => name).sort();

  function checkChallenge(answer, path = '/mcp') {
    assert.equal(answer.status, 401);
    const parameters = challenge(answer);
    assert.equal(parameters.resource_metadata, `${w.gateway.url}/.well-known/oauth-protected-resource${path}`);
    assert.ok(parameters.scope.split(' ').includes('mcp'), JSON.stringify(parameters));
    return parameters;
  }

  cases([
    [43, 'no redirect_uris', async () => checkError(await register({ redirect_uris: undefined }), 400, 'invalid_redirect_uri')],
    [43, 'an empty list', () => refusedUri()],
    ...['http://evil.example/cb', 'https://evil.example/cb', 'javascript:alert(1)', 'data:text/html,x', 'file:///etc/passwd', 'blob:https://claude.ai/x',
      'vbscript:x', 'http://127.0.0.1/cb#f', 'http://user@127.0.0.1/cb', 'https://claude.ai.evil.example/cb', 'not a url', '']
      .map((uri) => [43, `redirect_uri ${JSON.stringify(uri)}`, () => refusedUri(uri)]),
    [43, 'of a mixed list the good ones stay', async () => {
      const answer = await register({ redirect_uris: ['http://127.0.0.1/cb', 'javascript:alert(1)'] });
      assert.equal(answer.status, 201, answer.text);
      assert.deepEqual(answer.json.redirect_uris, ['http://127.0.0.1/cb']);
    }],
    [44, 'a megabyte', async () => checkError(await raw(JSON.stringify({ redirect_uris: ['http://127.0.0.1/cb'], client_name: 'x'.repeat(1024 * 1024) })), [400, 413])],
    [44, 'a thousand URIs', async () => checkError(await register({ redirect_uris: Array.from({ length: 1000 }, (_, index) => `http://127.0.0.1/${index}`) }), [400, 413])],
    [44, 'deep JSON', async () => checkError(await raw(`{"redirect_uris":${'['.repeat(20_000)}${']'.repeat(20_000)}}`), [400, 413])],

    ...['POST', 'GET', 'HEAD', 'DELETE'].map((method) => [53, `${method} without a token`, async () => {
      const answer = await request(method, w.mcpUrl, { headers: bearer(), ...(method === 'POST' && { json: LIST }) });
      const { resource_metadata: url, error } = checkChallenge(answer);
      assert.equal(error, undefined, 'RFC 6750 §3.1: no error without a token');
      const metadata = (await request('GET', url)).json;
      assert.equal(metadata.resource, w.mcpUrl);
      assert.deepEqual(metadata.authorization_servers, [w.gateway.url]);
    }]),
    ...['GET', 'HEAD'].map((method) => [53, `${method} without a token where discovery is public opens no stream and no login`, async () => {
      const answer = await request(method, `${w.gateway.url}/lazy`, { headers: bearer() });
      assert.equal(answer.status, 405);
      assert.equal(answer.headers['www-authenticate'], undefined);
    }]),
    [54, 'upstream tokens', async () => {
      for (const token of w.upstream.seen.tokens) checkInvalidToken(await client.mcp(token));
    }],
    [54, 'a foreign issuer’s token', async () => checkInvalidToken(await client.mcp(`${b64({ alg: 'none' })}.${b64({ iss: 'https://evil.example', aud: w.mcpUrl, sub: 'ada' })}.`))],
    [54, 'a token for another of our resources', async () => checkInvalidToken(await client.mcp(tokens.access_token, LIST, { url: `${w.gateway.url}/other` }))],
    [54, 'a bad token where none is needed', async () => checkInvalidToken(await client.mcp('made-up', LIST, { url: `${w.gateway.url}/lazy` }))],
    [54, 'spoilt tokens', async () => {
      const token = tokens.access_token;
      for (const spoilt of [token.slice(0, -1), `${token}A`, token.replace(/.$/, (end) => (end === 'A' ? 'B' : 'A')), token.toUpperCase(), 'x'.repeat(8000), '%00']) {
        checkInvalidToken(await client.mcp(spoilt));
      }
      assert.equal((await client.mcp(token)).status, 200, 'and the token still works');
    }],
    [55, 'refresh token, code and ID token as bearer', async () => {
      const login = await client.code(person);
      const idToken = [...w.upstream.seen.tokens].find((token) => token.split('.').length === 3);
      assert.ok(idToken, 'the upstream issued an ID token');
      for (const token of [tokens.refresh_token, login.code, idToken]) checkInvalidToken(await client.mcp(token));
    }],
    [56, 'token in the query', async () => checkChallenge(await client.mcp(undefined, LIST, { url: `${w.mcpUrl}?access_token=${tokens.access_token}` }))],
    [57, 'too little scope', async () => {
      const reader = new OAuthClient(w.gateway.url, { resource: `${w.gateway.url}/other` });
      const mine = (await reader.login(person, { scope: 'mcp' })).tokens;
      const before_ = w.backend.requests.length;
      const answer = await reader.mcp(mine.access_token);
      assert.equal(answer.status, 403, answer.text);
      const parameters = challenge(answer);
      assert.equal(parameters.error, 'insufficient_scope');
      assert.deepEqual(parameters.scope.split(' ').sort(), ['mcp', 'mcp:write'], 'all that the call needs');
      assert.equal(parameters.resource_metadata, `${w.gateway.url}/.well-known/oauth-protected-resource/other`);
      assert.equal(w.backend.requests.length, before_, 'nothing reached the backend');
      const more = (await reader.login(person, { scope: 'mcp mcp:write' })).tokens;
      assert.equal((await reader.mcp(more.access_token)).status, 200);
    }],
    [57, 'a tool that needs more', async () => {
      const { mcp, login } = tools();
      const token = await login('mcp');
      assert.equal((await mcp(token)).status, 200, 'one that needs no more');
      const before_ = w.backend.requests.length;
      const batch = [call('whoami'), call('add', { a: 1, b: 2 })];
      for (const [message, needed] of [[call('add', { a: 1, b: 2 }), ['mcp', 'mcp:write']], [call('ticks'), ['mcp', 'mcp:watch', 'mcp:write']], [batch, ['mcp', 'mcp:write']]]) {
        const answer = await mcp(token, message);
        assert.equal(answer.status, 403, answer.text);
        const parameters = challenge(answer);
        assert.equal(parameters.error, 'insufficient_scope');
        assert.deepEqual(parameters.scope.split(' ').sort(), needed, 'all that the call needs');
        assert.equal(parameters.resource_metadata, `${w.gateway.url}/.well-known/oauth-protected-resource/tools`);
      }
      assert.equal(w.backend.requests.length, before_, 'nothing reached the backend');
      const more = await login('mcp mcp:write'); // what the challenge says
      assert.equal(resultOf(await mcp(more, call('add', { a: 20, b: 22 }))), '42');
      assert.equal((await mcp(more, call('ticks'))).status, 403);
    }],
    [57, 'a scope that covers others', async () => {
      const { mcp, login } = tools();
      const token = await login('mcp mcp:*');
      assert.equal(resultOf(await mcp(token, call('add', { a: 20, b: 22 }))), '42');
      assert.deepEqual(listed(await mcp(token, LIST)), ['add', 'ticks', 'whoami']);
      assert.equal((await mcp(await login('mcp:write'), call('add', { a: 1, b: 2 }))).status, 403, 'the baseline is not below it');
    }],
    [57, 'tools that the caller may not call are not listed', async () => {
      const { mcp, login } = tools();
      assert.deepEqual(listed(await mcp(undefined, LIST)), ['whoami'], 'what is public');
      assert.deepEqual(listed(await mcp(await login('mcp'), LIST)), ['whoami']);
      assert.deepEqual(listed(await mcp(await login('mcp mcp:write'), LIST)), ['add', 'whoami']);
    }],
    [57, 'the page says what a scope is for', async () => {
      const { client: own } = tools();
      await own.register();
      const page = async (scope) => (await new Person().go(own.authorization({ scope }).url)).page.text;
      const shown = await page('mcp mcp:write');
      assert.match(shown, /Add (&lt;|&#60;)b(&gt;|&#62;)numbers/);
      assert.ok(shown.includes('mcp:write'), 'and its name');
      assert.doesNotMatch(shown, /Watch the clock|mcp:watch/);
      assert.match(await page('mcp mcp:*'), /Watch the clock/);
    }],
    [58, 'the session of another user', async () => {
      const resource = `${w.gateway.url}/sessions`;
      const initialize = {
        jsonrpc: '2.0', id: 1, method: 'initialize',
        params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'e2e', version: '1' } },
      };
      const open = async (user) => {
        const own = new OAuthClient(w.gateway.url, { resource });
        const { tokens: { access_token: token } } = await own.login(new Person({ user }));
        const send = (message, session) => own.mcp(token, message, { headers: session ? { 'mcp-session-id': session } : {} });
        const opened = await send(initialize);
        assert.equal(opened.status, 200, opened.text);
        return { send, session: opened.headers['mcp-session-id'] };
      };
      const [ada, alan] = [await open('ada'), await open('alan')];
      assert.equal((await ada.send(call('whoami'), ada.session)).status, 200, 'her own');
      assert.equal((await alan.send(call('whoami'), alan.session)).status, 200, 'his own');
      const before_ = w.backend.requests.length;
      const [id, tag] = [ada.session.slice(0, ada.session.lastIndexOf('.')), alan.session.split('.').pop()];
      for (const stolen of [ada.session, id, `${id}.${tag}`, `${id}.`]) {
        assert.equal((await alan.send(call('whoami'), stolen)).status, 404, stolen);
      }
      assert.equal(w.backend.requests.length, before_, 'nothing reached the backend');
    }],
    [59, 'a batch that mixes public and protected calls', async () => {
      const url = `${w.gateway.url}/lazy`;
      assert.equal((await client.mcp(undefined, LIST, { url })).status, 200, 'listing is public');
      for (const batch of [[LIST, call('whoami')], [call('whoami'), LIST], [LIST, { ...call('whoami'), id: 2 }, LIST]]) {
        checkChallenge(await client.mcp(undefined, batch, { url }), '/lazy');
      }
    }],
    [59, 'a public message whose headers speak of a protected call', async () => {
      const url = `${w.gateway.url}/lazy`;
      const before_ = w.backend.requests.length;
      for (const headers of [{ 'mcp-method': 'tools/call' }, { 'mcp-method': 'tools/call', 'mcp-name': 'whoami' }, { 'mcp-protocol-version': '2026-07-28' }]) {
        const answer = await client.mcp(undefined, LIST, { url, headers });
        assert.equal(answer.status, 400, JSON.stringify(headers));
        assert.equal(answer.json.error.code, -32020);
        assert.equal(answer.json.id, LIST.id);
      }
      assert.equal(w.backend.requests.length, before_, 'nothing reached the backend');
    }],
    [59, 'protected calls in disguise', async () => {
      const url = `${w.gateway.url}/lazy`;
      const before_ = w.backend.requests.length;
      const bodies = [
        '{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call","params":{"name":"whoami"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"tools/list","params":{"name":"whoami"}}',
        '{"jsonrpc":"2.0","id":1,"method":"tools\\u002fcall","params":{"name":"whoami"}}',
        '{"jsonrpc":"2.0","id":1,"Method":"tools/list","method":"tools/call","params":{"name":"whoami"}}',
        '\ufeff{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami"}}',
      ];
      for (const body of bodies) {
        const answer = await request('POST', url, { body, headers: { ...bearer(), 'content-type': 'application/json' } });
        assert.ok([400, 401].includes(answer.status), `${body}: ${answer.status} ${answer.text}`);
      }
      assert.equal(w.backend.requests.length, before_, 'nothing reached the backend');
    }],
    [60, 'the client’s token goes nowhere', async () => {
      assert.equal((await client.mcp(tokens.access_token)).status, 200);
      const said = JSON.stringify([w.backend.requests, w.upstream.seen.authorize, w.upstream.seen.token]);
      assert.ok(!said.includes(tokens.access_token) && !said.includes(tokens.refresh_token));
    }],
    ...[{ host: 'evil.example' }, { 'x-forwarded-host': 'evil.example' }, { 'x-forwarded-proto': 'https' }, { 'x-forwarded-prefix': '/evil.example' }, { forwarded: 'host=evil.example;proto=https' }, { origin: 'https://evil.example' }]
      .map((headers) => [61, `${JSON.stringify(headers)} moves no URL of ours`, async () => {
        for (const path of ['/.well-known/oauth-authorization-server', '/.well-known/oauth-protected-resource/mcp']) {
          const answer = await request('GET', `${w.gateway.url}${path}`, { headers });
          if (answer.status === 200) assert.ok(JSON.stringify(answer.json).includes(w.gateway.url));
          else assert.ok([400, 403, 421].includes(answer.status), `${answer.status}`);
          assert.doesNotMatch(answer.text, /evil|https:/);
        }
        const refused = await request('POST', w.mcpUrl, { json: LIST, headers: { ...bearer(), ...headers } });
        if (refused.status === 401) checkChallenge(refused);
        else assert.ok([400, 403, 421].includes(refused.status), `${refused.status}`);
      }]),
    ...[{ host: 'evil.example' }, { origin: 'https://evil.example' }, { origin: 'null' }].map((headers) => [61, `${JSON.stringify(headers)} gets nothing of a server on this computer`, async () => {
      const before_ = w.backend.requests.length;
      for (const token of [undefined, tokens.access_token]) {
        for (const url of [`${w.gateway.url}/lazy`, w.mcpUrl]) {
          const refused = await request('POST', url, { json: LIST, headers: { ...bearer(token), ...headers } });
          assert.equal(refused.status, 403, refused.text);
          assert.match(refused.json.error_description, /allowed_(hosts|origins)/);
          assert.equal(refused.headers['access-control-allow-origin'], undefined);
        }
      }
      const preflight = { ...headers, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' };
      assert.equal((await request('OPTIONS', w.mcpUrl, { headers: { origin: 'http://evil.example', ...preflight } })).status, 403);
      assert.equal(w.backend.requests.length, before_, 'nothing reached the backend');
    }]),
    [61, 'a page of this computer may ask', async () => {
      for (const headers of [{ origin: 'http://localhost:6274' }, { origin: w.gateway.url }, { host: 'localhost:1' }]) {
        const answer = await request('POST', `${w.gateway.url}/lazy`, { json: LIST, headers: { ...bearer(), ...headers } });
        assert.equal(answer.status, 200, JSON.stringify(headers));
      }
    }],
    [62, 'revoking the refresh token ends the login', async () => {
      const { tokens: mine } = await client.login(person);
      assert.equal((await client.mcp(mine.access_token)).status, 200);
      const revoke = (token) => request('POST', `${w.gateway.url}/revoke`, { form: { token, client_id: client.clientId } });
      assert.equal((await revoke('unknown')).status, 200);
      assert.equal((await revoke(tokens.access_token.slice(0, -3))).status, 200);
      assert.equal((await revoke(mine.refresh_token)).status, 200);
      checkInvalidToken(await client.mcp(mine.access_token));
      checkError(await client.refresh(mine.refresh_token), 400, 'invalid_grant');
      assert.equal((await client.mcp(tokens.access_token)).status, 200, 'other logins live');
    }],
    [62, 'another client cannot revoke', async () => {
      const other = new OAuthClient(w.gateway.url);
      await other.register();
      await request('POST', `${w.gateway.url}/revoke`, { form: { token: tokens.refresh_token, client_id: other.clientId } });
      assert.equal((await client.mcp(tokens.access_token)).status, 200);
    }],
    ...['x\r\nSet-Cookie: evil=1', 'a\u0000b', '"><script>', '🦀&code=stolen#', 'a b+c%20'].map((state) => [63, `state ${JSON.stringify(state)} comes back as it was`, async () => {
      const flow = client.authorization({ state, response_type: 'token' });
      const answer = await request('GET', flow.url);
      if (answer.status === 400) return; // refusing such a state is fine too
      assert.ok([302, 303].includes(answer.status), `${answer.status}`);
      assert.ok(!(answer.headers['set-cookie'] ?? []).some((line) => line.includes('evil')));
      const { searchParams, hash } = new URL(answer.headers.location);
      assert.equal(searchParams.get('state'), state);
      assert.equal(searchParams.get('code'), null);
      assert.equal(hash, '');
    }]),
  ]);
});
