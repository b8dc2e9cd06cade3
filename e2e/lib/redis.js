// A redis-server of our own, and as much of its protocol as a dump needs.
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { freePort, ready, start } from './process.js';

/**
 * Starts Redis on a free port. Every answered write is in its append-only file, so `kill` and `restart` lose nothing
 * and `dump` also sees what was written and deleted since.
 */
export async function startRedis() {
  const port = await freePort();
  const dir = await mkdtemp(path.join(tmpdir(), 'mcp-login-redis-'));
  let server;

  async function boot() {
    server = start('redis-server', [
      '--port', String(port), '--bind', '127.0.0.1', '--dir', dir, '--save', '',
      '--appendonly', 'yes', '--appendfsync', 'always', '--aof-use-rdb-preamble', 'no',
    ]);
    await ready(server, 'redis-server', async () => {
      try {
        return String(await command(port, ['PING'])) === 'PONG';
      } catch {
        return false;
      }
    });
  }

  async function written() {
    const folder = path.join(dir, 'appendonlydir');
    const files = await readdir(folder);
    return Promise.all(files.map((file) => readFile(path.join(folder, file))));
  }

  await boot();
  return {
    url: `redis://127.0.0.1:${port}/`,
    port,
    command: (...args) => command(port, args),
    /** Every key and value there is, and every write there ever was, as one Buffer. */
    async dump() {
      return Buffer.concat([...(await entries(port)), ...(await written())]);
    },
    kill: () => server.stop({ signal: 'SIGKILL' }),
    restart: boot,
    async stop() {
      await server.stop();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

const READ = {
  string: (key) => ['GET', key],
  hash: (key) => ['HGETALL', key],
  list: (key) => ['LRANGE', key, '0', '-1'],
  set: (key) => ['SMEMBERS', key],
  zset: (key) => ['ZRANGE', key, '0', '-1', 'WITHSCORES'],
  stream: (key) => ['XRANGE', key, '-', '+'],
};

async function entries(port) {
  const parts = [];
  for (const key of await command(port, ['KEYS', '*'])) {
    const read = READ[String(await command(port, ['TYPE', key]))];
    parts.push(key, Buffer.from('\n'));
    for (const part of [await command(port, read(key))].flat(Infinity)) {
      parts.push(Buffer.isBuffer(part) ? part : Buffer.from(String(part)), Buffer.from('\n'));
    }
  }
  return parts;
}

function command(port, args) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let data = Buffer.alloc(0);
    socket.setTimeout(5000, () => socket.destroy(new Error('redis: no answer')));
    socket.on('error', reject);
    socket.on('data', (chunk) => {
      data = Buffer.concat([data, chunk]);
      const reply = parse(data, 0);
      if (!reply) return;
      socket.destroy();
      if (reply.value instanceof Error) reject(reply.value);
      else resolve(reply.value);
    });
    const words = args.map((arg) => (Buffer.isBuffer(arg) ? arg : Buffer.from(arg)));
    socket.write(Buffer.concat([
      Buffer.from(`*${words.length}\r\n`),
      ...words.flatMap((word) => [Buffer.from(`$${word.length}\r\n`), word, Buffer.from('\r\n')]),
    ]));
  });
}

/** One RESP2 reply at `at`: its value and where it ends, or undefined while it is incomplete. */
function parse(data, at) {
  const line = data.indexOf('\r\n', at);
  if (line < 0) return undefined;
  const head = data.toString('latin1', at + 1, line);
  const next = line + 2;
  switch (String.fromCharCode(data[at])) {
    case '+': return { value: Buffer.from(head), end: next };
    case '-': return { value: new Error(head), end: next };
    case ':': return { value: Number(head), end: next };
    case '$': {
      const length = Number(head);
      if (length < 0) return { value: null, end: next };
      if (data.length < next + length + 2) return undefined;
      return { value: data.subarray(next, next + length), end: next + length + 2 };
    }
    case '*': {
      const items = [];
      let end = next;
      for (let index = 0; index < Number(head); index += 1) {
        const item = parse(data, end);
        if (!item) return undefined;
        items.push(item.value);
        end = item.end;
      }
      return { value: items, end };
    }
    default: return { value: new Error('not RESP'), end: data.length };
  }
}
