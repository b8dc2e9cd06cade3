// What a program that embeds a TypeScript SDK does around it: keep credentials, open the browser, try again.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';

/** Everything the SDK gives a host to keep, and the URL it wants opened. */
class Credentials {
  constructor(redirectUri) {
    this.redirectUrl = redirectUri;
    this.verifiers = [];
    this.states = [];
    this.issued = []; // every token set ever received
  }

  get clientMetadata() {
    return {
      client_name: 'e2e host',
      redirect_uris: [this.redirectUrl],
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      token_endpoint_auth_method: 'none',
    };
  }

  state() {
    this.states.push(randomBytes(16).toString('base64url'));
    return this.states.at(-1);
  }

  clientInformation() { return this.client; }
  saveClientInformation(client) { this.client = client; }
  tokens() { return this.current; }
  saveTokens(tokens) {
    this.current = tokens;
    this.issued.push(tokens);
  }

  redirectToAuthorization(url) { this.authorizeUrl = url; }
  saveCodeVerifier(verifier) { this.verifiers.push(verifier); }
  codeVerifier() { return this.verifiers.at(-1); }
  saveDiscoveryState(state) { this.discovery = state; }
  discoveryState() { return this.discovery; }
}

export class HostClient {
  /** `visit(authorizeUrl, redirectUri)` is the person: it answers with the callback URL that was reached. */
  constructor({ mcpUrl, redirectUri = 'http://127.0.0.1:47811/callback', visit }) {
    Object.assign(this, { mcpUrl, redirectUri, visit, logins: 0, codes: [], states: [] });
    this.credentials = new Credentials(redirectUri);
  }

  async connect() {
    await this.open().catch(async (error) => {
      await this.login(error);
      await this.open();
    });
  }

  async open() {
    this.transport = new this.constructor.Transport(new URL(this.mcpUrl), { authProvider: this.credentials });
    this.client = new this.constructor.Client({ name: 'e2e-host', version: '1.0.0' });
    await this.client.connect(this.transport);
  }

  /** Answers an UnauthorizedError with a login; anything else is thrown again. */
  async login(error) {
    if (!(error instanceof this.constructor.UnauthorizedError)) throw error;
    const callback = await this.visit(String(this.credentials.authorizeUrl), this.redirectUri);
    this.logins += 1;
    this.callback = callback;
    assert.equal(callback.searchParams.get('state'), this.credentials.states.at(-1), 'state comes back');
    assert.equal(callback.searchParams.get('error'), null, String(callback));
    this.codes.push(callback.searchParams.get('code'));
    await this.finish(callback);
  }

  async listTools() {
    return (await this.client.listTools()).tools.map((tool) => tool.name).sort();
  }

  async call(name, args = {}) {
    const run = () => this.client.callTool({ name, arguments: args });
    const result = await run().catch(async (error) => {
      await this.login(error);
      return run();
    });
    assert.ok(!result.isError, JSON.stringify(result));
    return result.content[0].text;
  }

  async whoami() {
    return JSON.parse(await this.call('whoami'));
  }

  /** Spoils the access token that the client holds, so that its next request has to refresh. */
  async expire() {
    const spoilt = `${this.credentials.current.access_token.slice(0, -4)}AAAA`;
    this.credentials.current = { ...this.credentials.current, access_token: spoilt };
  }

  async tokens() { return this.credentials.current; }
  async clientId() { return this.credentials.client.client_id; }

  /** Every secret this client ever held. */
  secrets() {
    const tokens = this.credentials.issued.flatMap((set) => [set.access_token, set.refresh_token]);
    return [...tokens, ...this.codes, ...this.credentials.verifiers].filter(Boolean);
  }

  async close() {
    await this.client?.close();
  }
}
