// Upstream, backend, store and gateway together, taken down after the test or suite that asked for them.
import { after } from 'node:test';
import { startBackend } from './backend.js';
import { startGateway } from './gateway.js';
import { freePort } from './process.js';
import { startRedis } from './redis.js';
import { startUpstream } from './upstream.js';

/** The stores that every store-dependent test runs on. */
export const STORES = ['memory', 'file', 'redis'];

const ACCESS_TOKEN_HEADER = { 'X-Forwarded-Access-Token': '{upstream.access_token}' };

/**
 * Starts everything. `resources` is a list of `[[mcp]]` entries without their backend; `hook` is `after` or `t.after`.
 * Everything is stopped in the reverse order, and a failure to stop is a failure of the test.
 */
export async function world({
  store = 'memory', auth = 'required', resources = [{ path: '/mcp', auth }], accessTtl, extra, env, name = `${store}-${auth}`, hook = after,
} = {}) {
  const running = [];
  const stopAll = async () => {
    const failures = [];
    for (const one of running.reverse()) await one.stop().catch((error) => failures.push(error));
    running.length = 0;
    if (failures.length > 0) throw new AggregateError(failures, failures.map((error) => error.message).join('; '));
  };
  hook(stopAll);
  const add = async (starting) => {
    const one = await starting;
    running.push(one);
    return one;
  };

  const port = await freePort();
  const upstream = await add(startUpstream({ callback: `http://127.0.0.1:${port}/callback`, accessTtl }));
  const backend = await add(startBackend());
  const redis = store === 'redis' ? await add(startRedis()) : undefined;
  const url = { memory: 'memory:', file: (dir) => `file:${dir}/store.db`, redis: redis?.url }[store];
  const gateway = await add(startGateway({
    port,
    store: url,
    upstream: upstream.settings,
    resources: resources.map((resource) => ({ backend: backend.url, headers: ACCESS_TOKEN_HEADER, ...resource })),
    extra,
    env,
    name,
  }));
  return {
    gateway,
    upstream,
    backend,
    redis,
    mcpUrl: `${gateway.url}/mcp`,
  };
}
