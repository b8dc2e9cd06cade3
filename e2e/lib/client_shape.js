// What a client sends that cannot be run here, in its own order and spelling, with a person in between.
import assert from 'node:assert/strict';
import { request } from './http.js';
import { basic, OAuthClient, pkce, resultOf } from './oauth.js';
import { Person } from './person.js';
import { USERS } from './upstream.js';

const INITIALIZE = (version) => ({
  jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: version, capabilities: {}, clientInfo: { name: 'shape', version: '1' } },
});
const DISCOVER = {
  jsonrpc: '2.0', id: 0, method: 'server/discover', params: { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } },
};
const MCP = (version) => ({ accept: 'application/json, text/event-stream', 'mcp-protocol-version': version });

/** The first steps of clients towards the metadata. Each takes the world and checks what it is told. */
export const step = {
  get: (version = '2025-06-18') => challenged('GET', { headers: MCP(version) }),
  head: () => challenged('HEAD'),
  initialize: (version = '2025-06-18') => challenged('POST', { json: INITIALIZE(version), headers: MCP(version) }),
  serverDiscover: () => challenged('POST', { json: DISCOVER, headers: { ...MCP('2026-07-28'), 'mcp-method': 'server/discover' } }),
  /** RFC 9728 §3.1, with the path of the MCP server. */
  resourceAtPath: () => resource('/.well-known/oauth-protected-resource/mcp'),
  resourceAtRoot: () => resource('/.well-known/oauth-protected-resource'),
  /** RFC 8414 §3.1. */
  server: () => server('/.well-known/oauth-authorization-server'),
  /** For clients that know no protected resource metadata and put the MCP server's path there. */
  serverAtMcpPath: () => server('/.well-known/oauth-authorization-server/mcp'),
  /** OpenID Connect Discovery: not served, and an answer that is no JSON 404 ends the TypeScript SDKs' discovery. */
  openidInserted: () => missing('/.well-known/openid-configuration/mcp'),
  openid: () => missing('/.well-known/openid-configuration'),
  /** Below the MCP server's own path: it answers as that server does, and never with something else. */
  below: (path) => challenged('GET', { path: `/mcp${path}` }),
};

function challenged(method, { path = '/mcp', ...options } = {}) {
  return async (w) => {
    const answer = await request(method, `${w.gateway.url}${path}`, options);
    assert.equal(answer.status, 401, `${method} ${path}: ${answer.status} ${answer.text}`);
    const expected = `Bearer resource_metadata="${w.gateway.url}/.well-known/oauth-protected-resource/mcp", scope="mcp"`;
    assert.equal(answer.headers['www-authenticate'], expected);
  };
}

function resource(path) {
  return async (w) => {
    const answer = await request('GET', `${w.gateway.url}${path}`);
    assert.equal(answer.status, 200, path);
    assert.equal(answer.json.resource, w.mcpUrl, 'the very URL that the person typed');
    assert.deepEqual(answer.json.authorization_servers, [w.gateway.url]);
    assert.deepEqual(answer.json.scopes_supported, ['mcp'], 'never offline_access');
  };
}

function server(path) {
  return async (w) => {
    const answer = await request('GET', `${w.gateway.url}${path}`);
    assert.equal(answer.status, 200, path);
    const { json } = answer;
    assert.equal(json.issuer, w.gateway.url, 'byte for byte, without a slash at the end');
    for (const name of ['authorize', 'token', 'register']) {
      const key = { authorize: 'authorization_endpoint', token: 'token_endpoint', register: 'registration_endpoint' }[name];
      assert.equal(json[key], `${w.gateway.url}/${name}`, 'where clients of 2025-03-26 look without metadata');
    }
    assert.deepEqual(json.code_challenge_methods_supported, ['S256']);
    assert.equal(json.client_id_metadata_document_supported, true);
    assert.equal(json.authorization_response_iss_parameter_supported, true);
    for (const method of ['none', 'client_secret_basic', 'client_secret_post']) assert.ok(json.token_endpoint_auth_methods_supported.includes(method));
    assert.ok(json.scopes_supported.includes('offline_access'));
  };
}

