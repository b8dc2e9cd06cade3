// The account page in a real browser: sign in at another site, see what is connected, disconnect it.
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { launch, observe, throughUpstream } from '../lib/browser.js';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { USERS } from '../lib/upstream.js';
import { useWorld } from '../lib/world.js';

describe('the account page', () => {
  const w = useWorld({ name: 'account' });
  let browser;

  before(async () => {
    browser = await launch();
  });
  after(() => browser?.close());

  test('shows a person what is connected in their name, and ends it', async () => {
    const [hers, his] = [await connect('ada', 'Ada\'s editor'), await connect('alan', 'Alan\'s editor')];
    const context = await browser.newContext();
    const { page, seen } = await observe(context);
    const answer = await page.goto(`${w.gateway.url}/account`);
    const headers = await answer.allHeaders();
    assert.match(headers['content-security-policy'], /frame-ancestors 'none'/);
    assert.match(headers['cache-control'], /no-store/);
    await page.getByRole('button', { name: /Sign in with/ }).click();
    await throughUpstream(page, 'ada');
    await page.getByText(`as ${USERS.ada.email}`).waitFor();
    assert.equal(page.url(), `${w.gateway.url}/account`);
    const [cookie] = (await context.cookies(w.gateway.url)).filter(({ name }) => name.includes('account'));
    assert.deepEqual([cookie.httpOnly, cookie.sameSite, cookie.path], [true, 'Lax', '/']);

    const text = await page.locator('main').innerText();
    for (const fact of ['Ada\'s editor', w.mcpUrl, 'mcp', 'UTC']) assert.ok(text.includes(fact), `${fact} in ${text}`);
    assert.doesNotMatch(text, /Alan/);
    assert.equal((await hers.client.mcp(hers.token)).status, 200);
    await page.getByRole('button', { name: 'Disconnect Ada\'s editor' }).click();
    await page.getByText('No program is connected in your name.').waitFor();
    assert.equal((await hers.client.mcp(hers.token)).status, 401);
    assert.equal((await his.client.mcp(his.token)).status, 200);

    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('button', { name: /Sign in with/ }).waitFor();
    assert.deepEqual(seen.problems, [], 'no CSP violation, no failed load');
    await context.close();
  });

  test('does nothing for a form of another site', async () => {
    const { client, token } = await connect('ada', 'Ada\'s other editor');
    const context = await browser.newContext();
    const { page } = await observe(context);
    await page.goto(`${w.gateway.url}/account`);
    await page.getByRole('button', { name: /Sign in with/ }).click();
    await throughUpstream(page, 'ada');
    const button = page.getByRole('button', { name: 'Disconnect Ada\'s other editor' });
    const [connection, formToken] = [await button.getAttribute('value'), await page.locator('[name="form_token"]').first().inputValue()];
    // Even one that knows everything on the page, and has the person press the button.
    const evil = await context.newPage();
    await evil.goto(`${w.upstream.issuer}/.well-known/openid-configuration`);
    await evil.setContent(`<form method="post" action="${w.gateway.url}/account/disconnect">
      <input name="form_token" value="${formToken}"><button name="connection" value="${connection}">Win</button></form>`);
    const [answer] = await Promise.all([
      evil.waitForResponse((response) => response.url().endsWith('/account/disconnect')),
      evil.getByRole('button', { name: 'Win' }).click(),
    ]);
    assert.equal(answer.status(), 403);
    await evil.getByText('Nothing was changed').waitFor();
    assert.equal((await client.mcp(token)).status, 200);
    await context.close();
  });

  /** A program of its own name that somebody has connected. */
  async function connect(user, name) {
    const client = new OAuthClient(w.gateway.url);
    assert.equal((await client.register({ client_name: name })).status, 201);
    const { tokens } = await client.login(new Person({ user }));
    return { client, token: tokens.access_token };
  }
});
