// Abuse by number: cases 42 and 45. A proxy tells the client's address: tests all come from loopback, which nobody limits.
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { cases, checkError } from '../lib/abuse.js';
import { request } from '../lib/http.js';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

describe('many requests of one address', () => {
  const w = useWorld({ name: 'abuse-limits', top: 'client_address_header = "X-Forwarded-For"\nallowed_origins = ["https://inspector.example"]' });
  let client, tokens;
  before(async () => {
    client = new OAuthClient(w.gateway.url);
    ({ tokens } = await client.login(new Person()));
  });

  /** The headers of a proxy in front: what it adds itself stands last. */
  const from = (address) => ({ 'x-forwarded-for': `203.0.113.9, ${address}`, origin: 'https://inspector.example' });

  /** Asks, fifty at a time, until it is told to wait; gives the first such answer and how many went before. */
  async function flood(ask, most) {
    for (let asked = 0; asked < most; asked += 50) {
      const answers = await Promise.all(Array.from({ length: 50 }, ask));
      const refused = answers.findIndex((answer) => answer.status === 429);
      if (refused >= 0) return { answer: answers[refused], asked: asked + refused };
    }
    return assert.fail(`${most} requests and no 429`);
  }
  // The identifier of a login is no secret of it: what follows has to be guessed. (Who knows more of a token than that has
  // held one of its line: that is case 35.)
  const guess = (address) => client.token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token.slice(0, 36).padEnd(101, 'A') }, { headers: from(address) });
  const revoke = (address) => request('POST', `${w.gateway.url}/revoke`, { form: { token: 'x', client_id: client.clientId }, headers: from(address) });
  const register = (address) => request('POST', `${w.gateway.url}/register`, { json: { redirect_uris: ['http://127.0.0.1/cb'] }, headers: from(address) });
  const authorize = (address) => request('GET', client.authorization().url, { headers: from(address) });

  function checkTooMany(answer, { cors = true } = {}) {
    assert.equal(answer.status, 429, answer.text);
    assert.match(answer.headers['retry-after'], /^[1-9]\d*$/, 'RFC 9110 §10.2.3');
    assert.equal(answer.headers['access-control-allow-origin'], cors ? '*' : undefined);
  }

  cases([
    [42, 'guessing tokens ends in 429 for that address, and in nothing for the login', async () => {
      const { answer, asked } = await flood(() => guess('198.51.100.7'), 10_000);
      checkTooMany(answer);
      checkError(answer, 429, 'temporarily_unavailable');
      assert.equal(tokens.refresh_token.length, 101, 'the guess has the form of a token');
      assert.ok(asked >= 100, `programs that behave are let alone: ${asked}`);
      // The bucket fills all the time, so one more request may pass: but far fewer than a full bucket of their own would let.
      const revocations = await flood(() => revoke('198.51.100.7'), 1_000);
      checkTooMany(revocations.answer);
      checkError(await guess('198.51.100.8'), 400, 'invalid_grant');
      assert.equal((await client.mcp(tokens.access_token, undefined, { headers: from('198.51.100.7') })).status, 200, 'calls are no guesses');
      const refreshed = await client.token({ grant_type: 'refresh_token', refresh_token: tokens.refresh_token }, { headers: from('198.51.100.8') });
      assert.equal(refreshed.status, 200, refreshed.text);
    }],
    [42, 'a flood at the authorization endpoint is a page, without CORS', async () => {
      const { answer } = await flood(() => authorize('198.51.100.17'), 3_000);
      checkTooMany(answer, { cors: false });
      assert.match(answer.headers['content-type'], /^text\/html/);
      assert.equal((await authorize('198.51.100.18')).status, 200);
    }],
    [42, 'what the client says of its address itself does not count', async () => {
      const { answer } = await flood((_, n) => request('POST', `${w.gateway.url}/register`, {
        json: { redirect_uris: ['http://127.0.0.1/cb'] }, headers: { 'x-forwarded-for': `198.51.100.${n}, 198.51.100.27` },
      }), 1_000);
      checkTooMany(answer);
    }],
    [45, 'a flood of registrations is stopped, and nobody else is', async () => {
      const { answer, asked } = await flood(() => register('198.51.100.37'), 1_000);
      checkTooMany(answer);
      assert.ok(asked <= 100, `${asked} clients of one address in one moment are enough`);
      assert.equal((await register('198.51.100.38')).status, 201);
    }],
  ]);
});
