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
const list = (values) => `[${values.map(value).join(', ')}]`;
const table = (entries) => `{ ${pairs(entries, text).join(', ')} }`;
const pairs = (entries, key) => Object.entries(entries)
  .filter(([, one]) => one !== undefined)
  .map(([name, one]) => `${key(name)} = ${value(one)}`);
function value(one) {
  if (Array.isArray(one)) return list(one);
  if (typeof one === 'boolean') return String(one);
  return typeof one === 'object' ? table(one) : text(one);
}

/** Writes the TOML of one gateway. `upstream` is its one service, or `upstreams` several, by name; `resources` is a list
 * of `[[mcp]]` entries, `top` is TOML before the first section, `extra` TOML put at the end. */
export function config({ url, listen, store, upstream, upstreams, resources, top = '', extra = '' }) {
  const lines = [`public_url = ${text(url)}`, `listen = ${text(listen)}`, top, ''];
  if (store !== null) lines.push('[store]', `url = ${text(store)}`);
  const services = upstreams ? Object.entries(upstreams).map(([name, one]) => [`upstreams.${name}`, one]) : [['upstream', upstream]];
  const bare = (key) => key;
  for (const [section, service] of services) lines.push('', `[${section}]`, ...pairs(service, bare));
  for (const resource of resources) lines.push('', '[[mcp]]', ...pairs(resource, bare));
  return `${lines.join('\n')}\n\n${extra}\n`;
}

/**
 * Starts `mcp-login serve` and waits until `/readyz` says so.
 * `store` may be a function of the gateway's directory (a file store lives there), or null: no `[store]`. `port` must be free;
 * `publicUrl` is what stands in front of it, if something does.
 */
export async function startGateway({
  port, publicUrl, store = 'memory:', upstream, upstreams, resources, top, extra, env = {}, name = 'gateway',
}) {
  port ??= await freePort();
  const dir = await mkdtemp(path.join(tmpdir(), 'mcp-login-e2e-'));
  const listen = `127.0.0.1:${port}`;
  const url = publicUrl ?? `http://${listen}`;
  const storeUrl = typeof store === 'function' ? store(dir) : store;
  const file = path.join(dir, 'mcp-login.toml');
  await writeFile(file, config({ url, listen, store: storeUrl, upstream, upstreams, resources, top, extra }));
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
          return (await request('GET', `http://${listen}/readyz`, { timeout: 2000 })).status === 200;
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
    url, port, dir, file, drain, stop, restart, launch, kill: () => process_.stop({ signal: 'SIGKILL' }),
    process: process_, running: () => process_.running(), log: () => process_.output.stderr,
  };
}
