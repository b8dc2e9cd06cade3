// HTTP/2 as frames (RFC 9113), with prior knowledge and no library that would refuse to send what is not allowed.
import net from 'node:net';

const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';
const [DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY] = [0, 1, 3, 4, 7];
const [ACK, END_STREAM, END_HEADERS] = [1, 1, 4];

function frame(type, flags, stream, payload = Buffer.alloc(0)) {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** RFC 7541 §6.2.2: each header as it is, without an index and without Huffman; names and values of up to 126 bytes or any longer. */
function block(headers) {
  const text = (words) => {
    const bytes = Buffer.from(words, 'latin1');
    if (bytes.length < 127) return [Buffer.from([bytes.length]), bytes];
    const length = [127];
    let left = bytes.length - 127;
    for (; left >= 128; left >>= 7) length.push((left & 127) | 128);
    return [Buffer.from([...length, left]), bytes];
  };
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.from([0]), ...text(name), ...text(value)]));
}

/** The `:status` at the beginning of a header block: an entry of the static table, or three digits in Huffman's code or plain. */
function status(block_) {
  const known = { 0x88: 200, 0x89: 204, 0x8a: 206, 0x8b: 304, 0x8c: 400, 0x8d: 404, 0x8e: 500 }[block_[0]];
  if (known) return known;
  const length = block_[1] & 127;
  const bytes = block_.subarray(2, 2 + length);
  if (!(block_[1] & 128)) return Number(bytes.toString('latin1'));
  let bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  let digits = '';
  while (digits.length < 3) {
    const short = parseInt(bits.slice(0, 5), 2); // RFC 7541, appendix B: 0 to 2 have five bits, 3 to 9 six
    const size = short < 3 ? 5 : 6;
    digits += short < 3 ? short : parseInt(bits.slice(0, 6), 2) - 0x19 + 3;
    bits = bits.slice(size);
  }
  return Number(digits);
}

/**
 * Sends one request on a connection of its own: these header fields in this order, and this body (none: `undefined`).
 * @returns {Promise<number | 'reset'>} the status, or 'reset' where the stream or the connection was ended instead
 */
export function request2(port, headers, body, { timeout = 10_000 } = {}) {
  const message = [Buffer.from(PREFACE), frame(SETTINGS, 0, 0), frame(HEADERS, END_HEADERS | (body === undefined ? END_STREAM : 0), 1, block(headers))];
  if (body !== undefined) message.push(frame(DATA, END_STREAM, 1, Buffer.from(body)));
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, '127.0.0.1');
    let said = Buffer.alloc(0);
    const finish = (settle, value) => {
      clearTimeout(timer);
      socket.destroy();
      settle(value);
    };
    const timer = setTimeout(() => finish(reject, new Error(`no answer within ${timeout} ms`)), timeout);
    socket.on('error', () => {});
    socket.on('close', () => finish(resolve, 'reset'));
    socket.on('data', (chunk) => {
      said = Buffer.concat([said, chunk]);
      while (said.length >= 9 && said.length >= 9 + said.readUIntBE(0, 3)) {
        const [length, type, flags] = [said.readUIntBE(0, 3), said[3], said[4]];
        const payload = said.subarray(9, 9 + length);
        said = said.subarray(9 + length);
        if (type === SETTINGS && !(flags & ACK)) socket.write(frame(SETTINGS, ACK, 0));
        if (type === HEADERS) return finish(resolve, status(payload));
        if (type === RST_STREAM || type === GOAWAY) return finish(resolve, 'reset');
      }
      return undefined;
    });
    socket.write(Buffer.concat(message));
  });
}
