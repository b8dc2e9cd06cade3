// Abuse of the token endpoint: cases 26–40. A code that has expired (30) needs a clock in the test's hands: see
// abuse_list.test.js. A verifier without a challenge (28) cannot come to be: there is no code without one (7).
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { cases, checkError, checkInvalidToken, RESOURCES } from '../lib/abuse.js';
import { request } from '../lib/http.js';
import { basic, OAuthClient, pkce } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

describe('token', () => {
  const w = useWorld({ resources: RESOURCES, name: 'abuse-token' });
  let client, other, confidential, posting, secret;
  const person = new Person();
  before(async () => {
    [client, other, confidential, posting] = [1, 2, 3, 4].map(() => new OAuthClient(w.gateway.url));
    for (const one of [client, other]) assert.equal((await one.register()).status, 201);
    assert.equal((await posting.register({ token_endpoint_auth_method: 'client_secret_post' })).status, 201);
    const registered = await confidential.register({ token_endpoint_auth_method: 'client_secret_basic' });
    assert.equal(registered.status, 201, registered.text);
    secret = confidential.registration.client_secret;
    assert.ok(secret, registered.text);
  });

  /** A code that is still good, refused with these changes; then shown that it was the change that mattered. */
  async function refusedCode(changes, error = 'invalid_grant') {
    const login = await client.code(person);
    checkError(await client.exchange(login, changes(login)), 400, error);
  }
  const alive = async (token) => assert.equal((await client.mcp(token)).status, 200);
  const dead = async (token) => checkInvalidToken(await client.mcp(token));

  cases([
    [26, 'a code twice ends what it gave', async () => {
      const { login, tokens } = await client.login(person);
      await alive(tokens.access_token);
      checkError(await client.exchange(login), 400, 'invalid_grant');
      await dead(tokens.access_token);
      checkError(await client.refresh(tokens.refresh_token), 400, 'invalid_grant');
    }],
    [27, 'another client’s code', async () => {
      const login = await client.code(person);
      checkError(await other.exchange(login), 400, 'invalid_grant');
    }],
    [28, 'a wrong verifier', () => refusedCode(() => ({ code_verifier: pkce().verifier }))],
    [28, 'no verifier', () => refusedCode(() => ({ code_verifier: undefined }))],
    [28, 'the challenge as verifier', () => refusedCode((login) => ({ code_verifier: new URL(login.url).searchParams.get('code_challenge') }))],
    [29, 'another redirect_uri', () => refusedCode(() => ({ redirect_uri: 'http://127.0.0.1:47813/other' }))],
    [29, 'another port of the redirect_uri', () => refusedCode(() => ({ redirect_uri: 'http://127.0.0.1:47814/callback' }))],
    [31, 'another of our resources', () => refusedCode(() => ({ resource: `${w.gateway.url}/other` }), 'invalid_target')],
    [31, 'a foreign resource', () => refusedCode(() => ({ resource: 'https://evil.example/mcp' }), 'invalid_target')],
    [31, 'another resource at refresh', async () => {
      const { tokens } = await client.login(person);
      checkError(await client.refresh(tokens.refresh_token, { resource: `${w.gateway.url}/other` }), 400, 'invalid_target');
    }],
    [32, 'a wrong secret', async () => {
      const answer = await confidential.token({ grant_type: 'refresh_token', refresh_token: 'x', client_id: undefined }, { headers: basic(confidential.clientId, `${secret}x`) });
      checkError(answer, 401, 'invalid_client');
      assert.match(answer.headers['www-authenticate'] ?? '', /^Basic /);
    }],
    [32, 'a wrong secret in the form', async () => {
      for (const client_secret of [`${secret}x`, '', 'x']) {
        checkError(await posting.token({ grant_type: 'refresh_token', refresh_token: 'x', client_secret }), 401, 'invalid_client');
      }
    }],
    [33, 'no secret', async () => {
      const login = await confidential.code(person);
      checkError(await confidential.exchange(login), 401, 'invalid_client');
    }],
    [33, 'an unknown client', async () => checkError(await client.refresh('x', { client_id: 'nobody' }), 401, 'invalid_client')],
    [34, 'two ways to authenticate', async () => {
      const login = await confidential.code(person);
      const both = { grant_type: 'authorization_code', code: login.code, redirect_uri: login.redirectUri, code_verifier: login.verifier, client_secret: secret };
      checkError(await confidential.token(both, { headers: basic(confidential.clientId, secret) }), 400, 'invalid_request');
    }],
    [34, 'the registered way works', async () => {
      const login = await confidential.code(person);
      const fields = { grant_type: 'authorization_code', code: login.code, redirect_uri: login.redirectUri, code_verifier: login.verifier, client_id: undefined };
      const answer = await confidential.token(fields, { headers: basic(confidential.clientId, secret) });
      assert.equal(answer.status, 200, answer.text);
      assert.match(answer.headers['cache-control'] ?? '', /no-store/);
    }],
    [35, 'a refresh token after its successor was used ends the family', async () => {
      const { tokens: first } = await client.login(person);
      const second = (await client.refresh(first.refresh_token)).json;
      const third = (await client.refresh(second.refresh_token)).json;
      await alive(third.access_token);
      checkError(await client.refresh(first.refresh_token), 400, 'invalid_grant');
      checkError(await client.refresh(third.refresh_token), 400, 'invalid_grant');
      await dead(third.access_token);
    }],
    [36, 'two refreshes at once are one family', async () => {
      const { tokens } = await client.login(person);
      const answers = await Promise.all([1, 2].map(() => client.refresh(tokens.refresh_token)));
      assert.deepEqual(answers.map((answer) => answer.status), [200, 200]);
      assert.equal(answers[0].json.refresh_token, answers[1].json.refresh_token);
      for (const answer of answers) await alive(answer.json.access_token);
    }],
    [37, 'refresh with a wider scope', async () => {
      const { tokens } = await client.login(person);
      assert.equal(tokens.scope, 'mcp');
      checkError(await client.refresh(tokens.refresh_token, { scope: 'mcp mcp:write' }), 400, 'invalid_scope');
    }],
    [37, 'refresh with a narrower scope, and with offline_access', async () => {
      const writer = new OAuthClient(w.gateway.url, { resource: `${w.gateway.url}/other` });
      const { tokens } = await writer.login(person, { scope: 'mcp mcp:write' });
      assert.deepEqual(tokens.scope.split(' ').sort(), ['mcp', 'mcp:write']);
      const narrow = await writer.refresh(tokens.refresh_token, { scope: 'mcp' });
      assert.equal(narrow.status, 200, narrow.text);
      assert.equal(narrow.json.scope, 'mcp');
      const offline = await writer.refresh(narrow.json.refresh_token, { scope: 'mcp offline_access' });
      assert.equal(offline.status, 200, offline.text);
    }],
    [38, 'another client’s refresh token', async () => {
      const { tokens } = await client.login(person);
      checkError(await other.refresh(tokens.refresh_token), 400, 'invalid_grant');
      assert.equal((await client.refresh(tokens.refresh_token)).status, 200, 'which goes on working for its own client');
    }],
    ...['password', 'implicit', 'urn:x', 'refresh_token '].map((type) => [39, `grant_type ${JSON.stringify(type)}`, async () =>
      checkError(await client.token({ grant_type: type, username: 'a', password: 'b' }), 400, 'unsupported_grant_type')]),
    [39, 'no grant_type', async () => checkError(await client.token({}), 400, 'invalid_request')],
    [39, 'two grant_types', async () => checkError(await client.token({ grant_type: ['refresh_token', 'refresh_token'], refresh_token: 'x' }), 400, 'invalid_request')],
    [40, 'GET', async () => checkError(await request('GET', `${w.gateway.url}/token?grant_type=refresh_token&refresh_token=x`), 405)],
    [40, 'a JSON body', async () => {
      const login = await client.code(person);
      const json = { grant_type: 'authorization_code', client_id: client.clientId, code: login.code, redirect_uri: login.redirectUri, code_verifier: login.verifier };
      checkError(await request('POST', `${w.gateway.url}/token`, { json }), [400, 415]);
    }],
    [40, 'parameters in the query', async () => {
      const login = await client.code(person);
      const query = new URLSearchParams({ grant_type: 'authorization_code', client_id: client.clientId, code: login.code, redirect_uri: login.redirectUri, code_verifier: login.verifier });
      checkError(await request('POST', `${w.gateway.url}/token?${query}`, { form: {} }), [400, 401]);
    }],
  ]);
});
