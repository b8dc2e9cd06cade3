// Claude Code and Codex themselves, from their packages: added, logged in through the browser they open, and made to call
// a tool by a model that is a script. They name their metadata document; the copy in the binary stands in for it.
import assert from 'node:assert/strict';
import { writeFile, mkdir } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { NO_INTERNET } from '../lib/documents.js';
import { USERS } from '../lib/upstream.js';
import { useWorld } from '../lib/world.js';
import { startDesktop } from './desktop.js';
import { startModel } from './model.js';

const MODULES = fileURLToPath(new URL('node_modules', import.meta.url));
const CLAUDE = path.join(MODULES, `@anthropic-ai/claude-code-linux-${process.arch}/claude`);
const CODEX = path.join(MODULES, '@openai/codex/bin/codex.js');

/** What is known of the person must have come through the gateway, whole. */
function checkSaid(printed, client) {
  assert.match(printed, /SAID/, printed);
  assert.ok(printed.includes(USERS.ada.sub) && printed.includes(client), printed);
}

function useDesktop() {
  const d = {};
  before(async () => {
    Object.assign(d, await startDesktop(), { model: await startModel('whoami') });
  });
  after(async () => {
    await d.model?.stop();
    await d.stop?.();
  });
  return d;
}

/** Discovery and login as they came: well-known addresses asked for, in order, and the authorization request. */
function seen({ recorder }) {
  const wellKnown = recorder.requests.filter((one) => one.path.includes('/.well-known/')).map((one) => one.path);
  const at = (name) => recorder.requests.filter((one) => one.path === `/${name}`);
  return { wellKnown, authorize: at('authorize'), register: at('register'), token: at('token') };
}

/** `scope` is what the program sends at a refresh. */
function checkRefreshes(w, wanted, scope) {
  const renewed = seen(w).token.filter((one) => one.form.grant_type === 'refresh_token');
  assert.equal(renewed.length > 0, wanted, `${renewed.length} refreshes`);
  for (const one of renewed) assert.deepEqual([one.status, one.form.resource, one.form.scope], [200, w.mcpUrl, scope]);
}

// Five minutes and less is what makes Claude Code refresh before every request.
for (const [ttl, refreshes] of [['1h', false], ['200s', true]]) {
  describe(`Claude Code, access tokens of ${ttl}`, () => {
    const w = useWorld({ recorded: true, env: NO_INTERNET, name: `cli-claude-${ttl}`, extra: `[tokens]\naccess_ttl = "${ttl}"` });
    const d = useDesktop();
    const document = 'https://claude.ai/oauth/claude-code-client-metadata';

    test('logs in by its metadata document', async () => {
      Object.assign(d.env, {
        ANTHROPIC_BASE_URL: d.model.url, ANTHROPIC_API_KEY: 'none', ENABLE_TOOL_SEARCH: 'false',
        DISABLE_TELEMETRY: '1', DISABLE_AUTOUPDATER: '1', DISABLE_ERROR_REPORTING: '1', CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC: '1',
      });
      await d.run(CLAUDE, ['mcp', 'add', '--transport', 'http', 'notes', w.mcpUrl]);
      assert.match(await d.run(CLAUDE, ['mcp', 'login', 'notes'], { terminal: true }), /Authenticated/);
      assert.deepEqual(d.errors, []);
      const { wellKnown, authorize, register } = seen(w);
      assert.deepEqual(wellKnown.slice(0, 2), ['/.well-known/oauth-protected-resource/mcp', '/.well-known/oauth-authorization-server'], 'no detour');
      assert.equal(register.length, 0, 'nothing to register');
      const { query } = authorize[0];
      assert.equal(query.client_id, document);
      assert.equal(query.resource, w.mcpUrl);
      assert.equal(query.scope, 'mcp offline_access');
      assert.equal(query.prompt, 'consent');
      assert.match(query.redirect_uri, /^http:\/\/localhost:\d+\/callback$/);
      assert.match(await d.run(CLAUDE, ['mcp', 'list']), /Connected/);
    });

    test(`calls a tool${refreshes ? ', with a fresh token for each request' : ''}`, async () => {
      checkSaid(await d.run(CLAUDE, ['-p', 'who am I', '--allowedTools', 'mcp__notes__whoami']), document);
      checkRefreshes(w, refreshes);
    });
  });
}

for (const [ttl, refreshes] of [['1h', false], ['20s', true]]) {
  describe(`Codex, access tokens of ${ttl}`, () => {
    const w = useWorld({ recorded: true, env: NO_INTERNET, name: `cli-codex-${ttl}`, extra: `[tokens]\naccess_ttl = "${ttl}"\nrefresh_retry_window = "10s"` });
    const d = useDesktop();
    const document = 'https://chatgpt.com/oauth/codex/client.json';
    const codex = (...args) => d.run(process.execPath, [CODEX, ...args]);

    test('logs in by its metadata document, as soon as it is told of the server', async () => {
      await mkdir(path.join(d.home, '.codex'));
      d.env.MODEL_KEY = 'none';
      await writeFile(path.join(d.home, '.codex/config.toml'), [
        'model = "scripted"', 'model_provider = "scripted"', '[model_providers.scripted]', 'name = "scripted"', `base_url = "${d.model.url}/v1"`, 'env_key = "MODEL_KEY"', 'wire_api = "responses"', '',
      ].join('\n'));
      assert.match(await codex('mcp', 'add', 'notes', '--url', w.mcpUrl), /Successfully logged in/);
      assert.deepEqual(d.errors, []);
      const { authorize, register } = seen(w);
      assert.equal(register.length, 0, 'nothing to register');
      const { query } = authorize[0];
      assert.equal(query.client_id, document, 'the document for servers that send `iss`');
      assert.equal(query.resource, w.mcpUrl);
      assert.equal(query.scope, 'mcp offline_access');
      assert.match(query.redirect_uri, /^http:\/\/127\.0\.0\.1:\d+\/callback$/);
    });

    test(`calls a tool${refreshes ? ', with a fresh token' : ''}`, async () => {
      checkSaid(await codex('exec', '--skip-git-repo-check', '--dangerously-bypass-approvals-and-sandbox', 'who am I'), document);
      checkRefreshes(w, refreshes, 'mcp offline_access'); // of which offline_access was never granted
    });
  });
}
