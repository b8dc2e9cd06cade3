// A newer Node than the tests ask for, for programs that want one.
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** The pinned Node 24, or where none is packaged (not Linux), the one that runs this, if it is at least 22. */
export function packagedNode() {
  const pinned = fileURLToPath(new URL(`../node_modules/node-linux-${process.arch}/bin/node`, import.meta.url));
  if (existsSync(pinned)) return pinned;
  assert.ok(Number(process.versions.node.split('.')[0]) >= 22, 'this needs Node 22 or newer');
  return process.execPath;
}
