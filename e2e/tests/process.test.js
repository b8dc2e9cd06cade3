// The gateway as a process: one file is one process's, and what was answered is there after its end.
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { OAuthClient } from '../lib/oauth.js';
import { Person } from '../lib/person.js';
import { useWorld } from '../lib/world.js';

describe('one file, one process', () => {
  const w = useWorld({ store: 'file', name: 'process' });

  test('a second process is told what to do', async () => {
    const second = w.gateway.launch();
    const { code } = await second.exited;
    assert.equal(code, 1);
    assert.match(second.output.stderr, /store\.db.*in use/s);
    assert.match(second.output.stderr, /Redis/);
    assert.ok(w.gateway.running(), 'the first goes on');
  });

  for (const signal of ['SIGTERM', 'SIGKILL']) {
    test(`a login outlives ${signal}`, async () => {
      const client = new OAuthClient(w.gateway.url);
      const { tokens } = await client.login(new Person());
      await w.gateway.restart(signal);
      assert.equal((await client.mcp(tokens.access_token)).status, 200);
      const refreshed = await client.refresh(tokens.refresh_token);
      assert.equal(refreshed.status, 200, refreshed.text);
      assert.equal((await client.mcp(refreshed.json.access_token)).status, 200);
    });
  }
});
