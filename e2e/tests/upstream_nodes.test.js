// Three gateways on one Redis before an OpenID provider that rotates: a refresh token that comes twice ends the login there.
// The forwarder on the way to its token endpoint makes refreshes slow, and says whether the provider got one.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { startBackend } from '../lib/backend.js';
import { shorten, startForwarder } from '../lib/forwarder.js';
import { startGateway } from '../lib/gateway.js';
import { bearer, call, OAuthClient, resultOf } from '../lib/oauth.js';
import { request } from '../lib/http.js';
import { Person } from '../lib/person.js';
import { startRecorder } from '../lib/recorder.js';
import { startRedis } from '../lib/redis.js';
import { USERS, startUpstream } from '../lib/upstream.js';
import { ACCESS_TOKEN_HEADER, together, use } from '../lib/world.js';

const CALLS = 100;
/** How long a refresh is on the way, at least, where all calls have to come in the meantime. */
const SLOW = 500;
/** How long others wait for a node that has died: the lease, and some time for their own refresh. */
const LEASE = 10_000;
const PATIENCE = LEASE + 2_000;

/** The public URL leads to the first node. */
const startNodes = () => together(async (add) => {
  const recorder = await add(startRecorder());
  const upstream = await add(startUpstream({ callback: `${recorder.url}/callback` }));
  const forwarder = await add(startForwarder(upstream.issuer));
  const [backend, redis] = [await add(startBackend()), await add(startRedis())];
  const nodes = [];
  for (const name of ['one', 'two', 'three']) {
    nodes.push(await add(startGateway({
      publicUrl: recorder.url,
      store: redis.url,
      upstream: { ...upstream.settings, token_endpoint: `${forwarder.url}/token` },
      resources: [{ path: '/mcp', backend: backend.url, headers: ACCESS_TOKEN_HEADER }],
      name: `upstream-nodes-${name}`,
    })));
  }
  recorder.forward(nodes[0].port);
  return { url: recorder.url, upstream, forwarder, nodes };
});

/** Ada's login, whose upstream access token has ended: the next call refreshes. */
async function logIn(w) {
  delete w.forwarder.hooks.asked;
  shorten(w.forwarder);
  const client = new OAuthClient(w.url);
  const { tokens } = await client.login(new Person());
  delete w.forwarder.hooks.answered;
  return { client, tokens, upstream: w.forwarder.codes().at(-1).json };
}

const callAt = (node, tokens) => request('POST', `http://127.0.0.1:${node.port}/mcp`, {
  json: call('whoami'), headers: bearer(tokens.access_token), timeout: 2 * LEASE,
});

/** The upstream token that the backend got. */
function tokenOf(answer) {
  assert.equal(answer.status, 200, answer.text);
  const { user, headers } = JSON.parse(resultOf(answer));
  assert.equal(user, USERS.ada.sub);
  return headers['x-forwarded-access-token'];
}

describe('three gateways on one Redis', () => {
  const w = use(startNodes);

  test(`${CALLS} calls at once with an upstream token that has ended are one refresh`, async () => {
    const { tokens, upstream } = await logIn(w);
    const before = w.upstream.refreshes();
    w.forwarder.hooks.asked = () => pause(SLOW);
    const answers = await Promise.all(Array.from({ length: CALLS }, (_, index) => callAt(w.nodes[index % w.nodes.length], tokens)));
    delete w.forwarder.hooks.asked;

    const given = new Set(answers.map(tokenOf));
    assert.equal(w.upstream.refreshes() - before, 1);
    const refresh = w.forwarder.refreshes().at(-1);
    assert.equal(refresh.form.refresh_token, upstream.refresh_token);
    assert.deepEqual([...given], [refresh.json.access_token]);
    assert.deepEqual([w.upstream.seen.refused.length, w.upstream.revoked()], [0, 0]);
    assert.ok(await w.upstream.accepts(refresh.json.access_token));
  });
});

/** A call at the second node, which is killed in the middle of the refresh, and one at the third, which waits for it. */
async function killTheRefreshing(w, tokens, midway) {
  const first = callAt(w.nodes[1], tokens).catch(() => undefined);
  const refresh = await midway;
  const second = callAt(w.nodes[2], tokens);
  await pause(SLOW);
  assert.equal(w.forwarder.refreshes().at(-1), refresh, 'the third node waits');
  w.forwarder.hooks.asked = undefined;
  w.forwarder.hooks.answered = undefined;
  const killed = performance.now();
  await w.nodes[1].kill();
  assert.equal(await first, undefined);
  const answer = await second;
  return { answer, waited: performance.now() - killed };
}

describe('the gateway that refreshes is killed', () => {
  const w = use(startNodes);

  test('before the provider got the request: another goes on, and no refresh token comes twice', async (t) => {
    const { tokens, upstream } = await logIn(w);
    w.forwarder.hooks.asked = (exchange) => exchange.closed;
    const { answer, waited } = await killTheRefreshing(w, tokens, w.forwarder.next('asked'));
    t.diagnostic(`went on ${Math.round(waited)} ms after the kill`);
    assert.ok(waited < PATIENCE, `${waited} ms`);

    const [lost, refresh] = w.forwarder.refreshes().slice(-2);
    assert.deepEqual([lost.status, lost.form.refresh_token], [undefined, upstream.refresh_token]);
    assert.equal(refresh.form.refresh_token, upstream.refresh_token);
    assert.equal(tokenOf(answer), refresh.json.access_token);
    assert.equal(w.upstream.refreshes(), 1);
    assert.deepEqual([w.upstream.seen.refused.length, w.upstream.revoked()], [0, 0]);

    await w.nodes[1].restart('SIGKILL');
    assert.equal(tokenOf(await callAt(w.nodes[1], tokens)), refresh.json.access_token, 'it comes back to the same login');
  });

  test('after it: the login is over, says so, and the next one is good', async (t) => {
    const { client, tokens } = await logIn(w);
    const before = w.upstream.refreshes();
    // The provider has answered; the gateway does not get to read it.
    const answered = new Promise((resolve) => {
      w.forwarder.hooks.answered = (exchange) => {
        resolve(exchange);
        return exchange.closed;
      };
    });
    const { answer, waited } = await killTheRefreshing(w, tokens, answered);
    t.diagnostic(`was told ${Math.round(waited)} ms after the kill`);
    assert.ok(waited < PATIENCE, `${waited} ms`);

    const { status } = await answered;
    assert.equal(status, 200);
    assert.equal(w.upstream.refreshes() - before, 1);
    assert.equal(w.upstream.seen.refused.at(-1).refresh_token, w.forwarder.refreshes().at(-1).form.refresh_token);
    assert.equal(w.upstream.revoked(), 1, 'a token that came twice');
    assert.equal(answer.status, 401, answer.text);
    assert.match(answer.headers['www-authenticate'], /^Bearer .*error="invalid_token"/);
    const asked = w.forwarder.refreshes().length;
    assert.equal((await callAt(w.nodes[0], tokens)).status, 401, 'at every node');
    assert.equal(w.forwarder.refreshes().length, asked, 'without asking again');
    assert.equal((await client.refresh(tokens.refresh_token)).json.error, 'invalid_grant');

    const again = await client.login(new Person());
    await w.nodes[1].restart('SIGKILL');
    for (const node of w.nodes) assert.ok(await w.upstream.accepts(tokenOf(await callAt(node, again.tokens))));
  });
});
