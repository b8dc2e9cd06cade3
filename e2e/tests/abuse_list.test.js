// Every number of the abuse list is tested somewhere.
import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { SECTIONS } from '../lib/sections.js';

const HERE = new URL('.', import.meta.url);

/** What only time brings about: tests with a clock in their hands, in crates/mcp-login/tests. */
const WITH_A_CLOCK = {
  19: ['login.rs', 'a_callback_that_belongs_to_no_login_is_refused'], // a state that has expired
  30: ['token.rs', 'a_code_ends_with_its_time'],
  54: ['resource.rs', 'a_token_is_good_for_its_own_server_until_it_ends'],
};

test('every number has its test', async () => {
  const found = new Set();
  for (const name of (await readdir(HERE)).filter((one) => /^abuse_.*\.test\.js$/.test(one))) {
    const text = await readFile(new URL(name, HERE), 'utf8');
    // A row of a table of cases, also one that is made for each value of a list.
    for (const [, number] of text.matchAll(/(?:^ {4}|=> |\( ?)\[\s*(\d+), ['`]/gm)) found.add(number);
  }
  assert.deepEqual(Object.keys(SECTIONS).filter((number) => !found.has(number) && !(number in WITH_A_CLOCK)), []);
  assert.equal(Object.keys(SECTIONS).length, 64);
});

test('the tests with a clock are there', async () => {
  for (const [file, name] of Object.values(WITH_A_CLOCK)) {
    assert.ok((await readFile(new URL(`../../crates/mcp-login/tests/${file}`, HERE), 'utf8')).includes(`fn ${name}()`), `${file} ${name}`);
  }
});
