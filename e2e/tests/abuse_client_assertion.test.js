// Abuse of private_key_jwt: case 41. A client that is registered by hand, with its public key in the configuration.
import assert from 'node:assert/strict';
import { after, describe } from 'node:test';
import { cases, checkError } from '../lib/abuse.js';
import { startTrap } from '../lib/documents.js';
import { assertionClaims, hmac, inSeconds, jws, newKey } from '../lib/jwt.js';
import { OAuthClient } from '../lib/oauth.js';
import { useWorld } from '../lib/world.js';

const TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';
const [key, second, stranger] = ['bot', 'other', 'bot'].map(newKey);
const trap = await startTrap();

const toml = (jwk) => `{ ${Object.entries(jwk).map(([name, value]) => `${name} = ${JSON.stringify(value)}`).join(', ')} }`;
const registered = (id, jwk) => `
[[clients.static]]
client_id = "${id}"
jwks = { keys = [${toml(jwk)}] }
redirect_uris = []
grant_types = ["client_credentials"]
scopes = ["mcp"]
`;

describe('client assertions', () => {
  const w = useWorld({ name: 'abuse-client-assertion', extra: registered('ci-bot', key.jwk) + registered('other-bot', second.jwk) });
  after(() => trap.stop());

  /** Asks for a token with this assertion. */
  function present(assertion, changes = {}, options) {
    const client = new OAuthClient(w.gateway.url);
    return client.token({ grant_type: 'client_credentials', resource: w.mcpUrl, scope: 'mcp', client_assertion_type: TYPE, client_assertion: assertion, ...changes }, options);
  }
  const claims = (changes) => assertionClaims('ci-bot', w.gateway.url, changes);
  const good = (changes, options = {}) => jws(claims(changes), { key, ...options });
  async function refused(assertion, changes) {
    checkError(await present(assertion, changes), 401, 'invalid_client');
  }
  async function accepted(assertion, changes) {
    const answer = await present(assertion, changes);
    assert.equal(answer.status, 200, answer.text);
    assert.ok(answer.json.access_token);
    assert.equal(answer.json.refresh_token, undefined, 'RFC 6749 §4.4.3');
  }

  cases([
    [41, 'an assertion as it should be is good once', async () => {
      const assertion = good();
      await accepted(assertion);
      await refused(assertion);
      await accepted(good({}), { client_id: 'ci-bot' });
      const twins = await Promise.all(Array(10).fill(good()).map((one) => present(one)));
      assert.equal(twins.filter((answer) => answer.status === 200).length, 1, 'also when they come at once');
    }],
    [41, 'the address of the token endpoint is the audience, too', () => accepted(good({ aud: `${w.gateway.url}/token` }))],
    ...[
      ['no signature, alg none', () => good({}, { header: { alg: 'none' }, signature: () => '' })],
      ['alg NoNe', () => good({}, { header: { alg: 'NoNe' }, signature: () => '' })],
      ['no signature', () => good({}, { signature: () => '' })],
      ['a signature of zeros', () => good({}, { signature: () => Buffer.alloc(64) })],
      ['HS256 with the public key as PEM', () => good({}, { header: { alg: 'HS256' }, signature: hmac(key.publicKey.export({ type: 'spki', format: 'pem' })) })],
      ['HS256 with the public key as JWK', () => good({}, { header: { alg: 'HS256' }, signature: hmac(JSON.stringify(key.jwk)) })],
      ['HS256 with the public key as bytes', () => good({}, { header: { alg: 'HS256' }, signature: hmac(Buffer.from(key.jwk.x, 'base64url')) })],
      ['HS256 with nothing', () => good({}, { header: { alg: 'HS256' }, signature: hmac('') })],
      ['the key of a stranger with the same kid', () => jws(claims(), { key: stranger })],
      ['the key of a stranger in the header', () => jws(claims(), { key: stranger, header: { jwk: stranger.jwk } })],
      ['the key of another client', () => jws(claims(), { key: second })],
      ['a key from an address in the header', () => jws(claims(), { key: stranger, header: { jku: `http://127.0.0.1:${trap.port}/jwks.json`, x5u: `http://127.0.0.1:${trap.port}/x5u` } })],
      ['a header that has to be understood', () => good({}, { header: { crit: ['x-unknown'], 'x-unknown': true } })],
      ['changed claims', () => { const [head, , end] = good().split('.'); return [head, good().split('.')[1], end].join('.'); }],
      ['another audience', () => good({ aud: 'https://evil.example' })],
      ['the audience with a slash more', () => good({ aud: `${w.gateway.url}/` })],
      ['the MCP server as audience', () => good({ aud: w.mcpUrl })],
      ['ours and another audience', () => good({ aud: [w.gateway.url, 'https://evil.example'] })],
      ['no audience', () => good({ aud: undefined })],
      ['expired', () => good({ iat: inSeconds(-7200), exp: inSeconds(-3600) })],
      ['no end', () => good({ exp: undefined })],
      ['an end a year away', () => good({ exp: inSeconds(365 * 24 * 3600) })],
      ['an end that is no number', () => good({ exp: `${inSeconds(60)}` })],
      ['not yet', () => good({ nbf: inSeconds(3600) })],
      ['no identifier', () => good({ jti: undefined })],
      ['another issuer', () => good({ iss: 'other-bot' })],
      ['another subject', () => good({ sub: 'other-bot' })],
      ['no subject', () => good({ sub: undefined })],
      ['an unknown client', () => good({ iss: 'nobody', sub: 'nobody' })],
      ['no JWT', () => 'x'],
      ['an empty one', () => ''],
      ['five parts', () => `${good()}.x.y`],
    ].map(([what, make]) => [41, `${what} is refused`, async () => {
      const before = trap.connections();
      await refused(make());
      assert.equal(trap.connections(), before, 'nothing is fetched');
    }]),
    [41, 'another client_id beside it is refused', () => refused(good(), { client_id: 'other-bot' })],
    [41, 'another type of assertion is refused', () => refused(good(), { client_assertion_type: 'urn:ietf:params:oauth:client-assertion-type:saml2-bearer' })],
    [41, 'the client without its assertion is refused', () => refused(undefined, { client_id: 'ci-bot', client_assertion_type: undefined })],
    [41, 'two of them, or a secret beside it, are refused', async () => {
      checkError(await present([good(), good()]), [400, 401], ['invalid_request', 'invalid_client']);
      checkError(await present(good(), { client_id: 'ci-bot', client_secret: 'x' }), [400, 401], ['invalid_request', 'invalid_client']);
    }],
  ]);
});
