// The binary under test, with a config file in a directory of its own.
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from './http.js';
import { freePort, ready, start } from './process.js';

const E2E = fileURLToPath(new URL('..', import.meta.url));

/** The built `mcp-login`: `MCP_LOGIN_BIN`, else the debug build of this workspace. */
export const BIN = path.resolve(E2E, process.env.MCP_LOGIN_BIN ?? '../target/debug/mcp-login');

const text = (value) => JSON.stringify(String(value)); // a JSON string is a TOML basic string
const list = (values) => `[${values.map(text).join(', ')}]`;
const table = (entries) =>
  `{ ${Object.entries(entries)
    .map(([key, value]) => `${text(key)} = ${Array.isArray(value) ? list(value) : text(value)}`)
    .join(', ')} }`;

/** Writes the TOML of one gateway. `resources` is a list of `[[mcp]]` entries, `top` is TOML before the first
 * section, `extra` TOML put at the end. */
export function config({ url, listen, store, upstream, resources, top = '', extra = '' }) {
  const lines = [`public_url = ${text(url)}`, `listen = ${text(listen)}`, top, ''];
  if (store !== null) lines.push('[store]', `url = ${text(store)}`, '');
  lines.push('[upstream]');
  lines.push(`provider = ${text(upstream.provider ?? 'oidc')}`);
  for (const key of ['issuer', 'client_id', 'client_secret', 'client_auth']) {
    if (upstream[key] !== undefined) lines.push(`${key} = ${text(upstream[key])}`);
  }
  if (upstream.scopes) lines.push(`scopes = ${list(upstream.scopes)}`);
  if (upstream.auth_params) lines.push(`auth_params = ${table(upstream.auth_params)}`);
  for (const resource of resources) {
    lines.push('', '[[mcp]]', `path = ${text(resource.path)}`, `backend = ${text(resource.backend)}`);
    if (resource.auth) lines.push(`auth = ${text(resource.auth)}`);
    if (resource.scopes) lines.push(`scopes = ${list(resource.scopes)}`);
    if (resource.headers) lines.push(`headers = ${table(resource.headers)}`);
  }
  return `${lines.join('\n')}\n\n${extra}\n`;
}

/**
 * Starts `mcp-login serve` and waits until `/readyz` says so.
 * `store` may be a function of the gateway's directory (a file store lives there), or null: no `[store]`. `port` must be free;
 * `publicUrl` is what stands in front of it, if something does.
 */
export async function startGateway({ port, publicUrl, store = 'memory:', upstream, resources, top, extra, env = {}, name = 'gateway' }) {
  port ??= await freePort();
  const dir = await mkdtemp(path.join(tmpdir(), 'mcp-login-e2e-'));
  const listen = `127.0.0.1:${port}`;
  const url = publicUrl ?? `http://${listen}`;
  const storeUrl = typeof store === 'function' ? store(dir) : store;
  const file = path.join(dir, 'mcp-login.toml');
  await writeFile(file, config({ url, listen, store: storeUrl, upstream, resources, top, extra }));
  const launch = () => start(BIN, ['serve', '--config', file], { cwd: dir, env: { RUST_LOG: 'info', NO_COLOR: '1', ...env } });
  let process_ = launch();

  /** SIGTERM; it has ten seconds to drain and must end with 0. */
  const drain = async () => {
    const end = await process_.stop();
    if (end.error) throw end.error;
    if (end.code !== 0) throw new Error(`the gateway ended with ${JSON.stringify(end)}\n${process_.output.stderr.slice(-2000)}`);
  };
  const stop = async () => {
    try {
      await drain();
    } finally {
      await mkdir(path.join(E2E, 'out'), { recursive: true });
      await writeFile(path.join(E2E, 'out', `${name}.log`), process_.output.stderr);
      await rm(dir, { recursive: true, force: true });
    }
  };
  const untilReady = async () => {
    try {
      await ready(process_, 'the gateway', async () => {
        try {
          return (await request('GET', `${url}/readyz`, { timeout: 2000 })).status === 200;
        } catch {
          return false;
        }
      });
    } catch (error) {
      await process_.stop({ signal: 'SIGKILL' });
      throw error;
    }
  };
  /** Ends the process with a signal and starts another with the same configuration and store. */
  const restart = async (signal) => {
    await process_.stop({ signal });
    process_ = launch();
    await untilReady();
  };
  await untilReady();
  return {
    url, port, dir, file, drain, stop, restart, launch,
    process: process_, running: () => process_.running(), log: () => process_.output.stderr,
  };
}
