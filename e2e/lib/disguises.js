// Ways to make one message look like another, or one request like two. Each is a table; tests/smuggling.test.js says what
// has to come of it.
import { gzipSync, deflateSync, brotliCompressSync } from 'node:zlib';
import { chunked } from './raw.js';

const JSON_TYPE = 'Content-Type: application/json';

/** A request as bytes: its lines and body are what they are here. */
export function written(lines, body = '', { method = 'POST', target = '/lazy', version = 'HTTP/1.1', end = '\r\n', close = true } = {}) {
  const own = ['Host: gateway', 'Accept: application/json, text/event-stream', ...(close ? ['Connection: close'] : [])];
  const head = [`${method} ${target} ${version}`, ...own, ...lines, '', ''].join(end);
  return Buffer.concat([Buffer.from(head, 'latin1'), Buffer.isBuffer(body) ? body : Buffer.from(body)]);
}

const length = (body) => `Content-Length: ${Buffer.byteLength(body)}`;
/** An honest POST of JSON. */
export const post = (json, lines = [], options = {}) => written([JSON_TYPE, ...lines, length(json)], json, options);
const lines = (...own) => (json, more) => post(json, [...own, ...more]);
const typed = (...own) => (json, more) => written([...own, ...more, length(json)], json);
const target = (path) => (json, more) => post(json, more, { target: path });
const sizes = (options, before = '') => (json, more) => written([JSON_TYPE, 'Transfer-Encoding: chunked', ...more], before + chunked(json, options));
const coding = (...own) => (json, more) => written([JSON_TYPE, ...own, ...more], chunked(json));
const lengths = (...own) => (json, more) => written([JSON_TYPE, ...own.map((one) => one.replace('N', Buffer.byteLength(json))), ...more], json);
const packed = (name, pack) => (json, more) => {
  const body = pack(json);
  return written([JSON_TYPE, ...(name ? [`Content-Encoding: ${name}`] : []), ...more, `Content-Length: ${body.length}`], body);
};

/** Nobody may do it, a user may; and a message that is public gets through in the same clothes. */
const FINE = [401, 200, 200];
/** Nobody may do it, a user may; a public message needs a user as well in these clothes. */
const DOUBTED = [401, 200, 401];
/** Nobody may do it, the backend makes nothing of it from a user either. */
const USELESS = [401, '4xx', 401];
/** Says something else than the body, which is refused as that wherever the body is read. Who may do everything is not read. */
const LIE = [400, 200, 400];
/** At another host than the gateway's, of whoever's. */
export const ELSEWHERE = 'a 403 of the host';
/** No HTTP: refused for everybody, by closing the connection at the least. */
const BROKEN = ['400 or closed', '4xx', '400 or closed'];
/** Not there. */
const NOWHERE = [404, 404, 404];

/**
 * `[what, build, [a protected call by nobody, by a user, a public message by nobody]]`; `build` makes a request of JSON and more
 * header lines. A trailing expression is what must never be among the bytes that the backend gets.
 */
