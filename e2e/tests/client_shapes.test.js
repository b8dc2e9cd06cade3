// Each known MCP client by its wire shape: how it discovers, registers or names its document, where it wants to be
// answered, what it sends along. One test is one client. The copies of metadata documents that the binary carries
// stand in for the documents.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { checkError, checkInvalidToken, checkPage, checkRedirect, RESOURCES } from '../lib/abuse.js';
import { play, register, step } from '../lib/client_shape.js';
import { NO_INTERNET } from '../lib/documents.js';
import { request } from '../lib/http.js';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

const CODE = { grant_types: ['authorization_code', 'refresh_token'], response_types: ['code'] };
const PUBLIC = { ...CODE, token_endpoint_auth_method: 'none' };
const TS_SDK = [step.initialize('2025-11-25'), step.resourceAtPath(), step.server()];
const ALL = { scope: 'mcp mcp:write offline_access' }; // every scope of the authorization server's metadata
const PLAIN = { scope: 'mcp' };

describe('clients with a metadata document', () => {
  const w = useWorld({ resources: RESOURCES, name: 'client-shapes-document', env: NO_INTERNET });

  for (const host of ['claude.ai', 'claude.com']) {
    test(`Claude.ai, Desktop, mobile, Cowork at ${host}`, async () => {
      const document = 'https://claude.ai/oauth/mcp-oauth-client-metadata';
      const { client, tokens } = await play(w, {
        discovery: [step.initialize(), step.resourceAtPath(), step.resourceAtRoot(), step.server(), step.openid()],
        document,
        redirectUri: `https://${host}/api/mcp/auth_callback`,
      });
      checkError(await client.refresh(`${tokens.refresh_token}x`), 400, 'invalid_grant'); // a dead one: log in again
      checkError(await client.refresh(tokens.refresh_token, { client_id: 'nobody' }), 401, 'invalid_client'); // register again
    });
  }

  for (const loopback of ['localhost', '127.0.0.1']) {
    test(`Claude Code on ${loopback}`, async () => {
      await play(w, {
        discovery: [step.resourceAtPath(), step.resourceAtRoot(), step.server(), step.openid(), step.serverDiscover(), step.initialize('2025-11-25')],
        document: 'https://claude.ai/oauth/claude-code-client-metadata',
        redirectUri: `http://${loopback}:54545/callback`,
        authorize: { prompt: 'consent' },
        refresh: { scope: undefined },
      });
    });
  }

  test('ChatGPT', async () => {
    const document = 'https://chatgpt.com/oauth/client.json';
    const redirectUri = 'https://chatgpt.com/connector_platform_oauth_redirect';
    await play(w, {
      discovery: [step.initialize(), step.resourceAtPath(), step.resourceAtRoot(), step.server(), step.openidInserted(), step.openid(), step.below('/.well-known/openid-configuration')],
      document, redirectUri, authorize: PLAIN, refresh: PLAIN,
    });
    // Signs in again with a hint that only an OpenID provider would read.
    const { client } = await play(w, { document, redirectUri, authorize: { ...PLAIN, id_token_hint: 'e30.e30.e30' } });
    const flow = client.authorization();
    checkRedirect(await new Person({ decision: 'deny' }).visit(flow.url, redirectUri), flow, 'access_denied', w.gateway.url);
  });

  const CODEX = [
    step.get('2024-11-05'), step.resourceAtPath(), step.below('/.well-known/oauth-protected-resource'), step.resourceAtRoot(), step.server(), step.initialize('2025-06-18'),
  ];
  test('Codex CLI 0.169', async () => {
    await play(w, {
      discovery: CODEX, document: 'https://chatgpt.com/oauth/codex/client.json', redirectUri: 'http://127.0.0.1:34567/callback',
      refresh: { scope: 'mcp offline_access' }, // observed: all that it asked for, granted or not
    });
  });
  test('Codex CLI 0.158, which names the resource twice', async () => {
    const resource = [w.mcpUrl, w.mcpUrl];
    await play(w, {
      discovery: CODEX, document: 'https://chatgpt.com/oauth/codex/client.json', redirectUri: 'http://127.0.0.1:34567/callback',
      authorize: { resource }, exchange: { resource }, refresh: { resource },
    });
  });

  test('goose (rmcp)', async () => {
    await play(w, {
      discovery: [step.get(), step.resourceAtPath(), step.serverAtMcpPath(), step.openidInserted(), step.server()],
      document: 'https://goose-docs.ai/oauth/client-metadata.json',
      redirectUri: 'http://127.0.0.1:41001/oauth_callback',
      authorize: ALL,
      refresh: { scope: 'mcp offline_access' }, // which was not granted
    });
  });

  for (const [name, host] of [['VS Code', 'vscode.dev'], ['VS Code Insiders', 'insiders.vscode.dev']]) {
    test(`${name}: website and loopback`, async () => {
      const document = `https://${host}/oauth/client-metadata.json`;
      const discovery = [step.initialize(), step.resourceAtPath(), step.resourceAtRoot(), step.server()];
      for (const redirectUri of [`https://${host}/redirect`, 'http://127.0.0.1:33418/', 'http://127.0.0.1:60123/']) {
        await play(w, { discovery, document, redirectUri, authorize: PLAIN });
      }
    });
  }

  for (const [name, document, ...redirectUris] of [
    ['Copilot CLI, on another port than its document says', 'https://github.com/copilot/cli/client-metadata.json', 'http://127.0.0.1:51999/'],
    ['OpenCode 1.18', 'https://opencode.ai/oauth/opencode/client.json', 'http://127.0.0.1:19876/mcp/oauth/callback'],
    ['Zed', 'https://zed.dev/oauth/client-metadata.json', 'http://127.0.0.1:43210/callback'],
    ['Kiro', 'https://kiro.dev/oauth/client-metadata.json', 'http://127.0.0.1:49876/oauth/callback', 'http://localhost:49876/oauth/callback'],
    ['Kilo', 'https://kilo.ai/docs/oauth/kilo/client.json', 'http://127.0.0.1:19876/mcp/oauth/callback'],
    ['Grok', 'https://grok.com/oauth/mcp-client.json', 'https://grok.com/connectors-oauth-exchange-code/'],
  ]) {
    test(name, async () => {
      for (const redirectUri of redirectUris) await play(w, { discovery: [step.resourceAtPath(), step.server(), step.openid()], document, redirectUri });
    });
  }

  test('Grok, whose slash at the end counts', async () => {
    const client = new OAuthClient(w.gateway.url, { redirectUri: 'https://grok.com/connectors-oauth-exchange-code' });
    client.registration = { client_id: 'https://grok.com/oauth/mcp-client.json' };
    checkPage(await request('GET', client.authorization().url));
  });
});

