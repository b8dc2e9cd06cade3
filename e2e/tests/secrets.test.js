// After a whole life of a login, no secret is in the store or the log.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { describe, test } from 'node:test';
import { Sdk1Client } from '../lib/client_sdk1.js';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { parseForms } from '../lib/forms.js';
import { USERS } from '../lib/upstream.js';
import { useWorld } from '../lib/world.js';

for (const store of ['file', 'redis']) {
  describe(`store ${store}`, () => {
    const w = useWorld({ store, name: `secrets-${store}`, env: { RUST_LOG: 'debug' } });

    test('no secret is stored or logged', async () => {
      const person = new Person();
      const secrets = new Map(); // secret → what it is
      const add = (what, ...values) => values.filter(Boolean).forEach((value) => secrets.set(value, what));

      const sdk = new Sdk1Client({ mcpUrl: w.mcpUrl, visit: (url, redirectUri) => person.visit(url, redirectUri) });
      await sdk.connect();
      await sdk.whoami();
      await sdk.expire();
      await sdk.whoami();
      add('SDK client', ...sdk.secrets());
      add('client state', ...sdk.credentials.states);
      await sdk.close();

      const confidential = await confidentialLogin(w, person, add);
      await liveAndDie(w, person, confidential, add);
      add('upstream', ...w.upstream.secrets());
      addFromPages(w, person, add);

      const stored = await dump(w, store);
      assert.ok(secrets.size >= 25, `only ${secrets.size} secrets collected`);
      for (const [place, data] of [['store', stored], ['log', Buffer.from(w.gateway.log())]]) {
        for (const [secret, what] of secrets) {
          for (const form of forms(secret)) assert.ok(!data.includes(form), `${what} in the ${place}: ${secret} as ${form.toString('latin1')}`);
        }
      }
      // The search can find things: what is no secret is there.
      const known = [USERS.ada.sub, confidential.clientId, sdk.credentials.client.client_id];
      assert.ok(known.some((one) => stored.includes(one)), 'the search finds a subject or client_id in the store');
      assert.ok(known.some((one) => w.gateway.log().includes(one)), 'the search finds a subject or client_id in the log');
    });
  });
}

/** A client with a secret of its own: login and two refreshes, the second with the first token again. */
async function confidentialLogin(w, person, add) {
  const client = new OAuthClient(w.gateway.url);
  const registered = await client.register({ token_endpoint_auth_method: 'client_secret_post' });
  assert.equal(registered.status, 201, registered.text);
  const { client_secret: secret } = client.registration;
  const login = await client.code(person);
  const first = (await client.exchange(login, { client_secret: secret })).json;
  const second = (await client.refresh(first.refresh_token, { client_secret: secret })).json;
  const again = (await client.refresh(first.refresh_token, { client_secret: secret })).json;
  assert.equal((await client.mcp(again.access_token)).status, 200);
  add('client secret', secret);
  add('code', login.code);
  add('verifier', login.verifier);
  add('client state', login.state);
  for (const set of [first, second, again]) add('token', set.access_token, set.refresh_token);
  return client;
}

/** What goes wrong is logged too: wrong verifier, wrong secret, replays, a token revoked. */
async function liveAndDie(w, person, client, add) {
  const { client_secret: secret } = client.registration;
  const refused = await client.code(person);
  await client.exchange(refused, { client_secret: secret, code_verifier: refused.verifier.replace(/^./, '_') });
  await client.exchange(refused, { client_secret: `${secret}x` });
  add('refused code', refused.code);
  add('refused verifier', refused.verifier);

  const login = await client.code(person);
  const tokens = (await client.exchange(login, { client_secret: secret })).json;
  await client.exchange(login, { client_secret: secret }); // replay: ends the grant
  await client.refresh(tokens.refresh_token, { client_secret: secret });
  await client.mcp(tokens.access_token);
  await client.mcp(undefined, undefined, { url: `${w.mcpUrl}?access_token=${tokens.access_token}` });
  add('replayed code', login.code);
  add('replayed verifier', login.verifier);
  add('ended token', tokens.access_token, tokens.refresh_token);
}

/** Upstream states, consent tokens and cookies that the browser was given. */
function addFromPages(w, person, add) {
  add('upstream state', ...w.upstream.seen.authorize.map((one) => one.state));
  add('upstream nonce', ...w.upstream.seen.authorize.map((one) => one.nonce));
  for (const answer of person.trail.filter((one) => one.url.startsWith(w.gateway.url))) {
    for (const form of parseForms(answer.text)) add('consent token', form.hidden.consent_token);
    for (const line of answer.headers['set-cookie'] ?? []) {
      const value = line.slice(line.indexOf('=') + 1).split(';')[0];
      if (value.length >= 16) add(`cookie ${line.split('=')[0]}`, value);
    }
  }
}

/** How a secret could be written down: whole, its secret end, percent-encoded, as hex or base64 of it, as its raw bytes. */
function forms(secret) {
  const end = secret.slice(-20);
  const text = [secret, end, encodeURIComponent(end), Buffer.from(end).toString('hex'), Buffer.from(secret).toString('base64').slice(0, -4)];
  // One of four starts is where a group of base64 characters begins.
  const raw = [21, 22, 23, 24].map((length) => Buffer.from(secret.slice(-length), 'base64url').subarray(0, -1));
  return [...text.map((form) => Buffer.from(form)), ...raw].filter((form) => form.length >= 12);
}

/** Everything the store has, with the gateway stopped where it holds a file. */
async function dump(w, store) {
  if (store === 'redis') return w.redis.dump();
  await w.gateway.drain();
  const names = (await readdir(w.gateway.dir)).filter((name) => name.startsWith('store'));
  assert.ok(names.length > 0, 'a store file');
  return Buffer.concat(await Promise.all(names.map((name) => readFile(path.join(w.gateway.dir, name)))));
}
