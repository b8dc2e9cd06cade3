// The official conformance suite of MCP against the built binary: its part for authorization servers, and what it asks of
// servers on the person's own computer.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, test } from 'node:test';
import { checksIn, startSuite, version } from '../lib/conformance_suite.js';
import { within } from '../lib/http.js';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { freePort, ready } from '../lib/process.js';
import { useWorld } from '../lib/world.js';

/** What the suite has to have checked: one that checks less than it did is no green run. */
const SCENARIOS = {
  'authorization-server-metadata-endpoint': ['authorization-server-metadata', 'authorization-server-metadata-cimd'],
  'authorization-code-grant': ['authorization-code-grant'],
};

/** What it has to have checked of a server whose discovery is public. */
const REBINDING = { 'dns-rebinding-protection': ['localhost-host-rebinding-rejected', 'localhost-host-valid-accepted'] };

describe(`the conformance suite ${version}`, () => {
  const w = useWorld({ name: 'conformance' });

  for (const [what, options] of [['without a resource', () => []], ['with a resource', () => ['--resource', w.mcpUrl]]]) {
    test(`every check of an authorization server, ${what}`, async (t) => {
      const out = await mkdtemp(path.join(tmpdir(), 'mcp-login-conformance-'));
      t.after(() => rm(out, { recursive: true, force: true }));
      const port = await freePort();
      const redirectUri = `http://127.0.0.1:${port}/callback`;
      const client = new OAuthClient(w.gateway.url, { redirectUri });
      assert.equal((await client.register()).status, 201);

      const suite = startSuite([
        'authorization', '--url', w.gateway.url, '--client-id', client.clientId, '--port', String(port), '--output-dir', out, ...options(),
      ], { cwd: out });
      t.after(() => suite.stop());
      let url;
      const printed = new RegExp(`^${w.gateway.url}/authorize\\?\\S+$`, 'm');
      await ready(suite, 'the URL to open', () => {
        url = suite.output.stdout.match(printed)?.[0];
        return Boolean(url);
      });
      const { page } = await new Person().go(await callback(url, redirectUri));
      assert.match(page.text, /OK/, 'the suite has its callback');

      const { code } = await within(30_000, 'the end of the suite', suite.exited);
      assert.deepEqual(await results(out), SCENARIOS, suite.output.stdout);
      assert.equal(code, 0, suite.output.stdout);
    });
  }

  /** The person's way to the callback URL, which is not visited yet. */
  async function callback(url, redirectUri) {
    return String(await new Person().visit(url, redirectUri));
  }
});

describe(`the conformance suite ${version} as a web page`, () => {
  const w = useWorld({ name: 'conformance-lazy', auth: 'lazy' });

  test('every check of DNS rebinding', async (t) => {
    const out = await mkdtemp(path.join(tmpdir(), 'mcp-login-conformance-'));
    t.after(() => rm(out, { recursive: true, force: true }));
    const [scenario] = Object.keys(REBINDING);
    const suite = startSuite(['server', '--url', w.mcpUrl, '--scenario', scenario, '--output-dir', out], { cwd: out });
    t.after(() => suite.stop());
    const { code } = await within(30_000, 'the end of the suite', suite.exited);
    assert.deepEqual(await results(out, REBINDING), REBINDING, suite.output.stdout);
    assert.equal(code, 0, suite.output.stdout);
  });
});

/** The checks of each scenario by their ID. Anything but a success is a failure here: warnings and skips, too. */
async function results(out, scenarios = SCENARIOS) {
  const found = {};
  for (const [folder, checks] of Object.entries(await checksIn(out))) {
    for (const check of checks) assert.equal(check.status, 'SUCCESS', JSON.stringify(check, null, 2));
    const scenario = Object.keys(scenarios).find((name) => folder.includes(name));
    found[scenario ?? folder] = checks.map((check) => check.id);
  }
  return found;
}
