// Two backends of one server: they take turns, a session stays where it was opened, and one of them goes away and comes back.
import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { startBackend } from '../lib/backend.js';
import { startGateway } from '../lib/gateway.js';
import { call, OAuthClient, resultOf } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { freePort } from '../lib/process.js';
import { startUpstream } from '../lib/upstream.js';
import { ACCESS_TOKEN_HEADER, together, use } from '../lib/world.js';

const INITIALIZE = {
  jsonrpc: '2.0', id: 1, method: 'initialize',
  params: { protocolVersion: '2025-11-25', capabilities: {}, clientInfo: { name: 'e2e', version: '1' } },
};
const NAMES = ['one', 'two'];

const startTwo = () => together(async (add) => {
  const port = await freePort();
  const upstream = await add(startUpstream({ callback: `http://127.0.0.1:${port}/callback` }));
  const backends = {};
  for (const name of NAMES) {
    backends[name] = await startBackend();
    // Whichever stands there in the end.
    await add({ stop: () => backends[name].stop() });
  }
  const urls = (key) => NAMES.map((name) => backends[name][key]);
  const gateway = await add(startGateway({
    port,
    upstream: upstream.settings,
    resources: [
      { path: '/mcp', backend: urls('url'), headers: ACCESS_TOKEN_HEADER },
      { path: '/sessions', backend: urls('sessionsUrl') },
    ],
    name: 'backends',
  }));
  return { gateway, backends, upstream };
});

describe('two backends of one server', () => {
  const w = use(startTwo);
  let client, inSessions;

  before(async () => {
    client = await loggedIn(`${w.gateway.url}/mcp`);
    inSessions = await loggedIn(`${w.gateway.url}/sessions`);
  });

  async function loggedIn(resource) {
    const own = new OAuthClient(w.gateway.url, { resource });
    const { tokens: { access_token: token } } = await own.login(new Person());
    return { send: (message, session) => own.mcp(token, message, { headers: session ? { 'mcp-session-id': session } : {} }) };
  }

  /** How many requests each backend gets while `run` runs. */
  async function counted(run) {
    const counts = () => NAMES.map((name) => w.backends[name].requests.length);
    const before_ = counts();
    await run();
    return counts().map((count, index) => count - before_[index]);
  }

  async function calls(count, one = client, session = undefined) {
    for (let n = 0; n < count; n += 1) {
      const answer = await one.send(call('add', { a: n, b: 1 }), session);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(resultOf(answer), String(n + 1));
    }
  }

  /** A session at each backend: `{ one, two }`. */
  async function sessions() {
    const opened = {};
    for (let n = 0; n < 2; n += 1) {
      const [atOne, atTwo] = await counted(async () => {
        const answer = await inSessions.send(INITIALIZE);
        assert.equal(answer.status, 200, answer.text);
        opened.last = answer.headers['mcp-session-id'];
      });
      assert.equal(atOne + atTwo, 1);
      opened[atOne ? 'one' : 'two'] = opened.last;
    }
    assert.ok(opened.one && opened.two, 'one at each');
    return opened;
  }

  test('take turns', async () => {
    assert.deepEqual(await counted(() => calls(6)), [3, 3]);
  });

  test('keep their sessions', async () => {
    const { one, two } = await sessions();
    assert.deepEqual(await counted(() => calls(3, inSessions, one)), [3, 0]);
    assert.deepEqual(await counted(() => calls(3, inSessions, two)), [0, 3]);
    const seen = w.backends.one.requests.at(-1).headers['mcp-session-id'];
    assert.match(seen, /^[0-9a-f-]{36}$/, 'the id that it has given out itself');
    assert.deepEqual(await counted(async () => {
      assert.equal((await inSessions.send(call('whoami'), seen)).status, 404);
    }), [0, 0], 'an id that the gateway has not given out');
  });

  test('get no call twice, also not when one dies over it', async () => {
    const dying = [];
    for (const name of NAMES) {
      w.backends[name].hooks.dies = ({ rpc }) => {
        if (rpc.includes('tools/call')) dying.push(name);
        return rpc.includes('tools/call');
      };
    }
    for (let n = 1; n <= 4; n += 1) {
      assert.equal((await client.send(call('add', { a: 1, b: 1 }))).status, 502);
      assert.equal(dying.length, n, 'one backend saw it, once');
    }
    assert.deepEqual([...new Set(dying)].sort(), NAMES);
    for (const name of NAMES) delete w.backends[name].hooks.dies;
    assert.deepEqual(await counted(() => calls(2)), [1, 1], 'who breaks off is not away');
  });

  test('stand in for each other, but not with sessions', async () => {
    const { one, two } = await sessions();
    const { port } = w.backends.one;
    await w.backends.one.stop();
    await calls(6);
    await calls(3, inSessions, two);
    for (let n = 0; n < 3; n += 1) {
      const answer = await inSessions.send(call('whoami'), one);
      assert.equal(answer.status, 502, answer.text);
      assert.ok(!answer.text.includes(String(port)), 'no address is told');
    }

    w.backends.one = await startBackend({ port });
    // It has forgotten its sessions: the client opens a new one. That it has answered is how the gateway knows that it is back.
    assert.equal((await inSessions.send(call('whoami'), one)).status, 404);
    await sessions();
    await calls(3, inSessions, two);
  });
});
