// Whole flows, step by step as bytes, and for each step which answers to a changed request are right.
import assert from 'node:assert/strict';
import { parseForms } from './forms.js';
import { pairs } from './mutate.js';
import { call, OAuthClient, resultOf } from './oauth.js';
import { USERS } from './upstream.js';

const FORM = 'application/x-www-form-urlencoded';
/** What anybody may do where login is lazy. */
export const PUBLIC = ['initialize', 'notifications/initialized', 'ping', 'server/discover', 'tools/list', 'resources/list', 'resources/templates/list', 'prompts/list'];
const INITIALIZE = { jsonrpc: '2.0', id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'e2e', version: '1' } } };

const header = (sent, name) => sent.headers.filter(([held]) => held === name).map(([, value]) => value);
const path = (sent) => sent.target.split('?')[0];
const query = (sent) => sent.target.split('?').slice(1).join('?');
/** The media type that a reader of the first header sees. */
const isType = (sent, type) => (header(sent, 'Content-Type')[0] ?? '').split(';')[0].trim().toLowerCase() === type;
const isDoubled = (parameters) => parameters.some(([name], at) => name !== 'resource' && parameters.findIndex(([held]) => held === name) !== at);
const one = (parameters, name) => parameters.find(([held]) => held === name)?.[1] || undefined;
const all = (parameters, name) => parameters.filter(([held, value]) => held === name && value).map(([, value]) => value);
const isSameUrl = (a, b) => URL.canParse(a) && new URL(a).href.replace(/\/+$/, '') === new URL(b).href.replace(/\/+$/, '');
const parsed = (text) => {
  try {
    return JSON.parse(Buffer.from(text, 'latin1').toString('utf8'));
  } catch {
    return undefined;
  }
};

/**
 * The steps, in their order. Each has a `name`, the `headers` that are changed too, `fresh` (the state of a login that has
 * come as far as this step), `build` (the request in that state) and `judge`: throws when the answer to what was sent is
 * wrong, else says 'refused', 'taken', or 'spent' when the state cannot be used again. `fewAt`: where changes are dear.
 *
 * `w` is the world, `clients` holds a `plain` and a `confidential` client; both are filled before the first step.
 */
