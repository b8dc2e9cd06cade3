// Abuse of the authorization endpoint and the consent page: cases 1–18.
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { cases, checkAuthorizeError, checkPage, checkRedirect, RESOURCES } from '../lib/abuse.js';
import { parseForms } from '../lib/forms.js';
import { request } from '../lib/http.js';
import { OAuthClient, pkce } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

const CLAUDE = 'https://claude.ai/api/mcp/auth_callback';
const CLAUDE_TOO = 'https://claude.com/api/mcp/auth_callback';

describe('authorize', () => {
  const w = useWorld({ resources: RESOURCES, name: 'abuse-authorize' });
  let client, issuer;
  before(async () => {
    issuer = w.gateway.url;
    client = await newClient();
  });

  async function newClient(metadata = {}) {
    const made = new OAuthClient(w.gateway.url, { redirectUri: metadata.redirect_uris?.[0] });
    const answer = await made.register(metadata);
    assert.equal(answer.status, 201, answer.text);
    return made;
  }
  const get = (changes, of = client) => request('GET', of.authorization(changes).url);
  const refused = (changes, error) => checkAuthorizeError(client.authorization(changes), error, issuer);

  /** The consent page of a request, as a new or the given person sees it. */
  async function consentPage(of, changes = {}, person = new Person()) {
    const at = await person.go(of.authorization(changes).url);
    const [form] = parseForms(at.page?.text ?? '');
    assert.ok(form?.names.has('consent_token'), `no consent page at ${at.url}: ${at.page?.status} ${at.page?.text.slice(0, 300)}`);
    return { at, form, person };
  }

  cases([
    [1, 'unknown client_id is a page', async () => checkPage(await get({ client_id: 'nobody' }))],
    [1, 'absent client_id is a page', async () => checkPage(await get({ client_id: undefined }))],
    ...[
      'http://127.0.0.1:47813/other', 'http://127.0.0.1:47813/callback?extra=1', 'http://127.0.0.1:47813/callback/',
      'http://127.0.0.1:47813/callback/../callback2', 'http://127.0.0.1.evil.example:47813/callback', 'https://evil.example/callback',
    ].map((uri) => [2, `unregistered ${uri} is a page`, async () => checkPage(await get({ redirect_uri: uri }))]),
    [3, 'another loopback port is the same client', async () => {
      await consentPage(client, { redirect_uri: 'http://127.0.0.1:1024/callback' });
      const named = await newClient({ redirect_uris: ['http://localhost:3000/callback'] });
      await consentPage(named, { redirect_uri: 'http://localhost:50123/callback' });
    }],
    ...['http://localhost.evil.com:47813/callback', 'http://127.0.0.1@evil.com/callback', 'http://127.0.0.1:47813@evil.com/callback', 'http://127.0.0.1:47813\\@evil.com/callback']
      .map((uri) => [3, `${uri} is a page`, async () => checkPage(await get({ redirect_uri: uri }))]),
    [4, 'absent redirect_uri with several registered is a page', async () => {
      const several = await newClient({ redirect_uris: ['http://127.0.0.1/one', 'http://127.0.0.1/two'] });
      checkPage(await get({ redirect_uri: undefined }, several));
    }],
    ...['http://127.0.0.1:47813/callback#fragment', 'http://user:pw@127.0.0.1:47813/callback', 'javascript:alert(1)', 'data:text/html,x', 'callback', '//evil.example/callback']
      .map((uri) => [5, `redirect_uri ${JSON.stringify(uri)} is a page`, async () => checkPage(await get({ redirect_uri: uri }))]),
    ...['client_id', 'redirect_uri', 'state'].map((name) => [6, `two of ${name} are a page`, async () => {
      const flow = client.authorization();
      const value = new URL(flow.url).searchParams.get(name);
      checkPage(await request('GET', `${flow.url}&${name}=${encodeURIComponent(value)}`));
      checkPage(await request('GET', `${flow.url}&${name}=another`));
    }]),
    [7, 'no code_challenge', () => refused({ code_challenge: undefined, code_challenge_method: undefined }, 'invalid_request')],
    [8, 'PKCE plain', () => refused({ code_challenge_method: 'plain' }, 'invalid_request')],
    [8, 'no method (that is plain)', () => refused({ code_challenge_method: undefined }, 'invalid_request')],
    ...[pkce().challenge.slice(1), `${pkce().challenge}A`, `${pkce().challenge.slice(1)}+`, ''].map((challenge) => [
      8, `challenge ${JSON.stringify(challenge)}`, () => refused({ code_challenge: challenge }, 'invalid_request'),
    ]),
    ...['token', 'code token', 'code id_token', 'CODE'].map((type) => [9, `response_type ${type}`, () => refused({ response_type: type }, 'unsupported_response_type')]),
    [10, 'an unknown scope is refused or left out', async () => {
      const flow = client.authorization({ scope: 'mcp admin:everything' });
      const answer = await request('GET', flow.url);
      if (answer.headers.location?.startsWith(flow.redirectUri)) return checkRedirect(answer.headers.location, flow, 'invalid_scope', issuer);
      const { tokens } = await client.login(new Person(), { scope: 'mcp admin:everything' });
      return assert.ok(!(tokens.scope ?? 'admin:everything').includes('admin'), JSON.stringify(tokens.scope));
    }],
    ...['https://evil.example/mcp', 'nonsense', 'http://127.0.0.1:1/mcp'].map((resource) => [11, `resource ${resource}`, () => refused({ resource }, 'invalid_target')]),
    [11, 'a foreign resource beside ours', () => refused({ resource: [client.resource, 'https://evil.example/mcp'] }, 'invalid_target')],
    [12, 'request object', () => refused({ request: 'e30.e30.' }, 'request_not_supported')],
    [12, 'request_uri', () => refused({ request_uri: 'https://evil.example/r' }, 'request_uri_not_supported')],
    [13, 'prompt=none', () => refused({ prompt: 'none' }, ['consent_required', 'login_required', 'interaction_required'])],
    [14, 'consent is for one client and one redirect URI', async () => {
      const person = new Person();
      const first = await newClient({ redirect_uris: [CLAUDE, CLAUDE_TOO] });
      assert.ok((await first.code(person)).code);
      await consentPage(first, { redirect_uri: CLAUDE_TOO }, person);
      await consentPage(await newClient({ redirect_uris: [CLAUDE] }), {}, person);
      await consentPage(first, { scope: 'mcp mcp:write', resource: `${w.gateway.url}/other` }, person);
    }],
    ...[
      ['without the token', (fields) => ({ decision: fields.decision }), {}],
      ['with a made-up token', (fields) => ({ ...fields, consent_token: 'A'.repeat(fields.consent_token.length) }), {}],
      ['with a foreign Origin', (fields) => fields, { origin: 'https://evil.example' }],
      ['with a sibling port as Origin', (fields) => fields, { origin: 'http://127.0.0.1:1' }],
    ].map(([what, change, options]) => [15, `consent ${what} is 403`, async () => {
      const { at, form, person } = await consentPage(client);
      const fields = change({ ...form.hidden, decision: 'allow' });
      checkPage((await person.submit(at, form, fields, { ...options, until: elsewhere })).page ?? fail(), [403]);
    }]),
    [15, 'consent with another person’s token is 403', async () => {
      const mine = await consentPage(client);
      const theirs = await consentPage(client);
      const fields = { ...mine.form.hidden, decision: 'allow' };
      checkPage((await theirs.person.submit(theirs.at, mine.form, fields, { until: elsewhere })).page ?? fail(), [403]);
    }],
    [16, 'the page cannot be framed, kept or injected into', async () => {
      const evil = await newClient({ client_name: '<script>alert(1)</script>"\'><img src=x onerror=alert(2)>' });
      const { page } = (await consentPage(evil)).at;
      assert.match(page.headers['content-security-policy'] ?? '', /frame-ancestors 'none'/);
      assert.match(page.headers['cache-control'] ?? '', /no-store/);
      assert.ok(page.headers['referrer-policy'], 'Referrer-Policy');
      assert.doesNotMatch(page.text, /<script>alert|<img src=x/i);
      assert.match(page.text, /script/, 'but the name is shown');
      assert.equal(page.headers['access-control-allow-origin'], undefined);
    }],
    [17, 'a client that calls itself Claude is marked and its host shown', async () => {
      const { page } = (await consentPage(await newClient({ client_name: 'Claude' }))).at;
      assert.match(page.text, /127\.0\.0\.1/);
      assert.match(page.text, /verif/i, 'an unverified mark');
    }],
    [18, 'Deny goes to the client', async () => {
      const flow = client.authorization();
      checkRedirect(await new Person({ decision: 'deny' }).visit(flow.url, flow.redirectUri), flow, 'access_denied', issuer);
    }],
  ]);

  /** Anything but the gateway: reaching it would mean that the consent was taken. */
  function elsewhere(url) {
    return new URL(url).origin !== w.gateway.url;
  }
  function fail() {
    assert.fail('the consent was taken');
  }
});
