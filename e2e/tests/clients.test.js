// Three real SDKs × four stores × eager and lazy, and FastMCP × eager and lazy: log in, call, refresh, call again.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Sdk1Client } from '../lib/client_sdk1.js';
import { Sdk2Client } from '../lib/client_sdk2.js';
import { FastMcpClient, PythonClient } from '../lib/client_python.js';
import { Person } from '../lib/person.js';
import { USERS } from '../lib/upstream.js';
import { STORES, useWorld } from '../lib/world.js';

const SDKS = [Sdk1Client, Sdk2Client, PythonClient];
/** What a client does differs by no store; that every store does what it must is seen with the SDKs. */
const ONCE = [FastMcpClient];

for (const store of STORES) {
  const CLIENTS = store === 'memory' ? [...SDKS, ...ONCE] : SDKS;
  for (const auth of ['required', 'lazy']) {
    describe(`store ${store}, auth ${auth}`, () => {
      const w = useWorld({ store, auth, name: `clients-${store}-${auth}` });

      for (const Client of CLIENTS) {
        test(`${Client.title} logs in, calls, refreshes and calls again`, async (t) => {
          const person = new Person({ user: 'ada' });
          const client = new Client({ mcpUrl: w.mcpUrl, visit: (url, redirectUri) => person.visit(url, redirectUri) });
          t.after(() => client.close());

          await client.connect();
          assert.deepEqual(await client.listTools(), ['add', 'ticks', 'whoami']);
          assert.equal(client.logins, auth === 'lazy' ? 0 : 1, 'lazy discovery needs no login, required does');

          await checkCaller(w, client);
          assert.equal(client.logins, 1, 'one login, inside the first call at the latest');
          assert.equal(client.callback.searchParams.get('iss'), w.gateway.url, 'RFC 9207');

          const before = await client.tokens();
          await client.expire();
          await checkCaller(w, client);
          const now = await client.tokens();
          assert.equal(client.logins, 1, 'a refresh, not a login');
          assert.notEqual(now.access_token, before.access_token);
          assert.notEqual(now.refresh_token, before.refresh_token, 'rotated');
        });
      }

      test('the upstream saw our own PKCE, state and nonce, and never the resource', () => {
        assert.equal(w.upstream.seen.authorize.length, CLIENTS.length);
        const challenges = new Set(w.upstream.seen.authorize.map((one) => one.code_challenge));
        assert.equal(challenges.size, CLIENTS.length, 'a fresh challenge for each login');
        for (const parameters of w.upstream.seen.authorize) {
          assert.equal(parameters.code_challenge_method, 'S256');
          assert.match(parameters.code_challenge, /^[\w-]{43}$/);
          assert.ok(parameters.state?.length >= 16, 'state');
          assert.ok(parameters.nonce?.length >= 16, 'nonce');
          assert.ok(!('resource' in parameters), 'resource is ours, not the upstream’s');
          assert.equal(parameters.redirect_uri, `${w.gateway.url}/callback`);
        }
      });
    });
  }
}

async function checkCaller(w, client) {
  const seen = await client.whoami();
  const { headers } = seen;
  assert.equal(seen.user, USERS.ada.sub);
  assert.equal(seen.email, USERS.ada.email);
  assert.equal(seen.client, await client.clientId());
  assert.ok(seen.scope.split(' ').includes('mcp'), seen.scope);
  assert.ok(w.upstream.seen.tokens.has(headers['x-forwarded-access-token']), 'the upstream token of this person');
  assert.equal(headers.authorization, undefined, 'the client’s own token stops at the gateway');
}
