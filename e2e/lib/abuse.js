// What the answers to abuse must look like. The numbers of the cases are those of the project's abuse list.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { request } from './http.js';
import { SECTIONS } from './sections.js';

/** Runs a table of `[number, what, function]`; each name says where it is written. */
export function cases(table) {
  for (const [number, what, run] of table) test(`#${number} ${what} (${SECTIONS[number]})`, run);
}

/** Gateway settings for the abuse cases: an ordinary resource, one that needs more scope, and a lazy one. */
export const RESOURCES = [
  { path: '/mcp', auth: 'required', scopes: ['mcp'] },
  { path: '/other', auth: 'required', scopes: ['mcp', 'mcp:write'] },
  { path: '/lazy', auth: 'lazy', scopes: ['mcp'] },
];

const show = (answer) => `${answer.status} ${answer.headers.location ?? ''} ${answer.text.slice(0, 300)}`;

/** A page of our own that leads nowhere. */
export function checkPage(answer, statuses = [400]) {
  assert.ok(statuses.includes(answer.status), show(answer));
  assert.equal(answer.headers.location, undefined, 'no redirect');
  assert.match(answer.headers['content-type'] ?? '', /^text\/html/, show(answer));
  assert.doesNotMatch(answer.text, /name="?consent_token/, 'not the consent page');
}

/** OAuth 2.1 §4.1.2.1 and RFC 9207: the error goes to the client with state and issuer. */
export function checkRedirect(url, flow, errors, issuer) {
  const { origin, pathname, searchParams } = new URL(url);
  assert.equal(`${origin}${pathname}`, flow.redirectUri);
  assert.ok([errors].flat().includes(searchParams.get('error')), `${url}: wanted ${errors}`);
  assert.equal(searchParams.get('state'), flow.state ?? null);
  assert.equal(searchParams.get('iss'), issuer);
  assert.equal(searchParams.get('code'), null);
}

/** `/authorize` answers with an error redirect at once. */
export async function checkAuthorizeError(flow, errors, issuer) {
  const answer = await request('GET', flow.url);
  assert.ok([302, 303].includes(answer.status), show(answer));
  checkRedirect(answer.headers.location, flow, errors, issuer);
  return answer;
}

/** A JSON error of an endpoint. */
export function checkError(answer, status, errors) {
  assert.ok([status].flat().includes(answer.status), show(answer));
  if (!errors) return;
  assert.match(answer.headers['content-type'] ?? '', /^application\/json/, show(answer));
  assert.ok([errors].flat().includes(answer.json.error), show(answer));
  assert.ok(answer.json.error_description, 'a description that says what to change');
  assert.ok(!('access_token' in answer.json));
}

/** The challenge of an MCP endpoint (RFC 6750, RFC 9728): its parameters. */
export function challenge(answer) {
  const header = answer.headers['www-authenticate'];
  assert.match(header ?? '', /^Bearer /, show(answer));
  return Object.fromEntries([...header.matchAll(/(\w+)="([^"]*)"/g)].map(([, name, value]) => [name, value]));
}

/** 401 with an `invalid_token` challenge. */
export function checkInvalidToken(answer) {
  assert.equal(answer.status, 401, show(answer));
  assert.equal(challenge(answer).error, 'invalid_token', answer.headers['www-authenticate']);
}
