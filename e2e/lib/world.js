// Upstream, backend, store and gateway together, and their end.
import { after, before } from 'node:test';
import { startBackend } from './backend.js';
import { startGateway } from './gateway.js';
import { freePort } from './process.js';
import { startRecorder } from './recorder.js';
import { startRedis } from './redis.js';
import { startUpstash } from './upstash.js';
import { startUpstream } from './upstream.js';

/** The stores that every store-dependent test runs on. */
export const STORES = ['memory', 'file', 'redis', 'upstash'];

/** Tells a backend the upstream's token. */
export const ACCESS_TOKEN_HEADER = { 'X-Forwarded-Access-Token': '{upstream.access_token}' };

/** A world for one `describe`: filled before its tests, taken down after them. */
export function useWorld(options) {
  return use(() => startWorld(options));
}

/** The same for whatever `start` starts. */
export function use(start) {
  const w = {};
  before(async () => Object.assign(w, await start()));
  after(() => w.stop?.());
  return w;
}

/**
 * What `build` starts, each through the `add` that it is given. `stop` stops in the reverse order; whatever fails to stop
 * fails the test.
 */
export async function together(build) {
  const running = [];
  const add = async (starting) => {
    const one = await starting;
    running.unshift(one);
    return one;
  };
  const stop = async () => {
    const failures = [];
    for (const one of running.splice(0)) await one.stop().catch((error) => failures.push(error));
    if (failures.length > 0) throw new AggregateError(failures, failures.map((error) => error.message).join('; '));
  };
  try {
    return { ...(await build(add)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/**
 * Starts everything. `resources` is a list of `[[mcp]]` entries without their backend; `sessions: true` is one whose
 * backend keeps sessions.
 * With `recorded` everything for the gateway passes through `recorder`, which keeps it.
 */
export function startWorld({
  store = 'memory', auth = 'required', resources = [{ path: '/mcp', auth }], accessTtl, recorded = false, top, extra, env, name = `${store}-${auth}`,
} = {}) {
  return together(async (add) => {
    const port = await freePort();
    const recorder = recorded ? await add(startRecorder()) : undefined;
    recorder?.forward(port);
    const publicUrl = recorder?.url ?? `http://127.0.0.1:${port}`;
    const upstream = await add(startUpstream({ callback: `${publicUrl}/callback`, accessTtl }));
    const backend = await add(startBackend());
    const redis = ['redis', 'upstash'].includes(store) ? await add(startRedis()) : undefined;
    const upstash = store === 'upstash' ? await add(startUpstash(redis.port)) : undefined;
    const gateway = await add(startGateway({
      port,
      publicUrl,
      store: { memory: 'memory:', file: (dir) => `file:${dir}/store.db`, redis: redis?.url, upstash: upstash?.url }[store],
      upstream: upstream.settings,
      resources: resources.map(({ sessions, ...resource }) => ({
        backend: sessions ? backend.sessionsUrl : backend.url, headers: ACCESS_TOKEN_HEADER, ...resource,
      })),
      top,
      extra,
      env,
      name,
    }));
    return { gateway, upstream, backend, redis, upstash, recorder, mcpUrl: `${gateway.url}/mcp` };
  });
}
