// HTTP/1.1 as bytes, with nothing put right: what is sent is what the test wrote, and every answer counts.
import net from 'node:net';

/**
 * Sends bytes on a connection of their own and reads until the other side closes it, which is an error if it takes longer than
 * `timeout` ms.
 * @returns {Promise<{status: number, headers: object, text: string}[]>} the final answers, in order; one that is not whole is not among them
 */
export function exchange(port, bytes, { timeout = 10_000 } = {}) {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    const said = [];
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`not closed within ${timeout} ms; said ${Buffer.concat(said).toString('latin1').slice(0, 500)}`));
    }, timeout);
    socket.on('data', (chunk) => said.push(chunk));
    socket.on('error', () => {}); // closed while we were sending
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(answers(Buffer.concat(said)));
    });
    socket.write(bytes);
  });
}

/** The whole answers in these bytes. */
function answers(bytes) {
  const found = [];
  for (let rest = bytes; rest.length > 0;) {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) break;
    const [first, ...lines] = rest.subarray(0, end).toString('latin1').split('\r\n');
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(first)?.[1]);
    if (!status) throw new Error(`no answer: ${rest.toString('latin1').slice(0, 200)}`);
    const headers = Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf(':')).toLowerCase(), line.slice(line.indexOf(':') + 1).trim()]));
    rest = rest.subarray(end + 4);
    if (status < 200) continue;
    let body = rest;
    if (headers['transfer-encoding']) {
      const last = rest.indexOf('0\r\n\r\n');
      if (last < 0) break;
      body = rest.subarray(0, last + 5);
    } else if (headers['content-length'] !== undefined) {
      body = rest.subarray(0, Number(headers['content-length']));
    }
    rest = rest.subarray(body.length);
    found.push({ status, headers, text: body.toString('utf8') });
  }
  return found;
}

/** A body in chunks of `size` bytes; `extension` stands behind each size. */
export function chunked(body, { size = body.length, extension = '', trailer = '' } = {}) {
  const bytes = Buffer.from(body);
  let written = '';
  for (let at = 0; at < bytes.length; at += size) {
    const piece = bytes.subarray(at, at + size);
    written += `${piece.length.toString(16)}${extension}\r\n${piece.toString('latin1')}\r\n`;
  }
  return `${written}0\r\n${trailer}\r\n`;
}
