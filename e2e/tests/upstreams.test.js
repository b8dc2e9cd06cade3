// The presets against the services that npm's `emulate` plays (`lib/services.js` says what it lacks): whose login it is, whose
// token a tool gets, what a refresh and a revocation ask for; several services in one gateway; who is let in, by what the
// service says of them.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, test } from 'node:test';
import { startBackend } from '../lib/backend.js';
import { unescape } from '../lib/forms.js';
import { shorten, startForwarder } from '../lib/forwarder.js';
import { startGateway } from '../lib/gateway.js';
import { request } from '../lib/http.js';
import { OAuthClient, resultOf } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { freePort } from '../lib/process.js';
import { SERVICES, TENANTS, startService } from '../lib/services.js';
import { USERS, startUpstream } from '../lib/upstream.js';
import { ACCESS_TOKEN_HEADER, together, use, useWorld } from '../lib/world.js';

/** A gateway before one service; `settings` and `extra` change its configuration, `log` names its log. */
const startPreset = (name, { settings, extra, log = `upstreams-${name}` } = {}) => together(async (add) => {
  const [port, misconfiguredPort] = [await freePort(), await freePort()];
  const service = await add(startService(name, [port, misconfiguredPort].map((one) => `http://127.0.0.1:${one}/callback`)));
  const forwarder = await add(startForwarder(service.url));
  const backend = await add(startBackend());
  const options = {
    upstream: { ...service.settings(forwarder.url), ...settings },
    resources: [{ path: '/mcp', backend: backend.url, headers: ACCESS_TOKEN_HEADER }],
    extra,
  };
  const gateway = await add(startGateway({ ...options, port, name: log }));
  const startMisconfigured = (changes) => startGateway({
    ...options, upstream: { ...options.upstream, ...changes }, port: misconfiguredPort, name: `${log}-misconfigured`,
  });
  return { service, forwarder, gateway, startMisconfigured };
});

const personAt = (service, user, options) => new Person({ account: service.account(user), ...options });

/** What the backend sees of a caller. */
async function seen(client, tokens, url) {
  const answer = await client.mcp(tokens.access_token, undefined, { url });
  assert.equal(answer.status, 200, answer.text);
  const { user, email, headers } = JSON.parse(resultOf(answer));
  return { user, email, token: headers['x-forwarded-access-token'] };
}

/** That a call is refused with a challenge. */
async function checkRefused(client, tokens, url) {
  const answer = await client.mcp(tokens.access_token, undefined, { url });
  assert.equal(answer.status, 401, answer.text);
  assert.match(answer.headers['www-authenticate'], /^Bearer .*resource_metadata=/);
}

