// Lets through whoever mcp-login has signed for this server, and nobody else: for express, `app.use(checkAssertion(…))`,
// and for node:http (see server.ts). Needs `jose`.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createRemoteJWKSet, errors, jwtVerify, type JWTPayload } from 'jose';

export interface Options {
  /** The gateway's `public_url`, byte for byte. */
  issuer: string;
  /** What the gateway calls this server: `backend` of its `[[mcp]]` as it is written there, or `assertion_audience`. */
  audience: string;
  /** Where the keys are, if the gateway cannot be reached from here at its public URL. */
  jwksUrl?: string;
  /** How long an unknown key is not looked for again, in milliseconds. A gateway that has just started has a new one. */
  cooldown?: number;
}

/** Who is calling. */
export interface Caller extends JWTPayload {
  /** The person's stable id: the key to store things under. `client:` and a name is a program that acts for itself. */
  sub: string;
  client_id: string;
  /** What the token may be used for, with spaces between. */
  scope: string;
  /** Only an address that was verified. */
  email?: string;
  preferred_username?: string;
  name?: string;
}

const callers = new WeakMap<IncomingMessage, Caller>();

/** The caller of a request that has come through. */
export const callerOf = (request: IncomingMessage): Caller | undefined => callers.get(request);

/** What jose says when the keys could not be had: nobody knows then whether the assertion is good. */
const NO_KEYS = ['ERR_JOSE_GENERIC', 'ERR_JWKS_TIMEOUT', 'ERR_JWKS_INVALID'];

export function checkAssertion({ issuer, audience, jwksUrl, cooldown = 1_000 }: Options) {
  const url = new URL(jwksUrl ?? `${issuer}/.well-known/jwks.json`);
  const keys = createRemoteJWKSet(url, { cooldownDuration: cooldown, timeoutDuration: 5_000, cacheMaxAge: 300_000 });

  return async (request: IncomingMessage, response: ServerResponse, next: () => void): Promise<void> => {
    const refuse = (status: number, error: string, headers: Record<string, string>) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify({ error }));
    };
    // Two of them come joined by a comma, and are none.
    const assertion = request.headers['x-mcp-login-assertion'];
    try {
      const { payload } = await jwtVerify(String(assertion), keys, {
        issuer,
        audience,
        algorithms: ['ES256'],
        typ: 'mcp-login-assertion+jwt',
        requiredClaims: ['iss', 'sub', 'aud', 'iat', 'exp', 'client_id', 'scope'],
        clockTolerance: 30,
      });
      // What others would take, too, is not for this server (RFC 7519 §4.1.3).
      if (payload.aud !== audience) throw new errors.JWTInvalid('aud');
      callers.set(request, payload as Caller);
    } catch (error) {
      if (error instanceof errors.JOSEError && !NO_KEYS.includes(error.code)) {
        return refuse(401, 'invalid_assertion', { 'www-authenticate': 'mcp-login-assertion' });
      }
      return refuse(503, 'temporarily_unavailable', { 'retry-after': '5' });
    }
    return next();
  };
}
