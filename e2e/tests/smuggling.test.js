// Protected calls in disguise, as bytes, on a server where discovery and one tool are public: whoever has not logged in is
// refused, and so is a user whose token has too little scope; the backend gets none of it. A user who may gets through with the
// same bytes, and so does what is harmless.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBackend } from '../lib/backend.js';
import { BODIES, ELSEWHERE, FRAMES, HARMLESS, post, written } from '../lib/disguises.js';
import { request2 } from '../lib/http2_frames.js';
import { call, OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { exchange } from '../lib/raw.js';
import { startTap } from '../lib/tap.js';
import { USERS } from '../lib/upstream.js';
import { startWorld, together, use } from '../lib/world.js';

const CALL = JSON.stringify(call('whoami'));
const LIST = JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} });

describe('smuggling', () => {
  const w = use(() => together(async (add) => {
    const backend = await add(startBackend());
    const tap = await add(startTap(backend.url));
    const world = await add(startWorld({
      name: 'smuggling',
      resources: [
        { path: '/lazy', auth: 'lazy', backend: tap.url, public_tools: ['add'], tool_scopes: { whoami: ['mcp:write'] }, headers: undefined },
        { path: '/mcp', auth: 'required', backend: tap.url, headers: undefined },
      ],
    }));
    return { backend, tap, gateway: world.gateway };
  }));
  let token, authorization, limited, port;
  before(async () => {
    ({ gateway: { port } } = w);
    const client = new OAuthClient(w.gateway.url, { resource: `${w.gateway.url}/lazy` });
    token = (await client.login(new Person(), { scope: 'mcp mcp:write' })).tokens.access_token;
    authorization = `Authorization: Bearer ${token}`;
    limited = `Authorization: Bearer ${(await client.login(new Person({ user: 'alan' }))).tokens.access_token}`;
  });
  after(() => assert.doesNotMatch(w.gateway.log(), /panicked/));

  /** What comes of these bytes: the answers, and what the backend got: as bytes, and whole requests as `user method…`. */
  async function send(bytes) {
    w.tap.take();
    const before_ = w.backend.requests.length;
    const answers = await exchange(port, bytes);
    const reached = w.backend.requests.slice(before_).map(({ headers, rpc }) => [headers['x-forwarded-user'] ?? 'nobody', ...(rpc ?? [])].join(' '));
    return { answers, statuses: answers.map(({ status }) => status), sent: w.tap.take(), reached };
  }

  /** The backend has got none of it, and the client knows. */
  function checkRefused({ statuses, answers, sent, reached }, status) {
    if (status === ELSEWHERE) {
      assert.deepEqual(statuses, [403]);
      assert.match(answers[0].text, /allowed_hosts/);
    } else if (status === '400 or closed') assert.ok(statuses.length === 0 || (statuses.length === 1 && statuses[0] === 400), `${statuses}`);
    else assert.deepEqual(statuses, [status]);
    if ([401, 403].includes(status)) assert.match(answers[0].headers['www-authenticate'], /^Bearer .*resource_metadata="/);
    assert.equal(sent, '', 'not a byte');
    assert.deepEqual(reached, []);
  }

  /** The server is up, and lets through whom it has to. */
  async function checkAlive() {
    const { statuses, reached } = await send(post(CALL, [authorization]));
    assert.deepEqual([statuses, reached], [[200], [`${USERS.ada.sub} tools/call`]]);
  }

  describe('the frame of a request', () => {
    for (const [what, build, [nobody, user, harmless], never] of FRAMES) {
      test(what, async () => {
        checkRefused(await send(build(CALL, [])), nobody);

        const known = await send(build(CALL, [authorization]));
        if (user === 200) assert.deepEqual([known.statuses, known.reached], [[200], [`${USERS.ada.sub} tools/call`]]);
        else if (user === ELSEWHERE) checkRefused(known, user);
        else if (user === '4xx') assert.ok(known.statuses.every((status) => status >= 400 && status < 500), `${known.statuses}`);
        else assert.deepEqual(known.statuses, [user]);

        const less = await send(build(CALL, [limited]));
        if (user === 200) checkRefused(less, nobody === 400 ? 400 : 403);
        else assert.ok(less.sent === '' && less.statuses.every((status) => status >= 400 && status < 500), `${less.statuses}`);

        const open = await send(build(LIST, []));
        if (harmless === 200) assert.deepEqual([open.statuses, open.reached], [[200], ['nobody tools/list']]);
        else checkRefused(open, harmless);

        if (never) assert.doesNotMatch(known.sent + open.sent, never);
        for (const { sent } of [known, open]) assert.ok(!sent.includes(token), 'the token goes nowhere');
        await checkAlive();
      });
    }
  });

  describe('the body', () => {
    /** What is no call of that tool, whoever reads it: the baseline is enough. */
    const OTHERS = ['an answer', 'a notification that is a request', 'a batch of what is public'];
    for (const [what, body] of BODIES) {
      test(what, async () => {
        checkRefused(await send(post(body)), 401);
        if (!OTHERS.includes(what)) checkRefused(await send(post(body, [limited])), 403);
        const { sent } = await send(post(body, [authorization]));
        assert.ok(sent.includes(Buffer.from(body).toString('latin1')), 'a user’s goes to the backend, byte for byte');
        await checkAlive();
      });
    }
    for (const [what, body] of HARMLESS) {
      test(`harmless: ${what}`, async () => {
        const { statuses, sent, reached } = await send(post(body));
        assert.equal(statuses.length, 1);
        assert.ok([200, 202].includes(statuses[0]), `${statuses}`);
        assert.equal(reached.length, 1);
        assert.match(reached[0], /^nobody /);
        assert.ok(sent.includes(Buffer.from(body).toString('latin1')), 'byte for byte');
      });
    }
  });

  describe('several requests on one connection', () => {
    const more = { close: false };
    /** As long as the refused request may say it is, with a whole request of a user's in it. */
    const hidden = (size) => Buffer.concat([Buffer.alloc(size, ' '), post(CALL, [authorization])]);
    const PIPELINES = [
      ['a refused one, then a public one', () => [post(CALL, [], more), post(LIST)], [401, 200], ['nobody tools/list']],
      ['a public one, then one that is refused', () => [post(LIST, [], more), post(CALL)], [200, 401], ['nobody tools/list']],
      ['a user’s, then one without a token', () => [post(CALL, [authorization], more), post(CALL)], [200, 401], [() => `${USERS.ada.sub} tools/call`]],
      ['a refused one, then a user’s', () => [post(CALL, [], more), post(CALL, [authorization])], [401, 200], [() => `${USERS.ada.sub} tools/call`]],
      ['a public one that is longer than it says', () => [written(['Content-Type: application/json', `Content-Length: ${LIST.length}`], LIST, more), post(CALL)], [200, 401], ['nobody tools/list']],
      ['chunks that end early', () => [written(['Content-Type: application/json', 'Transfer-Encoding: chunked'], `${LIST.length.toString(16)}\r\n${LIST}\r\n0\r\n\r\n`, more), post(CALL)], [200, 401], ['nobody tools/list']],
      // CL.TE: the length covers both, the chunks end before the second. Nothing is read after such a request (RFC 9112 §6.3).
      ['a length over what the chunks leave', () => {
        const second = post(CALL);
        const first = `${LIST.length.toString(16)}\r\n${LIST}\r\n0\r\n\r\n`;
        return [written(['Content-Type: application/json', `Content-Length: ${first.length + second.length}`, 'Transfer-Encoding: chunked'], first, more), second];
      }, [200], ['nobody tools/list']],
      // TE.CL: the chunk covers both, the length ends before the second.
      ['a chunk over what the length leaves', () => {
        const inner = Buffer.concat([Buffer.from(LIST), post(CALL, [authorization])]);
        const chunk = Buffer.concat([Buffer.from(`${inner.length.toString(16)}\r\n`), inner, Buffer.from('\r\n0\r\n\r\n')]);
        return [written(['Content-Type: application/json', 'Transfer-Encoding: chunked', `Content-Length: ${LIST.length + 5}`], chunk)];
      }, [401], []],
      ['a request in the body of a refused one', () => {
        const body = hidden(10);
        return [written(['Content-Type: application/json', `Content-Length: ${body.length}`], body)];
      }, [401], []],
      ['a request in a body longer than is looked at', () => {
        const body = hidden(70_000);
        return [written(['Content-Type: application/json', `Content-Length: ${body.length}`], body)];
      }, [401], []],
      ['a request in the body of one that nobody wants', () => {
        const body = hidden(10);
        return [written(['Content-Type: application/json', `Content-Length: ${body.length}`], body, { target: '/nowhere' })];
      }, [404], []],
    ];
    for (const [what, build, statuses, reached] of PIPELINES) {
      test(what, async () => {
        const got = await send(Buffer.concat(build()));
        assert.deepEqual([got.statuses, got.reached], [statuses, reached.map((one) => (typeof one === 'function' ? one() : one))]);
        await checkAlive();
      });
    }

    // So long that the gateway hangs up before the end of it: whether its answer can be read then is up to the kernel.
    test('a request in a body longer than is read', async () => {
      const body = hidden(300_000);
      const { statuses, sent } = await send(written(['Content-Type: application/json', `Content-Length: ${body.length}`], body, { close: false }));
      assert.ok(statuses.length === 0 || (statuses.length === 1 && statuses[0] === 401), `${statuses}`);
      assert.equal(sent, '');
      await checkAlive();
    });
  });

  describe('HTTP/2', () => {
    const pseudo = (changed = {}) => Object.entries({ ':method': 'POST', ':scheme': 'http', ':authority': 'gateway', ':path': '/lazy', ...changed }).filter(([, value]) => value !== undefined);
    const own = [['content-type', 'application/json'], ['accept', 'application/json, text/event-stream']];
    const fields = (...added) => () => [...pseudo(), ...own, ...added];
    const changed = (changes) => () => [...pseudo(changes), ...own];
    const doubled = (name, value) => () => [...pseudo(), [name, value], ...own];
    const [FINE, DOUBTED, NEVER] = [[401, 200, 200], [401, 200, 401], ['reset', 'reset', 'reset']];
    const injected = (end) => `b${end}x-forwarded-user: mallory${end}authorization: Bearer ${token}`;
    const STREAMS = [
      ['nothing odd', fields(), FINE],
      ['its length', (json) => [...pseudo(), ...own, ['content-length', String(json.length)]], FINE],
      ...['0', '3', '3000', '+3', '3, 3', '-1', ''].map((value) => [`content-length ${JSON.stringify(value)}`, fields(['content-length', value]), NEVER]),
      ['two lengths', (json) => [...pseudo(), ...own, ['content-length', String(json.length)], ['content-length', '3']], NEVER],
      ...[
        ['transfer-encoding', 'chunked'], ['connection', 'keep-alive'], ['connection', 'authorization'], ['keep-alive', 'timeout=5'],
        ['proxy-connection', 'keep-alive'], ['upgrade', 'h2c'], ['te', 'gzip'],
      ].map((field) => [field.join(': '), fields(field), NEVER]),
      ['te: trailers', fields(['te', 'trailers']), FINE],
      ['a name in capitals', fields(['X-Upper', '1']), NEVER],
      ['CR and LF in a value', () => fields(['x-a', injected('\r\n')])(), NEVER],
      ['LF in a value', () => fields(['x-a', injected('\n')])(), NEVER],
      ['NUL in a value', fields(['x-a', 'b\0']), NEVER],
      ['CR and LF in a name', fields(['x-a: b\r\nx-forwarded-user', 'mallory']), NEVER],
      ['a colon in a name', fields(['x-a:b', 'c']), NEVER],
      ['a space in a name', fields(['x a', 'c']), NEVER],
      ['no name', fields(['', 'c']), NEVER],
      ['CR and LF in the path', changed({ ':path': '/lazy HTTP/1.1\r\nx-forwarded-user: mallory' }), NEVER],
      ['a space in the path', changed({ ':path': '/lazy x' }), NEVER],
      ...[undefined, '', 'lazy', 'http://gateway/lazy'].map((path) => [`path ${path}`, changed({ ':path': path }), NEVER]),
      ['a path with dots', changed({ ':path': '/lazy/../lazy' }), [401, 400, 401]],
      ['path *', changed({ ':path': '*' }), [404, 404, 404]],
      ['two paths', doubled(':path', '/mcp'), NEVER],
      ['a path behind the headers', () => [...pseudo({ ':path': undefined }), ...own, [':path', '/lazy']], NEVER],
      ['a request line for a method', changed({ ':method': 'POST /lazy HTTP/1.1' }), NEVER],
      ['no method', changed({ ':method': undefined }), NEVER],
      ['two methods', doubled(':method', 'GET'), NEVER],
      ['no scheme', changed({ ':scheme': undefined }), NEVER],
      [':status', doubled(':status', '200'), NEVER],
      ['a pseudo-header that is none', doubled(':user', 'mallory'), NEVER],
      [':protocol', doubled(':protocol', 'websocket'), NEVER],
      ['another authority', changed({ ':authority': 'evil.example' }), [403, 403, 403]],
      ['another host', doubled('host', 'evil.example'), [403, 403, 403]],
      ['Content-Encoding', fields(['content-encoding', 'gzip']), DOUBTED],
      ['Content-Encoding with an underscore', fields(['content_encoding', 'gzip']), DOUBTED],
      ['Mcp-Method that lies', fields(['mcp-method', 'tools/list']), [400, 200, 200]],
      ['two types', fields(['content-type', 'text/plain']), [401, '4xx', 401]],
      ['who calls', fields(['x-forwarded-user', 'mallory'], ['x_forwarded_user', 'mallory']), FINE],
    ];
    for (const [what, build, [nobody, user, harmless]] of STREAMS) {
      test(what, async () => {
        for (const [json, added, wanted, method] of [[CALL, [], nobody, 'tools/call'], [CALL, [['authorization', `Bearer ${token}`]], user, 'tools/call'], [LIST, [], harmless, 'tools/list']]) {
          w.tap.take();
          const status = await request2(port, [...build(json), ...added], json);
          const sent = w.tap.take();
          if (wanted === '4xx') assert.ok(status >= 400 && status < 500, `${status}`);
          else if (wanted === 'reset') assert.ok(status === 'reset' || [400, 401].includes(status), `${status}`); // whichever comes first
          else assert.equal(status, wanted);
          if (wanted === 200) assert.deepEqual(w.backend.requests.at(-1).rpc, [method]);
          else if (added.length === 0) assert.equal(sent, '', 'not a byte');
          assert.doesNotMatch(sent, /mallory|evil/);
        }
        await checkAlive();
      });
    }
  });
});
