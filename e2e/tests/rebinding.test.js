// A web page whose name has come to lead to the gateway on its visitor's computer, in a real browser.
import assert from 'node:assert/strict';
import http from 'node:http';
import { after, before, describe, test } from 'node:test';
import { launch } from '../lib/browser.js';
import { useWorld } from '../lib/world.js';

const EVIL = 'rebound.example';
const LIST = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} };

describe('a page of another website', () => {
  const w = useWorld({ name: 'rebinding', auth: 'lazy' });
  let browser, site;

  before(async () => {
    // What a name server does that the page's author runs.
    browser = await launch([`--host-resolver-rules=MAP ${EVIL} 127.0.0.1`]);
    site = http.createServer((_, res) => res.writeHead(200, { 'content-type': 'text/html' }).end('<p>hello'));
    await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  });
  after(async () => {
    await browser?.close();
    site?.closeAllConnections();
    await new Promise((resolve) => site.close(resolve));
  });

  /** What the page reads when it asks: a status, or that the browser shows nothing. */
  async function reads(pageUrl, url) {
    const page = await browser.newPage();
    await page.goto(pageUrl);
    const ask = async ([to, body]) => {
      const answer = await fetch(to, { method: 'POST', headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }, body });
      return { status: answer.status, text: await answer.text() };
    };
    const said = await page.evaluate(ask, [url, JSON.stringify(LIST)]).catch((error) => ({ status: 0, text: String(error) }));
    await page.close();
    return said;
  }

  test('reads nothing by the name that it has given the gateway', async () => {
    const before_ = w.backend.requests.length;
    const origin = `http://${EVIL}:${w.gateway.port}`;
    const said = await reads(`${origin}/healthz`, `${origin}/mcp`); // one origin, as the browser sees it
    assert.equal(said.status, 403, said.text);
    assert.match(said.text, /allowed_hosts/);
    assert.equal(w.backend.requests.length, before_, 'nothing reached the backend');
  });

  test('reads nothing from its own origin', async () => {
    const before_ = w.backend.requests.length;
    const said = await reads(`http://${EVIL}:${site.address().port}/`, w.mcpUrl);
    assert.equal(said.status, 0, said.text);
    assert.equal(w.backend.requests.length, before_, 'nothing reached the backend');
  });

  test('is not a page of this computer, which may ask', async () => {
    const said = await reads(`http://localhost:${site.address().port}/`, w.mcpUrl);
    assert.equal(said.status, 200, said.text);
    assert.match(said.text, /whoami/);
  });
});
