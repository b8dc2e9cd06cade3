// The examples that check assertions, as servers of their own behind a gateway.
import assert from 'node:assert/strict';
import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from './http.js';
import { freePort, ready, start } from './process.js';

const E2E = fileURLToPath(new URL('..', import.meta.url));
const EXAMPLES = path.join(E2E, '../examples');

/** Runs TypeScript as it is: 22.18 does, else the one that is pinned for the conformance suite. */
function node() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 18)) return process.execPath;
  assert.equal(process.platform, 'linux', 'TypeScript needs Node 22.18 or newer');
  return path.join(E2E, `node_modules/node-linux-${process.arch}/bin/node`);
}

/** Starts the program with what it needs, and says how to clean up. */
const LANGUAGES = {
  async TypeScript(env) {
    // Where `jose` is found from.
    await mkdir(path.join(E2E, 'out'), { recursive: true });
    const dir = await mkdtemp(path.join(E2E, 'out/check-assertion-'));
    for (const file of ['package.json', 'check-assertion.ts', 'server.ts']) {
      await copyFile(path.join(EXAMPLES, 'check-assertion-typescript', file), path.join(dir, file));
    }
    return [start(node(), ['server.ts'], { cwd: dir, env }), () => rm(dir, { recursive: true, force: true })];
  },
  async Python(env) {
    const cwd = path.join(EXAMPLES, 'check-assertion-python');
    return [start(path.join(E2E, '.venv/bin/python'), ['-B', 'server.py'], { cwd, env }), () => undefined];
  },
};

export const CHECKING = Object.keys(LANGUAGES);

/** One of the examples. `audience` is its own URL unless told otherwise; `cooldown` and `grace` are in milliseconds. */
export async function startChecking(language, { issuer, jwksUrl, audience, cooldown, grace }) {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}/mcp`;
  const env = { ISSUER: issuer, AUDIENCE: audience ?? url, JWKS_URL: jwksUrl, PORT: String(port) };
  if (cooldown !== undefined) env.COOLDOWN = String(cooldown);
  if (grace !== undefined) env.GRACE = String(grace);
  const [process_, clean] = await LANGUAGES[language](env);
  const stop = async () => {
    await process_.stop();
    await clean();
  };
  try {
    await ready(process_, `the example in ${language}`, async () => {
      const answer = await request('GET', url, { timeout: 2000 }).catch(() => undefined);
      return answer?.status === 401;
    });
  } catch (error) {
    await stop();
    throw error;
  }
  /** Straight to it, past the gateway. */
  const ask = (headers) => request('POST', url, { json: { jsonrpc: '2.0', id: 1, method: 'ping' }, headers });
  return { url, ask, stop, log: () => process_.output.stderr };
}
