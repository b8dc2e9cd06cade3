// Upstash as far as it can run here: its REST interface, from the test kit, before a Redis of ours.
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { ready, start } from './process.js';

const E2E = fileURLToPath(new URL('..', import.meta.url));

/** The built front: `UPSTASH_FRONT_BIN`, else the debug build of this workspace. */
const BIN = path.resolve(E2E, process.env.UPSTASH_FRONT_BIN ?? '../target/debug/upstash-front');

// Upstash's tokens have such characters, which a URL of a store encodes.
const TOKEN = 'AbCd/EFgh+0123456789==';

/** Starts the front before the Redis on this port. */
export async function startUpstash(redisPort) {
  const server = start(BIN, [String(redisPort), TOKEN]);
  await ready(server, 'upstash-front', async () => server.output.stdout.endsWith('\n'));
  const restUrl = server.output.stdout.trim();
  return {
    restUrl,
    token: TOKEN,
    url: restUrl.replace('http://', `upstash+http://${encodeURIComponent(TOKEN)}@`),
    stop: () => server.stop(),
  };
}