for (const [name, service] of Object.entries(SERVICES)) {
  describe(`provider = "${name}"`, () => {
    const w = use(() => startPreset(name));

    test('two people log in, and each tool call has the token of who calls', async () => {
      const client = new OAuthClient(w.gateway.url);
      const subjects = new Set();
      for (const user of ['ada', 'alan']) {
        const person = personAt(w.service, user);
        const { login, tokens } = await client.login(person);
        assert.equal(login.callback.searchParams.get('iss'), w.gateway.url);
        const caller = await seen(client, tokens);
        // Two ways to say the same: what the gateway made of the login, and what the service says of the token.
        assert.deepEqual(await w.service.whose(caller.token), { subject: caller.user, account: w.service.account(user) });
        assert.equal(caller.email, service.email(user), 'only an address that the service has verified');
        subjects.add(caller.user);
        checkProofKey(person, w.forwarder.codes().at(-1), service.pkce ?? true);
      }
      assert.equal(subjects.size, 2);
    });

    test('the same person is the same subject again', async () => {
      const client = new OAuthClient(w.gateway.url);
      const [first, second] = [await client.login(personAt(w.service, 'ada')), await client.login(personAt(w.service, 'ada'))];
      assert.equal((await seen(client, first.tokens)).user, (await seen(client, second.tokens)).user);
    });

    test('a sign-in that is cancelled there is access_denied to the client', async () => {
      const client = new OAuthClient(w.gateway.url);
      await client.register();
      const { callback, state } = await client.code(personAt(w.service, 'ada', { upstreamDecision: 'deny' }));
      const { error, iss, code, state: returned } = Object.fromEntries(callback.searchParams);
      assert.deepEqual({ error, iss, code, returned }, { error: 'access_denied', iss: w.gateway.url, code: undefined, returned: state });
    });

    test('a wrong client secret lets nobody in, whatever the status of the answer', async (t) => {
      const gateway = await w.startMisconfigured({ client_secret: 'not-the-secret-of-this-client' });
      t.after(() => gateway.stop());
      const client = new OAuthClient(gateway.url);
      await client.register();
      const { callback } = await client.code(personAt(w.service, 'ada'));
      assert.equal(callback.searchParams.get('error'), 'server_error');
      assert.equal(callback.searchParams.get('code'), null);
      const { status, json } = w.forwarder.codes().at(-1);
      assert.equal(status === 200, ['github', 'slack'].includes(name), 'both say it in a 200');
      assert.ok(json.error && !json.access_token, JSON.stringify(json));
    });

    if (service.refresh) {
      test('an access token that has ended is refreshed, and again with the refresh token that is good then', async (t) => {
        t.after(() => delete w.forwarder.hooks.answered);
        const client = new OAuthClient(w.gateway.url);
        shorten(w.forwarder, 2);
        const { tokens } = await client.login(personAt(w.service, 'alan'));
        const given = w.forwarder.codes().at(-1).json;
        const [before, callers] = [w.forwarder.refreshes().length, []];
        for (let calls = 0; calls < 3; calls += 1) callers.push(await seen(client, tokens));

        const refreshes = w.forwarder.refreshes().slice(before);
        assert.equal(refreshes.length, 2, 'the third call needs none');
        assert.equal(refreshes[0].form.refresh_token, given.refresh_token);
        const next = service.refresh.rotates ? refreshes[0].json.refresh_token : given.refresh_token;
        assert.equal(refreshes[0].json.refresh_token, service.refresh.rotates ? next : undefined);
        assert.equal(refreshes[1].form.refresh_token, next);
        const [first, second] = refreshes.map((refresh) => refresh.json.access_token);
        assert.deepEqual(callers.map((caller) => caller.token), [first, second, second]);
        assert.equal(new Set(callers.map((caller) => caller.user)).size, 1);
        assert.deepEqual(await w.service.whose(second), { subject: callers[0].user, account: w.service.account('alan') });
      });
    }
  });

  if (service.revokes) {
    test(`provider = "${name}": a login that is revoked here is revoked there`, async (t) => {
      const w = await startPreset(name, { log: `upstreams-${name}-revocation` });
      t.after(() => w.stop());
      const client = new OAuthClient(w.gateway.url);
      const { tokens } = await client.login(personAt(w.service, 'ada'));
      const { refresh_token: refreshToken } = w.forwarder.codes().at(-1).json;
      const revocation = w.forwarder.next('answered');
      assert.equal((await revoke(client, tokens.refresh_token)).status, 200);
      await checkRefused(client, tokens);
      const { form, status } = await revocation;
      assert.deepEqual([status, form.token], [200, refreshToken]);
      const { token_endpoint: endpoint } = w.service.settings();
      const again = await request('POST', endpoint, { form: { grant_type: 'refresh_token', refresh_token: refreshToken, ...w.service.client } });
      assert.deepEqual([again.status, again.json.error], [400, 'invalid_grant']);
    });
  }
}

const revoke = (client, token) => request('POST', `${client.gateway}/revoke`, { form: { token, client_id: client.clientId } });

/** RFC 7636: the verifier that the token endpoint got is the one of the challenge that the browser brought, or there is none. */
function checkProofKey(person, { form }, wanted) {
  const page = person.trail.map((answer) => new URL(answer.url)).find((url) => url.hostname === 'localhost');
  const { code_challenge: challenge, code_challenge_method: method } = Object.fromEntries(page.searchParams);
  if (!wanted) return assert.deepEqual([challenge, method, form.code_verifier], [undefined, undefined, undefined]);
  assert.equal(method, 'S256');
  return assert.equal(createHash('sha256').update(form.code_verifier).digest('base64url'), challenge);
}

describe('one tenant of Microsoft', () => {
  const w = use(() => startPreset('microsoft', { settings: { params: { tenant: TENANTS.ada } }, log: 'upstreams-tenant' }));

  test('its people log in, and those of another cannot', async () => {
    const client = new OAuthClient(w.gateway.url);
    const { tokens } = await client.login(personAt(w.service, 'ada'));
    assert.ok((await seen(client, tokens)).user.startsWith(`${TENANTS.ada}:`));
    const alan = personAt(w.service, 'alan');
    await assert.rejects(client.login(alan), /stopped at/);
    const page = alan.trail.at(-1);
    assert.equal(page.status, 400);
    assert.match(page.text, /could not be verified/);
  });
});

