// Many at once: one code has one winner, and a client that refreshes twice is not logged out.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OAuthClient, resultOf } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { USERS } from '../lib/upstream.js';
import { STORES, useWorld } from '../lib/world.js';

const times = (count, make) => Promise.all(Array.from({ length: count }, make));

for (const store of STORES) {
  describe(`store ${store}`, () => {
    const w = useWorld({ store, name: `races-${store}` });

    test('fifty exchanges of one code have one winner', async () => {
      const client = new OAuthClient(w.gateway.url);
      assert.equal((await client.register()).status, 201);
      const login = await client.code(new Person());
      const answers = await times(50, () => client.exchange(login));
      const won = answers.filter((answer) => answer.status === 200);
      assert.equal(won.length, 1, answers.map((answer) => answer.status).join());
      for (const answer of answers.filter((one) => one.status !== 200)) {
        assert.equal(answer.status, 400, answer.text);
        assert.equal(answer.json.error, 'invalid_grant');
      }
    });

    test('ten refreshes of one token are ten answers whose tokens all work', async () => {
      const client = new OAuthClient(w.gateway.url);
      const { tokens } = await client.login(new Person());
      const answers = await times(10, () => client.refresh(tokens.refresh_token));
      assert.deepEqual(answers.map((answer) => answer.status), Array(10).fill(200), answers.map((answer) => answer.text).join('\n'));
      const successors = new Set(answers.map((answer) => answer.json.refresh_token));
      assert.equal(successors.size, 1, 'the same successor, no sibling families');
      for (const answer of answers) {
        const called = await client.mcp(answer.json.access_token);
        assert.equal(called.status, 200, called.text);
        assert.equal(JSON.parse(resultOf(called)).user, USERS.ada.sub);
      }
      const [next] = successors;
      assert.equal((await client.refresh(next)).status, 200, 'the login goes on');
    });

    test('twenty logins at once do not mix', async () => {
      const logins = await times(20, async (_, index) => {
        const user = index % 2 ? 'alan' : 'ada';
        const client = new OAuthClient(w.gateway.url);
        const { tokens } = await client.login(new Person({ user }));
        const seen = JSON.parse(resultOf(await client.mcp(tokens.access_token)));
        return { right: seen.user === USERS[user].sub && seen.client === client.clientId, seen };
      });
      assert.deepEqual(logins.filter((login) => !login.right), []);
    });
  });
}
