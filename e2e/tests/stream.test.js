// What passes through the gateway: events as they happen, disconnects, big bodies, headers.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { open, request } from '../lib/http.js';
import { bearer, call, OAuthClient, resultOf } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { events } from '../lib/sse.js';
import { USERS } from '../lib/upstream.js';
import { useWorld } from '../lib/world.js';

/** How soon a stream ends at the latest. */
const SOON = 10_000;
const INITIALIZE = {
  jsonrpc: '2.0', id: 1, method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'e2e', version: '1' } },
};

describe('the proxy', () => {
  const w = useWorld({ name: 'stream' });
  let client, token;

  before(async () => {
    client = new OAuthClient(w.gateway.url);
    token = (await client.login(new Person())).tokens.access_token;
  });

  const ticks = (count) => open('POST', w.mcpUrl, {
    headers: bearer(token),
    json: call('ticks', { count }, { _meta: { progressToken: 'p' } }),
  });

  test('passes each event on before the next one exists', async () => {
    const answer = await startTicks(3);
    for (let progress = 1; progress <= 3; progress += 1) {
      assert.equal(answer.feed.pending(), 0, 'nothing before its release');
      await w.backend.release();
      const event = await answer.feed.next();
      assert.equal(event.method, 'notifications/progress');
      assert.equal(event.params.progress, progress);
      if (progress < 3) await w.backend.waiting();
    }
    assert.equal((await answer.feed.next()).result.content[0].text, 'done');
    assert.equal(await answer.feed.next(), undefined, 'the stream ends');
  });

  test('cancels the backend request when the client goes away', async () => {
    const before_ = w.backend.aborted();
    const answer = await startTicks(2);
    await w.backend.release();
    assert.equal((await answer.feed.next()).params.progress, 1);
    await w.backend.waiting();
    answer.abort();
    await w.backend.abortedAfter(before_);
  });

  test('streams 20 MiB or refuses them with 413', async () => {
    const padding = 'x'.repeat(20 * 1024 * 1024);
    const answer = await client.mcp(token, call('add', { a: 1, b: 2, padding }));
    assert.ok([200, 413].includes(answer.status), `${answer.status} ${answer.text.slice(0, 300)}`);
    if (answer.status === 200) assert.equal(resultOf(answer), '3');
    assert.equal(resultOf(await client.mcp(token, call('add', { a: 2, b: 3 }))), '5', 'and goes on');
  });

  test('streams a body of unknown length', async () => {
    const json = JSON.stringify(call('add', { a: 20, b: 22 }));
    const answer = await request('POST', w.mcpUrl, {
      headers: { ...bearer(token), 'content-type': 'application/json', 'transfer-encoding': 'chunked' },
      body: json,
    });
    assert.equal(answer.status, 200, answer.text);
    assert.equal(resultOf(answer), '42');
  });

  test('lets no client write the headers that say who it is', async () => {
    const mark = 'from-the-client';
    const answer = await client.mcp(token, call('whoami'), {
      headers: {
        'X-Forwarded-User': mark,
        'x_forwarded_user': mark,
        'X_Forwarded-Email': mark,
        'X-Forwarded-Client': mark,
        'X-Forwarded-Scope': mark,
        'X-Forwarded-Preferred-Username': mark,
        'X-Forwarded-Access-Token': mark,
        'x_forwarded_access_token': mark,
        'X-Hop': mark,
        Connection: 'close, X-Forwarded-User, X-Forwarded-Access-Token, x-hop',
        'X-App': 'kept',
      },
    });
    assert.equal(answer.status, 200, answer.text);
    const { headers } = JSON.parse(resultOf(answer));
    const forged = Object.entries(headers).filter(([, value]) => value.includes(mark));
    assert.deepEqual(forged, []);
    assert.equal(headers['x-forwarded-user'], USERS.ada.sub);
    assert.equal(headers['x-forwarded-email'], USERS.ada.email);
    assert.equal(headers['x-app'], 'kept', 'other headers pass');
  });

  test('never passes the client’s token or our cookies on', async () => {
    const answer = await client.mcp(token, call('whoami'), { headers: { 'X-Auth-Copy': 'kept' } });
    const { headers } = JSON.parse(resultOf(answer));
    assert.equal(headers.authorization, undefined);
    assert.ok(!JSON.stringify(headers).includes(token));
    assert.ok(w.upstream.seen.tokens.has(headers['x-forwarded-access-token']), 'but the configured upstream token');
  });

  test('keeps duplicates of identity headers out as well', async () => {
    const answer = await client.mcp(token, call('whoami'), { headers: { 'X-Forwarded-User': ['one', 'two'], 'X-Forwarded-For': '203.0.113.7' } });
    const seen = w.backend.requests.at(-1).rawHeaders;
    const users = seen.filter((name, index) => index % 2 === 0 && name.toLowerCase().replaceAll('_', '-') === 'x-forwarded-user');
    assert.equal(answer.status, 200);
    assert.equal(users.length, 1, 'exactly one X-Forwarded-User, ours');
    assert.equal(JSON.parse(resultOf(answer)).user, USERS.ada.sub);
  });

  async function startTicks(count) {
    const answering = ticks(count);
    await w.backend.waiting(); // the answer's head may come with its first event only
    const opened = answering.then((answer) => {
      assert.equal(answer.status, 200);
      assert.match(answer.headers['content-type'], /^text\/event-stream/);
      return { ...answer, feed: events(answer.stream) };
    });
    return opened;
  }
});

