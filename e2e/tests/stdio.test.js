// A stdio server from npm, used by two people at once: each has a process of their own, and a folder that the other does
// not see. And one from PyPI that speaks MCP 2026-07-28, too, which has no sessions.
import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { Sdk1Client } from '../lib/client_sdk1.js';
import { Sdk2Client } from '../lib/client_sdk2.js';
import { startGateway } from '../lib/gateway.js';
import { Person } from '../lib/person.js';
import { freePort } from '../lib/process.js';
import { startUpstream, USERS } from '../lib/upstream.js';
import { together, use } from '../lib/world.js';

const SERVER = fileURLToPath(import.meta.resolve('@modelcontextprotocol/server-filesystem/dist/index.js'));

const PYTHON = fileURLToPath(new URL('../.venv/bin/python', import.meta.url));
const MODERN = fileURLToPath(new URL('../lib/stdio_server.py', import.meta.url));

/** A folder for each person, and a gateway before the server that serves it. */
const start = () => together(async (add) => {
  const folder = await mkdtemp(path.join(tmpdir(), 'mcp-login-stdio-'));
  await add({ stop: () => rm(folder, { recursive: true, force: true }) });
  for (const { sub } of Object.values(USERS)) await mkdir(path.join(folder, sub));
  const port = await freePort();
  const upstream = await add(startUpstream({ callback: `http://127.0.0.1:${port}/callback` }));
  const gateway = await add(startGateway({
    port,
    upstream: upstream.settings,
    resources: [{
      path: '/mcp',
      // The server wants its folder as an argument; placeholders are filled in the environment only.
      command: ['sh', '-c', 'exec "$NODE" "$SERVER" "$FOLDER"'],
      env: { NODE: process.execPath, SERVER, FOLDER: `${folder}/{user.sub}`, TOKEN: '{upstream.access_token}' },
      max_memory: '512MiB',
    }, {
      path: '/modern',
      command: [PYTHON, MODERN],
      env: { WHO: '{user.sub}' },
      max_memory: '512MiB',
    }],
    name: 'stdio',
  }));
  return { gateway, folder, mcpUrl: `${gateway.url}/mcp` };
});

/** The processes that serve something under the folder: `[{ pid, served, environment }]`. */
async function servers(folder) {
  const found = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const read = (name) => readFile(`/proc/${pid}/${name}`, 'utf8').then((text) => text.split('\0').filter(Boolean), () => []);
    const args = await read('cmdline');
    if (args[1] === SERVER && args[2]?.startsWith(folder)) found.push({ pid, served: args[2], environment: await read('environ') });
  }
  return found;
}