describe('GitHub for /a, OpenID Connect for /b', () => {
  const w = use(() => together(async (add) => {
    const port = await freePort();
    const url = `http://127.0.0.1:${port}`;
    const service = await add(startService('github', [`${url}/callback/code`]));
    const forwarder = await add(startForwarder(service.url));
    const upstream = await add(startUpstream({ callback: `${url}/callback/sso` }));
    const backends = { a: await add(startBackend()), b: await add(startBackend()) };
    const gateway = await add(startGateway({
      port,
      upstreams: { code: service.settings(forwarder.url), sso: upstream.settings },
      resources: [
        { path: '/a', upstream: 'code', backend: backends.a.url, headers: ACCESS_TOKEN_HEADER },
        { path: '/b', upstream: 'sso', backend: backends.b.url, headers: ACCESS_TOKEN_HEADER },
      ],
      name: 'upstreams-several',
    }));
    const clientOf = (path) => new OAuthClient(url, { resource: url + path });
    return { service, forwarder, upstream, backends, gateway, clientOf };
  }));

  test('each backend has the people and the tokens of its service', async () => {
    const [a, b] = [w.clientOf('/a'), w.clientOf('/b')];
    const person = personAt(w.service, 'ada');
    const { tokens: ofA } = await a.login(person);
    const { tokens: ofB } = await b.login(person);
    const [atA, atB] = [await seen(a, ofA), await seen(b, ofB)];
    assert.deepEqual(await w.service.whose(atA.token), { subject: atA.user, account: 'ada' });
    assert.equal(atB.user, USERS.ada.sub);
    assert.ok(await w.upstream.accepts(atB.token));
    assert.ok(!(await w.upstream.accepts(atA.token)));
    assert.ok(!w.backends.a.requests.some(({ headers }) => headers['x-forwarded-access-token'] === atB.token));
    assert.ok(!w.backends.b.requests.some(({ headers }) => headers['x-forwarded-access-token'] === atA.token));

    const callbacks = person.trail.map((answer) => new URL(answer.url).searchParams.get('redirect_uri'));
    assert.ok(callbacks.includes(`${w.gateway.url}/callback/code`));
    assert.equal(w.upstream.seen.authorize.at(-1).redirect_uri, `${w.gateway.url}/callback/sso`);

    await checkRefused(a, ofA, `${w.gateway.url}/b`);
    await checkRefused(b, ofB, `${w.gateway.url}/a`);
  });

  test('the answer of one is not taken for the answer of the other', async () => {
    const client = w.clientOf('/a');
    await client.register();
    const person = personAt(w.service, 'ada');
    const codes = w.forwarder.codes().length;
    const back = await person.login(client.authorization().url, (url) => url.startsWith(`${w.gateway.url}/callback/`));
    assert.equal(back.pathname, '/callback/code');
    for (const path of ['/callback/sso', '/callback', '/callback/none']) {
      const { page } = await person.go(`${w.gateway.url}${path}${back.search}`);
      assert.ok([400, 404].includes(page.status), `${path}: ${page.status}`);
    }
    assert.equal(w.forwarder.codes().length, codes, 'no code went anywhere');
    assert.equal(w.upstream.seen.refused.length, 0);
  });
});

const CONTACT = 'ada@acme.test';
const only = (claims) => `[access]\ncontact = "${CONTACT}"\nclaims = { ${claims} }`;

for (const [what, name, claims, scope] of [
  ['members of an organization at GitHub', 'github', 'orgs = ["acme"]', 'read:org'],
  // The text of an address says nothing: Alan's is one of the company's domain, too.
  ['accounts of a domain at Google', 'google', 'hd = ["acme.test"]'],
]) {
  describe(`only ${what} may log in`, () => {
    const w = use(() => startPreset(name, { extra: only(claims), log: `upstreams-${name}-access` }));

    test('who is one does', async () => {
      const client = new OAuthClient(w.gateway.url);
      const ada = personAt(w.service, 'ada');
      const { tokens } = await client.login(ada);
      await seen(client, tokens);
      const scopes = ada.trail.map((answer) => new URL(answer.url)).find((url) => url.hostname === 'localhost').searchParams.get('scope');
      if (scope) assert.ok(scopes.split(' ').includes(scope), scopes);
    });

    test('who is none sees whom to ask, and the way back says so to the client', async () => {
      const client = new OAuthClient(w.gateway.url);
      await client.register();
      const [alan, flow] = [personAt(w.service, 'alan'), client.authorization()];
      await assert.rejects(alan.visit(flow.url, flow.redirectUri), /stopped at/);
      const page = alan.trail.at(-1);
      assert.equal(page.status, 403);
      assert.ok(page.text.includes(CONTACT), page.text);
      const [, back] = page.text.match(/<a class="button" href="([^"]+)"/);
      const { origin, pathname, searchParams } = new URL(unescape(back));
      assert.equal(origin + pathname, flow.redirectUri);
      const { error, state, iss, code } = Object.fromEntries(searchParams);
      assert.deepEqual({ error, state, iss, code }, { error: 'access_denied', state: flow.state, iss: w.gateway.url, code: undefined });
    });
  });
}

describe('RFC 7009 at an OpenID provider', () => {
  const w = useWorld({ name: 'upstreams-revocation' });

  test('the refresh token ends the login here at once, and all its tokens there', async () => {
    const client = new OAuthClient(w.gateway.url);
    const { tokens } = await client.login(new Person());
    const { token } = await seen(client, tokens);
    assert.ok(await w.upstream.accepts(token));
    const other = (await client.login(new Person({ user: 'alan' }))).tokens;

    assert.equal((await revoke(client, tokens.refresh_token)).status, 200);
    await checkRefused(client, tokens);
    assert.equal((await client.refresh(tokens.refresh_token)).json.error, 'invalid_grant');
    await w.upstream.revocation();
    assert.ok(!(await w.upstream.accepts(token)));
    assert.ok(await w.upstream.accepts((await seen(client, other)).token), 'Alan’s goes on');
    assert.equal(w.upstream.revoked(), 1);
  });
});
