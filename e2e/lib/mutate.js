// Requests as bytes: how they are changed, and how they are sent when no HTTP library would.
import net from 'node:net';
import assert from 'node:assert/strict';

/** @typedef {{method: string, target: string, headers: [string, string][], body?: string}} Sent latin1 throughout: a character is a byte. */

const BYTE_CHANGES = {
  'byte flipped': (byte) => String.fromCharCode(byte.charCodeAt(0) ^ 1),
  'byte with the high bit': (byte) => String.fromCharCode(byte.charCodeAt(0) ^ 0x80),
  'byte to NUL': () => '\0',
  'byte to %': () => '%',
  'byte to &': () => '&',
  'byte to "': () => '"',
  'byte doubled': (byte) => byte + byte,
  'byte dropped': () => '',
};
/** The changes that are made in turn where every answer uses up a login. */
const FEW = ['byte flipped', 'byte dropped'];

/**
 * One change each, of every part of a request like `sample`: path and query, body, and the `headers` that are named.
 * @returns {{kind: string, what: string, apply: (sent: Sent) => Sent | undefined}[]}
 */
export function mutations(sample, { headers = [], fewAt = () => false } = {}) {
  const all = [
    ...bytes('target', sample.target, (sent) => sent.target, (sent, target) => ({ ...sent, target }), fewAt),
    ...bytes('body', sample.body ?? '', (sent) => sent.body, (sent, body) => ({ ...sent, body }), fewAt),
    ...parameters('query', (sent) => sent.target.split('?')[1], (sent, query) => ({ ...sent, target: `${sent.target.split('?')[0]}?${query}` }), sample),
  ];
  for (const name of headers) {
    const read = (sent) => sent.headers.find(([held]) => held === name)?.[1];
    assert.ok(read(sample), `${name} is in the request`);
    const write = (sent, value) => ({ ...sent, headers: sent.headers.map((pair) => (pair[0] === name ? [name, value] : pair)) });
    all.push(...bytes(name, read(sample), read, write, fewAt), ...wholeHeader(name));
  }
  const type = sample.headers.find(([name]) => name === 'Content-Type')?.[1] ?? '';
  if (type.includes('json')) all.push(...members(JSON.parse(sample.body)));
  else if (sample.body) all.push(...parameters('form', (sent) => sent.body, (sent, body) => ({ ...sent, body }), sample));
  return all;
}

/** Every byte of one part, in every way. */
function bytes(part, sample, read, write, fewAt) {
  return [...sample].flatMap((_, at) =>
    Object.entries(BYTE_CHANGES)
      .filter(([kind]) => kind === FEW[at % FEW.length] || !fewAt(part, sample, at))
      .map(([kind, change]) => ({
        kind,
        what: `${part}[${at}] ${kind}`,
        apply(sent) {
          const value = read(sent) ?? '';
          if (at >= value.length) return undefined;
          const changed = change(value[at]);
          return changed === value[at] ? undefined : write(sent, value.slice(0, at) + changed + value.slice(at + 1));
        },
      })));
}

/** Every parameter of a query or form: changed, doubled, dropped. */
function parameters(part, read, write, sample) {
  const names = (read(sample) ?? '').split('&').filter(Boolean).map((pair) => pair.split('=')[0]);
  const change = (kind, name, edit) => ({
    kind: `parameter ${kind}`,
    what: `${part} ${name} ${kind}`,
    apply: (sent) => write(sent, read(sent).split('&').flatMap((pair) => (pair.split('=')[0] === name ? edit(pair) : [pair])).join('&')),
  });
  return names.flatMap((name) => [
    change('longer', name, (pair) => [`${pair}x`]),
    change('other', name, () => [`${name}=other`]),
    change('without value', name, () => [`${name}=`]),
    change('renamed', name, (pair) => [`x${pair}`]),
    change('in capitals', name, (pair) => [pair.replace(name, name.toUpperCase())]),
    change('doubled', name, (pair) => [pair, pair]),
    change('given another before', name, (pair) => [`${name}=other`, pair]),
    change('given another behind', name, (pair) => [pair, `${name}=other`]),
    change('dropped', name, () => []),
  ]);
}

/** A header as a whole: changed, doubled, dropped. */
function wholeHeader(name) {
  const change = (kind, edit) => ({
    kind: `header ${kind}`,
    what: `${name} ${kind}`,
    apply: (sent) => ({ ...sent, headers: sent.headers.flatMap((pair) => (pair[0] === name ? edit(pair) : [pair])) }),
  });
  return [
    change('other', () => [[name, 'other']]),
    change('empty', () => [[name, '']]),
    change('longer', ([, value]) => [[name, `${value}x`]]),
    change('in a list', ([, value]) => [[name, `${value}, ${value}`]]),
    change('doubled', (pair) => [pair, pair]),
    change('given another before', (pair) => [[name, 'other'], pair]),
    change('given another behind', (pair) => [pair, [name, 'other']]),
    change('dropped', () => []),
  ];
}

/** Every member of a JSON body, at every depth: changed, doubled, dropped. */
function members(sample) {
  const all = [];
  const walk = (value, path) => {
    if (typeof value !== 'object' || value === null) return;
    for (const name of Object.keys(value)) {
      const at = [...path, name];
      if (!Array.isArray(value)) {
        for (const [kind, edit] of Object.entries(MEMBER_CHANGES)) {
          all.push({ kind: `member ${kind}`, what: `${at.join('.')} ${kind}`, apply: (sent) => ({ ...sent, body: write(JSON.parse(sent.body), at, edit) }) });
        }
      }
      walk(value[name], at);
    }
  };
  walk(sample, []);
  return all;
}

