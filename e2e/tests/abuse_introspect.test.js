// Abuse of introspection: case 64. It is for those who can prove who they are, and never a way to try out tokens.
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { cases, checkError } from '../lib/abuse.js';
import { request } from '../lib/http.js';
import { basic, bearer, OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

describe('introspection', () => {
  const w = useWorld({ name: 'abuse-introspect' });
  let client, tokens, stranger;
  before(async () => {
    client = new OAuthClient(w.gateway.url);
    ({ tokens } = await client.login(new Person()));
    stranger = new OAuthClient(w.gateway.url);
    assert.equal((await stranger.register({ token_endpoint_auth_method: 'client_secret_basic' })).status, 201);
  });
  const introspect = (form, headers) => request('POST', `${w.gateway.url}/introspect`, { form, headers });

  cases([
    [64, 'nobody', async () => checkError(await introspect({ token: tokens.access_token }), 401, 'invalid_client')],
    [64, 'a client that has nothing to prove itself with', async () => checkError(await introspect({ token: tokens.access_token, client_id: client.clientId }), 401, 'invalid_client')],
    [64, 'whoever holds a token', async () => checkError(await introspect({ token: tokens.access_token }, bearer(tokens.access_token)), 401, 'invalid_client')],
    [64, 'a wrong secret', async () => {
      const answer = await introspect({ token: tokens.access_token }, basic(stranger.clientId, 'wrong'));
      checkError(answer, 401, 'invalid_client');
      assert.match(answer.headers['www-authenticate'] ?? '', /^Basic /);
    }],
    [64, 'another client learns nothing', async () => {
      const ask = (token) => introspect({ token }, basic(stranger.clientId, stranger.registration.client_secret));
      for (const token of [tokens.access_token, tokens.refresh_token, 'unknown', '']) {
        const answer = await ask(token);
        assert.ok([200, 400, 401, 403].includes(answer.status), answer.text);
        if (answer.status === 200) assert.deepEqual(answer.json, { active: false }, 'RFC 7662 §2.2: and nothing else');
      }
    }],
    [64, 'in the query, or by GET', async () => {
      checkError(await request('POST', `${w.gateway.url}/introspect?token=${tokens.access_token}`, { form: {} }), [400, 401]);
      checkError(await request('GET', `${w.gateway.url}/introspect?token=${tokens.access_token}`), [401, 405]);
    }],
  ]);
});