export function recordedFlows(w, clients) {
  // What a browser that has nothing of ours sends next: the steps of a login up to the one that is changed.
  const host = () => ['Host', `127.0.0.1:${w.gateway.port}`];
  const cookies = (person, target) => ['Cookie', person.cookies(target).map(({ name, value }) => `${name}=${value}`).join('; ')];
  async function page({ person }) {
    person.jar.delete('127.0.0.1');
    const flow = clients.plain.authorization();
    const at = await person.go(flow.url);
    const [form] = parseForms(at.page.text);
    return { flow, at, form };
  }
  async function returned(lane) {
    const { flow } = await page(lane);
    lane.person.jar.delete('127.0.0.1');
    const callback = await lane.person.login(flow.url, (to) => to.startsWith(`${w.gateway.url}/callback`));
    return { flow, callback, cookie: cookies(lane.person, `${w.gateway.url}/callback`) };
  }
  async function code(lane) {
    lane.person.jar.delete('127.0.0.1');
    return clients.plain.code(lane.person);
  }
  async function login(lane, oauth = clients.plain) {
    lane.person.jar.delete('127.0.0.1');
    const { client_secret: secret } = oauth.registration;
    const got = await oauth.code(lane.person);
    const basic = secret && { authorization: `Basic ${Buffer.from(`${oauth.clientId}:${secret}`).toString('base64')}` };
    const answer = await oauth.token({ grant_type: 'authorization_code', code: got.code, redirect_uri: got.redirectUri, code_verifier: got.verifier }, { headers: basic });
    assert.equal(answer.status, 200, answer.text);
    return answer.json;
  }
  const form = (target, fields, more = []) => ({
    method: 'POST', target, headers: [host(), ['Content-Type', FORM], ...more], body: new URLSearchParams(fields).toString(),
  });
  const rpc = (target, message, token) => ({
    method: 'POST',
    target,
    headers: [
      host(), ['Content-Type', 'application/json'], ['Accept', 'application/json, text/event-stream'], ['MCP-Protocol-Version', '2025-11-25'],
      ...(token ? [['Authorization', `Bearer ${token}`]] : []),
    ],
    body: JSON.stringify(message),
  });

  // A refusal is a 4xx that gives nothing away. Of the rest each request says what is right: 'taken' means that the
  // answer stands for the change, 'spent' that the login cannot be used again.
  const isRefusal = ({ status }) => status >= 400 && status < 500;
  function refusal(answer) {
    assert.ok(isRefusal(answer), 'neither a refusal nor anything that was to be expected');
    assert.equal(answer.headers.location, undefined, 'a refusal leads nowhere');
    assert.equal(answer.headers['set-cookie'], undefined, 'a refusal sets no cookie');
    assert.doesNotMatch(answer.text, /"(access|refresh)_token":|ml[car]_/, 'a refusal holds no token');
    return 'refused';
  }
  function redirect(answer, sent, flow) {
    assert.equal(answer.status, 303);
    const location = new URL(answer.headers.location);
    assert.equal(`${location.protocol}//${location.hostname}${location.pathname}`, 'http://127.0.0.1/callback');
    assert.equal(location.searchParams.get('iss'), w.gateway.url);
    if (flow) assert.equal(location.searchParams.get('state'), flow.state);
    return location.searchParams;
  }
  function tokens(answer) {
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['cache-control'], 'no-store');
    const { access_token: access, token_type: type, scope } = answer.json;
    assert.deepEqual([typeof access, type, scope], ['string', 'Bearer', 'mcp']);
  }
  const isEndpoint = (sent, target) => path(sent) === target && query(sent) === '';
  /** Whether it is a token request of this client, authenticated in the one way that it has registered. */
  function isTokenForm(sent, parameters, { client_id: id, client_secret: secret } = clients.plain.registration) {
    const given = header(sent, 'Authorization');
    const [, basic] = /^basic +(\S+)$/i.exec(given.join().trim()) ?? [];
    const [named, proof] = basic ? Buffer.from(basic, 'base64').toString('latin1').split(':') : [one(parameters, 'client_id')];
    assert.ok(!basic || Buffer.from(`${named}:${proof}`).toString('base64') === basic, 'other Base64 of the same bytes');
    return isEndpoint(sent, '/token') && isType(sent, FORM) && !isDoubled(parameters) && all(parameters, 'client_secret').length === 0
      && given.length === (secret ? 1 : 0) && named === id && proof === secret && [undefined, id].includes(one(parameters, 'client_id'))
      && all(parameters, 'resource').every((wanted) => isSameUrl(wanted, clients.plain.resource));
  }
  /**
   * Whether a token is of the same login's refresh tokens: they share all but their last 43 characters. Such a one that is
   * not the newest was good once and has been stolen, or made up by somebody who had one: it ends the login.
   */
  const isOfLineage = (token, { refresh_token: known }) => /^mlr_[\w-]{97}$/.test(token) && token.slice(0, -43) === known.slice(0, -43);
  function result(answer) {
    try {
      return parsed(Buffer.from(resultOf(answer) ?? '', 'utf8').toString('latin1'));
    } catch {
      return undefined;
    }
  }

  const document = (target, others = []) => ({
    name: `GET ${target}`,
    headers: ['Host', 'Accept'],
    fresh: () => ({}),
    build: () => ({ method: 'GET', target, headers: [host(), ['Accept', 'application/json']] }),
    judge(_, sent, answer) {
      if (isRefusal(answer)) return refusal(answer);
      assert.equal(answer.status, 200);
      assert.ok([target, ...others].includes(decodeURIComponent(path(sent)).replace(/\/+/g, '/')), 'a document at another address');
      assert.equal(answer.json.issuer ?? answer.json.authorization_servers[0], w.gateway.url);
      if (path(sent).endsWith('/mcp') && answer.json.resource) assert.equal(answer.json.resource, `${w.gateway.url}/mcp`);
      return 'taken';
    },
  });

  const mcp = (name, target, message, options, judge) => ({
    name,
    headers: ['Content-Type', 'Accept', 'MCP-Protocol-Version', 'Host', ...(options.anonymous ? [] : ['Authorization'])],
    async fresh(lane) {
      lane.token ??= (await clients.plain.login(lane.person)).tokens.access_token;
      if (target === '/lazy') {
        lane.lazyClient ??= Object.assign(new OAuthClient(w.gateway.url, { resource: `${w.gateway.url}/lazy` }), { registration: clients.plain.registration });
        lane.lazyToken ??= (await lane.lazyClient.login(lane.person)).tokens.access_token;
      }
      return { token: target === '/lazy' ? lane.lazyToken : lane.token };
    },
    build: ({ token }) => rpc(target, message, options.anonymous ? undefined : token),
    judge(state, sent, answer) {
      if (isRefusal(answer)) return refusal(answer);
      assert.ok([200, 202].includes(answer.status));
      assert.equal(path(sent), target, 'another place than the server itself');
      judge(state, sent, answer);
      return 'taken';
    },
  });
  /** Only with exactly the token that was given out, and then as the person that it was given for. */
  function withToken({ token }, sent, answer) {
    const given = header(sent, 'Authorization');
    assert.equal(given.length, 1, 'not one Authorization header');
    assert.equal(/^bearer +(\S+) *$/i.exec(given[0])?.[1], token, 'another token than was given out');
    const user = result(answer)?.user;
    assert.ok(user === undefined || user === USERS.ada.sub, `somebody else: ${user}`);
  }
  /** Nobody in particular: only what anybody may do, in every reading. */
  function withoutToken(_, sent, answer) {
    const message = parsed(sent.body);
    assert.ok(PUBLIC.includes(message?.method), `not public: ${message?.method}`);
    assert.ok(isType(sent, 'application/json') && sent.target === '/lazy');
    assert.equal(result(answer)?.user, undefined);
  }

  const refresh = (name, kind) => ({
    name,
    headers: ['Content-Type', 'Host', ...(kind === 'confidential' ? ['Authorization'] : ['Origin'])],
    fresh: (lane) => login(lane, clients[kind]),
    build(state) {
      const { client_id: id, client_secret: secret } = clients[kind].registration;
      const more = secret ? ['Authorization', `Basic ${Buffer.from(`${id}:${secret}`).toString('base64')}`] : ['Origin', 'http://a.example'];
      const fields = { grant_type: 'refresh_token', refresh_token: state.refresh_token, client_id: id, resource: clients.plain.resource, scope: 'mcp' };
      return form('/token', fields, [more]);
    },
    judge(state, sent, answer) {
      const asked = pairs(sent.body);
      if (isRefusal(answer)) {
        const stolen = isOfLineage(one(asked, 'refresh_token'), state) && one(asked, 'refresh_token') !== state.refresh_token;
        return refusal(answer) && stolen ? 'spent' : 'refused';
      }
      tokens(answer);
      assert.ok(isTokenForm(sent, asked, clients[kind].registration));
      assert.deepEqual(['grant_type', 'refresh_token'].map((field) => one(asked, field)), ['refresh_token', state.refresh_token]);
      assert.ok([undefined, 'mcp'].includes(one(asked, 'scope')?.split(' ').filter((scope) => scope && scope !== 'offline_access').join(' ') || undefined), 'another scope');
      state.refresh_token = answer.json.refresh_token; // rotated: the next change is made to its successor
      return 'taken';
    },
  });

  return [
    document('/.well-known/oauth-protected-resource/mcp', ['/.well-known/oauth-protected-resource']),
    document('/.well-known/oauth-protected-resource', ['/.well-known/oauth-protected-resource/']),
    document('/.well-known/oauth-authorization-server'),
    {
      name: 'POST /register',
      headers: ['Content-Type', 'Host', 'Accept'],
      fresh: () => ({}),
      build: () => ({
        method: 'POST',
        target: '/register',
        headers: [host(), ['Content-Type', 'application/json'], ['Accept', '*/*']],
        body: JSON.stringify({
          client_name: 'e2e mutated', redirect_uris: ['http://127.0.0.1:47813/callback', 'https://claude.ai/cb'], grant_types: ['authorization_code', 'refresh_token'],
          response_types: ['code'], token_endpoint_auth_method: 'none', application_type: 'native', scope: 'mcp',
        }),
      }),
      judge(_, sent, answer) {
        if (isRefusal(answer)) return refusal(answer);
        assert.equal(answer.status, 201);
        const [asked, got] = [parsed(sent.body), answer.json];
        assert.ok(path(sent) === '/register' && isType(sent, 'application/json') && asked && !Array.isArray(asked));
        assert.equal(got.client_name, asked.client_name ?? undefined);
        assert.equal(got.token_endpoint_auth_method, asked.token_endpoint_auth_method ?? 'none');
        assert.equal(Boolean(got.client_secret), got.token_endpoint_auth_method !== 'none');
        assert.ok(got.redirect_uris.length > 0);
        for (const uri of got.redirect_uris) {
          assert.ok(asked.redirect_uris.includes(uri), `nobody asked for ${uri}`);
          const { protocol, hostname, username, hash } = new URL(uri);
          assert.ok((protocol === 'http:' ? ['127.0.0.1', 'localhost', '[::1]'] : ['claude.ai']).includes(hostname) && username + hash === '', uri);
        }
        for (const [list, needed] of [['grant_types', 'authorization_code'], ['response_types', 'code']]) assert.ok((asked[list] ?? [needed]).includes(needed));
        return 'taken';
      },
    },
    {
      name: 'GET /authorize',
      headers: ['Host', 'Accept'],
      fresh: () => clients.plain.authorization(),
      build: (flow) => ({ method: 'GET', target: flow.url.slice(w.gateway.url.length), headers: [host(), ['Accept', 'text/html']] }),
      judge(_, sent, answer) {
        if (isRefusal(answer)) return refusal(answer);
        const asked = pairs(query(sent));
        assert.equal(path(sent), '/authorize');
        assert.ok(!isDoubled(asked) && one(asked, 'client_id') === clients.plain.clientId);
        const target = one(asked, 'redirect_uri') ?? clients.plain.redirectUri;
        assert.match(target, /^http:\/\/127\.0\.0\.1(:\d{0,5})?\/callback$/, 'a redirect URI that is not registered');
        const state = Buffer.from(one(asked, 'state') ?? '', 'latin1').toString('utf8');
        if (answer.status === 303) {
          const said = redirect(answer, sent);
          assert.ok(answer.headers.location.startsWith(`${target}?`), answer.headers.location);
          assert.match(said.get('error'), /^(invalid_request|invalid_scope|invalid_target|unsupported_response_type|request_not_supported|consent_required)$/);
          assert.equal(said.get('code'), null);
          assert.equal(said.get('state') ?? '', state);
          return 'taken';
        }
        assert.equal(answer.status, 200);
        assert.deepEqual([one(asked, 'response_type'), one(asked, 'code_challenge_method')], ['code', 'S256']);
        assert.match(one(asked, 'code_challenge'), /^[\w-]{43}$/);
        assert.ok(all(asked, 'resource').every((named) => isSameUrl(named, clients.plain.resource)), 'another server');
        assert.ok(answer.text.includes(clients.plain.resource) && parseForms(answer.text)[0].action === `${w.gateway.url}/consent`);
        return 'taken';
      },
    },
    {
      name: 'POST /consent',
      headers: ['Content-Type', 'Cookie', 'Origin', 'Host'],
      fresh: page,
      build: ({ at, form: { hidden } }) => {
        const [name, cookie] = /(mcp-login-consent-[^=]+)=([^;]+)/.exec(at.page.headers['set-cookie'].join()).slice(1);
        return form('/consent', { consent_token: hidden.consent_token, decision: 'allow' }, [['Cookie', `other=1; ${name}=${cookie}`], ['Origin', w.gateway.url]]);
      },
      judge(state, sent, answer) {
        if (isRefusal(answer)) return refusal(answer);
        const said = pairs(sent.body);
        assert.equal(path(sent), '/consent');
        assert.deepEqual(said.filter(([name]) => name === 'consent_token').map(([, value]) => value), [state.form.hidden.consent_token], 'another token');
        assert.equal(said.filter(([name]) => name === 'decision').map(([, value]) => value).join(), 'allow', 'nobody said yes');
        assertCookie(sent, this.build(state));
        assert.ok(header(sent, 'Origin').every((origin) => origin === w.gateway.url), 'from another site');
        assert.equal(answer.status, 303);
        assert.ok(answer.headers.location.startsWith(`${w.upstream.issuer}/auth?`), answer.headers.location);
        return 'spent';
      },
    },
    {
      name: 'GET /callback',
      headers: ['Cookie', 'Host'],
      // With the right state and cookie the login is claimed, whatever else is sent: those changes cost a login each.
      fewAt: (part, sample, at) => part === 'Host' || (part === 'target' && !/[?&]state=[^&]*$/.test(sample.slice(0, at + 1))),
      fresh: returned,
      build: ({ callback, cookie }) => ({ method: 'GET', target: `${callback.pathname}${callback.search}`, headers: [host(), cookie, ['Accept', 'text/html']] }),
      judge(state, sent, answer) {
        const [asked, was] = [pairs(query(sent)), this.build(state)];
        const meant = pairs(query(was));
        const mine = path(sent) === '/callback' && asked.filter(([name]) => name === 'state').length === 1 && one(asked, 'state') === one(meant, 'state');
        if (isRefusal(answer)) {
          assert.equal(answer.headers.location, undefined);
          return mine ? 'spent' : 'refused';
        }
        assert.ok(mine, 'another state');
        assertCookie(sent, was);
        const said = redirect(answer, sent, state.flow);
        if (said.get('code') === null) {
          assert.match(said.get('error'), /^(access_denied|server_error|temporarily_unavailable)$/);
          return 'spent';
        }
        assert.ok(!isDoubled(asked.filter(([name]) => ['code', 'iss'].includes(name))), 'of two codes one was taken');
        assert.equal(one(asked, 'code'), one(meant, 'code'), 'another code');
        assert.equal(one(asked, 'iss'), one(meant, 'iss'), 'another issuer');
        return 'spent';
      },
    },
    {
      name: 'POST /token, code',
      headers: ['Content-Type', 'Host'],
      fewAt: (part) => part === 'Host',
      fresh: code,
      build: (state) => form('/token', {
        grant_type: 'authorization_code', code: state.code, redirect_uri: state.redirectUri, code_verifier: state.verifier, client_id: clients.plain.clientId, resource: clients.plain.resource,
      }),
      judge(state, sent, answer) {
        if (isRefusal(answer)) return refusal(answer);
        const asked = pairs(sent.body);
        tokens(answer);
        assert.ok(isTokenForm(sent, asked));
        assert.deepEqual(['grant_type', 'code', 'code_verifier'].map((name) => one(asked, name)), ['authorization_code', state.code, state.verifier]);
        assert.ok([undefined, state.redirectUri].includes(one(asked, 'redirect_uri')), 'another redirect_uri');
        return 'spent';
      },
    },
    refresh('POST /token, refresh', 'plain'),
    refresh('POST /token, refresh with a secret', 'confidential'),
    {
      name: 'POST /revoke',
      headers: ['Content-Type', 'Host'],
      fewAt: (part, sample, at) => part === 'Host' || (part === 'body' && at < sample.indexOf('&')),
      fresh: (lane) => login(lane),
      build: (state) => form('/revoke', { token: state.refresh_token, token_type_hint: 'refresh_token', client_id: clients.plain.clientId }),
      async judge(state, sent, answer, wire) {
        if (isRefusal(answer)) return refusal(answer);
        const asked = pairs(sent.body);
        assert.equal(answer.status, 200);
        assert.ok(isEndpoint(sent, '/revoke') && isType(sent, FORM) && !all(asked, 'client_secret').length && one(asked, 'client_id') === clients.plain.clientId);
        // A token that nobody knows is revoked well enough (RFC 7009 §2.2), and this login goes on.
        const meant = isOfLineage(all(asked, 'token').join(), state);
        const alive = (await wire.send(rpc('/mcp', call('whoami'), state.access_token))).status === 200;
        assert.equal(alive, !meant, meant ? 'said to be revoked, and is not' : 'another token, and this one is revoked');
        return meant ? 'spent' : 'taken';
      },
    },
    mcp('POST /mcp initialize', '/mcp', INITIALIZE, {}, withToken),
    mcp('POST /mcp tools/call', '/mcp', call('whoami'), {}, withToken),
    mcp('POST /lazy initialize, anonymous', '/lazy', INITIALIZE, { anonymous: true }, withoutToken),
    mcp('POST /lazy tools/call', '/lazy', call('whoami'), {}, withToken),
    { ...mcp('POST /lazy tools/call, anonymous', '/lazy', call('whoami'), { anonymous: true }, withoutToken), works: (answer) => answer.status === 401 },
  ];

  /** The one cookie that the login hangs on, once and unchanged. */
  function assertCookie(sent, was) {
    const read = (from) => header(from, 'Cookie').join(';').split(';').map((pair) => pair.trim()).filter((pair) => /^mcp-login-(consent|session)/.test(pair));
    const [[ours], given] = [read(was), read(sent)];
    const name = ours.slice(0, ours.indexOf('=') + 1);
    assert.deepEqual(given.filter((pair) => pair.startsWith(name)), [ours], 'another cookie');
  }

}
