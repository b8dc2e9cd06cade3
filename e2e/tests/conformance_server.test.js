// The official conformance suite of MCP, its part for servers: the same server directly and through the gateway, every
// scenario of both revisions of the protocol. What the suite finds must be the same, check by check.
import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { before, describe, test } from 'node:test';
import { startConformanceServer } from '../lib/conformance_server.js';
import { checksIn, runSuite, version } from '../lib/conformance_suite.js';
import { TOOLS } from '../lib/conformance_tools.js';
import { open, request } from '../lib/http.js';
import { bearer, OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { startSignedIn } from '../lib/signed_in.js';
import { events } from '../lib/sse.js';
import { startWorld, together, use } from '../lib/world.js';

const BOTH = [
  'completion-complete', 'dns-rebinding-protection', 'json-schema-2020-12',
  'prompts-get-embedded-resource', 'prompts-get-simple', 'prompts-get-with-args', 'prompts-get-with-image', 'prompts-list',
  'resources-list', 'resources-read-binary', 'resources-read-text', 'resources-templates-read', 'server-sse-multiple-streams',
  'tools-call-audio', 'tools-call-embedded-resource', 'tools-call-error', 'tools-call-image', 'tools-call-mixed-content',
  'tools-call-simple-text', 'tools-call-with-progress', 'tools-list',
];
/** What the suite has for each revision. A scenario that does not run is no green run. */
const SCENARIOS = {
  '2025-11-25': [
    ...BOTH, 'elicitation-sep1034-defaults', 'elicitation-sep1330-enums', 'logging-set-level', 'ping', 'resources-subscribe', 'resources-unsubscribe',
    'server-initialize', 'server-session-lifecycle', 'server-sse-polling', 'tools-call-elicitation', 'tools-call-sampling', 'tools-call-with-logging',
  ],
  '2026-07-28': [
    ...BOTH, 'caching', 'http-custom-header-server-validation', 'http-header-validation', 'sep-2164-resource-not-found', 'server-stateless',
    ...[
      'basic-elicitation', 'basic-list-roots', 'basic-sampling', 'capability-check', 'ignore-extra-params', 'missing-input-response', 'multi-round',
      'multiple-input-requests', 'non-tool-request', 'request-state', 'result-type', 'tampered-state', 'unsupported-methods', 'validate-input',
    ].map((name) => `input-required-result-${name}`),
  ],
};
/** Extensions, which no revision requires and the SDK's server has not: tasks (SEP-2663) and skills (SEP-2640). */
const EXTENSIONS = [
  ...['capability-negotiation', 'dispatch-and-envelope', 'lifecycle', 'mrtr-composition', 'mrtr-input', 'request-headers', 'request-state-removal', 'required-task-error', 'status-notifications', 'wire-fields'].map((name) => `tasks-${name}`),
  ...['directory', 'enumeration', 'manifest'].map((name) => `sep-2640-skills-${name}`),
];

/** Checks of streams that the suite reads for one second by the clock, which a busy machine can exceed: checked here instead, without one. */
const BY_THE_CLOCK = [
  'no-log-without-loglevel', 'sends-subscription-ack', 'tags-subscription-id', 'honors-notification-filter',
  'sends-prompts-list-changed-on-subscription', 'sends-tools-list-changed-on-subscription',
].map((name) => `sep-2575-server-${name}`).concat('sep-2575-http-server-no-independent-requests-on-stream');

/** Every method that a scenario sends. */
const METHODS = [
  'initialize', 'ping', 'server/discover', 'logging/setLevel', 'completion/complete', 'subscriptions/listen', 'tools/list', 'prompts/list', 'prompts/get',
  'resources/list', 'resources/templates/list', 'resources/read', 'resources/subscribe', 'resources/unsubscribe',
];
/** Tools that ask their caller something (until 2025-11-25). Who has not logged in has no way to answer: see the last test. */
const ASKING = ['test_sampling', 'test_elicitation', 'test_elicitation_sep1034_defaults', 'test_elicitation_sep1330_enums'];

/**
 * Where somebody without a login is answered otherwise, although all that the scenarios use is public, and how: the
 * checks that the server passes, in place of which stand these.
 */
const WITHOUT_LOGIN = {
  // The tool itself needs a login here.
  'tools-call-sampling': { 'tools-call-sampling': 'FAILURE' },
  'tools-call-elicitation': { 'tools-call-elicitation': 'FAILURE' },
  'elicitation-sep1034-defaults': { 'elicitation-sep1034-general': 'FAILURE' },
  'elicitation-sep1330-enums': { 'elicitation-sep1330-general': 'FAILURE' },
  // Only POST is ever public. DELETE is refused with 401, and the suite gives up.
  'server-session-lifecycle': { 'server-session-delete-accepted': 'WARNING', 'server-session-terminated-returns-404': 'SKIPPED' },
  // GET is refused with 405: 401 is what clients take for a reason to log in at once. The suite takes it for "no stream", which is INFO.
  'server-sse-polling': { 'server-sse-disconnect-resume': undefined },
  // A method that nobody has made public needs a login, also one that does not exist: 401, not 404.
  'server-stateless': { 'sep-2575-http-server-method-not-found-404': 'FAILURE' },
};

describe(`a server in the conformance suite ${version}`, () => {
  const w = use(() => together(async (add) => {
    const server = await add(startConformanceServer());
    const world = await add(startWorld({
      name: 'conformance-server',
      resources: [
        { path: '/mcp', auth: 'required', backend: server.url },
        { path: '/lazy', auth: 'lazy', backend: server.url, public_methods: METHODS, public_tools: TOOLS.filter((tool) => !ASKING.includes(tool)) },
      ],
    }));
    const signedIn = async (at) => {
      const { tokens } = await new OAuthClient(world.gateway.url, { resource: `${world.gateway.url}${at}` }).login(new Person());
      return `${(await add(startSignedIn(world.gateway.url, tokens.access_token))).url}${at}`;
    };
    const urls = {
      directly: server.url, required: await signedIn('/mcp'), lazy: await signedIn('/lazy'), 'without a login': `${world.gateway.url}/lazy`,
    };
    return { urls, gateway: world.gateway };
  }));

  test('no scenario of the suite is left out', async () => {
    const { printed } = await runSuite(['list', '--server']);
    const named = [...printed.matchAll(/^ +- (\S+)/gm)].map(([, name]) => name);
    assert.deepEqual([...new Set([...Object.values(SCENARIOS).flat(), ...EXTENSIONS])].sort(), named.sort());
  });

  for (const [revision, scenarios] of Object.entries(SCENARIOS)) {
    describe(`revision ${revision}`, () => {
      // All at once: most of a run is waiting.
      const runs = {};
      before(async () => {
        const ways = Object.entries(w.urls);
        const ended = await Promise.allSettled(ways.map(([, url]) => run(url, revision)));
        ways.forEach(([way], at) => Object.assign(runs, { [way]: ended[at] }));
      });
      const found = (way) => {
        if (runs[way].status === 'rejected') throw runs[way].reason;
        return runs[way].value;
      };

      test('directly, every check is a success', () => {
        assert.deepEqual(Object.keys(found('directly')), [...scenarios].sort());
        for (const [name, checks] of Object.entries(found('directly'))) {
          assert.ok(checks.length > 0, name);
          assert.deepEqual(checks.filter((check) => !check.endsWith(' SUCCESS')), [], name);
        }
      });

      for (const auth of ['required', 'lazy']) {
        test(`through the gateway, ${auth}, with a login: the same`, () => {
          assert.deepEqual(found(auth), found('directly'));
        });
      }

      test('through the gateway, lazy, without a login: the same but for what needs one', () => {
        const wanted = Object.fromEntries(Object.entries(found('directly')).map(([name, checks]) => [name, withoutLogin(name, checks)]));
        assert.deepEqual(found('without a login'), wanted);
      });
    });
  }

  for (const way of ['directly', 'required', 'lazy', 'without a login']) {
    test(`a subscription of revision 2026-07-28, ${way}`, async () => {
      const listening = await stateless(w.urls[way], 'subscriptions/listen', { notifications: { toolsListChanged: true } });
      const feed = events(listening.stream);
      const first = await feed.next();
      assert.equal(first.method, 'notifications/subscriptions/acknowledged');
      const id = first.params._meta['io.modelcontextprotocol/subscriptionId'];
      assert.ok(id);
      for (const what of ['prompt', 'tool']) await result(await stateless(w.urls[way], 'tools/call', { name: `test_trigger_${what}_change`, arguments: {} }));
      const next = await feed.next(); // what was not asked for does not come
      assert.deepEqual([next.method, next.params._meta['io.modelcontextprotocol/subscriptionId']], ['notifications/tools/list_changed', id]);
      listening.abort();
    });

    test(`nothing but a result comes where nothing else was asked for, ${way}`, async () => {
      for (const name of ['test_logging_tool', 'test_streaming_elicitation']) {
        const { content } = await result(await stateless(w.urls[way], 'tools/call', { name, arguments: {} }));
        assert.equal(content.length, 1);
      }
    });
  }

  test('an answer to a question of the server’s needs a login', async () => {
    const answer = await request('POST', w.urls['without a login'], { headers: bearer(), json: { jsonrpc: '2.0', id: 0, result: { action: 'accept', content: {} } } });
    assert.equal(answer.status, 401);
    assert.match(answer.headers['www-authenticate'], /^Bearer /);
  });
});

/** A request of revision 2026-07-28, which says in every message who asks. */
function stateless(url, method, params) {
  const _meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} };
  const headers = { ...bearer(), 'mcp-protocol-version': '2026-07-28', 'mcp-method': method, ...(params.name && { 'mcp-name': params.name }) };
  return open('POST', url, { headers, json: { jsonrpc: '2.0', id: 1, method, params: { ...params, _meta } } });
}

