// mcp-remote and the Inspector themselves, from their packages: both open a browser, listen for it, keep what they are given
// in their home, and refresh. On a lazy server the login begins in the middle of the call.
import assert from 'node:assert/strict';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { packagedNode } from '../lib/packaged_node.js';
import { freePort } from '../lib/process.js';
import { USERS } from '../lib/upstream.js';
import { useWorld } from '../lib/world.js';
import { startDesktop } from './desktop.js';

const MODULES = fileURLToPath(new URL('node_modules', import.meta.url));
const REMOTE = path.join(MODULES, 'mcp-remote/dist/proxy.js');
const INSPECTOR = path.join(MODULES, '@modelcontextprotocol/inspector/clients/launcher/build/index.js');

/**
 * mcp-remote between a client on its standard input and output and the server; ends when `use` has. It keeps its files in
 * `.mcp-auth`.
 */
async function throughRemote(w, d, use) {
  const transport = new StdioClientTransport({ command: process.execPath, args: [REMOTE, w.mcpUrl, '--allow-http'], env: d.env, cwd: d.home, stderr: 'pipe' });
  let printed = '';
  transport.stderr.on('data', (text) => {
    printed += text;
  });
  const client = new Client({ name: 'e2e-host', version: '1.0.0' });
  try {
    await client.connect(transport);
    return await use(client);
  } catch (error) {
    throw new Error(`${error.message}\n${printed}\n${d.errors.join('\n')}`, { cause: error });
  } finally {
    await client.close();
  }
}

const PROGRAMS = [
  {
    title: 'mcp-remote',
    keeps: '.mcp-auth',
    redirectUri: /^http:\/\/localhost:\d+\/oauth\/callback$/,
    discover: (w, d) => throughRemote(w, d, async (client) => (await client.listTools()).tools.map(({ name }) => name)),
    call: (w, d) => throughRemote(w, d, async (client) => (await client.callTool({ name: 'whoami', arguments: {} })).content[0].text),
  },
  {
    title: 'the Inspector',
    keeps: '.mcp-inspector',
    redirectUri: /^http:\/\/127\.0\.0\.1:\d+\/oauth\/callback$/,
    async prepare(d) {
      // Its own port is a fixed one, and there may be no keyring.
      const port = await freePort();
      Object.assign(d.env, { MCP_AUTO_OPEN_ENABLED: 'true', MCP_INSPECTOR_SECRET_STORE: 'file', MCP_OAUTH_CALLBACK_URL: `http://127.0.0.1:${port}/oauth/callback` });
    },
    inspect: async (w, d, ...words) => {
      const printed = await d.run(packagedNode(), [INSPECTOR, '--cli', w.mcpUrl, '--transport', 'http', '--method', ...words]);
      return JSON.parse(printed.slice(printed.indexOf('{'), printed.indexOf('\n}') + 2));
    },
    async discover(w, d) {
      return (await this.inspect(w, d, 'tools/list')).tools.map(({ name }) => name);
    },
    async call(w, d) {
      return (await this.inspect(w, d, 'tools/call', '--tool-name', 'whoami')).content[0].text;
    },
  },
];

for (const program of PROGRAMS) {
  for (const auth of ['required', 'lazy']) {
    describe(`${program.title}, ${auth}`, () => {
      const w = useWorld({ auth, recorded: true, name: `cli-${program.keeps.slice(1)}-${auth}` });
      const d = {};
      before(async () => {
        Object.assign(d, await startDesktop());
        delete d.env.DISPLAY; // with one, `open` looks for the desktop's own browser, and there may be one
        await program.prepare?.(d);
      });
      after(() => d.stop?.());
      const asked = (name) => w.recorder.requests.filter((one) => one.path === `/${name}`);

      test(`lists tools, ${auth === 'lazy' ? 'without a login' : 'after a login'}`, async () => {
        assert.deepEqual((await program.discover(w, d)).sort(), ['add', 'ticks', 'whoami']);
        assert.equal(d.opened.length, auth === 'lazy' ? 0 : 1);
        assert.deepEqual(d.errors, []);
      });

      test('calls a tool, with one login', async () => {
        checkCaller(await program.call(w, d));
        assert.equal(d.opened.length, 1);
        assert.deepEqual(d.errors, []);
        const [{ query }, ...others] = asked('authorize');
        assert.deepEqual(others, []);
        assert.equal(query.resource, w.mcpUrl);
        assert.equal(query.scope, 'mcp offline_access');
        assert.match(query.redirect_uri, program.redirectUri);
      });

      test('refreshes when its access token is refused', async () => {
        await spoil(path.join(d.home, program.keeps));
        checkCaller(await program.call(w, d));
        assert.equal(d.opened.length, 1, 'a refresh, not a login');
        const [refresh, ...others] = asked('token').filter((one) => one.form.grant_type === 'refresh_token');
        assert.deepEqual([refresh.status, others], [200, []]);
      });

      function checkCaller(text) {
        const said = JSON.parse(text);
        assert.equal(said.user, USERS.ada.sub);
        assert.equal(said.client, asked('authorize')[0].query.client_id);
        assert.equal(said.headers.authorization, undefined, 'the client’s own token stops at the gateway');
      }
    });
  }
}

/** Changes every access token in the files of a folder. */
async function spoil(folder) {
  let changed = 0;
  for (const name of await readdir(folder, { recursive: true })) {
    if (!name.endsWith('.json')) continue;
    const text = await readFile(path.join(folder, name), 'utf8');
    const spoilt = text.replace(/(access_token\\?": ?\\?"[^"\\]+)[^"\\]{4}/g, (_, kept) => {
      changed += 1;
      return `${kept}AAAA`;
    });
    await writeFile(path.join(folder, name), spoilt);
  }
  assert.equal(changed, 1);
}