const MEMBER_CHANGES = {
  'other': (name) => [[name, '"other"']],
  'null': (name) => [[name, 'null']],
  'a number': (name) => [[name, '1e999']],
  'a list': (name, json) => [[name, `[${json}]`]],
  'deep': (name) => [[name, '['.repeat(2000) + ']'.repeat(2000)]],
  'renamed': (name, json) => [[`x${name}`, json]],
  'in capitals': (name, json) => [[name.toUpperCase(), json]],
  'doubled': (name, json) => [[name, json], [name, json]],
  'given another before': (name, json) => [[name, '"other"'], [name, json]],
  'given another behind': (name, json) => [[name, json], [name, '"other"']],
  'dropped': () => [],
};

/** JSON text in which the member at `path` is what `edit` makes of it. */
function write(value, [name, ...deeper], edit) {
  if (name === undefined) return JSON.stringify(value);
  const entries = Object.entries(value).flatMap(([held, inner]) => {
    if (held !== name) return [[held, JSON.stringify(inner)]];
    return deeper.length > 0 ? [[held, write(inner, deeper, edit)]] : edit(held, JSON.stringify(inner));
  });
  if (Array.isArray(value)) return `[${entries.map(([, json]) => json).join(',')}]`;
  return `{${entries.map(([held, json]) => `${JSON.stringify(held)}:${json}`).join(',')}}`;
}

/** One kept connection that sends bytes as they are. An answer that is not whole within `timeout` ms is an error. */
export class Wire {
  constructor(port, { timeout = 10_000 } = {}) {
    Object.assign(this, { port, timeout });
  }

  /** @returns {Promise<{status: number, headers: object, text: string, json: any}>} status 0: closed without a word. */
  async send(sent) {
    const body = sent.body ?? '';
    const lines = [`${sent.method} ${sent.target} HTTP/1.1`, ...sent.headers.map(([name, value]) => `${name}: ${value}`)];
    if (sent.body !== undefined) lines.push(`Content-Length: ${body.length}`);
    const message = Buffer.from(`${lines.join('\r\n')}\r\n\r\n${body}`, 'latin1');
    const kept = this.socket !== undefined;
    const answer = await this.exchange(message);
    // A kept connection may have been closed at the same moment; a fresh one tells.
    return answer.status === 0 && kept ? this.exchange(message) : answer;
  }

  exchange(message) {
    const socket = this.socket ?? net.connect(this.port, '127.0.0.1');
    this.socket = socket;
    return new Promise((resolve, reject) => {
      let said = Buffer.alloc(0);
      const finish = (answer, keep) => {
        clearTimeout(timer);
        socket.removeAllListeners();
        socket.on('error', () => {});
        if (!keep) this.close();
        resolve(answer);
      };
      const timer = setTimeout(() => {
        this.close();
        reject(new assert.AssertionError({ message: `no whole answer within ${this.timeout} ms: ${said.toString('latin1').slice(0, 300)}` }));
      }, this.timeout);
      const closed = () => finish(parse(said, true) ?? { status: 0, headers: {}, text: '' }, false);
      socket.on('data', (chunk) => {
        said = Buffer.concat([said, chunk]);
        const answer = parse(said, false);
        if (answer) finish(answer, answer.headers.connection !== 'close');
      });
      socket.on('close', closed);
      socket.on('error', closed);
      socket.write(message);
    });
  }

  close() {
    this.socket?.destroy();
    this.socket = undefined;
  }
}

/** An answer from its bytes, once it is whole. */
function parse(bytes, closed) {
  const end = bytes.indexOf('\r\n\r\n');
  if (end < 0) return undefined;
  const [first, ...lines] = bytes.subarray(0, end).toString('latin1').split('\r\n');
  const headers = {};
  for (const line of lines) {
    const [, name, value] = /^([^:]+):\s*(.*)$/.exec(line);
    const key = name.toLowerCase();
    if (key === 'set-cookie') (headers[key] ??= []).push(value);
    else headers[key] = value;
  }
  const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
  const rest = bytes.subarray(end + 4);
  let body;
  if (headers['transfer-encoding'] === 'chunked') body = dechunk(rest);
  else if (headers['content-length'] !== undefined) body = rest.length >= Number(headers['content-length']) ? rest.subarray(0, Number(headers['content-length'])) : undefined;
  else if (closed || [204, 304].includes(status)) body = rest;
  if (body === undefined) return undefined;
  const text = body.toString('utf8');
  return Object.defineProperty({ status, headers, text }, 'json', { get: () => JSON.parse(text) });
}

function dechunk(bytes) {
  const chunks = [];
  for (let at = 0; ;) {
    const end = bytes.indexOf('\r\n', at);
    if (end < 0) return undefined;
    const size = parseInt(bytes.subarray(at, end).toString('latin1'), 16);
    const next = end + 2 + size + 2;
    if (bytes.length < next) return undefined;
    if (size === 0) return Buffer.concat(chunks);
    chunks.push(bytes.subarray(end + 2, end + 2 + size));
    at = next;
  }
}

/** Decoded parameters as bytes (latin1), malformed escapes left as they are. */
export function pairs(encoded) {
  const decode = (text) => text.replaceAll('+', ' ').replace(/%([0-9a-f]{2})/gi, (_, hex) => String.fromCharCode(parseInt(hex, 16)));
  return encoded.split('&').filter(Boolean).map((pair) => {
    const at = pair.indexOf('=');
    return at < 0 ? [decode(pair), ''] : [decode(pair.slice(0, at)), decode(pair.slice(at + 1))];
  });
}
