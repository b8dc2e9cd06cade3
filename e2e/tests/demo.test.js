// `mcp-login demo` with nothing configured: two people, two browsers, each with notes of their own.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { decide, launch, observe } from '../lib/browser.js';
import { Sdk1Client } from '../lib/client_sdk1.js';
import { BIN } from '../lib/gateway.js';
import { startLoopback } from '../lib/loopback.js';
import { freePort, ready, start } from '../lib/process.js';

describe('the demo', () => {
  let demo, dir, browser, loopback, mcpUrl;

  before(async () => {
    [browser, loopback] = await Promise.all([launch(), startLoopback()]);
    const port = await freePort();
    dir = await mkdtemp(path.join(tmpdir(), 'mcp-login-demo-'));
    demo = start(BIN, ['demo', '--port', String(port), '--data', dir], { cwd: dir, env: { NO_COLOR: '1' } });
    const url = new RegExp(`http://[\\w.]+:${port}/\\w+`);
    await ready(demo, 'the demo', () => {
      mcpUrl = demo.output.stdout.match(url)?.[0];
      return Boolean(mcpUrl);
    });
  });
  after(async () => {
    await browser?.close();
    await loopback?.stop();
    const end = await demo?.stop();
    if (dir) await rm(dir, { recursive: true, force: true });
    if (end) assert.equal(end.code, 0, `${JSON.stringify(end)} ${demo.output.stderr.slice(-2000)}`);
  });

  test('says how to connect each client', () => {
    for (const name of ['claude mcp add', 'VS Code', 'Cursor', 'Inspector']) {
      assert.ok(demo.output.stdout.toLowerCase().includes(name.toLowerCase()), `${name} in:\n${demo.output.stdout}`);
    }
  });

  test('keeps what Ada notes from Alan', async (t) => {
    const [ada, alan] = await Promise.all(['Ada', 'Alan'].map((name) => connect(t, name)));
    await ada.call('add_note', await noteArguments(ada, 'the engine weaves algebraic patterns'));
    await alan.call('add_note', await noteArguments(alan, 'can machines think'));
    const [hers, his] = [await ada.call('list_notes'), await alan.call('list_notes')];
    assert.match(hers, /algebraic patterns/);
    assert.doesNotMatch(hers, /machines think/);
    assert.match(his, /machines think/);
    assert.doesNotMatch(his, /algebraic patterns/);
  });

  test('shows Ada what is connected in her name, and ends it', async (t) => {
    const ada = await connect(t, 'Ada');
    const { page, seen } = await observe(await browser.newContext());
    await page.goto(demo.output.stdout.match(/Connections +(\S+)/)[1]);
    await page.getByRole('button', { name: /Sign in with/ }).click();
    await signIn(page, 'Ada');
    const buttons = page.getByRole('button', { name: /^Disconnect/ });
    await buttons.first().waitFor();
    for (let left = await buttons.count(); left > 0; left -= 1) {
      assert.equal(await buttons.count(), left);
      await Promise.all([page.waitForEvent('load'), buttons.first().click()]);
    }
    await page.getByText('No program is connected in your name.').waitFor();
    assert.deepEqual(seen.problems, []);
    // The client has to log in again, and that is a new connection.
    await ada.call('list_notes');
    await page.goto(page.url());
    assert.equal(await buttons.count(), 1);
  });

  /** A client of its own for each person, who signs in with a browser of their own. */
  async function connect(t, name) {
    const context = await browser.newContext();
    const listener = await startLoopback();
    t.after(() => listener.stop());
    const visit = async (url) => {
      const { page, seen } = await observe(context);
      await page.goto(url);
      await decide(page);
      await signIn(page, name);
      const callback = await listener.next();
      await page.getByText('Back in the client').waitFor();
      assert.deepEqual(seen.problems, []);
      return callback;
    };
    const client = new Sdk1Client({ mcpUrl, redirectUri: listener.url, visit });
    t.after(() => client.close());
    await client.connect();
    return client;
  }

  /** The demo's sign-in page: one button or link for each person. */
  async function signIn(page, name) {
    const choice = page.getByRole('button', { name: new RegExp(name) }).or(page.getByRole('link', { name: new RegExp(name) }));
    await choice.first().click();
  }

  /** The note's text under whatever name the tool's schema gives it. */
  async function noteArguments(client, text) {
    const { tools } = await client.client.listTools();
    const schema = tools.find((tool) => tool.name === 'add_note').inputSchema;
    return { [(schema.required ?? Object.keys(schema.properties))[0]]: text };
  }
});
