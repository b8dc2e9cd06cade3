// What docs/gateway.md shows: its servers run behind the gateway with its configurations, as they stand there. Only where
// things are is said otherwise, by the environment: addresses, the store, and the endpoints of GitHub, which `emulate` plays.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { BIN } from '../lib/gateway.js';
import { request, within } from '../lib/http.js';
import { Sdk1Client } from '../lib/client_sdk1.js';
import { Person } from '../lib/person.js';
import { freePort, ready, start } from '../lib/process.js';
import { startService } from '../lib/services.js';
import { together, use } from '../lib/world.js';

const E2E = fileURLToPath(new URL('..', import.meta.url));
const PYTHON = path.join(E2E, '.venv/bin/python');
const NODE_24 = path.join(E2E, `node_modules/node-linux-${process.arch}/bin/node`);

const text = await readFile(new URL('../../docs/gateway.md', import.meta.url), 'utf8');

/** The blocks of a section, by file name; of several with one name all. */
function blocks(heading) {
  const section = text.split(/^## /m).find((one) => one.startsWith(`${heading}\n`));
  assert.ok(section, `a section “${heading}”`);
  return [...section.matchAll(/^```\w+ (\S+)\n(.*?)^```$/gms)].map(([, file, content]) => ({ file, content }));
}
const block = (heading, file) => {
  const found = blocks(heading).filter((one) => one.file === file);
  assert.ok(found.length > 0, `${file} in “${heading}”`);
  return found[0].content;
};

/** A gateway with a configuration of the page, before what `backend` is, and GitHub. */
const startDocumented = (heading, { backend, environment = () => ({}) } = {}) => together(async (add) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'mcp-login-docs-'));
  await add({ stop: () => rm(folder, { recursive: true, force: true }) });
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const github = await add(startService('github', [`${url}/callback`]));
  const at = await backend?.(add, folder, github);
  const config = path.join(folder, 'mcp-login.toml');
  await writeFile(config, block(heading, 'mcp-login.toml'));
  const settings = Object.entries(github.settings()).filter(([, value]) => typeof value === 'string');
  // Files are looked for from here: what `npx` starts is installed here.
  const gateway = start(BIN, ['serve', '--config', config], {
    cwd: E2E,
    env: {
      NO_COLOR: '1',
      MCP_LOGIN_PUBLIC_URL: url,
      MCP_LOGIN_LISTEN: `127.0.0.1:${port}`,
      MCP_LOGIN_STORE__URL: 'memory:',
      ...Object.fromEntries(settings.map(([key, value]) => [`MCP_LOGIN_UPSTREAM__${key.toUpperCase()}`, value])),
      ...(at && { MCP_LOGIN_MCP__0__BACKEND: at }),
      ...environment(folder),
    },
  });
  await add(gateway);
  await ready(gateway, 'the gateway', () => request('GET', `${url}/readyz`, { timeout: 2000 }).then((answer) => answer.status === 200, () => false));
  const path_ = block(heading, 'mcp-login.toml').match(/^path +=\s+"(.*)"$/m)[1];
  return { url, mcpUrl: url + path_, github, folder };
});

/** A server of the page on a free port: its file is changed in nothing but the port. */
const served = (heading, file, command) => async (add, folder) => {
  const port = await freePort();
  // What it imports is looked for from where it lies.
  const place = path.join(E2E, 'out', path.basename(folder));
  await mkdir(place, { recursive: true });
  await add({ stop: () => rm(place, { recursive: true, force: true }) });
  const content = block(heading, file);
  assert.match(content, /\b3000\b/);
  await writeFile(path.join(place, file), content.replace(/\b3000\b/, String(port)));
  const server = await add(start(command, [path.join(place, file)], { cwd: place }));
  const url = `http://127.0.0.1:${port}/mcp`;
  await ready(server, file, () => request('GET', url, { timeout: 2000, headers: { accept: 'application/json' } }).then(() => true, () => false), 30_000);
  return url;
};

/** Somebody at GitHub, with a client. */
function clientOf(w, user, redirectUri = 'http://127.0.0.1:47840/callback') {
  const person = new Person({ account: w.github.account(user) });
  return new Sdk1Client({ mcpUrl: w.mcpUrl, redirectUri, visit: (url, until) => person.visit(url, until) });
}

/** The subject of a GitHub account. */
const subject = async (w, login) => String((await request('GET', `${w.github.url}/users/${login}`)).json.id);

test('every configuration of the page is one that the gateway takes', async (t) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'mcp-login-docs-'));
  t.after(() => rm(folder, { recursive: true, force: true }));
  const written = (kind) => [...text.matchAll(new RegExp(`^\`\`\`toml ${kind}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, content]) => content);
  const top = 'public_url = "https://mcp.example.com"\n[upstream]\nprovider = "github"\nclient_id = "x"\nclient_secret = "s"\n[[mcp]]\n';
  // Of a part the rest is as short as can be.
  const needed = (part) => (/^path /m.test(part) ? '' : 'path = "/mcp"\n');
  const all = [
    ...written('mcp-login\\.toml'),
    ...written('in \\[\\[mcp\\]\\]').map((part) => top + needed(part) + part),
    ...written('before').map((part) => `${part}${top}path = "/mcp"\nbackend = "http://127.0.0.1:3000/mcp"\n`),
    ...written('after').map((part) => `${top}path = "/mcp"\nbackend = "http://127.0.0.1:3000/mcp"\n${part}`),
  ];
  assert.equal(all.length, text.match(/^```toml/gm).length, 'none is left out');
  assert.ok(all.length >= 10);
  for (const content of all) {
    const file = path.join(folder, 'mcp-login.toml');
    await writeFile(file, content);
    const check = start(BIN, ['config', 'check', '--config', file], { cwd: folder, env: { GITHUB_CLIENT_SECRET: 's', GOOGLE_CLIENT_SECRET: 's' } });
    const { code } = await within(10_000, 'config check', check.exited);
    assert.equal(code, 0, content + check.output.stdout + check.output.stderr);
    assert.doesNotMatch(check.output.stdout + check.output.stderr, /warning/i, content);
    assert.match(check.output.stdout, /^ok: https:\/\/mcp\.example\.com/);
  }
});

