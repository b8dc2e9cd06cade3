// A real Chromium, and what a person does in it.
import { existsSync } from 'node:fs';
import { chromium } from 'playwright-core';

const CHROMIUM = process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(existsSync);

/** Starts Chromium without anything that talks to the net by itself. `args` are more words of its command line. */
export function launch(args = []) {
  return chromium.launch({
    executablePath: CHROMIUM,
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', ...args],
  });
}

/** A page whose console messages, failed loads and requests are kept; `problems` must stay empty. */
export async function observe(context) {
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  const seen = { problems: [], requests: [] };
  const quiet = (url) => new URL(url).pathname === '/favicon.ico';
  page.on('console', (message) => {
    if (message.type() === 'error' && !quiet(message.location().url || 'http://x/')) seen.problems.push(message.text());
  });
  page.on('pageerror', (error) => seen.problems.push(String(error)));
  page.on('request', (request) => seen.requests.push(request.url()));
  page.on('requestfailed', (request) => {
    if (!quiet(request.url())) seen.problems.push(`${request.url()}: ${request.failure()?.errorText}`);
  });
  return { page, seen };
}

/** Our consent page. */
export const consent = (page) => page.locator('form:has([name="consent_token"])');

/** Presses Allow or Deny on it. */
export async function decide(page, decision = 'allow') {
  const form = consent(page);
  await form.waitFor();
  await form.locator(`[name="decision"][value="${decision}"]`).click();
}

/** Signs in (unless there is a session) and consents at the e2e upstream. */
export async function throughUpstream(page, user = 'ada') {
  const account = page.locator('select[name="account"]');
  const allow = page.locator('button[name="upstream_decision"][value="allow"]');
  await account.or(allow).first().waitFor();
  if (await account.count()) {
    await account.selectOption(user);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await allow.waitFor();
  }
  await allow.click();
}
