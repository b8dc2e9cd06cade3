// What the gateway signs, and the two examples that check it: with a gateway before them, past it, and with the keys in the
// test's own hands.
import assert from 'node:assert/strict';
import http from 'node:http';
import { describe, test } from 'node:test';
import { createRemoteJWKSet, jwtVerify } from 'jose';
import { startBackend } from '../lib/backend.js';
import { CHECKING, startChecking } from '../lib/checking.js';
import { startGateway } from '../lib/gateway.js';
import { request } from '../lib/http.js';
import { hmac, inSeconds, jws, newKey } from '../lib/jwt.js';
import { OAuthClient, call } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { freePort } from '../lib/process.js';
import { startRedis } from '../lib/redis.js';
import { startUpstream, USERS } from '../lib/upstream.js';
import { together, use } from '../lib/world.js';

const TYPE = 'mcp-login-assertion+jwt';
const HEADER = 'x-mcp-login-assertion';

/** Two gateways of one service on one Redis; before each backend one path. Each example has the keys of the other gateway. */
const startGateways = () => together(async (add) => {
  const [port, otherPort] = [await freePort(), await freePort()];
  const [issuer, other] = [`http://127.0.0.1:${port}`, `http://127.0.0.1:${otherPort}`];
  const upstream = await add(startUpstream({ callback: `${issuer}/callback` }));
  const redis = await add(startRedis());
  const recording = await add(startBackend());
  const gateways = [];
  const examples = {};
  for (const language of CHECKING) {
    examples[language] = await add(startChecking(language, { issuer, jwksUrl: `${other}/.well-known/jwks.json` }));
  }
  const resources = [
    { path: '/recording', backend: recording.url, assertion: true },
    { path: '/plain', backend: recording.url },
    ...CHECKING.map((language) => ({ path: `/${language.toLowerCase()}`, backend: examples[language].url, assertion: true })),
  ];
  for (const [n, one] of [port, otherPort].entries()) {
    gateways.push(await add(startGateway({
      port: one, publicUrl: issuer, store: redis.url, upstream: upstream.settings, resources, name: `assertion-${n}`,
    })));
  }
  const w = { issuer, other, redis, recording, gateways, examples };
  // Each has signed, so each has listed its key, before anybody asks for the keys.
  const { client, token } = await loggedIn(w, '/recording');
  for (const gateway of [issuer, other]) {
    assert.equal((await client.mcp(token, call('whoami'), { url: `${gateway}/recording` })).status, 200);
  }
  return w;
});

/** A client of one path, logged in. */
async function loggedIn(w, path, user = 'ada') {
  const client = new OAuthClient(w.issuer, { resource: `${w.issuer}${path}` });
  const { tokens } = await client.login(new Person({ user }));
  return { client, token: tokens.access_token };
}

