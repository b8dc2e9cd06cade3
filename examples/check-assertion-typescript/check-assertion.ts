// Lets through whoever mcp-login has signed for this server, and nobody else: for express, `app.use(checkAssertion(…))`,
// and for node:http (see server.ts). Needs `jose`.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { errors, importJWK, jwtVerify, type JWTPayload } from 'jose';

export interface Options {
  /** The gateway's `public_url`, byte for byte. */
  issuer: string;
  /** What the gateway calls this server: `backend` of its `[[mcp]]` as it is written there, or `assertion_audience`. */
  audience: string;
  /** Where the keys are, if the gateway cannot be reached from here at its public URL. */
  jwksUrl?: string;
  /** How long an unknown key is not looked for again, in milliseconds. A gateway that has just started has a new one. */
  cooldown?: number;
  /** How long after the last fetch known keys are good while they cannot be fetched, in milliseconds. */
  grace?: number;
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

/** How long keys are used without asking for them again, and how long the fetch of them may take, in milliseconds. */
const KEPT = 300_000;
const TIMEOUT = 5_000;
const MAX_BYTES = 256 * 1024;

const HEADERS = { 'user-agent': 'mcp-login-check-assertion/1.0', accept: 'application/jwk-set+json, application/json' };

/** The keys cannot be had: nobody knows whether the assertion is good. */
class NoKeys extends Error {}

type Key = Awaited<ReturnType<typeof importJWK>>;

/**
 * The keys of the gateway, fetched when there are none, when they are old, and for a key that is not among them. jose's own
 * `createRemoteJWKSet` asks again at once after a fetch that failed, and then gives up the keys that it knows.
 */
class Keys {
  private known = new Map<string, Key>();
  /** When they were fetched, and when that was last tried, with success or without. */
  private fetched = -Infinity;
  private asked = -Infinity;
  private failed = false;
  private fetching: Promise<void> | undefined;
  private readonly url: string;
  private readonly cooldown: number;
  private readonly grace: number;

  constructor(url: string, cooldown: number, grace: number) {
    this.url = url;
    this.cooldown = cooldown;
    this.grace = grace;
  }

  async find(kid: string): Promise<Key> {
    // Anybody can make up a kid.
    if (performance.now() - this.asked >= (this.knows(kid) ? KEPT : this.cooldown)) {
      this.fetching ??= this.refresh().finally(() => { this.fetching = undefined; });
      await this.fetching;
    }
    if (!this.knows(kid) && this.failed) throw new NoKeys();
    const key = this.known.get(kid);
    if (!key) throw new errors.JWKSNoMatchingKey();
    return key;
  }

  private knows(kid: string): boolean {
    return this.known.has(kid) && !(this.failed && performance.now() - this.fetched >= this.grace);
  }

  private async refresh(): Promise<void> {
    try {
      this.known = await this.read();
      this.fetched = performance.now();
      this.failed = false;
    } catch (error) {
      // Those that are known stay for a while.
      this.failed = true;
      console.warn(`the keys at ${this.url} cannot be fetched:`, error);
    }
    this.asked = performance.now();
  }

  private async read(): Promise<Map<string, Key>> {
    const answer = await fetch(this.url, { headers: HEADERS, signal: AbortSignal.timeout(TIMEOUT) });
    if (!answer.ok || !answer.body) throw new Error(`${answer.status}`);
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of answer.body) {
      size += chunk.length;
      if (size > MAX_BYTES) throw new Error('too long for a key set');
      chunks.push(chunk);
    }
    const keys = new Map<string, Key>();
    for (const jwk of JSON.parse(Buffer.concat(chunks).toString()).keys) {
      // Others are of a kind that is not ours.
      if (jwk.alg === 'ES256') keys.set(jwk.kid, await importJWK(jwk));
    }
    return keys;
  }
}

export function checkAssertion({ issuer, audience, jwksUrl, cooldown = 1_000, grace = 3_600_000 }: Options) {
  const keys = new Keys(jwksUrl ?? `${issuer}/.well-known/jwks.json`, cooldown, grace);

  return async (request: IncomingMessage, response: ServerResponse, next: () => void): Promise<void> => {
    const refuse = (status: number, error: string, headers: Record<string, string>) => {
      response.writeHead(status, { 'content-type': 'application/json', ...headers });
      response.end(JSON.stringify({ error }));
    };
    // Two of them come joined by a comma, and are none.
    const assertion = request.headers['x-mcp-login-assertion'];
    try {
      const { payload } = await jwtVerify(String(assertion), ({ kid }) => keys.find(String(kid)), {
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
      if (error instanceof errors.JOSEError) {
        return refuse(401, 'invalid_assertion', { 'www-authenticate': 'mcp-login-assertion' });
      }
      return refuse(503, 'temporarily_unavailable', { 'retry-after': '5' });
    }
    return next();
  };
}
