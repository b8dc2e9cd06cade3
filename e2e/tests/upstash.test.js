// Upstash: its own client finds in the front what it expects of Upstash, the gateway runs on it, and the client reads
// what the gateway wrote.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Redis } from '@upstash/redis';
import { startGateway } from '../lib/gateway.js';
import { request } from '../lib/http.js';
import { OAuthClient, resultOf } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { startRedis } from '../lib/redis.js';
import { startUpstash } from '../lib/upstash.js';
import { USERS } from '../lib/upstream.js';
import { useWorld } from '../lib/world.js';

const clientOf = (upstash, more = {}) => new Redis({
  url: upstash.restUrl, token: upstash.token, enableTelemetry: false, retry: false, ...more,
});

describe('the official client and the front', () => {
  let redis;
  let upstash;
  let client;
  before(async () => {
    redis = await startRedis();
    upstash = await startUpstash(redis.port);
    client = clientOf(upstash);
  });
  after(async () => {
    await upstash?.stop();
    await redis?.stop();
  });

  test('values, ends and what is not there', async () => {
    assert.equal(await client.ping(), 'PONG');
    assert.equal(await client.set('k', 'value', { px: 60_000 }), 'OK');
    assert.equal(await client.get('k'), 'value');
    const left = await client.pttl('k');
    assert.ok(left > 0 && left <= 60_000, `${left}`);
    assert.equal(await client.exists('k', 'nothing'), 1);
    assert.equal(await client.getdel('k'), 'value');
    assert.equal(await client.get('k'), null);
    assert.equal(await client.set('k', { an: ['object', 1] }), 'OK');
    assert.deepEqual(await client.get('k'), { an: ['object', 1] });
    assert.equal(await client.dbsize(), 1);
    assert.equal(await client.del('k'), 1);
  });

  test('scripts, by text and by hash', async () => {
    assert.equal(await client.eval('return ARGV[1]', [], ['hello']), 'hello');
    assert.deepEqual(await client.eval("return {KEYS[1], {'a', 2}, false}", ['k'], []), ['k', ['a', 2], null]);
    await assert.rejects(client.evalsha('0'.repeat(40), [], []), /NOSCRIPT/);
    const hash = await client.scriptLoad("redis.call('SET', KEYS[1], ARGV[1]) return 7");
    assert.equal(await client.evalsha(hash, ['scripted'], ['x']), 7);
    assert.equal(await client.get('scripted'), 'x');
  });

  test('pipelines and transactions', async () => {
    const answers = await client.pipeline().set('p', 1).incr('p').get('p').exec();
    assert.deepEqual(answers, ['OK', 2, 2]);
    await client.set('text', 'no number');
    const kept = await client.pipeline().incr('text').get('p').exec({ keepErrors: true });
    assert.match(kept[0].error, /not an integer/);
    assert.equal(kept[1].result, 2);
    assert.deepEqual(await client.multi().incr('p').incr('p').exec(), [3, 4]);
    await assert.rejects(client.multi().incr('text').get('p').exec(), /not an integer/);
  });

  test('scanning', async () => {
    for (let n = 0; n < 40; n += 1) await client.set(`scan:${n}`, 'x');
    const found = new Set();
    let cursor = '0';
    do {
      const [next, names] = await client.scan(cursor, { match: 'scan:*', count: 10 });
      names.forEach((name) => found.add(name));
      cursor = next;
    } while (cursor !== '0');
    assert.equal(found.size, 40);
  });

  test('bytes that are no text come as base64 or as U+FFFD', async () => {
    await redis.command('SET', 'binary', Buffer.from([0, 255, 65]));
    const raw = async (headers) => (await request('POST', upstash.restUrl, {
      json: ['GET', 'binary'], headers: { authorization: `Bearer ${upstash.token}`, ...headers },
    })).json;
    assert.deepEqual(await raw({ 'upstash-encoding': 'base64' }), { result: 'AP9B' });
    assert.deepEqual(await raw({}), { result: '\u0000\uFFFDA' });
    assert.equal(await clientOf(upstash, { responseEncoding: false }).get('scripted'), 'x');
  });

  test('commands in the path', async () => {
    const authorization = `Bearer ${upstash.token}`;
    const get = async (path, headers = { authorization }) => request('GET', `${upstash.restUrl}${path}`, { headers });
    assert.deepEqual((await get('/set/path/a%2Fb?EX=100')).json, { result: 'OK' });
    assert.deepEqual((await get('/get/path')).json, { result: 'a/b' });
    assert.deepEqual((await get(`/get/path?_token=${encodeURIComponent(upstash.token)}`, {})).json, { result: 'a/b' });
  });

  test('errors are 400, or 401 for whoever has no token, on every path', async () => {
    await assert.rejects(client.incr('text'), /not an integer/);
    await assert.rejects(clientOf(upstash, { token: 'wrong' }).get('k'), /WRONGPASS invalid or missing auth token/);
    for (const path of ['/', '/pipeline', '/multi-exec', '/get/k']) {
      const answer = await request('POST', `${upstash.restUrl}${path}`, { json: [['GET', 'k']] });
      assert.equal(answer.status, 401, path);
      assert.equal(typeof answer.json.error, 'string');
    }
    const answer = await request('POST', upstash.restUrl, {
      json: ['GET'], headers: { authorization: `Bearer ${upstash.token}` },
    });
    assert.equal(answer.status, 400);
    assert.match(answer.json.error, /^ERR wrong number of arguments/);
  });
});