describe('two gateways on one Redis', () => {
  const w = use(startGateways);

  for (const language of CHECKING) {
    const path = `/${language.toLowerCase()}`;

    test(`${language}: a call through either gateway is let through, and its person known`, async () => {
      for (const user of ['ada', 'alan']) {
        const { client, token } = await loggedIn(w, path, user);
        for (const gateway of [w.issuer, w.other]) {
          const answer = await client.mcp(token, call('whoami'), { url: `${gateway}${path}` });
          assert.equal(answer.status, 200, answer.text);
          const { sub, email, aud, iss, client_id: clientId, scope, exp, iat } = answer.json;
          assert.deepEqual({ sub, email, aud, iss, clientId, scope, lives: exp - iat }, {
            sub: USERS[user].sub, email: USERS[user].email, aud: w.examples[language].url, iss: w.issuer,
            clientId: client.clientId, scope: 'mcp', lives: 60,
          });
        }
      }
    });

    test(`${language}: past the gateway nobody is let through who only says who they are`, async () => {
      const says = { 'x-forwarded-user': USERS.ada.sub };
      assert.equal((await w.examples[language].ask(says)).status, 401);
      const own = newKey('mine');
      const [published] = (await request('GET', `${w.issuer}/.well-known/jwks.json`)).json.keys;
      for (const kid of ['mine', published.kid]) {
        const forged = jws(claims(w.issuer, w.examples[language].url), { key: own, header: { kid, typ: TYPE } });
        assert.equal((await w.examples[language].ask({ ...says, [HEADER]: forged })).status, 401);
      }
    });

    test(`${language}: an assertion for another backend is none here`, async () => {
      const { client, token } = await loggedIn(w, '/recording');
      assert.equal((await client.mcp(token)).status, 200);
      const assertion = w.recording.requests.at(-1).headers[HEADER];
      assert.equal((await w.examples[language].ask({ [HEADER]: assertion })).status, 401);
    });

    test(`${language}: what a client sends as its own assertion gets nowhere`, async () => {
      const { client, token } = await loggedIn(w, path, 'alan');
      const forged = jws({ ...claims(w.issuer, w.examples[language].url), sub: USERS.ada.sub }, { key: newKey('mine'), header: { typ: TYPE } });
      for (const name of ['X-Mcp-Login-Assertion', 'x_mcp_login_assertion']) {
        const answer = await client.mcp(token, call('whoami'), { headers: { [name]: forged } });
        assert.equal(answer.status, 200, answer.text);
        assert.equal(answer.json.sub, USERS.alan.sub);
      }
    });
  }

  test('each gateway’s assertion checks against the other’s keys', async () => {
    const { client, token } = await loggedIn(w, '/recording');
    const kids = new Set();
    for (const [through, keysOf] of [[w.issuer, w.other], [w.other, w.issuer]]) {
      assert.equal((await client.mcp(token, call('whoami'), { url: `${through}/recording` })).status, 200);
      const keys = createRemoteJWKSet(new URL(`${keysOf}/.well-known/jwks.json`));
      const { payload, protectedHeader } = await jwtVerify(w.recording.requests.at(-1).headers[HEADER], keys, {
        issuer: w.issuer, audience: w.recording.url, algorithms: ['ES256'], typ: TYPE,
      });
      assert.equal(payload.sub, USERS.ada.sub);
      kids.add(protectedHeader.kid);
    }
    assert.equal(kids.size, 2, 'each has a key of its own');
  });

  test('where no assertion is asked for, none comes, whatever the client sends', async () => {
    const { client, token } = await loggedIn(w, '/plain');
    for (const name of ['X-Mcp-Login-Assertion', 'x_mcp_login_assertion']) {
      assert.equal((await client.mcp(token, call('whoami'), { headers: { [name]: 'forged' } })).status, 200);
      const { headers } = w.recording.requests.at(-1);
      assert.deepEqual(Object.keys(headers).filter((one) => one.replaceAll('_', '-') === HEADER), []);
    }
  });

  test('the keys are public, and no private half is in them, in the store or in the log', async () => {
    const answer = await request('GET', `${w.issuer}/.well-known/jwks.json`, { headers: { origin: 'https://client.example' } });
    assert.equal(answer.status, 200);
    assert.equal(answer.headers['cache-control'], 'no-cache');
    assert.equal(answer.headers['access-control-allow-origin'], '*');
    assert.equal(answer.json.keys.length, 2);
    for (const key of answer.json.keys) assert.deepEqual(Object.keys(key).sort(), ['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y']);
    const record = String(await w.redis.command('GET', 'mcp-login:jwks:assertions'));
    assert.ok(answer.json.keys.every(({ kid }) => record.includes(kid)) && !record.includes('"d"'), record);
    const { client, token } = await loggedIn(w, '/recording');
    await client.mcp(token);
    const [, , signature] = w.recording.requests.at(-1).headers[HEADER].split('.');
    for (const gateway of w.gateways) assert.ok(!gateway.log().includes(signature));
  });

  test('no client is pointed to the keys: it would take them for those of ID tokens', async () => {
    const metadata = await request('GET', `${w.issuer}/.well-known/oauth-authorization-server`);
    assert.equal(metadata.json.jwks_uri, undefined);
  });
});

/** What a good assertion says. */
function claims(issuer, audience) {
  return {
    iss: issuer, sub: 'user-1', aud: audience, iat: inSeconds(0), exp: inSeconds(60), jti: 'j', client_id: 'c', scope: 'mcp',
  };
}

