// Whole flows as bytes, and every byte, parameter, header and JSON member of them changed, doubled and dropped: the
// answer is a refusal, or right for what was sent. Never a 5xx, never a hang, never a token for a changed secret.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { mutations, Wire } from '../lib/mutate.js';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { PUBLIC, recordedFlows } from '../lib/recorded.js';
import { USERS } from '../lib/upstream.js';
import { useWorld } from '../lib/world.js';

const LANES = 6; // connections, each with logins of its own
const PROOF = 100; // after so many refusals the unchanged request has to work

describe('mutated flows', () => {
  const w = useWorld({ resources: [{ path: '/mcp', auth: 'required' }, { path: '/lazy', auth: 'lazy' }], name: 'mutation' });
  const counts = new Map(); // kind of change → how many were sent
  const outcomes = new Map(); // recorded request → { refused, taken, spent }
  const clients = {}; // 'plain' without a secret, 'confidential' with one
  const flows = recordedFlows(w, clients);
  let lanes, pid;

  before(async () => {
    pid = w.gateway.process.pid;
    for (const [name, method] of [['plain', 'none'], ['confidential', 'client_secret_basic']]) {
      clients[name] = new OAuthClient(w.gateway.url);
      assert.equal((await clients[name].register({ token_endpoint_auth_method: method })).status, 201);
    }
    lanes = Array.from({ length: LANES }, () => ({ wire: new Wire(w.gateway.port), person: new Person() }));
  });
  after(() => lanes?.forEach((lane) => lane.wire.close()));

  async function judged(recorded, state, sent, answer, mutation, wire) {
    try {
      assert.ok(answer.status !== 0, 'closed without an answer');
      assert.ok(answer.status < 500, 'the server is at fault');
      return await recorded.judge(state, sent, answer, wire);
    } catch (error) {
      const shown = JSON.stringify({ ...sent, headers: sent.headers.map((pair) => pair.join(': ')) });
      throw new assert.AssertionError({
        message: `${recorded.name}, ${mutation.what}: ${error.message}\nsent ${shown.slice(0, 1500)}\nanswer ${answer.status} ${answer.headers.location ?? ''} ${answer.text.slice(0, 500)}`,
      });
    }
  }

  /** The request as it was recorded works, after all that was refused. */
  async function prove(recorded, state, lane) {
    const sent = recorded.build(state);
    const answer = await lane.wire.send(sent);
    const works = recorded.works ?? ((one) => one.status < 400 && !/[?&]error=/.test(one.headers.location ?? ''));
    assert.ok(works(answer), `${recorded.name} as it was recorded: ${answer.status} ${answer.headers.location ?? ''} ${answer.text.slice(0, 300)}`);
    return judged(recorded, state, sent, answer, { what: 'unchanged' }, lane.wire);
  }

  /** One lane's share of the changes of one request. */
  async function run(recorded, lane, share, tally) {
    let state = await recorded.fresh(lane);
    let refused = 0;
    for (const mutation of share) {
      const sent = mutation.apply(recorded.build(state));
      if (!sent) continue;
      const outcome = await judged(recorded, state, sent, await lane.wire.send(sent), mutation, lane.wire);
      tally[outcome] += 1;
      counts.set(mutation.kind, (counts.get(mutation.kind) ?? 0) + 1);
      refused += 1;
      if (outcome === 'spent' || (refused % PROOF === 0 && (await prove(recorded, state, lane)) === 'spent')) state = await recorded.fresh(lane);
    }
    await prove(recorded, state, lane);
  }

  for (const recorded of flows) {
    test(recorded.name, async () => {
      const sample = recorded.build(await recorded.fresh(lanes[0]));
      const changes = mutations(sample, recorded);
      const tally = { refused: 0, taken: 0, spent: 0 };
      outcomes.set(recorded.name, tally);
      const began = performance.now();
      const running = lanes.map((lane, at) => run(recorded, lane, changes.filter((_, index) => index % LANES === at), tally));
      // All of them, also when one fails: the next test begins with connections on which nothing is under way.
      const [failed] = (await Promise.allSettled(running)).filter(({ status }) => status === 'rejected');
      if (failed) throw failed.reason;
      tally.seconds = ((performance.now() - began) / 1000).toFixed(1);
      assert.ok(tally.refused > 20, `hardly anything was refused: ${JSON.stringify(tally)}`);
    });
  }

  test('what got through to the backend', () => {
    const { requests } = w.backend;
    assert.ok(requests.length > 1000, `${requests.length}`);
    for (const { headers, rpc: methods } of requests) {
      assert.equal(headers.authorization, undefined, 'no token of ours gets there');
      const user = headers['x-forwarded-user'];
      assert.ok(user === USERS.ada.sub || (user === undefined && methods?.length === 1 && PUBLIC.includes(methods[0])), JSON.stringify({ user, methods }));
    }
  });

  test('the whole flow still works, in the same process', async () => {
    const { tokens: given } = await new OAuthClient(w.gateway.url).login(new Person());
    assert.equal((await clients.plain.mcp(given.access_token)).status, 200);
    assert.ok(w.gateway.running() && w.gateway.process.pid === pid);
    assert.doesNotMatch(w.gateway.log(), /panicked/);
  });

  test('a wrong answer would have been noticed', async () => {
    const lane = lanes[0];
    const none = { what: 'nothing' };
    const answer = (status, body = '', headers = {}) => Object.defineProperty({ status, headers, text: body }, 'json', { get: () => JSON.parse(body) });
    for (const recorded of flows) {
      const state = await recorded.fresh(lane);
      for (const status of [0, 500, 503, 204, 302]) {
        await assert.rejects(judged(recorded, state, recorded.build(state), answer(status), none, lane.wire), `${recorded.name} ${status}`);
      }
    }
    const body = JSON.stringify({ access_token: 'a', token_type: 'Bearer', scope: 'mcp', refresh_token: 'r' });
    const exchange = flows.find(({ name }) => name === 'POST /token, code');
    const state = await exchange.fresh(lane);
    const right = answer(200, body, { 'cache-control': 'no-store' });
    assert.equal(await judged(exchange, state, exchange.build(state), right, none), 'spent');
    for (const name of ['code', 'code_verifier', 'client_id', 'redirect_uri', 'resource', 'grant_type']) {
      const changed = mutations(exchange.build(state)).find(({ what }) => what === `form ${name} longer`);
      await assert.rejects(judged(exchange, state, changed.apply(exchange.build(state)), right, changed), name);
    }
    const silent = net.createServer(() => {}).listen(0, '127.0.0.1');
    await new Promise((resolve) => silent.once('listening', resolve));
    const wire = new Wire(silent.address().port, { timeout: 100 });
    await assert.rejects(wire.send(exchange.build(state)), /no whole answer within 100 ms/);
    silent.close();
  });

  after(() => {
    const sum = [...counts.values()].reduce((a, b) => a + b, 0);
    console.log(`${sum} mutations were sent`);
    for (const [kind, count] of [...counts].sort()) console.log(`  ${String(count).padStart(6)} ${kind}`);
    for (const [name, { refused, taken, spent, seconds }] of outcomes) {
      console.log(`  ${name}: ${refused} refused, ${taken + spent} answered as they had to be, ${seconds} s`);
    }
  });
});