function missing(path) {
  return async (w) => {
    const answer = await request('GET', `${w.gateway.url}${path}`);
    assert.equal(answer.status, 404, path);
    assert.match(answer.headers['content-type'], /^application\/json/);
    assert.ok(answer.json);
  };
}

/**
 * Plays a client through: discovery, registration or document, authorization, code, call, refresh, call.
 *
 * `discovery` are steps; `registration` the body it sends to `/register` or `document` the address of its metadata
 * document; `redirectUri` what it sends to `/authorize`; `authorize`, `exchange`, `refresh` are parameters that it
 * adds, spells or leaves out (`undefined`) there; `auth` how it shows its secret; `verifier` its PKCE verifier.
 */
export async function play(w, {
  discovery = [], registration, document, redirectUri, authorize = {}, exchange = {}, refresh = {}, auth = 'none', verifier, person = new Person(),
}) {
  for (const one of discovery) await one(w);
  const client = new OAuthClient(w.gateway.url, { redirectUri });
  if (document) client.registration = { client_id: document };
  else await register(client, registration);

  const proof = pkce(verifier);
  const flow = { ...client.authorization({ scope: 'mcp offline_access', code_challenge: proof.challenge, ...authorize }), verifier: proof.verifier };
  const callback = await person.visit(flow.url, redirectUri);
  assert.equal(callback.searchParams.get('error'), null, String(callback));
  assert.equal(callback.searchParams.get('iss'), w.gateway.url, 'RFC 9207');
  assert.equal(callback.searchParams.get('state'), flow.state);

  const { fields, headers } = proofOf(client, auth);
  const send = (answer) => answer.then((one) => {
    assert.equal(one.status, 200, one.text);
    return one.json;
  });
  const code = callback.searchParams.get('code');
  const common = { grant_type: 'authorization_code', code, redirect_uri: redirectUri, code_verifier: proof.verifier, resource: client.resource };
  const tokens = await send(client.token({ ...common, ...fields, ...exchange }, { headers }));
  assert.equal(tokens.scope, 'mcp', 'what there is of what was asked, and offline_access is no scope of a token');
  assert.ok(tokens.expires_in > 300, 'Claude Code refreshes before every request at 300 s and less');
  assert.ok(tokens.refresh_token, 'also without offline_access');
  await whoami(client, tokens);

  const next = { grant_type: 'refresh_token', refresh_token: tokens.refresh_token, resource: client.resource };
  const refreshed = await send(client.token({ ...next, ...fields, ...refresh }, { headers }));
  assert.notEqual(refreshed.refresh_token, tokens.refresh_token, 'rotated');
  await whoami(client, refreshed);
  return { client, callback, tokens: refreshed, flow };
}

/** RFC 7591, with a body like the client's own: every URI of it is kept, and the answer says how to authenticate. */
export async function register(client, body) {
  const answer = await request('POST', `${client.gateway}/register`, { json: body });
  assert.equal(answer.status, 201, answer.text);
  client.registration = answer.json;
  assert.deepEqual(answer.json.redirect_uris, body.redirect_uris);
  assert.equal(answer.json.token_endpoint_auth_method, body.token_endpoint_auth_method ?? 'none', 'said, also where the client did not');
  if (body.scope) assert.equal(answer.json.scope, body.scope);
  if (body.application_type) assert.equal(answer.json.application_type, body.application_type);
  return answer.json;
}

function proofOf(client, auth) {
  const { client_id: id, client_secret: secret } = client.registration;
  if (auth === 'basic') return { fields: { client_id: undefined }, headers: basic(id, secret) };
  if (auth === 'post') return { fields: { client_secret: secret } };
  return { fields: {} };
}

async function whoami(client, tokens) {
  const answer = await client.mcp(tokens.access_token);
  assert.equal(answer.status, 200, answer.text);
  const seen = JSON.parse(resultOf(answer));
  assert.equal(seen.user, USERS.ada.sub);
  assert.equal(seen.client, client.clientId);
}