export const FRAMES = [
  ['nothing odd', post, FINE],

  ['chunked', sizes(), FINE],
  ['a byte in each chunk', sizes({ size: 1 }), FINE],
  ['chunk extensions', sizes({ size: 7, extension: ';a=b' }), FINE],
  ['a quoted chunk extension', sizes({ size: 7, extension: ';a="x;y"' }), FINE],
  ['leading zeros in a chunk size', sizes({}, '000'), FINE],
  ['a line end in a chunk extension', sizes({ extension: ';a=\n7' }), USELESS],
  ['a chunk extension of 20 kB', sizes({ extension: `;${'a'.repeat(20_000)}` }), USELESS],
  ['a chunk size in C', sizes({}, '0x'), USELESS],
  ['a chunk size with a plus', sizes({}, '+'), USELESS],
  ['a chunk size below nothing', sizes({}, '-'), USELESS],
  ['a chunk size beyond 64 bits', sizes({}, 'FFFFFFFFFFFFFFFFF'), USELESS],
  ['no chunk size', (json, more) => written([JSON_TYPE, 'Transfer-Encoding: chunked', ...more], `\r\n${json}\r\n0\r\n\r\n`), USELESS],
  ['a chunk that is longer than its size', (json, more) => written([JSON_TYPE, 'Transfer-Encoding: chunked', ...more], `5\r\n${json}\r\n0\r\n\r\n`), USELESS],
  ['chunks parted by bare LF', (json, more) => written([JSON_TYPE, 'Transfer-Encoding: chunked', ...more], `${json.length.toString(16)}\n${json}\n0\n\n`), USELESS],
  ['trailers that say who calls', sizes({ trailer: 'X-Forwarded-User: mallory\r\nMcp-Method: mallory\r\n' }), FINE, /mallory/],

  ['Transfer-Encoding and Content-Length', coding('Transfer-Encoding: chunked', 'Content-Length: 3'), FINE, /content-length: 3\r/i],
  ['Content-Length and Transfer-Encoding', coding('Content-Length: 3', 'Transfer-Encoding: chunked'), FINE, /content-length: 3\r/i],
  ['an empty length and chunks', coding('Content-Length: 0', 'Transfer-Encoding: chunked'), FINE, /content-length: 0\r/i],
  ['a folded Transfer-Encoding', lengths('Content-Length: N', 'X-A: b\r\n Transfer-Encoding: chunked'), BROKEN],
  ['chunked, whatever its case', coding('Transfer-Encoding: CHUNKED'), FINE],
  ...[
    'xchunked', 'identity', '"chunked"', 'chunked;q=1', 'chunked, identity', 'chunked,', '\x0bchunked', '\xa0chunked', '', 'chunked\r\nTransfer-Encoding: identity',
  ].map((name) => [`Transfer-Encoding: ${JSON.stringify(name)}`, coding(`Transfer-Encoding: ${name}`), BROKEN]),
  ['Transfer-Encoding with a space before the colon', coding('Transfer-Encoding : chunked'), BROKEN],
  ['Transfer-Encoding with an underscore', lines('Transfer_Encoding: chunked'), DOUBTED, /transfer_encoding/i],
  ['chunks in HTTP/1.0', (json, more) => written([JSON_TYPE, 'Transfer-Encoding: chunked', ...more], chunked(json), { version: 'HTTP/1.0' }), BROKEN],

  ['the same length twice', lengths('Content-Length: N', 'Content-Length: N'), FINE],
  ['two lengths', lengths('Content-Length: N', 'Content-Length: 3'), BROKEN],
  ['two lengths, the short one first', lengths('Content-Length: 3', 'Content-Length: N'), BROKEN],
  ...['N, N', '+N', '-1', '0xN', 'N.0', '', '1 0', '99999999999999999999'].map((written_) => [`Content-Length: ${JSON.stringify(written_)}`, lengths(`Content-Length: ${written_}`), BROKEN]),
  ['Content-Length with a space before the colon', lengths('Content-Length : N'), BROKEN],
  ['Content-Length with an underscore', lines('Content_Length: 3'), DOUBTED, /content_length/i],
  ['no length', (json, more) => written([JSON_TYPE, ...more], json), USELESS],
  ['lengths that belong to the connection', lines('Connection: content-length, transfer-encoding'), FINE],

  ['a folded header', lines('X-A: b\r\n c'), BROKEN],
  ['a folded Content-Type', typed(`${JSON_TYPE};\r\n charset=utf-16`), BROKEN],
  ['a head with bare LF', (json, more) => post(json, more, { end: '\n' }), FINE],
  ['a bare CR', lines('X-A: b\rX-B: c'), BROKEN],
  ['NUL in a header', lines('X-A: b\0'), BROKEN],
  ['a space in a header name', lines('X A: b'), BROKEN],
  ['a header without a colon', lines('X-A'), BROKEN],
  ['a header without a name', lines(': x'), BROKEN],
  ['a space before the first header', (json, more) => Buffer.from(post(json, more).toString('latin1').replace('Host', ' Host'), 'latin1'), BROKEN],
  ['a space before the request line', (json, more) => Buffer.concat([Buffer.from(' '), post(json, more)]), BROKEN],
  ['empty lines before the request line', (json, more) => Buffer.concat([Buffer.from('\r\n\r\n'), post(json, more)]), FINE],
  ...['HTTP/1.2', 'HTTP/2.0', 'HTTP/0.9', 'http/1.1', ''].map((version) => [`version ${JSON.stringify(version)}`, (json, more) => post(json, more, { version }), BROKEN]),
  ['HTTP/1.0', (json, more) => post(json, more, { version: 'HTTP/1.0' }), FINE],
  ['method "post"', (json, more) => post(json, more, { method: 'post' }), USELESS],
  ['PUT', (json, more) => post(json, more, { method: 'PUT' }), USELESS],
  ['GET with a body', (json, more) => post(json, more, { method: 'GET' }), [405, 405, 405]],
  ['headers that say another method, path or user', lines('X-HTTP-Method-Override: MALLORY', 'X-Method-Override: MALLORY', 'X-Original-URL: /mallory', 'X_Rewrite_URL: /mallory', 'X-Forwarded-User: mallory', 'x_forwarded_user: mallory'), FINE, /mallory/i],
  ['an upgrade to HTTP/2', lines('Upgrade: h2c', 'Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA'), FINE, /h2c|settings/i],
  ['Expect', lines('Expect: 100-continue'), FINE, /expect/i],
  ['an empty Authorization', (json, more) => post(json, more.length > 0 ? more : ['Authorization:']), DOUBTED],

  ['gzip', packed('gzip', gzipSync), USELESS],
  ['deflate', packed('deflate', deflateSync), USELESS],
  ['br', packed('br', brotliCompressSync), USELESS],
  ['gzip that nobody mentions', packed(undefined, gzipSync), USELESS],
  ['Content-Encoding: identity', lines('Content-Encoding: identity'), DOUBTED],
  ['Content-Encoding with an underscore', lines('Content_Encoding: gzip'), DOUBTED],
  ['a charset that it is in', typed(`${JSON_TYPE}; charset=UTF-8`), FINE],
  ['another charset', typed(`${JSON_TYPE}; charset=utf-16`), DOUBTED],
  ['no type', typed(), USELESS],
  ['another type', typed('Content-Type: text/plain'), USELESS],
  ['two types', typed(JSON_TYPE, 'Content-Type: text/plain'), USELESS],
  ['the same type twice', typed(JSON_TYPE, JSON_TYPE), USELESS],
  ['Content-Type with an underscore', lines('Content_Type: application/x-www-form-urlencoded'), DOUBTED],

  ['Mcp-Method says tools/list', lines('Mcp-Method: tools/list'), [400, 200, 200]], // right for the public message, a lie for the call
  ['Mcp-Method says tools/call', lines('Mcp-Method: tools/call'), [401, 200, 400]],
  ['Mcp-Method in capitals', lines('Mcp-Method: TOOLS/LIST'), LIE],
  ['Mcp-Method twice', lines('Mcp-Method: tools/list', 'Mcp-Method: tools/list'), LIE],
  ['Mcp-Method with an underscore', lines('Mcp_Method: tools/list'), DOUBTED],
  ['Mcp-Name says a public tool', lines('Mcp-Name: add'), [400, 200, 401]],
  ['Mcp-Name with an underscore', lines('Mcp_Name: add'), DOUBTED],
  ['Mcp-Session-Id with an underscore', lines('Mcp_Session_Id: x'), DOUBTED],
  ['a session that is nobody’s', lines('Mcp-Session-Id: x'), [401, 404, 401]],

  ['a URL as the target', target('http://gateway/lazy'), FINE],
  ['a URL elsewhere as the target', target('https://evil.example:1/lazy'), [ELSEWHERE, ELSEWHERE, ELSEWHERE]],
  ['a slash behind', target('/lazy/'), FINE],
  ['a fragment', target('/lazy#x'), FINE, /#/],
  ...['/lazy?x', '/lazy?', '/lazy//', '/lazy/x'].map((path) => [`target ${path}`, target(path), DOUBTED]),
  ...[
    '/lazy/.', '/lazy/..', '/lazy/../lazy', '/lazy/..;/', '/lazy/..;/lazy', '/lazy/%2e%2e/lazy', '/lazy/%2E%2e%2flazy', '/lazy/..%5clazy', '/lazy/.%2e/lazy', '/lazy/%00',
  ].map((path) => [`target ${path}`, target(path), USELESS]),
  ...['/mcp/../lazy', '/mcp/..;/lazy', '/mcp/%2e%2e/lazy', 'http://gateway/mcp/../lazy'].map((path) => [`target ${path}`, target(path), USELESS]),
  ...[
    '//lazy', '//gateway/lazy', '///lazy', '/LAZY', '/lazy.', '/lazy;x=1', '/lazy%2f', '/lazy%20', '/lazy%00', '/%6cazy', '/./lazy', '/x/../lazy', '/mcp%2f..%2flazy', '/lazy\\..\\lazy',
    '/lazy%', '*', 'lazy', 'gateway:80', '/healthz/../lazy', '/authorize/../lazy',
  ].map((path) => [`target ${path}`, target(path), NOWHERE]),
  ...['/lazy ', ' /lazy', '?', '/lazy\xff', '/lazy\x7f', '/la\tzy'].map((path) => [`target ${JSON.stringify(path)}`, target(path), BROKEN]),
];

const CALL = '"params":{"name":"whoami","arguments":{}}';
const utf16 = (text) => Buffer.from(text, 'utf16le');
const swapped = (bytes) => Buffer.from(bytes).swap16();
const plain = `{"jsonrpc":"2.0","id":1,"method":"tools/call",${CALL}}`;
const list = '{"jsonrpc":"2.0","id":1,"method":"tools/list"}';
/** Longer than what is looked at: 64 KiB. */
const LONG = 65 * 1024;

/** Bodies that hold a call of a protected tool, for some reader or for every one; `add` is a public tool. */
export const BODIES = [
  ['as it is', plain],
  ['method twice, the call last', `{"jsonrpc":"2.0","id":1,"method":"tools/list","method":"tools/call",${CALL}}`],
  ['method twice, the call first', `{"jsonrpc":"2.0","id":1,"method":"tools/call","method":"tools/list",${CALL}}`],
  ['Method', `{"jsonrpc":"2.0","id":1,"method":"tools/list","Method":"tools/call",${CALL}}`],
  ['METHOD alone', `{"jsonrpc":"2.0","id":1,"METHOD":"tools/call",${CALL}}`],
  ['an escape in a name', `{"jsonrpc":"2.0","id":1,"method":"tools/list","m\\u0065thod":"tools/call",${CALL}}`],
  ['an escape in the method', `{"jsonrpc":"2.0","id":1,"method":"tools\\u002fcall",${CALL}}`],
  ['an escaped slash', `{"jsonrpc":"2.0","id":1,"method":"tools\\/call",${CALL}}`],
  ['a name that folds to another', `{"jsonrpc":"2.0","id":1,"method":"tools/list","param\u017f":{},"method\u0000":"tools/call",${CALL}}`],
  ['__proto__', `{"jsonrpc":"2.0","id":1,"method":"tools/list","__proto__":{"method":"tools/call"},${CALL}}`],
  ['the tool twice', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","name":"whoami","arguments":{}}}'],
  ['the tool twice, the public one last', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"whoami","name":"add","arguments":{}}}'],
  ['the tool in another case', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","Name":"whoami","arguments":{}}}'],
  ['an escape in the name of the tool', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"n\\u0061me":"whoami","name":"add","arguments":{}}}'],
  ['params twice', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"},"params":{"name":"whoami"}}'],
  ['Params', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"},"Params":{"name":"whoami"}}'],
  ['the tool in a list', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":["add","whoami"]}}'],
  ['a byte order mark', `\ufeff${plain}`],
  ['a byte order mark before what is public', `\ufeff${list}`],
  ['UTF-16', utf16(plain)],
  ['UTF-16 with a mark', utf16(`\ufeff${plain}`)],
  ['UTF-16, big end first', swapped(utf16(plain))],
  ['UTF-16, big end first, with a mark', swapped(utf16(`\ufeff${plain}`))],
  ['UTF-7', plain.replaceAll('"', '+ACI-')],
  ['a byte that is not UTF-8', Buffer.from(plain.replace('"arguments":{}', '"arguments":{"a":"\xff"}'), 'latin1')],
  ['a slash in two bytes (overlong UTF-8)', Buffer.from(plain.replace('tools/call', 'tools\xc0\xafcall'), 'latin1')],
  ['half a surrogate', `{"jsonrpc":"2.0","id":"\\ud800","method":"tools/call",${CALL}}`],
  ['a batch of one', `[${plain}]`],
  ['a batch, the public message first', `[${list},${plain}]`],
  ['a batch, the public message last', `[${plain},${list}]`],
  ['a batch in a batch', `[[${plain}]]`],
  ['a batch of what is public', `[${list},${list}]`],
  ['two documents', `${list}${plain}`],
  ['a document on each line', `${list}\n${plain}\n`],
  ['something behind', `${list}]`],
  ['NUL behind', `${list}\0`],
  ['a comment', `{"jsonrpc":"2.0","id":1,/*"method":"tools/list",*/"method":"tools/call",${CALL}}`],
  ['a comma too many', `{"jsonrpc":"2.0","id":1,"method":"tools/call",${CALL},}`],
  ['single quotes', plain.replaceAll('"', "'")],
  ['a number that is too large', `{"jsonrpc":"2.0","id":1e999,"method":"tools/call",${CALL}}`],
  ['no version', `{"id":1,"method":"tools/call",${CALL}}`],
  ['an answer and a call', `{"jsonrpc":"2.0","id":1,"result":{},"method":"tools/call",${CALL}}`],
  ['an answer', '{"jsonrpc":"2.0","id":1,"result":{"action":"accept"}}'],
  ['a notification that is a request', '{"jsonrpc":"2.0","id":1,"method":"notifications/tools/call","params":{"name":"whoami"}}'],
  ['a call without an id', `{"jsonrpc":"2.0","method":"tools/call",${CALL}}`],
  ['a tool that begins like a public one', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add\\u0000whoami"}}'],
  ['deep', `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":${'['.repeat(3000)}${']'.repeat(3000)}}}`],
  ['spaces before, more than is looked at', ' '.repeat(LONG) + plain],
  ['spaces before what is public, more than is looked at', ' '.repeat(LONG) + list],
  ['spaces behind what is public, then a call', `${list}${' '.repeat(LONG)}${plain}`],
  ['the method behind a member that is too long', `{"jsonrpc":"2.0","id":1,"params":{"a":"${'x'.repeat(LONG)}","name":"whoami"},"method":"tools/call"}`],
  ['a public method, and another behind a member that is too long', `{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"a":"${'x'.repeat(LONG)}"},"method":"tools/call"}`],
  ['an id that is too long', `{"jsonrpc":"2.0","id":"${'x'.repeat(LONG)}","method":"tools/call",${CALL}}`],
];

/** Bodies that anybody may send, although they look a little like the ones above. */
export const HARMLESS = [
  ['a public method', list],
  ['a public tool', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":2}}}'],
  ['spaces', ` \r\n\t{ "method" : "tools/list" , "jsonrpc":"2.0" ,\n"id": "1" }${' '.repeat(60_000)}`],
  ['escapes and another script in an argument', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add","arguments":{"a":1,"b":2,"padding":"tools\\u002fcall \\"method\\" \u{1f980}"}}}'],
  ['the protected call as text', `{"jsonrpc":"2.0","id":${JSON.stringify(plain)},"method":"tools/list"}`],
  ['a notification', '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":1}}'],
];
