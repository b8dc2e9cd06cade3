// One login of a real client through a real browser: consent page → upstream on another site → callback → client.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { consent, decide, launch, observe, throughUpstream } from '../lib/browser.js';
import { Sdk1Client } from '../lib/client_sdk1.js';
import { startLoopback } from '../lib/loopback.js';
import { OAuthClient } from '../lib/oauth.js';
import { USERS } from '../lib/upstream.js';
import { useWorld } from '../lib/world.js';

describe('a browser', () => {
  const w = useWorld({ name: 'browser' });
  let browser, loopback, context, registration;

  before(async () => {
    [browser, loopback] = await Promise.all([launch(), startLoopback()]);
    context = await browser.newContext();
  });
  after(async () => {
    await browser?.close();
    await loopback?.stop();
  });

  test('logs the client in', async (t) => {
    const { page, seen } = await observe(context);
    const visit = async (url, redirectUri) => {
      const answer = await page.goto(url);
      await checkConsentPage(answer, page, seen);
      await decide(page);
      await throughUpstream(page);
      const callback = await arrive(page);
      assert.ok(page.url().startsWith(redirectUri), page.url());
      return callback;
    };
    const client = new Sdk1Client({ mcpUrl: w.mcpUrl, redirectUri: loopback.url, visit });
    t.after(() => client.close());
    await client.connect();
    assert.equal((await client.whoami()).user, USERS.ada.sub);
    assert.deepEqual(seen.problems, [], 'no CSP violation, no failed load');
    await checkCookies();
    registration = client.credentials.client;
    await page.close();
  });

  test('shows the page again to the same browser: any program can pose as a loopback client', async () => {
    const { page, seen } = await observe(context);
    const client = rawClient();
    const flow = client.authorization();
    await page.goto(flow.url);
    await consent(page).waitFor();
    await decide(page);
    await throughUpstream(page);
    const callback = await arrive(page);
    assert.equal(callback.searchParams.get('state'), flow.state);
    assert.ok(callback.searchParams.get('code'));
    assert.deepEqual(seen.problems, []);
    await page.close();
  });

  test('brings Deny to the client', async () => {
    const { page, seen } = await observe(context);
    const flow = rawClient().authorization();
    await page.goto(flow.url);
    await decide(page, 'deny');
    const { searchParams } = await arrive(page);
    assert.equal(searchParams.get('error'), 'access_denied');
    assert.equal(searchParams.get('state'), flow.state);
    assert.equal(searchParams.get('iss'), w.gateway.url);
    assert.equal(searchParams.get('code'), null);
    assert.deepEqual(seen.problems, []);
    await page.close();
  });

  test('works in two tabs at once', async () => {
    const tabs = [await observe(context), await observe(context)];
    const flows = tabs.map(() => rawClient().authorization());
    for (const [index, { page }] of tabs.entries()) await page.goto(flows[index].url);
    for (const [index, { page }] of tabs.entries()) {
      await decide(page);
      await throughUpstream(page);
      assert.equal((await arrive(page)).searchParams.get('state'), flows[index].state);
      await page.close();
    }
  });

  /** The callback, once the client's page stands: a page that is closed while it is still on its way can hang. */
  async function arrive(page) {
    const callback = await loopback.next();
    await page.getByText('Back in the client').waitFor();
    return callback;
  }

  function rawClient() {
    const client = new OAuthClient(w.gateway.url, { redirectUri: loopback.url });
    client.registration = registration;
    return client;
  }

  async function checkConsentPage(answer, page, seen) {
    await consent(page).waitFor();
    const headers = await answer.allHeaders();
    assert.match(headers['content-security-policy'], /frame-ancestors 'none'/);
    assert.match(headers['cache-control'], /no-store/);
    assert.match(await page.locator('body').innerText(), /127\.0\.0\.1/, 'names where the code will go');
    const documents = new Set([answer.url(), ...redirectsOf(answer.request())]);
    const loaded = seen.requests.filter((url) => !documents.has(url) && new URL(url).pathname !== '/favicon.ico');
    assert.deepEqual(loaded, [], 'the page loads nothing else');
  }

  function redirectsOf(request) {
    const from = request.redirectedFrom();
    return from ? [from.url(), ...redirectsOf(from)] : [];
  }

  async function checkCookies() {
    const ours = (await context.cookies(w.gateway.url)).concat(await context.cookies(`${w.gateway.url}/callback`));
    for (const cookie of ours) {
      assert.ok(cookie.httpOnly, `${cookie.name} is HttpOnly`);
      assert.equal(cookie.sameSite, 'Lax', `${cookie.name} is SameSite=Lax`);
    }
  }
});