test('what VS Code and Cursor read is JSON, and names the server', () => {
  const servers = [JSON.parse(block('VS Code', '.vscode/mcp.json')).servers, JSON.parse(block('Cursor', '.cursor/mcp.json')).mcpServers];
  for (const { notes } of servers) assert.equal(notes.url, 'https://mcp.example.com/mcp');
});

describe('a server in TypeScript', () => {
  const w = use(() => startDocumented('A server in TypeScript', { backend: served('A server in TypeScript', 'server.ts', NODE_24) }));
  test('is told who calls', async (t) => {
    const client = clientOf(w, 'ada');
    t.after(() => client.close());
    await client.connect();
    assert.equal(client.logins, 1);
    assert.equal(await client.call('whoami'), `You are ${await subject(w, 'ada')}.`);
  });
});

describe('a server in Python', () => {
  const w = use(() => startDocumented('A server in Python', {
    backend: served('A server in Python', 'server.py', PYTHON),
    // Unlike one on the internet, a gateway on loopback asks whose page it is.
    environment: () => ({ MCP_LOGIN_ALLOWED_ORIGINS: 'https://inspector.example' }),
  }));
  test('greets anybody, and is told who calls', async (t) => {
    const client = clientOf(w, 'ada');
    t.after(() => client.close());
    await client.connect();
    assert.deepEqual(await client.listTools(), ['greet', 'whoami']);
    assert.equal(await client.call('greet'), 'Hello!');
    // The SDK's own check of the origin would refuse a page that the gateway lets call.
    const page = await request('POST', w.mcpUrl, {
      json: { jsonrpc: '2.0', id: 1, method: 'tools/list' }, headers: { accept: 'application/json, text/event-stream', origin: 'https://inspector.example' },
    });
    assert.notEqual(page.status, 403, page.text);
    assert.equal(client.logins, 0, 'nobody has signed in yet');
    assert.equal(await client.call('whoami'), `You are ${await subject(w, 'ada')}.`);
    assert.equal(client.logins, 1);
  });
});

describe('a stdio server', () => {
  const environment = (folder) => ({ MCP_LOGIN_MCP__0__ENV: `{ FOLDER = "${folder}/{user.sub}" }` });
  const w = use(() => startDocumented('A stdio server', { environment }));
  test('serves each from a folder of their own', async (t) => {
    const clients = { ada: clientOf(w, 'ada'), alan: clientOf(w, 'alan', 'http://127.0.0.1:47841/callback') };
    t.after(() => Promise.all(Object.values(clients).map((client) => client.close())));
    for (const [user, client] of Object.entries(clients)) {
      await client.connect();
      const file = path.join(w.folder, await subject(w, user), 'note.txt');
      await client.call('write_file', { path: file, content: user });
      assert.equal(await readFile(file, 'utf8'), user);
      const other = path.join(w.folder, await subject(w, user === 'ada' ? 'alan' : 'ada'), 'note.txt');
      await assert.rejects(client.call('read_text_file', { path: other }), /denied/);
    }
  });
});

describe('GitHub’s own server', () => {
  /** Takes tokens of GitHub as GitHub's server does, and says whose they are. */
  const startGithubs = async (add, _, github) => {
    const server = http.createServer(async (req, res) => {
      if (req.method !== 'POST') return res.writeHead(405).end();
      const chunks = [];
      for await (const chunk of req) chunks.push(chunk);
      const token = req.headers.authorization?.match(/^Bearer (.+)$/)?.[1];
      const who = token && (await github.whose(token)).account;
      if (!who || who === 'nobody') return res.writeHead(401, { 'www-authenticate': 'Bearer realm="github"' }).end();
      const { id, method } = JSON.parse(Buffer.concat(chunks));
      if (id === undefined) return res.writeHead(202).end();
      const results = {
        initialize: { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'github', version: '1' } },
        'tools/call': { content: [{ type: 'text', text: who }] },
      };
      res.writeHead(200, { 'content-type': 'application/json' });
      return res.end(JSON.stringify({ jsonrpc: '2.0', id, result: results[method] ?? {} }));
    });
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    await add({
      stop: () => {
        server.closeAllConnections();
        return new Promise((resolve) => server.close(resolve));
      },
    });
    return `http://127.0.0.1:${server.address().port}/mcp/`;
  };

  // Whether somebody is of the organization is asked where the preset says, which is GitHub itself; that rule has a test of
  // its own (`upstreams.test.js`).
  const environment = () => ({ MCP_LOGIN_ACCESS__CLAIMS: '{}' });
  const w = use(() => startDocumented("GitHub's own MCP server", { backend: startGithubs, environment }));
  const clients = {};
  before(async () => {
    for (const [user, port] of [['ada', 47842], ['alan', 47843]]) {
      clients[user] = clientOf(w, user, `http://127.0.0.1:${port}/callback`);
      await clients[user].connect();
    }
  });
  after(() => Promise.all(Object.values(clients).map((client) => client.close())));

  test('is called with each user’s token', async () => {
    for (const [user, client] of Object.entries(clients)) assert.equal(await client.call('get_me'), user);
  });
});
