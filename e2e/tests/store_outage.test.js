// An outage of the store is an outage, not a logout.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { request } from '../lib/http.js';
import { OAuthClient, resultOf } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { ready } from '../lib/process.js';
import { USERS } from '../lib/upstream.js';
import { useWorld } from '../lib/world.js';

describe('Redis goes away and comes back', () => {
  const w = useWorld({ store: 'redis', name: 'store-outage' });

  test('503 with Retry-After, then the same tokens work', async () => {
    const client = new OAuthClient(w.gateway.url);
    const used = (await client.login(new Person())).tokens;
    assert.equal((await client.mcp(used.access_token)).status, 200);
    const unused = (await client.login(new Person())).tokens; // never presented: in no cache

    await w.redis.kill();
    checkOutage('/token', await client.refresh(used.refresh_token));
    checkOutage('/mcp', await client.mcp(unused.access_token));
    checkOutage('/register', await new OAuthClient(w.gateway.url).register());
    checkOutage('/revoke', await request('POST', `${w.gateway.url}/revoke`, { form: { token: used.refresh_token, client_id: client.clientId } }));
    const cached = await client.mcp(used.access_token);
    assert.ok([200, 503].includes(cached.status), `a token seen a moment ago: ${cached.status} ${cached.text}`);
    assert.equal((await request('GET', `${w.gateway.url}/readyz`)).status, 503);
    assert.equal((await request('GET', `${w.gateway.url}/healthz`)).status, 200, 'alive all the same');
    const page = await new Person().go(client.authorization().url);
    assert.equal(page.page.status, 503, 'a person sees a page that says so');

    await w.redis.restart();
    await ready(w.gateway.process, 'the gateway after the outage', async () => (
      (await request('GET', `${w.gateway.url}/readyz`)).status === 200));
    for (const tokens of [used, unused]) {
      const called = await client.mcp(tokens.access_token);
      assert.equal(called.status, 200, called.text);
      assert.equal(JSON.parse(resultOf(called)).user, USERS.ada.sub);
      const refreshed = await client.refresh(tokens.refresh_token);
      assert.equal(refreshed.status, 200, refreshed.text);
    }
  });
});

function checkOutage(where, answer) {
  assert.equal(answer.status, 503, `${where}: ${answer.status} ${answer.text}`);
  assert.match(answer.headers['retry-after'] ?? '', /^\d+$/, `${where}: Retry-After`);
  assert.equal(answer.headers['www-authenticate'], undefined, `${where}: no challenge`);
}