describe('an open stream', () => {
  const w = useWorld({ resources: [{ path: '/sessions', auth: 'required', sessions: true }], name: 'open-stream' });
  const ticks = (count) => call('ticks', { count }, { _meta: { progressToken: 'p' } });

  test('ends with its login, and not with a refresh', async () => {
    const own = new OAuthClient(w.gateway.url, { resource: `${w.gateway.url}/sessions` });
    const { tokens } = await own.login(new Person());
    const opened = await own.mcp(tokens.access_token, INITIALIZE);
    assert.equal(opened.status, 200, opened.text);
    const session = { ...bearer(tokens.access_token), 'mcp-session-id': opened.headers['mcp-session-id'] };
    const listen = await open('GET', own.resource, { headers: { ...session, accept: 'text/event-stream' } });
    assert.equal(listen.status, 200);
    const begin = async () => {
      const called = open('POST', own.resource, { headers: session, json: ticks(2) });
      await w.backend.release();
      const feed = events((await called).stream, SOON);
      assert.equal((await feed.next()).params.progress, 1);
      return feed;
    };
    const feeds = { listen: events(listen.stream, SOON), call: await begin() };

    const refreshed = await own.refresh(tokens.refresh_token);
    assert.equal(refreshed.status, 200, refreshed.text);
    await w.backend.announce();
    assert.equal((await feeds.listen.next()).method, 'notifications/tools/list_changed');
    await w.backend.release();
    assert.equal((await feeds.call.next()).params.progress, 2);
    assert.equal((await feeds.call.next()).result.content[0].text, 'done');

    feeds.call = await begin();
    await w.backend.waiting();
    const cancelled = w.backend.aborted();
    const revoked = await request('POST', `${w.gateway.url}/revoke`, {
      form: { token: refreshed.json.refresh_token, client_id: own.clientId },
    });
    assert.equal(revoked.status, 200, revoked.text);
    assert.equal(await feeds.listen.next(), undefined);
    assert.ok(!feeds.listen.broken(), 'a GET ends as if it were over: the client opens another');
    assert.equal(await feeds.call.next(), undefined);
    assert.ok(feeds.call.broken(), 'half an answer is not taken for a whole one');
    await w.backend.abortedAfter(cancelled + 1);
    const refused = await request('GET', own.resource, { headers: { ...session, accept: 'text/event-stream' } });
    assert.equal(refused.status, 401, 'which is what it then gets');
    await w.backend.release();
  });
});
