// A bare OAuth client: every parameter in the test's hands, answers as they come.
import { createHash, randomBytes } from 'node:crypto';
import { request } from './http.js';

const random = (bytes = 24) => randomBytes(bytes).toString('base64url');

/** RFC 7636: a verifier and its S256 challenge. */
export function pkce(verifier = random(32)) {
  return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
}

/** The header of `client_secret_basic` (RFC 6749 §2.3.1). */
export const basic = (id, secret) => ({
  authorization: `Basic ${Buffer.from(`${encodeURIComponent(id)}:${encodeURIComponent(secret)}`).toString('base64')}`,
});

export class OAuthClient {
  /** `gateway` is its URL; `resource` the MCP URL tokens are for. */
  constructor(gateway, { resource = `${gateway}/mcp`, redirectUri = 'http://127.0.0.1:47813/callback' } = {}) {
    Object.assign(this, { gateway, resource, redirectUri });
  }

  /** RFC 7591. Keeps the answer as this client's registration when it is one. */
  async register(metadata = {}) {
    const answer = await request('POST', `${this.gateway}/register`, {
      json: {
        client_name: 'e2e raw client',
        redirect_uris: [this.redirectUri],
        grant_types: ['authorization_code', 'refresh_token'],
        response_types: ['code'],
        token_endpoint_auth_method: 'none',
        ...metadata,
      },
    });
    if (answer.status === 201) this.registration = answer.json;
    return answer;
  }

  get clientId() {
    return this.registration.client_id;
  }

  /** A fresh authorization request; `undefined` in `changes` leaves a parameter out, a list repeats it. */
  authorization(changes = {}) {
    const { verifier, challenge } = pkce();
    const state = random(12);
    const parameters = {
      response_type: 'code',
      client_id: this.registration?.client_id,
      redirect_uri: this.redirectUri,
      scope: 'mcp',
      state,
      code_challenge: challenge,
      code_challenge_method: 'S256',
      resource: this.resource,
      ...changes,
    };
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(parameters)) {
      for (const one of [value].flat()) if (one !== undefined) query.append(name, one);
    }
    return { url: `${this.gateway}/authorize?${query}`, state: parameters.state, verifier, redirectUri: parameters.redirect_uri };
  }

  /** `/token` with exactly these fields (and this client's ID unless told otherwise). */
  token(fields, { headers } = {}) {
    const form = new URLSearchParams();
    for (const [name, value] of Object.entries({ client_id: this.registration?.client_id, ...fields })) {
      for (const one of [value].flat()) if (one !== undefined) form.append(name, one);
    }
    return request('POST', `${this.gateway}/token`, { form, headers });
  }

  exchange(login, changes = {}) {
    return this.token({
      grant_type: 'authorization_code',
      code: login.code,
      redirect_uri: login.redirectUri,
      code_verifier: login.verifier,
      resource: this.resource,
      ...changes,
    });
  }

  refresh(refreshToken, changes = {}) {
    return this.token({ grant_type: 'refresh_token', refresh_token: refreshToken, resource: this.resource, ...changes });
  }

  /** A person's whole way to a code. */
  async code(person, changes = {}) {
    const flow = this.authorization(changes);
    const callback = await person.visit(flow.url, flow.redirectUri);
    return { ...flow, callback, code: callback.searchParams.get('code') };
  }

  /** Registers if need be, logs in, exchanges: `{ login, tokens }`. Throws unless all of it works. */
  async login(person, changes = {}) {
    if (!this.registration) {
      const registered = await this.register();
      if (registered.status !== 201) throw new Error(`/register: ${registered.status} ${registered.text}`);
    }
    const login = await this.code(person, changes);
    const answer = await this.exchange(login);
    if (answer.status !== 200) throw new Error(`/token: ${answer.status} ${answer.text} (${login.callback})`);
    return { login, tokens: answer.json };
  }

  /** One JSON-RPC message to an MCP path. */
  mcp(accessToken, message = call('whoami'), { url = this.resource, headers = {} } = {}) {
    return request('POST', url, { json: message, headers: { ...bearer(accessToken), ...headers } });
  }
}

/** The headers of an MCP POST. */
export function bearer(accessToken) {
  return {
    accept: 'application/json, text/event-stream',
    'mcp-protocol-version': '2025-11-25',
    ...(accessToken && { authorization: `Bearer ${accessToken}` }),
  };
}

/** A `tools/call` message. */
export function call(name, args = {}, extra = {}) {
  return { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name, arguments: args, ...extra } };
}

/** The text of a tool's result. */
export function resultOf(answer) {
  return messageOf(answer).result?.content?.[0]?.text;
}

/** The answer to a request, from JSON or a finished event stream. */
export function messageOf(answer) {
  return answer.headers['content-type']?.startsWith('text/event-stream')
    ? answer.text.split('\n').filter((line) => line.startsWith('data: ')).map((line) => JSON.parse(line.slice(6))).find((one) => 'id' in one)
    : answer.json;
}