describe('clients that register', () => {
  const w = useWorld({ resources: RESOURCES, name: 'client-shapes-registered' });

  test('Claude.ai, a new client for each connection', async () => {
    const redirectUri = 'https://claude.ai/api/mcp/auth_callback';
    const registration = { ...PUBLIC, client_name: 'Claude', redirect_uris: [redirectUri], scope: 'mcp offline_access' };
    const [one, two] = [await play(w, { discovery: TS_SDK, registration, redirectUri }), await play(w, { registration, redirectUri })];
    assert.notEqual(one.client.clientId, two.client.clientId);
  });

  test('Claude Code', async () => {
    const redirectUri = 'http://localhost:52001/callback';
    const registration = { ...PUBLIC, client_name: 'Claude Code (gateway)', redirect_uris: [redirectUri] };
    await play(w, { registration, redirectUri, authorize: { prompt: 'consent' } });
  });

  test('ChatGPT, one callback for each connection', async () => {
    const redirectUri = 'https://chatgpt.com/connector/oauth/0kq4iGB5Jk2x';
    await play(w, { registration: { ...PUBLIC, client_name: 'ChatGPT', redirect_uris: [redirectUri] }, redirectUri, authorize: PLAIN });
  });

  test('Codex CLI, at each login', async () => {
    const registration = { ...PUBLIC, client_name: 'Codex', redirect_uris: ['http://127.0.0.1:34567/callback'] };
    await play(w, { registration, redirectUri: 'http://127.0.0.1:34567/callback' });
  });

  test('Warp (rmcp)', async () => {
    const redirectUri = 'warp://mcp/oauth2callback';
    await play(w, { registration: { ...PUBLIC, client_name: 'Warp', redirect_uris: [redirectUri], application_type: 'native' }, redirectUri, authorize: ALL });
  });

  test('VS Code: four URIs, the device grant, a port of its own', async () => {
    const registration = {
      client_name: 'Visual Studio Code', client_uri: 'https://code.visualstudio.com', response_types: ['code'], token_endpoint_auth_method: 'none',
      grant_types: ['authorization_code', 'refresh_token', 'urn:ietf:params:oauth:grant-type:device_code'],
      redirect_uris: ['https://insiders.vscode.dev/redirect', 'https://vscode.dev/redirect', 'http://127.0.0.1/', 'http://127.0.0.1:33418/'],
      scope: 'mcp', application_type: 'native',
    };
    const discovery = [step.initialize(), step.resourceAtPath(), step.server()];
    for (const redirectUri of ['https://vscode.dev/redirect', 'http://127.0.0.1:33418/', 'http://127.0.0.1:58123/']) {
      await play(w, { discovery, registration, redirectUri, authorize: PLAIN });
    }
  });

  test('Copilot CLI, on another port than the registered', async () => {
    const registration = { ...PUBLIC, client_name: 'GitHub Copilot CLI', redirect_uris: ['http://127.0.0.1:33418/'] };
    await play(w, { registration, redirectUri: 'http://127.0.0.1:51951/' });
  });

  test('Cursor: three URIs, one of a private-use scheme', async () => {
    const redirect_uris = ['cursor://anysphere.cursor-mcp/oauth/callback', 'https://www.cursor.com/agents/mcp/oauth/callback', 'http://localhost:8787/callback'];
    const registration = { ...PUBLIC, client_name: 'Cursor', redirect_uris };
    for (const redirectUri of redirect_uris) {
      await play(w, { discovery: [step.resourceAtPath(), step.resourceAtRoot(), step.server()], registration, redirectUri, authorize: PLAIN });
    }
  });

  test('Gemini CLI 0.61: HEAD for the header, every scope there is', async () => {
    const registration = { ...CODE, client_name: 'Gemini CLI MCP Client', redirect_uris: ['http://localhost:7777/oauth/callback'], token_endpoint_auth_method: 'none', scope: ALL.scope };
    const discovery = [step.initialize(), step.head(), step.resourceAtPath(), step.server()];
    for (const port of [7777, 38123]) await play(w, { discovery, registration, redirectUri: `http://localhost:${port}/oauth/callback`, authorize: ALL });
  });

  test('OpenCode 1.18, twice for each login', async () => {
    const redirectUri = 'http://127.0.0.1:19876/mcp/oauth/callback';
    const registration = { ...PUBLIC, client_name: 'OpenCode', client_uri: 'https://opencode.ai', redirect_uris: [redirectUri] };
    const orphan = new OAuthClient(w.gateway.url, { redirectUri });
    await register(orphan, registration);
    const { client } = await play(w, { discovery: TS_SDK, registration, redirectUri });
    assert.notEqual(client.clientId, orphan.clientId);
  });

  test('Cline, bound to another port than it stored', async () => {
    const registration = { ...PUBLIC, client_name: 'Cline', redirect_uris: ['http://127.0.0.1:1456/mcp/oauth/callback'] };
    await play(w, { discovery: TS_SDK, registration, redirectUri: 'http://127.0.0.1:1461/mcp/oauth/callback', authorize: PLAIN });
  });

  test('Kiro, with a grant type that it will not get', async () => {
    const registration = { ...PUBLIC, client_name: 'Kiro', redirect_uris: ['http://127.0.0.1/oauth/callback'], grant_types: [...CODE.grant_types, 'urn:ietf:params:oauth:grant-type:jwt-bearer'] };
    await play(w, { registration, redirectUri: 'http://127.0.0.1:49153/oauth/callback' });
  });

  for (const [name, redirectUri, auth] of [
    ['Copilot Studio, a path for each tool', 'https://global.consent.azure-apim.net/redirect/new-5fnotes-5f5f1a2b3c', 'post'],
    ['n8n cloud', 'https://oauth.n8n.cloud/oauth2/callback', 'none'],
    ['Le Chat, with a secret', 'https://callback.mistral.ai/v1/integrations_auth/oauth2_callback', 'post'],
    ['Perplexity', 'https://www.perplexity.ai/rest/connections/oauth_callback', 'none'],
    ['Devin', 'https://api.devin.ai/mcp/oauth/callback', 'none'],
    ['Antigravity', 'https://antigravity.google/oauth-callback', 'none'],
    ['Smithery', 'https://api.smithery.ai/oauth/callback', 'none'],
    ['oh-my-openagent', 'http://127.0.0.1:19877/callback', 'none'],
  ]) {
    test(name, async () => {
      const method = { none: 'none', post: 'client_secret_post' }[auth];
      await play(w, { registration: { ...CODE, client_name: name, redirect_uris: [redirectUri], token_endpoint_auth_method: method }, redirectUri, auth, authorize: PLAIN });
    });
  }

  test('mcp-remote 0.15: GET first', async () => {
    const redirectUri = 'http://localhost:14735/oauth/callback';
    const registration = { ...PUBLIC, client_name: 'MCP CLI Proxy', client_uri: 'https://github.com/geelen/mcp-remote', redirect_uris: [redirectUri], software_id: '2e6dc280-f3c3-4e01-99a7-8181dbd1d23d', software_version: '0.15.1' };
    await play(w, { discovery: [step.get(), ...TS_SDK], registration, redirectUri });
    await play(w, { registration, redirectUri, authorize: { resource: undefined }, exchange: { resource: undefined }, refresh: { resource: undefined } }); // --disable-resource-parameter
  });

  test('Inspector 2.12 CLI, which revokes before it logs in again', async () => {
    const redirectUri = 'http://127.0.0.1:6276/oauth/callback';
    const registration = { ...PUBLIC, client_name: 'MCP Inspector', client_uri: 'https://github.com/modelcontextprotocol/inspector', redirect_uris: [redirectUri] };
    const { client, tokens } = await play(w, { discovery: TS_SDK, registration, redirectUri });
    assert.equal((await request('POST', `${w.gateway.url}/revoke`, { form: { token: tokens.refresh_token, client_id: client.clientId } })).status, 200);
    checkInvalidToken(await client.mcp(tokens.access_token));
  });

  test('Inspector 2.12 web: every request from a page of another origin', async () => {
    const [origin, redirectUri] = ['http://localhost:6274', 'http://localhost:6274/oauth/callback'];
    const paths = [
      ['GET', '/.well-known/oauth-protected-resource/mcp'], ['GET', '/.well-known/oauth-authorization-server'],
      ['POST', '/register'], ['POST', '/token'], ['POST', '/revoke'], ['POST', '/mcp'],
    ];
    const sent = ['authorization', 'content-type', 'mcp-protocol-version', 'mcp-session-id', 'mcp-method', 'mcp-name', 'last-event-id'];
    for (const [method, path] of paths) {
      const preflight = await request('OPTIONS', `${w.gateway.url}${path}`, {
        headers: { origin, 'access-control-request-method': method, 'access-control-request-headers': sent.join(',') },
      });
      assert.ok([200, 204].includes(preflight.status), path);
      assert.equal(preflight.headers['access-control-allow-origin'], '*', path);
      for (const name of sent) assert.ok(preflight.headers['access-control-allow-headers'].toLowerCase().includes(name), `${path}: ${name}`);
      const answer = await request(method, `${w.gateway.url}${path}`, { headers: { origin } });
      assert.equal(answer.headers['access-control-allow-origin'], '*', `${path}: ${answer.status}`);
      for (const name of ['www-authenticate', 'mcp-session-id']) assert.ok(answer.headers['access-control-expose-headers'].toLowerCase().includes(name), `${path}: ${name}`);
    }
    await play(w, { discovery: TS_SDK, registration: { ...PUBLIC, client_name: 'MCP Inspector', redirect_uris: [redirectUri] }, redirectUri });
  });

  test('TypeScript SDK 1.32: no offline_access, and the refresh names the resource only', async () => {
    const redirectUri = 'http://localhost:8090/callback';
    await play(w, { discovery: TS_SDK, registration: { ...PUBLIC, client_name: 'host', redirect_uris: [redirectUri] }, redirectUri, authorize: PLAIN });
  });

  test('TypeScript SDK 2.4: with a secret, as Basic', async () => {
    const redirectUri = 'http://localhost:8090/callback';
    const registration = { ...CODE, client_name: 'host', redirect_uris: [redirectUri], token_endpoint_auth_method: 'client_secret_basic', application_type: 'native' };
    await play(w, { discovery: TS_SDK, registration, redirectUri, auth: 'basic' });
  });

  test('Python SDK 2.3: no auth method, a verifier of 128 characters, no User-Agent', async () => {
    const redirectUri = 'http://localhost:3030/callback';
    await play(w, {
      discovery: TS_SDK, registration: { ...CODE, client_name: 'host', redirect_uris: [redirectUri] }, redirectUri,
      verifier: 'AZaz09-._~'.repeat(13).slice(0, 128),
    });
  });

  test('FastMCP 4.1: the resource also without its metadata', async () => {
    const registration = { ...CODE, client_name: 'FastMCP Client', redirect_uris: ['http://localhost:40321/callback'], token_endpoint_auth_method: 'client_secret_post' };
    await play(w, { discovery: [step.initialize(), step.serverAtMcpPath()], registration, redirectUri: 'http://localhost:40321/callback', auth: 'post' });
  });

  test('a client of the 2025-03-26 revision: no resource, the endpoints at the root', async () => {
    const redirectUri = 'http://localhost:5678/callback';
    const none = { resource: undefined, scope: undefined };
    await play(w, { discovery: [step.server()], registration: { client_name: 'old', redirect_uris: [redirectUri] }, redirectUri, authorize: none, exchange: none, refresh: none });
  });

  test('the resource in other spellings is the same resource', async () => {
    const redirectUri = 'http://127.0.0.1:5679/callback';
    for (const resource of [`${w.mcpUrl}/`, w.mcpUrl.replace('http:', 'HTTP:'), [w.mcpUrl, `${w.mcpUrl}/`]]) {
      await play(w, { registration: { redirect_uris: [redirectUri] }, redirectUri, authorize: { resource }, exchange: { resource }, refresh: { resource } });
    }
  });

  test('a registered client asks for scopes that its registration does not name', async () => {
    const redirectUri = 'http://127.0.0.1:5680/callback';
    const client = new OAuthClient(w.gateway.url, { redirectUri, resource: `${w.gateway.url}/other` });
    await register(client, { ...PUBLIC, redirect_uris: [redirectUri], scope: 'mcp' });
    const { tokens } = await client.login(new Person(), { scope: 'mcp mcp:write offline_access' });
    assert.deepEqual(tokens.scope.split(' ').sort(), ['mcp', 'mcp:write']);
  });
});

