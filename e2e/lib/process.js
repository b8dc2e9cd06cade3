// Child processes: started, listened to, and ended by their own process id.
import { spawn } from 'node:child_process';
import net from 'node:net';
import { within } from './http.js';

// What still runs when the test process ends, however it ends, must not outlive it.
const children = new Set();
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));

/** A TCP port of 127.0.0.1 that was free a moment ago. */
export function freePort() {
  return new Promise((resolve, reject) => {
    const server = net.createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}

/** Starts a child; `stop()` asks it to end (SIGTERM) and fails if it needs more than `grace` ms. */
export function start(command, args, { env = {}, cwd, stdin = 'ignore' } = {}) {
  // What is meant for these tests, or for another gateway, is no configuration of the one under test.
  const inherited = Object.entries(process.env).filter(([key]) => !key.startsWith('MCP_LOGIN_'));
  const child = spawn(command, args, { cwd, env: { ...Object.fromEntries(inherited), ...env }, stdio: [stdin, 'pipe', 'pipe'] });
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    child[name].setEncoding('utf8').on('data', (text) => {
      output[name] += text;
      if (process.env.E2E_VERBOSE) process.stderr.write(text);
    });
  }
  children.add(child);
  const exited = new Promise((resolve) => {
    child.on('error', (error) => resolve({ error }));
    child.on('exit', (code, signal) => resolve({ code, signal }));
  });
  exited.then(() => children.delete(child));
  const running = () => child.pid !== undefined && child.exitCode === null && child.signalCode === null;

  async function stop({ grace = 10_000, signal = 'SIGTERM' } = {}) {
    if (running()) child.kill(signal);
    try {
      return await within(grace, `end of ${command} after ${signal}`, exited);
    } catch (error) {
      child.kill('SIGKILL');
      await exited;
      throw new Error(`${error.message}\n${output.stderr.slice(-2000)}`);
    }
  }
  return { child, output, exited, running, stop };
}

/** Polls `check` until it answers true; fails at once when the child has ended. */
export async function ready(process_, what, check, ms = 15_000) {
  const end = Date.now() + ms;
  for (;;) {
    if (await check()) return;
    if (!process_.running()) {
      throw new Error(`${what} ended before it was ready: ${JSON.stringify(await process_.exited)}\n${process_.output.stderr.slice(-4000)}`);
    }
    if (Date.now() > end) throw new Error(`${what} not ready within ${ms} ms\n${process_.output.stderr.slice(-4000)}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** Waits until somebody listens at a loopback URL, which a program that opens a browser may do a moment after it. */
export async function listening(url, ms = 15_000) {
  const end = Date.now() + ms;
  const { hostname, port } = new URL(url);
  for (;;) {
    const up = await new Promise((resolve) => {
      const socket = net.connect(Number(port), hostname, () => resolve(true));
      socket.on('error', () => resolve(false));
      socket.on('connect', () => socket.destroy());
    });
    if (up) return;
    if (Date.now() > end) throw new Error(`nobody listens at ${url} within ${ms} ms`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}
