// Server-sent events of one answer, one at a time.
import { within } from './http.js';

/**
 * `next()` resolves with the next JSON message of the stream, `undefined` at its end; never waits over `ms`. `broken()` says
 * whether that end was none: the connection broke off.
 */
export function events(stream, ms = 5000) {
  const messages = [];
  let text = '';
  let ended = false;
  let wake = () => {};
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => {
    text += chunk;
    const blocks = text.replaceAll('\r\n', '\n').split('\n\n');
    text = blocks.pop();
    for (const block of blocks) {
      const data = block.split('\n').filter((line) => line.startsWith('data:')).map((line) => line.slice(5).trim()).join('\n');
      if (data) messages.push(JSON.parse(data));
    }
    wake();
  });
  for (const end of ['end', 'close', 'error']) {
    stream.on(end, () => {
      ended = true;
      wake();
    });
  }
  return {
    pending: () => messages.length,
    broken: () => ended && !stream.complete,
    async next() {
      while (messages.length === 0 && !ended) {
        await within(ms, 'the next event', new Promise((resolve) => {
          wake = resolve;
        }));
      }
      return messages.shift();
    },
  };
}