describe('clients on hosts of the operator', () => {
  const hosts = ['chat.example.com', 'n8n.example.com', 'localhost', '127.0.0.1'];
  const w = useWorld({ resources: RESOURCES, name: 'client-shapes-hosts', extra: `[clients]\nredirect_hosts = ${JSON.stringify(hosts)}` });

  test('LibreChat, which prefers Basic', async () => {
    const redirectUri = 'https://chat.example.com/api/mcp/notes/oauth/callback';
    const registration = { ...CODE, client_name: 'LibreChat MCP Client', redirect_uris: [redirectUri], token_endpoint_auth_method: 'client_secret_basic', scope: 'mcp' };
    await play(w, { discovery: [step.initialize(), step.resourceAtPath(), step.server()], registration, redirectUri, auth: 'basic', authorize: PLAIN });
  });

  test('n8n on a host of its own', async () => {
    const redirectUri = 'https://n8n.example.com/rest/oauth2-credential/callback';
    const registration = { ...PUBLIC, client_name: 'n8n', redirect_uris: [redirectUri] };
    const { client } = await play(w, { registration, redirectUri, authorize: PLAIN });
    // n8n#21791 registers one and sends the other: that is another site's address, and stays refused.
    checkPage(await request('GET', client.authorization({ redirect_uri: 'https://oauth.n8n.cloud/oauth2/callback' }).url));
  });
});
