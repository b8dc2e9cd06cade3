// Bad input of every kind, on every path: an OAuth error or a 4xx page, never a 5xx, never a hang.
import assert from 'node:assert/strict';
import net from 'node:net';
import { after, before, describe, test } from 'node:test';
import { request } from '../lib/http.js';
import { OAuthClient, resultOf } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

const PATHS = [
  '/', '/mcp', '/lazy', '/register', '/authorize', '/consent', '/callback', '/token', '/revoke', '/introspect', '/account', '/account/sign-in', '/account/disconnect',
  '/.well-known/oauth-authorization-server', '/.well-known/jwks.json', '/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/mcp',
  '/.well-known/openid-configuration', '/nothing/here', '/healthz', '/readyz',
];
const FORM = 'application/x-www-form-urlencoded';
const JSON_ = 'application/json';
const BODIES = [
  [FORM, ''], [FORM, '%'], [FORM, '%zz=%1'], [FORM, 'a=%00&b=%ff%fe'], [FORM, '&&&===&'], [FORM, `${'a=1&'.repeat(20_000)}`],
  [FORM, Buffer.from([0xff, 0xfe, 0x00, 0x80, 0x3d, 0xc3, 0x28])], [FORM, `grant_type=refresh_token&refresh_token=${'x'.repeat(30_000)}&client_id=%00`],
  [FORM, 'grant_type=authorization_code&code=%F0%28%8C%28&client_id=a&code_verifier=%00&redirect_uri=%0d%0a'],
  [FORM, 'token=%00'], [FORM, 'consent_token=%ff&decision=%ff'],
  [JSON_, ''], [JSON_, '{'], [JSON_, 'null'], [JSON_, '[]'], [JSON_, '"text"'], [JSON_, '{"redirect_uris":"x"}'], [JSON_, '{"redirect_uris":[1,null,{}]}'],
  [JSON_, '{"redirect_uris":["\\ud800"]}'], [JSON_, '{"jsonrpc":"2.0","id":{},"method":7}'], [JSON_, '1e999999'], [JSON_, Buffer.from([0x7b, 0xff, 0x00, 0x7d])],
  [JSON_, '['.repeat(50_000)], [JSON_, `[${'{"jsonrpc":"2.0","id":1,"method":"tools/list"},'.repeat(2000).slice(0, -1)}]`],
  ['multipart/form-data; boundary=x', '--x\r\n'], ['text/plain', 'a=b'], ['application/xml', '<?xml version="1.0"?>'], ['', 'x'], ['\u00e9/;;;=', 'x'],
];
const QUERIES = [
  '?', '?%', '?%zz', '?a=%00', '?client_id=%ff%fe&state=%C3%28', '?client_id=a&client_id=b', '?code=%00&state=%00', '?state=%F0%9F%92%A9&code=x',
  '?client_id[]=1&redirect_uri[a]=2', `?${'a=1&'.repeat(3000)}`, `?state=${'s'.repeat(20_000)}`, '?error=%22%3Cscript%3E&state=x', '?;;;', '?=&=&=',
  '?redirect_uri=http%3A%2F%2F%5B%3A%3A1&client_id=x', '?resource=http%3A%2F%2F%00',
];
const METHODS = ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'PROPFIND', 'BREW'];
const HEADERS = [
  { authorization: '' }, { authorization: 'Bearer' }, { authorization: 'Bearer  ' }, { authorization: 'Basic !!!' }, { authorization: 'Basic OjpfOg==' },
  { authorization: `Basic ${Buffer.from([0xff, 0x3a, 0xff]).toString('base64')}` }, { authorization: 'Digest x' }, { authorization: `Bearer ${'x'.repeat(7000)}` },
  { authorization: ['Bearer a', 'Bearer b'] }, { cookie: ';;;=;=x; =' }, { cookie: `a=${'x'.repeat(7000)}` }, { origin: 'null' }, { origin: '\u00ff' }, { 'content-encoding': 'gzip' },
  { 'mcp-session-id': '\u00ff\u00fe' }, { 'mcp-protocol-version': 'x' }, { accept: 'x' }, { 'sec-fetch-site': 'x' }, { host: '' }, { host: 'a b' }, { host: '[::1' },
  { 'x-huge': 'x'.repeat(12_000) }, { expect: '100-continue' }, { range: 'bytes=0-0' }, { 'if-none-match': '*' }, { te: 'trailers' }, { upgrade: 'websocket', connection: 'upgrade' },
];

