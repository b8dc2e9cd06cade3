// The official conformance suite of MCP, started with the Node that it wants.
import { readdir, readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { within } from './http.js';
import { packagedNode } from './packaged_node.js';
import { start } from './process.js';

const SUITE = fileURLToPath(new URL('../node_modules/@modelcontextprotocol/conformance/dist/index.js', import.meta.url));

/** Its version. */
export const { version } = createRequire(import.meta.url)('@modelcontextprotocol/conformance/package.json');

/** Starts it. */
export const startSuite = (args, options) => start(packagedNode(), [SUITE, ...args], options);

/** Runs it to its end; gives what it printed and how it ended. */
export async function runSuite(args, options, ms = 120_000) {
  const suite = startSuite(args, options);
  try {
    const { code } = await within(ms, `conformance ${args.join(' ')}`, suite.exited);
    return { code, printed: suite.output.stdout };
  } catch (error) {
    throw new Error(`${error.message}\n${suite.output.stdout.slice(-2000)}${suite.output.stderr}`);
  } finally {
    await suite.stop({ signal: 'SIGKILL' });
  }
}

/** The checks that it wrote into a folder, by the name of its own folder there. */
export async function checksIn(out) {
  const found = {};
  for (const folder of await readdir(out)) found[folder] = JSON.parse(await readFile(path.join(out, folder, 'checks.json'), 'utf8'));
  return found;
}
