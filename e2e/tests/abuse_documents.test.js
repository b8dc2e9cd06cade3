// Abuse of Client ID Metadata Documents, and of the addresses in registrations: cases 46–52.
import assert from 'node:assert/strict';
import { lookup } from 'node:dns/promises';
import { hostname, networkInterfaces } from 'node:os';
import { after, describe } from 'node:test';
import { cases, checkError, checkPage, RESOURCES } from '../lib/abuse.js';
import { startSite, startTrap } from '../lib/documents.js';
import { request } from '../lib/http.js';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

const CLAUDE = 'https://claude.ai/api/mcp/auth_callback';
const site = await startSite();
const trap = await startTrap();
// What the gateway may not ask for: longer than it waits for a document, shorter than anybody waits for a page.
const PATIENCE = 15_000;

describe('metadata documents', () => {
  const w = useWorld({ resources: RESOURCES, name: 'abuse-documents', extra: `[clients]\nmetadata_document_hosts = ["${site.host}"]` });
  after(async () => {
    await site.stop();
    await trap.stop();
  });

  function clientAt(clientId) {
    const client = new OAuthClient(w.gateway.url);
    client.registration = { client_id: clientId };
    return client;
  }

  /** No client at the authorization endpoint (a page, as nobody may be redirected) and none at the token endpoint. */
  async function checkNoClient(clientId, says) {
    const client = clientAt(clientId);
    const page = await request('GET', client.authorization().url, { timeout: PATIENCE });
    checkPage(page);
    assert.match(page.text, /invalid_client/, `${clientId}: ${page.text}`);
    if (says) assert.match(page.text, says, clientId);
    checkError(await client.refresh('made-up'), [400, 401], ['invalid_client', 'invalid_grant']);
    return page;
  }
  const refused = async (path, changes, says) => {
    const url = site.document(path, changes);
    await checkNoClient(url, says);
    assert.equal(site.asked(url), 1, 'it was read and refused');
  };

  cases([
    [46, 'addresses in a registration are never fetched', async () => {
      const at = (host) => ({
        logo_uri: `http://${host}/logo.png`, client_uri: `http://${host}/`, policy_uri: `http://${host}/policy`, tos_uri: `http://${host}/tos`,
        jwks_uri: `http://${host}/jwks.json`, sector_identifier_uri: `http://${host}/sector.json`,
      });
      for (const host of [`127.0.0.1:${trap.port}`, site.host]) {
        const client = new OAuthClient(w.gateway.url);
        assert.equal((await client.register(at(host))).status, 201);
        await client.login(new Person());
        const document = site.document(`/logo-${host.split(':')[1]}.json`, at(host));
        await clientAt(document).login(new Person());
      }
      assert.equal(trap.connections(), 0);
      assert.deepEqual(site.requests.filter((path) => !path.startsWith('/logo-')), []);
    }],

    [47, 'addresses that are none are refused unasked', async () => {
      const before = site.requests.length;
      const { host } = site;
      for (const clientId of [
        `http://${host}`, `http://${host}/`, `http://${host}/a#b`, `http://user@${host}/a`, `http://user:pw@${host}/a`, `http://${host}/a/../b`, `http://${host}/./a`,
        `http://${host}/a/%2e%2E/b`, `HTTP://${host}/a`, `http://localhost:${host.split(':')[1]}/a`, `http://127.1:${host.split(':')[1]}/a`,
        `http://${host}/${'a'.repeat(2048)}`, `http://${host}/a b`, `http://${host}/a\u00e4`, `http://127.0.0.1:${trap.port}/a`, 'http://client.example/a',
        'https://client.example', 'https://client.example/', 'https://client.example/a#b', 'https://u@client.example/a', 'https://client.example/a/../b', 'https://', 'https:/a',
      ]) {
        await checkNoClient(clientId);
        checkError(await clientAt(clientId).refresh('made-up'), 401, 'invalid_client');
      }
      assert.equal(site.requests.length, before);
      assert.equal(trap.connections(), 0);
    }],

    [48, 'no connection to an address that is not public', async () => {
      const own = Object.values(networkInterfaces()).flat().filter((one) => !one.internal && !one.scopeid).map((one) => one.address);
      const name = await lookup(hostname(), { all: true }).catch(() => []);
      const named = name.length > 0 && name.every(({ address }) => isPrivate(address)) ? [hostname()] : [];
      const hosts = [
        'localhost', 'sub.localhost', ...named, '127.0.0.1', '127.1.2.3', '0.0.0.0', '[::1]', '[::]', '[::ffff:7f00:1]', '[::ffff:a00:1]', '[64:ff9b::7f00:1]', '[2002:7f00:1::]',
        '10.0.0.1', '172.16.0.1', '192.168.0.1', '100.64.0.1', '169.254.169.254', '[fc00::1]', '[fd00:ec2::254]', '[fe80::1]', '198.18.0.1', '224.0.0.1', '255.255.255.255',
        ...own.filter(isPrivate).map((address) => (address.includes(':') ? `[${address}]` : address)),
      ];
      for (const host of new Set(hosts.map((one) => one.toLowerCase()))) {
        const started = Date.now();
        const page = await checkNoClient(`https://${host}:${trap.port}/client.json`, /could not be fetched|plainly/);
        assert.ok(Date.now() - started < 2_000, `${host}: refused before it is tried`);
        assert.doesNotMatch(page.text, /public|private|refused|timed? ?out|resolve/i, `the page tells nothing of the network around: ${host}`);
      }
      assert.equal(trap.connections(), 0, 'not one connection');
      for (const host of trap.loopback) assert.equal(await trap.spring(host), 1, `one to ${host} would have been seen`);
      // A name that changes its address after the check gains nothing: the connection goes to the address that was
      // checked (unit test no_connection_is_made_to_an_address_that_is_not_public).
    }],
    [48, 'a host that the operator names opens no other port, name or scheme', async () => {
      const [before, port] = [trap.connections(), site.host.split(':')[1]];
      const asked = site.requests.length;
      for (const url of [`https://127.0.0.1:${trap.port}/a`, `https://localhost:${port}/a`, `https://127.0.0.2:${port}/a`, `https://[::1]:${trap.port}/a`]) await checkNoClient(url);
      assert.equal(trap.connections(), before);
      assert.equal(site.requests.length, asked);
    }],

    ...[301, 302, 303, 307, 308].map((status) => [49, `a redirect (${status}) is not followed`, async () => {
      const before = trap.connections();
      const good = site.document(`/good-${status}.json`);
      for (const [n, location] of [good, `http://127.0.0.1:${trap.port}/`].entries()) {
        await checkNoClient(site.answer(`/redirect-${status}-${n}.json`, '', { status, headers: { location } }), /redirect/);
      }
      assert.equal(site.asked(good), 0);
      assert.equal(trap.connections(), before);
    }]),
    [49, 'more than 5 KB, however it is said', async () => {
      await refused('/large.json', { padding: 'x'.repeat(5 * 1024) });
      let closed;
      const endless = site.serve('/endless.json', (req, res) => {
        res.writeHead(200, { 'content-type': 'application/json' });
        const more = setInterval(() => res.write('x'.repeat(4096)), 1);
        res.on('close', () => {
          clearInterval(more);
          closed = true;
        });
      });
      await checkNoClient(endless);
      assert.ok(closed, 'we hung up');
    }],
    [49, 'slow: nothing at all, and a byte at a time', async () => {
      const silent = site.serve('/silent.json', () => {});
      const drip = site.serve('/drip.json', (req, res) => {
        res.writeHead(200, { 'content-type': 'application/json' });
        const more = setInterval(() => res.write(' '), 100);
        res.on('close', () => clearInterval(more));
      });
      const started = Date.now();
      await Promise.all([silent, drip].map((url) => checkNoClient(url)));
      assert.ok(Date.now() - started < 10_000, `${Date.now() - started} ms`);
    }],
    [49, 'what is no JSON document', async () => {
      const good = JSON.stringify({ client_id: 'x', client_name: 'x', redirect_uris: ['http://127.0.0.1/cb'] });
      for (const [n, [body, options]] of [
        ['<!doctype html><title>Sign in</title>', { headers: { 'content-type': 'text/html' } }], [good, { headers: { 'content-type': 'text/html' } }], ['', {}], ['[]', {}], ['null', {}],
        ['{', {}], [`${'['.repeat(2000)}`, {}], [Buffer.from([0x7b, 0xff, 0x7d]), {}], ['', { status: 204 }], [good, { status: 404 }], [good, { status: 410 }], [good, { status: 500 }],
      ].entries()) {
        await checkNoClient(site.answer(`/no-document-${n}.json`, body, options));
      }
    }],

    ...[
      ['of another client_id', { client_id: 'https://claude.ai/oauth/mcp-oauth-client-metadata' }], ['with a slash more in its client_id', { client_id: `http://${site.host}/other/` }],
      ['without client_id', { client_id: undefined }], ['with a secret', { client_secret: 's3cret' }], ['with the end of a secret', { client_secret_expires_at: 0 }],
      ['with a private key', { jwks: { keys: [{ kty: 'EC', crv: 'P-256', x: 'x', y: 'y', d: 'd' }] } }], ['with a symmetric key', { jwks: { keys: [{ kty: 'oct', k: 'AAAA' }] } }],
      ['that wants a shared secret', { token_endpoint_auth_method: 'client_secret_basic' }], ['without a name', { client_name: ' ' }], ['without redirect URIs', { redirect_uris: undefined }],
      ['with redirect URIs that nobody may have', { redirect_uris: ['http://evil.example/cb', 'javascript:alert(1)'] }],
    ].map(([what, changes], n) => [50, `a document ${what}`, () => refused(`/refused-${n}.json`, changes)]),

    [51, 'a redirect URI that the document does not name', async () => {
      const client = clientAt(site.document('/redirects.json'));
      for (const uri of [CLAUDE, 'http://127.0.0.1:47813/other', 'http://localhost:47813/callback', 'https://127.0.0.1:47813/callback', 'http://127.0.0.1:47813/callback?x=1']) {
        checkPage(await request('GET', client.authorization({ redirect_uri: uri }).url));
      }
      const { tokens } = await client.login(new Person(), { redirect_uri: 'http://127.0.0.1:1024/callback' });
      assert.equal((await client.mcp(tokens.access_token)).status, 200, 'the one it names works, on any port of loopback');
    }],

    [52, 'a failure is remembered for a while', async () => {
      const failing = site.answer('/failing.json', 'x', { status: 500 });
      const gone = site.answer('/gone.json', 'x', { status: 404 });
      for (let n = 0; n < 10; n += 1) for (const url of [failing, gone]) await checkNoClient(url);
      assert.deepEqual([site.asked(failing), site.asked(gone)], [1, 1]);
    }],
    [52, 'a hundred requests at once are one fetch, and so is a document that may not be kept', async () => {
      const url = site.document('/popular.json', {}, { headers: { 'cache-control': 'no-store' } });
      const client = clientAt(url);
      const answers = await Promise.all(Array.from({ length: 100 }, () => request('GET', client.authorization().url)));
      assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([200]));
      const { tokens } = await client.login(new Person());
      await client.refresh(tokens.refresh_token);
      assert.equal(site.asked(url), 1);
    }],
  ]);
});

/** An address of this machine that is nobody else's business: loopback, RFC 1918, RFC 4193, documentation. */
function isPrivate(address) {
  return /^(127\.|10\.|172\.(1[6-9]|2\d|3[01])\.|192\.168\.|192\.0\.2\.|::1$|f[cd])/.test(address);
}