/** The one thing that an answer is. */
async function result({ status, headers, stream }) {
  assert.equal(status, 200);
  if (headers['content-type'].startsWith('text/event-stream')) {
    const feed = events(stream);
    const only = await feed.next();
    assert.equal(await feed.next(), undefined, 'one event');
    return only.result;
  }
  const chunks = [];
  for await (const chunk of stream) chunks.push(chunk);
  return JSON.parse(Buffer.concat(chunks).toString('utf8')).result;
}

/** What somebody without a login is to get in place of these checks. */
function withoutLogin(name, checks) {
  const others = WITHOUT_LOGIN[name];
  if (!others) return checks;
  // A scenario that fails at its first call has that one check, and the suite's own of the wire.
  const kept = ASKED.includes(name) ? ['wire-schema-valid SUCCESS'] : checks.filter((check) => !(check.split(' ')[0] in others));
  const instead = Object.entries(others).filter(([, status]) => status).map((pair) => pair.join(' '));
  return [...kept, ...instead].sort();
}
const ASKED = ['tools-call-sampling', 'tools-call-elicitation', 'elicitation-sep1034-defaults', 'elicitation-sep1330-enums'];

/** The checks of each scenario, in order: "ID STATUS". What the suite only notes (INFO) is left out, and BY_THE_CLOCK. */
async function run(url, revision) {
  const out = await mkdtemp(path.join(tmpdir(), 'mcp-login-conformance-'));
  try {
    await runSuite(['server', '--url', url, '--suite', 'all', '--spec-version', revision, '--output-dir', out]);
    const all = Object.entries(await checksIn(out)).map(([folder, checks]) => {
      const name = folder.replace(/^server-/, '').replace(/-\d{4}-\d\d-\d\dT[\d-]+Z$/, '');
      return [name, checks.filter(({ id, status }) => status !== 'INFO' && !BY_THE_CLOCK.includes(id)).map(({ id, status }) => `${id} ${status}`).sort()];
    });
    return Object.fromEntries(all.sort(([a], [b]) => (a < b ? -1 : 1)));
  } finally {
    await rm(out, { recursive: true, force: true });
  }
}
