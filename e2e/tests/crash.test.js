// Killed in the middle of its work, again and again: the gateway on the embedded store, or Redis with `appendfsync always`
// under it. What was answered holds, and no code works twice. CRASH_ROUNDS=200 is the long form.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { request } from '../lib/http.js';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { ready } from '../lib/process.js';
import { useWorld } from '../lib/world.js';

const ROUNDS = Number(process.env.CRASH_ROUNDS ?? 6);
const LOGINS = 6;
const CODES = 4;

/** What dies, and comes back. */
const KILLS = [
  ['the gateway, on the embedded store', 'file', (w) => w.gateway.restart('SIGKILL')],
  ['Redis, appendfsync always', 'redis', async (w) => {
    await w.redis.kill();
    await w.redis.restart();
    await ready(w.gateway.process, 'the gateway after the outage', async () => (
      (await request('GET', `${w.gateway.url}/readyz`)).status === 200));
  }],
];

/** An answer; nothing where whoever would have given it has died, or was told that somebody has. */
async function answered(asking) {
  const answer = await asking.catch(() => undefined);
  return answer?.status === 503 ? undefined : answer;
}

for (const [what, store, kill] of KILLS) {
  describe(`killed under load: ${what}`, () => {
    const w = useWorld({ store, name: `crash-${store}` });
    const options = { timeout: 60_000 + ROUNDS * 5_000 };

    test(`${ROUNDS} times: no answered token is lost, no code works twice`, options, async (t) => {
      const count = { refreshes: 0, answered: 0, cut: 0 };
      const logins = await Promise.all(Array.from({ length: LOGINS }, async () => {
        const client = new OAuthClient(w.gateway.url);
        return { client, ...(await client.login(new Person())) };
      }));
      for (let round = 0; round < ROUNDS; round += 1) {
        const codes = await Promise.all(Array.from({ length: CODES }, async () => {
          const client = new OAuthClient(w.gateway.url);
          await client.register();
          return { client, login: await client.code(new Person()) };
        }));
        await underLoad(w, { logins, codes, round, kill, count });
        for (const login of logins) await checkLogin(login);
        for (const code of codes) await checkCode(code, count);
      }
      t.diagnostic(`${ROUNDS} kills, ${count.refreshes} refreshes under load, ${count.answered} codes answered, ${count.cut} cut off`);
    });
  });
}

async function underLoad(w, { logins, codes, round, kill, count }) {
  let dead = false;
  const refreshing = logins.map(async (login) => {
    while (!dead) {
      const answer = await answered(login.client.refresh(login.tokens.refresh_token));
      if (answer === undefined) return;
      assert.equal(answer.status, 200, answer.text);
      login.tokens = answer.json;
      count.refreshes += 1;
    }
  });
  const exchanging = codes.map(async (code, index) => {
    await pause(index * 15);
    code.answer = await answered(code.client.exchange(code.login));
  });
  // Somewhere in the middle, another place each round.
  const enough = count.refreshes + 3 + (round % 7);
  while (count.refreshes < enough) await pause(1);
  await pause((round * 37) % 50);
  dead = true;
  await kill(w);
  await Promise.all([...refreshing, ...exchanging]);
}

/** The tokens that were answered last. An answer that was cut off may have been written: then it is given again. */
async function checkLogin(login) {
  assert.equal((await login.client.mcp(login.tokens.access_token)).status, 200, 'the last access token');
  const next = await login.client.refresh(login.tokens.refresh_token);
  assert.equal(next.status, 200, `the last refresh token: ${next.text}`);
  login.tokens = next.json;
}

/** A code has one answer at most. */
async function checkCode({ client, login, answer }, count) {
  if (answer === undefined) {
    count.cut += 1;
  } else {
    assert.equal(answer.status, 200, answer.text);
    assert.equal((await client.mcp(answer.json.access_token)).status, 200, 'a token that was answered');
    count.answered += 1;
  }
  const again = await client.exchange(login);
  assert.ok(answer === undefined ? [200, 400].includes(again.status) : again.status === 400, again.text);
  if (again.status === 400) assert.equal(again.json.error, 'invalid_grant');
}