describe('bad input', () => {
  const w = useWorld({ resources: [{ path: '/mcp', auth: 'required' }, { path: '/lazy', auth: 'lazy' }], name: 'bad-input' });
  let client, token;
  before(async () => {
    client = new OAuthClient(w.gateway.url);
    token = (await client.login(new Person())).tokens.access_token;
  });
  after(() => assert.doesNotMatch(w.gateway.log(), /panicked/));

  const wants = (answer, what) => assert.ok(answer.status < 500, `${what}: ${answer.status} ${answer.text.slice(0, 300)}`);
  const send = (method, path, options) => request(method, `${w.gateway.url}${path}`, { timeout: 10_000, ...options });

  for (const path of PATHS) {
    test(`${path}: methods, queries, headers`, async () => {
      for (const method of METHODS) wants(await send(method, path), method);
      for (const query of QUERIES) wants(await send('GET', `${path}${query}`), query.slice(0, 80));
      for (const headers of HEADERS) wants(await send('GET', path, { headers }), JSON.stringify(headers).slice(0, 80));
      await checkAlive();
    });

    test(`${path}: bodies`, async () => {
      for (const [type, body] of BODIES) {
        const headers = { 'content-type': type };
        wants(await send('POST', path, { body, headers }), `${type} ${String(body).slice(0, 60)}`);
        wants(await send('PUT', path, { body, headers }), `PUT ${type} ${String(body).slice(0, 60)}`);
        if (path === '/mcp') wants(await send('POST', path, { body, headers: { ...headers, authorization: `Bearer ${token}` } }), `with a token, ${type} ${String(body).slice(0, 60)}`);
      }
      await checkAlive();
    });
  }

  const raw = {
    'no HTTP': '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n',
    'raw bytes in the path': 'GET /\xff\xfe\x80 HTTP/1.1\r\nHost: x\r\n\r\n',
    'NUL in the path': 'GET /token\0 HTTP/1.1\r\nHost: x\r\n\r\n',
    'raw bytes in the query': 'GET /authorize?client_id=\xff\xfe&state=\x80 HTTP/1.1\r\nHost: x\r\n\r\n',
    'NUL in a header': 'GET /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \0\r\n\r\n',
    'raw bytes in Authorization': 'POST /mcp HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\nContent-Length: 2\r\n\r\n{}',
    'raw bytes in Cookie': 'GET /callback?state=x HTTP/1.1\r\nHost: x\r\nCookie: a=\xff\xfe\r\n\r\n',
    'no Host': 'GET /mcp HTTP/1.1\r\n\r\n',
    'two Hosts': 'GET /mcp HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n',
    'absolute form': 'GET http://evil.example/mcp HTTP/1.1\r\nHost: x\r\n\r\n',
    'asterisk form': 'OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n',
    'CONNECT': 'CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example:443\r\n\r\n',
    'both lengths': 'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n',
    'two lengths': 'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcde',
    'negative length': 'POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n',
    'bad chunk': 'POST /mcp HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n',
    'a length no machine has': 'POST /register HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99999999999999999999\r\n\r\n',
    'a huge header': `GET /mcp HTTP/1.1\r\nHost: x\r\nX-Huge: ${'x'.repeat(1_000_000)}\r\n\r\n`,
    'ten thousand headers': `GET /mcp HTTP/1.1\r\nHost: x\r\n${'X-Many: 1\r\n'.repeat(10_000)}\r\n`,
    'a huge URL': `GET /authorize?${'x'.repeat(200_000)} HTTP/1.1\r\nHost: x\r\n\r\n`,
  };
  for (const [what, bytes] of Object.entries(raw)) {
    test(`on the wire: ${what}`, async () => {
      const said = await wire(w.gateway.port, Buffer.from(bytes, 'latin1'));
      if (said !== '') assert.match(said, /^HTTP\/1\.[01] [234]\d\d/, said.slice(0, 200)); // closing without a word is fine too
      await checkAlive();
    });
  }

  async function checkAlive() {
    assert.ok(w.gateway.running(), 'the gateway runs');
    const answer = await client.mcp(token);
    assert.equal(answer.status, 200, answer.text);
    assert.ok(resultOf(answer));
  }
});

/** Sends bytes; what came back until the other side closed, or until its answer's head was whole. */
function wire(port, bytes) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let said = '';
    const timer = setTimeout(() => socket.destroy(new Error(`neither answered nor closed within 10 s: ${said}`)), 10_000);
    const done = () => {
      clearTimeout(timer);
      socket.destroy();
      resolve(said);
    };
    socket.on('data', (chunk) => {
      said += chunk.toString('latin1');
      if (said.includes('\r\n\r\n')) done();
    });
    socket.on('close', done);
    socket.on('error', (error) => {
      if (['ECONNRESET', 'EPIPE'].includes(error.code)) done();
      else {
        clearTimeout(timer);
        reject(error);
      }
    });
    socket.write(bytes);
  });
}
