// What `[limits]` of the file does: how large a body may be, and how much one person may ask for at once.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { open } from '../lib/http.js';
import { bearer, call, OAuthClient, resultOf } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

describe('the limits of the file', () => {
  const w = useWorld({
    name: 'limits',
    resources: [{ path: '/mcp', auth: 'required' }, { path: '/large', auth: 'required', max_body: '8KiB' }],
    extra: '[limits]\nmax_body = "4KiB"\nmax_requests_per_user = 2\n',
  });

  async function loggedIn(user, path = '/mcp') {
    const client = new OAuthClient(w.gateway.url, { resource: `${w.gateway.url}${path}` });
    const { tokens: { access_token: token } } = await client.login(new Person({ user }));
    return { token, send: (message) => client.mcp(token, message) };
  }

  test('bound bodies, at one server otherwise than at the others', async () => {
    const add = (length) => call('add', { a: 1, b: 2, padding: 'x'.repeat(length) });
    for (const [path, fits, exceeds] of [['/mcp', 3 * 1024, 5 * 1024], ['/large', 7 * 1024, 9 * 1024]]) {
      const { send } = await loggedIn('ada', path);
      assert.equal(resultOf(await send(add(fits))), '3');
      const before = w.backend.requests.length;
      const refused = await send(add(exceeds));
      assert.equal(refused.status, 413, refused.text);
      assert.equal(w.backend.requests.length, before, 'it did not reach the backend');
    }
  });

  test('leave room for others, whatever one person asks for', async () => {
    const [ada, alan] = [await loggedIn('ada'), await loggedIn('alan')];
    const waiting = [];
    for (let n = 0; n < 2; n += 1) {
      const asked = await open('POST', w.mcpUrl, { headers: bearer(ada.token), json: call('ticks', { count: 1 }) });
      assert.equal(asked.status, 200);
      waiting.push(asked);
    }
    const refused = await ada.send(call('whoami'));
    assert.equal(refused.status, 429, refused.text);
    assert.ok(Number(refused.headers['retry-after']) > 0);
    assert.equal((await alan.send(call('whoami'))).status, 200);
    const before = w.backend.aborted();
    waiting[0].abort();
    await w.backend.abortedAfter(before);
    assert.equal((await ada.send(call('whoami'))).status, 200, 'as soon as one has ended');
    waiting[1].abort();
    await w.backend.abortedAfter(before + 1);
  });
});