/** The keys of somebody who plays the gateway, and how often they were asked for. */
async function startKeys() {
  const one = { keys: [], asked: 0, away: false, headers: undefined };
  const server = http.createServer((req, res) => {
    one.asked += 1;
    one.headers = req.headers;
    if (one.away) return res.writeHead(503).end();
    res.setHeader('content-type', 'application/json').end(JSON.stringify({ keys: one.keys.map(({ jwk }) => jwk) }));
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  one.url = `http://127.0.0.1:${server.address().port}/jwks.json`;
  one.stop = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return one;
}

const ISSUER = 'https://mcp.example.com';
const HOUR = 3_600_000;

for (const language of CHECKING) {
  describe(`the example in ${language}`, () => {
    const start = (cooldown, grace) => together(async (add) => {
      const keys = await add(startKeys());
      keys.keys.push(newKey('first'));
      return { keys, example: await add(startChecking(language, { issuer: ISSUER, jwksUrl: keys.url, cooldown, grace })) };
    });
    const sign = (w, changes = {}, { header = {}, key = w.keys.keys[0], ...more } = {}) => (
      jws({ ...claims(ISSUER, w.example.url), ...changes }, { key, header: { typ: TYPE, ...header }, ...more }));
    const asked = async (w, assertion) => (await w.example.ask({ [HEADER]: assertion })).status;

    describe('checks everything', () => {
      const w = use(() => start(HOUR));

      test('and lets through what is good', async () => {
        assert.equal(await asked(w, sign(w)), 200);
        // Clocks are a little apart.
        assert.equal(await asked(w, sign(w, { iat: inSeconds(10), exp: inSeconds(70) })), 200);
      });

      const bad = {
        'that has ended': () => sign(w, { iat: inSeconds(-200), exp: inSeconds(-140) }),
        'that never ends': () => sign(w, { exp: undefined }),
        'of another issuer': () => sign(w, { iss: 'https://mcp.example.com/' }),
        'of no issuer': () => sign(w, { iss: undefined }),
        'for another audience': () => sign(w, { aud: 'http://127.0.0.1:1/mcp' }),
        'for others, too': () => sign(w, { aud: [w.example.url, 'http://127.0.0.1:1/mcp'] }),
        'for nobody': () => sign(w, { aud: undefined }),
        'of nobody': () => sign(w, { sub: undefined }),
        'of another type': () => sign(w, {}, { header: { typ: 'at+jwt' } }),
        'of no type': () => sign(w, {}, { header: { typ: undefined } }),
        'with an extension that has to be understood': () => sign(w, {}, { header: { crit: ['x'], x: 1 } }),
        'with alg none': () => sign(w, {}, { header: { alg: 'none' }, signature: () => '' }),
        'with alg HS256 and the public key as the secret': () => sign(w, {}, {
          header: { alg: 'HS256' }, signature: hmac(w.keys.keys[0].publicKey.export({ type: 'spki', format: 'pem' })),
        }),
        'with another signature': () => sign(w, {}, { signature: () => Buffer.alloc(64, 7) }),
        'with a key of its own': () => sign(w, {}, { key: newKey('first') }),
        'with a key in its header': () => {
          const key = newKey('other');
          return sign(w, {}, { key, header: { jwk: key.jwk } });
        },
        'twice': () => [sign(w), sign(w)],
        'empty': () => '',
        'no token': () => 'a.b.c',
        'no text': () => Buffer.from([0x61, 0xff, 0x2e, 0xfe]).toString('latin1'),
      };
      for (const [what, make] of Object.entries(bad)) {
        test(`refuses one ${what}`, async () => assert.equal(await asked(w, make()), 401));
      }

      test('refuses none at all', async () => {
        assert.equal((await w.example.ask({})).status, 401);
        assert.equal((await w.example.ask({ x_mcp_login_assertion: sign(w) })).status, 401, 'another header');
      });

      test('and asks for keys once, whoever makes up unknown ones', async () => {
        for (let n = 0; n < 20; n += 1) assert.equal(await asked(w, sign(w, {}, { key: newKey(`made-up-${n}`) })), 401);
        assert.equal(w.keys.asked, 1);
      });

      test('and asks by a name of its own', () => {
        assert.match(w.keys.headers['user-agent'], /^mcp-login-check-assertion\//);
        assert.match(w.keys.headers.accept, /application\/json/);
      });
    });

    describe('with keys that change', () => {
      const w = use(() => start(0));

      test('takes the new one, and no longer the old one', async () => {
        const [first] = w.keys.keys;
        assert.equal(await asked(w, sign(w)), 200);
        w.keys.keys = [newKey('second')];
        assert.equal(await asked(w, sign(w)), 200);
        assert.equal(await asked(w, sign(w, {}, { key: first })), 401);
      });
    });

    describe('while the keys cannot be fetched', () => {
      const lasting = use(() => start(0));
      const ended = use(() => start(0, 0));

      test('goes on with those that it knows', async () => {
        assert.equal(await asked(lasting, sign(lasting)), 200);
        lasting.keys.away = true;
        assert.equal(await asked(lasting, sign(lasting, {}, { key: newKey('second') })), 503, 'nobody knows');
        assert.equal(await asked(lasting, sign(lasting)), 200);
        assert.ok(lasting.example.log().includes(lasting.keys.url), 'the operator reads which');
        assert.match(lasting.example.log(), /503/, 'and why');
      });

      test('until their time is over, and takes them again afterwards', async () => {
        assert.equal(await asked(ended, sign(ended)), 200);
        ended.keys.away = true;
        assert.equal(await asked(ended, sign(ended, {}, { key: newKey('second') })), 503);
        assert.equal(await asked(ended, sign(ended)), 503);
        ended.keys.away = false;
        assert.equal(await asked(ended, sign(ended)), 200);
      });
    });

    describe('after a fetch that failed', () => {
      const w = use(() => start(HOUR));

      test('does not ask again for a while', async () => {
        w.keys.away = true;
        for (let n = 0; n < 5; n += 1) assert.equal(await asked(w, sign(w)), 503);
        assert.equal(w.keys.asked, 1);
      });
    });

    describe('without keys', () => {
      const w = use(() => together(async (add) => {
        const keys = await startKeys();
        await keys.stop();
        return { keys, example: await add(startChecking(language, { issuer: ISSUER, jwksUrl: keys.url })) };
      }));

      test('says that nobody knows', async () => {
        const answer = await w.example.ask({ [HEADER]: sign(w, {}, { key: newKey('first') }) });
        assert.equal(answer.status, 503);
        assert.match(answer.headers['retry-after'], /^\d+$/);
      });
    });
  });
}
