// Services that presets are for, as npm's `emulate` plays them, one process for each: Ada and Alan, and Nobody, whom every
// token that it does not know belongs to.
//
// What it lacks: a Cancel on its pages, GitHub's DELETE of a token, Slack's auth.revoke, tokens of GitHub and Slack that
// end. GitHub's and Slack's pages look at no code_verifier and the others take a login without one, so it proves no PKCE;
// the tests compare verifier and challenge themselves, and oidc-provider (`upstream.js`) demands them.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from './http.js';
import { freePort, ready, start } from './process.js';

const EMULATE = fileURLToPath(new URL('../node_modules/emulate/dist/index.js', import.meta.url));
const LOOPBACK_ONLY = new URL('loopback_only.js', import.meta.url).href;

const PEOPLE = ['nobody', 'ada', 'alan'];
const email = (user) => `${user}@acme.test`;
const bearer = (token) => ({ headers: { authorization: `Bearer ${token}` } });
const get = async (url, token) => (await request('GET', url, bearer(token))).json;

/** The tenants of Microsoft's people. */
export const TENANTS = {
  ada: '11111111-1111-4111-8111-111111111111',
  alan: '22222222-2222-4222-8222-222222222222',
};

/**
 * For each preset: `seed`, what the emulator begins with; `account`, what stands on a person's button; `settings`, where its
 * endpoints are, those for programs behind `api`; `whose`, the person that its API says a token belongs to, as the preset's
 * subject; `email`, what the gateway may say of their address, which it may only if the service has verified it.
 */
export const SERVICES = {
  github: {
    seed: (app) => ({
      users: PEOPLE.map((login) => ({ login, email: email(login) })),
      orgs: [{ login: 'acme', members: [{ login: 'ada' }] }],
      oauth_apps: [app],
    }),
    account: (user) => user,
    settings: (url, api) => ({
      authorization_endpoint: `${url}/login/oauth/authorize`,
      token_endpoint: `${api}/login/oauth/access_token`,
      userinfo_endpoint: `${url}/user`,
      email_endpoint: `${url}/user/emails`,
      revocation_endpoint: `${api}/applications/{client_id}/token`,
      lists: { orgs: { endpoint: `${url}/user/orgs?per_page=100`, value: ['/login'], scope: 'read:org' } },
    }),
    whose: async (url, token) => {
      const { id, login } = await get(`${url}/user`, token);
      return { subject: String(id), account: login };
    },
    email,
  },

  google: {
    seed: (client) => ({
      // Alan has a private account with an address of the company, which Google has not verified.
      users: PEOPLE.map((user) => ({ email: email(user), name: user, ...(user === 'alan' && { email_verified: false, hd: '' }) })),
      oauth_clients: [client],
    }),
    account: email,
    settings: (url, api) => ({
      issuer: url,
      authorization_endpoint: `${url}/o/oauth2/v2/auth`,
      token_endpoint: `${api}/oauth2/token`,
      userinfo_endpoint: `${url}/oauth2/v2/userinfo`,
      jwks_uri: `${url}/oauth2/v3/certs`,
      revocation_endpoint: `${api}/oauth2/revoke`,
    }),
    whose: async (url, token) => {
      const { sub, email: account } = await get(`${url}/oauth2/v2/userinfo`, token);
      return { subject: sub, account };
    },
    email: (user) => (user === 'ada' ? email(user) : undefined),
    refresh: { rotates: false },
    revokes: true,
  },

  microsoft: {
    seed: (client) => ({
      users: PEOPLE.map((user) => ({ email: email(user), name: user, tenant_id: TENANTS[user] })),
      oauth_clients: [client],
    }),
    account: email,
    settings: (url, api) => ({
      issuer: `${url}/{tenant}/v2.0`,
      authorization_endpoint: `${url}/oauth2/v2.0/authorize`,
      token_endpoint: `${api}/oauth2/v2.0/token`,
      userinfo_endpoint: `${url}/oidc/userinfo`,
      jwks_uri: `${url}/discovery/v2.0/keys`,
    }),
    whose: async (url, token) => {
      const { id, mail } = await get(`${url}/v1.0/me`, token);
      return { subject: `${TENANTS[mail.split('@')[0]]}:${id}`, account: mail };
    },
    email: () => undefined, // Microsoft does not say that it has verified one
    refresh: { rotates: true },
  },

  slack: {
    seed: (app) => ({
      users: PEOPLE.map((name) => ({ name, email: email(name) })),
      oauth_apps: [{ ...app, scopes: ['chat:write'] }],
    }),
    account: (user) => user,
    settings: (url, api) => ({
      scopes: ['users:read', 'users.profile:read'],
      authorization_endpoint: `${url}/oauth/v2/authorize`,
      token_endpoint: `${api}/api/oauth.v2.access`,
      revocation_endpoint: `${api}/api/auth.revoke`,
    }),
    whose: async (url, token) => {
      const { team_id: team, user_id: id, user } = (await request('POST', `${url}/api/auth.test`, bearer(token))).json;
      return { subject: `${team}:${id}`, account: user };
    },
    email: () => undefined,
    pkce: false,
  },

  linear: {
    seed: (app) => ({
      users: PEOPLE.map((user) => ({ email: email(user), name: user })),
      oauth_apps: [{ ...app, scopes: ['read', 'write'], actor: 'user' }],
    }),
    account: email,
    settings: (url, api) => ({
      authorization_endpoint: `${url}/oauth/authorize`,
      token_endpoint: `${api}/oauth/token`,
      userinfo_endpoint: `${url}/graphql`,
      revocation_endpoint: `${api}/oauth/revoke`,
    }),
    whose: async (url, token) => {
      const { viewer } = (await request('POST', `${url}/graphql`, { ...bearer(token), json: { query: '{ viewer { id email } }' } })).json.data;
      return { subject: viewer.id, account: viewer.email };
    },
    email: () => undefined,
    refresh: { rotates: true },
    revokes: true,
  },
};

/** Starts the service of a preset on a free port of `localhost`. `callbacks` are the redirect URIs it sends people back to. */
export async function startService(name, callbacks) {
  const service = SERVICES[name];
  const client = { client_id: `gateway-at-${name}`, client_secret: randomBytes(24).toString('base64url') };
  const dir = await mkdtemp(path.join(tmpdir(), 'mcp-login-emulate-'));
  const seed = path.join(dir, 'seed.json');
  await writeFile(seed, JSON.stringify({ [name]: service.seed({ ...client, name: 'The gateway', redirect_uris: callbacks }) }));
  const port = await freePort();
  const url = `http://localhost:${port}`;
  const arguments_ = ['--import', LOOPBACK_ONLY, EMULATE, 'start', '--service', name, '--port', String(port), '--seed', seed];
  const emulator = start(process.execPath, arguments_, { cwd: dir, env: { NO_COLOR: '1' } });
  await ready(emulator, `emulate ${name}`, () => request('GET', url, { timeout: 2000 }).then(() => true, () => false));
  return {
    url,
    client,
    /** What goes under `[upstream]`. What programs ask may go another way: `api` is its origin. */
    settings: (api = url) => ({ provider: name, ...client, ...service.settings(url, api) }),
    account: service.account,
    whose: (token) => service.whose(url, token),
    async stop() {
      await emulator.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}
