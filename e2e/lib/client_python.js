// The Python SDK, and FastMCP over it, each in a process of its own, behind the same face as the other clients.
import assert from 'node:assert/strict';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';
import { request, within } from './http.js';
import { listening, start } from './process.js';

const E2E = fileURLToPath(new URL('..', import.meta.url));

export class PythonClient {
  static title = 'Python SDK 2.3';
  static program = 'client_python.py';

  /** `transport` is `sse` for servers of HTTP+SSE. */
  constructor({ mcpUrl, redirectUri = 'http://localhost:47812/callback', visit, transport = 'streamable-http' }) {
    Object.assign(this, { mcpUrl, redirectUri, visit, transport, logins: 0, codes: [], waiting: [], inbox: [], known: { issued: [] } });
  }

  #boot() {
    this.process = start(path.join(E2E, '.venv/bin/python'), [this.constructor.program, this.mcpUrl, this.redirectUri, this.transport], { cwd: E2E, stdin: 'pipe' });
    this.process.child.stdin.on('error', () => {}); // the process is gone: `op` reports it
    const lines = readline.createInterface({ input: this.process.child.stdout });
    lines.on('line', (line) => {
      const message = JSON.parse(line);
      const next = this.waiting.shift();
      if (next) next(message);
      else this.inbox.push(message);
    });
  }

  #next() {
    if (this.inbox.length > 0) return this.inbox.shift();
    return new Promise((resolve) => this.waiting.push(resolve));
  }

  #send(message) {
    this.process.child.stdin.write(`${JSON.stringify(message)}\n`);
  }

  async #op(op, fields = {}) {
    this.#send({ op, ...fields });
    for (;;) {
      const ended = this.process.exited.then((end) => ({ error: `python ended: ${JSON.stringify(end)}` }));
      const message = await within(30_000, `python ${op}`, Promise.race([this.#next(), ended]));
      if (message.redirect) {
        const callback = await this.visit(message.redirect, new URL(message.redirect).searchParams.get('redirect_uri'));
        this.logins += 1;
        this.callback = callback;
        this.codes.push(callback.searchParams.get('code'));
        await this.bring(callback);
      } else if ('error' in message) {
        throw new Error(`${message.error}\n${this.process.output.stderr.slice(-3000)}`);
      } else {
        return message.result;
      }
    }
  }

  /** The browser reaches the callback URL, which a host program takes from it. */
  bring(callback) {
    this.#send({ callback: String(callback) });
  }

  async connect() {
    this.#boot();
    await this.#op('connect');
  }

  listTools() { return this.#op('tools'); }
  call(name, args = {}) { return this.#op('call', { name, arguments: args }); }
  async whoami() { return JSON.parse(await this.call('whoami')); }
  expire() { return this.#op('expire'); }

  async tokens() {
    this.known = await this.#op('tokens');
    return this.known.current;
  }

  async clientId() {
    await this.tokens();
    return this.known.client_id;
  }

  secrets() {
    return [...this.known.issued.flatMap((set) => [set.access_token, set.refresh_token]), ...this.codes].filter(Boolean);
  }

  async close() {
    if (!this.process) return;
    if (this.process.running()) await this.#op('close').catch(() => {});
    this.process.child.stdin.end();
    const end = await this.process.stop();
    assert.ok(end.code === 0 || end.signal === 'SIGTERM', JSON.stringify(end));
  }
}

export class FastMcpClient extends PythonClient {
  static title = 'FastMCP 4.1';
  static program = 'client_fastmcp.py';

  /** The browser goes there: FastMCP listens, a moment after it has had the page opened. */
  async bring(callback) {
    await listening(callback);
    const answer = await request('GET', callback);
    assert.equal(answer.status, 200, answer.text);
  }
}
