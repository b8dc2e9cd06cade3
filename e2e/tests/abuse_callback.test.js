// Abuse of the way back from the upstream: cases 19–25. For a state that has expired (19) see abuse_list.test.js.
import assert from 'node:assert/strict';
import { before, describe } from 'node:test';
import { cases, checkPage, checkRedirect } from '../lib/abuse.js';
import { parseForms } from '../lib/forms.js';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

describe('callback', () => {
  const w = useWorld({ name: 'abuse-callback' });
  let client;
  before(async () => {
    client = new OAuthClient(w.gateway.url);
    assert.equal((await client.register()).status, 201);
  });

  const atCallback = (url) => url.startsWith(`${w.gateway.url}/callback`);
  const atClient = (url) => url.startsWith(client.redirectUri);

  /** A login up to the URL at which the upstream sends the browser back, not yet visited. */
  async function upToCallback(person = new Person()) {
    const flow = client.authorization();
    return { flow, person, url: String(await person.login(flow.url, atCallback)) };
  }
  const visit = (person, url) => person.go(url, { until: atClient });
  async function checkNoCode(person, url) {
    const at = await visit(person, url);
    assert.ok(at.page, `reached the client: ${at.url}`);
    checkPage(at.page);
  }
  function change(url, changes) {
    const changed = new URL(url);
    for (const [name, value] of Object.entries(changes)) {
      if (value === undefined) changed.searchParams.delete(name);
      else changed.searchParams.set(name, value);
    }
    return changed.href;
  }

  cases([
    [19, 'missing state', async () => {
      const { person, url } = await upToCallback();
      await checkNoCode(person, change(url, { state: undefined }));
    }],
    [19, 'unknown state', async () => {
      const { person, url } = await upToCallback();
      const state = new URL(url).searchParams.get('state');
      for (const unknown of ['', 'x', `${state.slice(0, -6)}AAAAAA`, state.slice(0, -1), `${state}x`, 'A'.repeat(state.length)]) {
        await checkNoCode(person, change(url, { state: unknown }));
      }
    }],
    [19, 'reused state', async () => {
      const { flow, person, url } = await upToCallback();
      const first = await visit(person, url);
      assert.ok(new URL(first.url).searchParams.get('code'), first.url);
      assert.equal(new URL(first.url).searchParams.get('state'), flow.state);
      await checkNoCode(person, url);
    }],
    [20, 'another browser', async () => {
      const { url } = await upToCallback();
      await checkNoCode(new Person(), url);
      const other = await upToCallback();
      await checkNoCode(other.person, url); // has a login of its own under way
    }],
    [21, 'what the browser held before consent is not enough', async () => {
      const person = new Person();
      const flow = client.authorization();
      const at = await person.go(flow.url);
      const earlier = person.fork();
      const [form] = parseForms(at.page.text);
      const upstream = await person.submit(at, form, person.answer(form), { until: (url) => url.startsWith(w.upstream.issuer) });
      const url = String(await person.login(upstream.url, atCallback));
      await checkNoCode(earlier, url);
    }],
    [22, 'denied at the upstream', async () => {
      const flow = client.authorization();
      const callback = await new Person({ upstreamDecision: 'deny' }).visit(flow.url, flow.redirectUri);
      checkRedirect(callback, flow, 'access_denied', w.gateway.url);
      assert.ok(!String(callback).includes('nobody'), `no upstream detail: ${callback}`);
    }],
    [22, 'an error of the upstream', async () => {
      for (const error of ['server_error', 'temporarily_unavailable', 'invalid_scope', 'x"<script>']) {
        const { flow, person, url } = await upToCallback();
        const failed = change(url, { code: undefined, error, error_description: 'inner-detail', error_uri: 'https://inner.example/' });
        const at = await visit(person, failed);
        assert.equal(at.page, undefined, `the client hears of it: ${at.page?.status}`);
        checkRedirect(at.url, flow, ['server_error', 'temporarily_unavailable', 'access_denied'], w.gateway.url);
        assert.doesNotMatch(decodeURIComponent(at.url), /inner|<script>/);
      }
    }],
    [23, 'another issuer', async () => {
      const { person, url } = await upToCallback();
      await checkNoCode(person, change(url, { iss: 'https://evil.example' }));
    }],
    [23, 'no issuer although the upstream promises one', async () => {
      const { person, url } = await upToCallback();
      await checkNoCode(person, change(url, { iss: undefined }));
    }],
    [24, 'an upstream code twice', async () => {
      const person = new Person();
      const first = await upToCallback(person);
      await visit(person, first.url);
      const second = await upToCallback(person);
      const code = new URL(first.url).searchParams.get('code');
      const at = await visit(person, change(second.url, { code }));
      if (at.page) checkPage(at.page);
      else checkRedirect(at.url, second.flow, ['access_denied', 'server_error'], w.gateway.url);
    }],
    [25, 'no upstream token in any answer or URL', async () => {
      const person = new Person();
      const { tokens } = await client.login(person);
      const refreshed = await client.refresh(tokens.refresh_token);
      const said = [JSON.stringify(tokens), refreshed.text, w.gateway.log(), ...person.trail.map((answer) => `${answer.url} ${JSON.stringify(answer.headers)} ${answer.text}`)].join('\n');
      assert.ok(said.includes(tokens.access_token), 'the search finds our own');
      assert.ok(w.upstream.seen.tokens.size > 0);
      for (const token of w.upstream.seen.tokens) assert.ok(!said.includes(token), `upstream token in ${said.slice(said.indexOf(token) - 200)}`);
    }],
  ]);
});