describe('a stdio server from npm', () => {
  const w = use(start);
  const people = { ada: Sdk1Client, alan: Sdk2Client };
  const clients = {};
  const file = (user) => path.join(w.folder, USERS[user].sub, 'note.txt');
  const both = (does) => Promise.all(Object.keys(people).map(does));

  before(async () => {
    let port = 47_830;
    for (const [user, Client] of Object.entries(people)) {
      const person = new Person({ user });
      const redirectUri = `http://127.0.0.1:${port++}/callback`;
      clients[user] = new Client({ mcpUrl: w.mcpUrl, redirectUri, visit: (url, until) => person.visit(url, until) });
    }
    await both((user) => clients[user].connect());
  });
  after(() => both((user) => clients[user]?.close()));

  test('serves two people at once', async () => {
    await both((user) => clients[user].call('write_file', { path: file(user), content: `by ${user}` }));
    await both(async (user) => {
      assert.equal(await readFile(file(user), 'utf8'), `by ${user}`);
      assert.match(await clients[user].call('read_text_file', { path: file(user) }), new RegExp(`by ${user}`));
    });
  });

  test('gives all clients of one person the same process', async () => {
    const before = (await servers(w.folder)).map(({ pid }) => pid);
    // One that would rather speak 2026-07-28 goes back to `initialize`: the server does not know it.
    for (const options of [{}, { versionNegotiation: { mode: 'auto' } }]) {
      const client = new Client({ name: 'another', version: '1.0.0' }, options);
      const { credentials } = clients.alan;
      await client.connect(new StreamableHTTPClientTransport(new URL(w.mcpUrl), { authProvider: credentials }));
      assert.match((await client.callTool({ name: 'read_text_file', arguments: { path: file('alan') } })).content[0].text, /by alan/);
      await client.close();
    }
    // What it has answered to `server/discover` needed no process of its own for long.
    const after = (await servers(w.folder)).map(({ pid }) => pid);
    for (const pid of before) assert.ok(after.includes(pid));
  });

  test('keeps them apart', async () => {
    for (const [user, other] of [['ada', 'alan'], ['alan', 'ada']]) {
      await assert.rejects(clients[user].call('read_text_file', { path: file(other) }), /denied/);
    }
    const running = await servers(w.folder);
    assert.deepEqual([...new Set(running.map(({ served }) => path.basename(served)))].sort(), Object.values(USERS).map(({ sub }) => sub).sort());
    const tokens = running.map(({ environment }) => environment.find((one) => one.startsWith('TOKEN=')));
    assert.equal(new Set(tokens).size, 2, 'each has its own token of the service');
  });

  test('says whose process it was in the log, and never the token', async () => {
    for (const { sub } of Object.values(USERS)) assert.match(w.gateway.log(), new RegExp(`a stdio server says.*${sub}`));
    for (const { environment } of await servers(w.folder)) {
      const token = environment.find((one) => one.startsWith('TOKEN=')).slice('TOKEN='.length);
      assert.ok(token.length > 8 && !w.gateway.log().includes(token));
    }
  });

  describe('that speaks MCP 2026-07-28', () => {
    const modern = {};
    before(async () => {
      let port = 47_840;
      for (const [user, { constructor: Host }] of Object.entries(clients)) {
        const person = new Person({ user });
        const host = new Host({ mcpUrl: `${w.gateway.url}/modern`, redirectUri: `http://127.0.0.1:${port++}/callback`, visit: (url, until) => person.visit(url, until) });
        modern[user] = host;
      }
    });

    test('is asked without a session, by name, and each for themselves', async () => {
      const said = {};
      for (const [user, host] of Object.entries(modern)) {
        // The first speaks an earlier revision, with a session.
        await host.connect();
        const [name] = await host.listTools();
        const pin = new Client({ name: 'modern', version: '1.0.0' }, { versionNegotiation: { mode: { pin: '2026-07-28' } } });
        await pin.connect(new StreamableHTTPClientTransport(new URL(host.mcpUrl), { authProvider: host.credentials }));
        const call = async () => (await pin.callTool({ name, arguments: {} })).content[0].text.split(' ');
        said[user] = await call();
        assert.deepEqual(await call(), said[user], 'the same process');
        assert.equal((await host.call(name)).split(' ')[0], said[user][0]);
        await pin.close();
        await host.close();
      }
      for (const user of Object.keys(modern)) assert.equal(said[user][0], USERS[user].sub);
      assert.notEqual(said.ada[1], said.alan[1]);
    });
  });

  test('leaves no process behind', async () => {
    assert.ok((await servers(w.folder)).length >= 2);
    await w.gateway.drain();
    assert.deepEqual(await servers(w.folder), []);
  });
});

describe('a connection that breaks in the middle of a call', () => {
  const w = use(() => together(async (add) => {
    const port = await freePort();
    const between = await add(startBetween(port));
    const url = `http://127.0.0.1:${between.port}`;
    const upstream = await add(startUpstream({ callback: `${url}/callback` }));
    const resources = [{ path: '/mcp', command: [PYTHON, MODERN], env: { WHO: '{user.sub}' } }];
    await add(startGateway({ port, publicUrl: url, upstream: upstream.settings, resources, name: 'stdio_breaks' }));
    const folder = await mkdtemp(path.join(tmpdir(), 'mcp-login-stdio-'));
    await add({ stop: () => rm(folder, { recursive: true, force: true }) });
    return { between, folder, mcpUrl: `${url}/mcp` };
  }));

  test('costs a client of 2025-11-25 nothing: it comes back for the answer', async () => {
    const person = new Person({ user: 'ada' });
    const redirectUri = 'http://127.0.0.1:47850/callback';
    const host = new Sdk1Client({ mcpUrl: w.mcpUrl, redirectUri, visit: (url, until) => person.visit(url, until) });
    await host.connect();
    const file = path.join(w.folder, 'done');
    let answer;
    await new Promise((resolve, reject) => {
      answer = host.client.callTool({ name: 'wait', arguments: { file } }, undefined, { onprogress: resolve });
      answer.catch(reject);
    });
    w.between.cut();
    await writeFile(file, '');
    assert.equal((await answer).content[0].text, 'done');
    await host.close();
  });
});

/** What stands between client and gateway, and can cut all connections. */
async function startBetween(to) {
  const open = new Set();
  const server = createServer((client) => {
    const gateway = connect(to, '127.0.0.1');
    for (const [one, other] of [[client, gateway], [gateway, client]]) {
      open.add(one);
      one.on('error', () => {}).on('close', () => { open.delete(one); other.destroy(); }).pipe(other);
    }
  });
  const cut = () => { for (const socket of open) socket.destroy(); };
  await new Promise((resolve) => { server.listen(0, '127.0.0.1', resolve); });
  return { port: server.address().port, cut, stop: () => new Promise((resolve) => { server.close(resolve); cut(); }) };
}
