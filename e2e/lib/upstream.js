// The upstream: panva's oidc-provider with two users, strict PKCE, rotation, and pages of its own.
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { EventEmitter, once } from 'node:events';
import http from 'node:http';
import Provider from 'oidc-provider';
import { request, within } from './http.js';
import { interactions } from './upstream_pages.js';

/** Who can sign in. `sub` is what the gateway must pass on as the subject. */
export const USERS = {
  ada: { sub: 'upstream-sub-ada-1815', email: 'ada@example.org', name: 'Ada Lovelace' },
  alan: { sub: 'upstream-sub-alan-1912', email: 'alan@example.org', name: 'Alan Turing' },
};

/**
 * Starts the upstream on a free port of `localhost`: another site than the gateway's 127.0.0.1, as in real life.
 * `callback` is the gateway's redirect URI.
 */
export async function startUpstream({ callback, accessTtl = 3600 }) {
  const client = { client_id: 'gateway-at-upstream', client_secret: randomBytes(24).toString('base64url') };
  const seen = {
    authorize: [], // parameters of every authorization request
    token: [], // parameters of every token request that was granted
    refused: [], // parameters of every token request that was not
    codes: new Set(),
    tokens: new Set(), // access, refresh and ID tokens
  };

  const server = http.createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const issuer = `http://localhost:${server.address().port}`;
  const provider = new Provider(issuer, configuration({ client, callback, accessTtl }));

  provider.use(async (ctx, next) => {
    if (ctx.path === '/auth') seen.authorize.push(Object.fromEntries(new URLSearchParams(ctx.querystring)));
    await next();
  });
  provider.on('authorization.success', (ctx, out) => {
    if (out?.code) seen.codes.add(out.code);
  });
  provider.on('grant.success', (ctx) => {
    seen.token.push({ ...ctx.oidc.body });
    for (const name of ['access_token', 'refresh_token', 'id_token']) {
      if (ctx.body?.[name]) seen.tokens.add(ctx.body[name]);
    }
  });
  provider.on('grant.error', (ctx) => seen.refused.push({ ...ctx.oidc.body }));
  const revocations = new EventEmitter(); // 'grant': all tokens of a login have ended
  let revoked = 0;
  provider.on('grant.revoked', () => {
    revoked += 1;
    revocations.emit('grant');
  });
  if (process.env.E2E_VERBOSE) {
    for (const event of ['server_error', 'authorization.error', 'grant.error', 'userinfo.error']) {
      provider.on(event, (ctx, error) => console.error(`upstream ${event}: ${error.message} ${error.error_description ?? ''}`));
    }
  }

  const callbackHandler = provider.callback();
  const pages = interactions(provider, USERS);
  server.on('request', (req, res) => {
    const handler = req.url.startsWith('/interaction/') ? pages : callbackHandler;
    Promise.resolve(handler(req, res)).catch((error) => {
      if (!res.headersSent) res.writeHead(400, { 'content-type': 'text/plain' });
      res.end(String(error));
    });
  });

  return {
    issuer,
    seen,
    /** What goes under `[upstream]`. */
    settings: {
      provider: 'oidc',
      issuer,
      ...client,
      client_auth: 'basic',
      scopes: ['openid', 'email', 'profile', 'offline_access'],
      auth_params: { prompt: 'consent' },
    },
    /** How often a refresh token was exchanged. */
    refreshes: () => seen.token.filter((parameters) => parameters.grant_type === 'refresh_token').length,
    /** Of how many logins all tokens were ended: by a revocation, or because a refresh token came twice. */
    revoked: () => revoked,
    /** Resolves once that has happened. */
    async revocation() {
      if (revoked === 0) await within(5000, 'a revocation at the upstream', once(revocations, 'grant'));
    },
    /** Whether its own API takes this access token. */
    async accepts(accessToken) {
      return (await request('GET', `${issuer}/me`, { headers: { authorization: `Bearer ${accessToken}` } })).status === 200;
    },
    /** Every value that must never be stored or logged in the clear. */
    secrets() {
      const verifiers = seen.token.map((parameters) => parameters.code_verifier).filter(Boolean);
      return [client.client_secret, ...seen.codes, ...seen.tokens, ...verifiers];
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function configuration({ client, callback, accessTtl }) {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return {
    clients: [{
      ...client,
      redirect_uris: [callback],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'client_secret_basic',
    }],
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'e2e', use: 'sig', alg: 'RS256' }] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false }, revocation: { enabled: true }, userinfo: { enabled: true } },
    interactions: { url: (ctx, interaction) => `/interaction/${interaction.uid}` },
    claims: { email: ['email', 'email_verified'], profile: ['name', 'preferred_username'] },
    ttl: { AccessToken: accessTtl, AuthorizationCode: 60, RefreshToken: 86_400, IdToken: 3600, Session: 3600, Grant: 86_400, Interaction: 600 },
    issueRefreshToken: (ctx, of, code) => of.grantTypeAllowed('refresh_token') && code.scopes.has('offline_access'),
    rotateRefreshToken: true,
    findAccount(ctx, accountId) {
      const [login, user] = Object.entries(USERS).find(([, one]) => one.sub === accountId) ?? [];
      if (!user) return undefined;
      return {
        accountId,
        claims: () => ({ ...user, email_verified: true, preferred_username: login }),
      };
    },
  };
}
