// A home of its own for a program, and a browser that is a person: what the program opens, the person goes through.
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { within } from '../lib/http.js';
import { Person } from '../lib/person.js';
import { listening, start } from '../lib/process.js';

const NAMES = ['xdg-open', 'www-browser', 'x-www-browser', 'sensible-browser'];

/** `run` runs a program there to its end; `opened` are the URLs that it wanted opened, `errors` what went wrong then. */
export async function startDesktop() {
  const home = await mkdtemp(path.join(tmpdir(), 'mcp-login-cli-'));
  const opened = [];
  const errors = [];
  const browser = http.createServer(async (req, res) => {
    const chunks = [];
    for await (const chunk of req) chunks.push(chunk);
    res.end();
    const url = Buffer.concat(chunks).toString('utf8');
    opened.push(url);
    try {
      const person = new Person();
      const callback = await person.visit(url, new URL(url).searchParams.get('redirect_uri'));
      await listening(callback); // the program's own listener
      const { page } = await person.go(String(callback));
      if (page.status !== 200) throw new Error(`the program says ${page.status} to ${callback}`);
    } catch (error) {
      errors.push(error);
    }
  });
  await new Promise((resolve) => browser.listen(0, '127.0.0.1', resolve));

  const bin = path.join(home, 'bin');
  await mkdir(bin);
  const tell = `require('node:http').request('http://127.0.0.1:${browser.address().port}/', { method: 'POST' }).end(process.argv.find((one) => one.startsWith('http')))`;
  for (const name of NAMES) {
    const file = path.join(bin, name);
    await writeFile(file, `#!/bin/sh\nexec '${process.execPath}' -e "${tell}" -- "$@"\n`);
    await chmod(file, 0o755);
  }
  const env = { HOME: home, PATH: `${bin}:${path.dirname(process.execPath)}:/usr/bin:/bin`, BROWSER: path.join(bin, NAMES[0]), DISPLAY: ':99', TERM: 'xterm', LANG: 'C.UTF-8' };

  return {
    home,
    env,
    opened,
    errors,
    /** Runs it, with a terminal if need be; gives what it printed. Throws unless it ends with 0. */
    async run(command, args, { terminal = false } = {}) {
      const line = [command, ...args].map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' ');
      const program = start('/usr/bin/env', ['-i', ...Object.entries(env).map(([name, value]) => `${name}=${value}`), ...(terminal ? ['script', '-qefc', line, '/dev/null'] : [command, ...args])], { cwd: home });
      try {
        const { code } = await within(60_000, line, program.exited);
        const printed = program.output.stdout + program.output.stderr;
        if (code !== 0) throw new Error(`${line} ended with ${code}\n${printed}`);
        return printed;
      } catch (error) {
        throw new Error(`${error.message}\n${program.output.stdout}${program.output.stderr}\n${errors.join('\n')}`);
      } finally {
        await program.stop({ signal: 'SIGKILL' });
      }
    },
    async stop() {
      browser.closeAllConnections();
      await new Promise((resolve) => browser.close(resolve));
      await rm(home, { recursive: true, force: true });
    },
  };
}