describe('the gateway on Upstash', () => {
  const w = useWorld({ store: 'upstash', name: 'upstash' });

  test('a login, a call, a refresh, and the end; the official client sees it', async () => {
    const upstash = clientOf(w.upstash);
    const grants = async () => {
      const [cursor, names] = await upstash.scan('0', { match: 'mcp-login:grant:*', count: 1000 });
      assert.equal(cursor, '0');
      return names;
    };
    assert.deepEqual(await grants(), []);
    const client = new OAuthClient(w.gateway.url);
    const { tokens } = await client.login(new Person());
    const called = await client.mcp(tokens.access_token);
    assert.equal(called.status, 200, called.text);
    assert.equal(JSON.parse(resultOf(called)).user, USERS.ada.sub);

    const [grant, ...others] = await grants();
    assert.deepEqual(others, []);
    assert.equal(await upstash.exists(grant), 1);
    assert.ok(await upstash.pttl(grant) > 24 * 60 * 60 * 1000, 'it ends, but not today');
    const stored = await w.redis.command('GET', grant);
    assert.equal(stored.readBigUInt64BE(0) > 1n, true, 'a version');
    assert.equal(JSON.parse(stored.subarray(16)).stage, 'active');
    assert.ok(!stored.includes(tokens.access_token) && !stored.includes(tokens.refresh_token));

    const refreshed = await client.refresh(tokens.refresh_token);
    assert.equal(refreshed.status, 200, refreshed.text);
    assert.equal((await client.mcp(refreshed.json.access_token)).status, 200);
    const form = { token: refreshed.json.refresh_token, client_id: client.clientId };
    assert.equal((await request('POST', `${w.gateway.url}/revoke`, { form })).status, 200);
    assert.equal((await client.mcp(refreshed.json.access_token)).status, 401);
    assert.ok(!w.gateway.log().includes(w.upstash.token), 'the token is in no log');
  });

  test('the variables of a hosting platform are enough', async () => {
    const clients = async () => {
      const [cursor, names] = await clientOf(w.upstash).scan('0', { match: 'mcp-login:client:*', count: 1000 });
      assert.equal(cursor, '0');
      return names.length;
    };
    const gateway = await startGateway({
      store: null,
      upstream: w.upstream.settings,
      resources: [{ path: '/mcp', backend: w.backend.url }],
      env: { UPSTASH_REDIS_REST_URL: w.upstash.restUrl, UPSTASH_REDIS_REST_TOKEN: w.upstash.token },
      name: 'upstash-variables',
    });
    try {
      const known = await clients();
      assert.equal((await new OAuthClient(gateway.url).register()).status, 201);
      assert.equal(await clients(), known + 1);
    } finally {
      await gateway.stop();
    }
  });

  test('when it is away, that is no logout', async () => {
    const client = new OAuthClient(w.gateway.url);
    const { tokens } = await client.login(new Person());
    await w.upstash.stop();
    for (const answer of [
      await client.mcp(tokens.access_token),
      await client.refresh(tokens.refresh_token),
      await new OAuthClient(w.gateway.url).register(),
      await request('GET', `${w.gateway.url}/readyz`),
    ]) {
      assert.equal(answer.status, 503, answer.text);
    }
    assert.match(w.gateway.log(), /Upstash cannot be reached/);
    assert.ok(!w.gateway.log().includes(w.upstash.token), 'the token is in no log');
  });
});
