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

/** All fields of each event, `{ event, id, retry, data }`, and the text as it came; `next()` waits as above. */
export function frames(stream, ms = 5000) {
  const blocks = [];
  let [text, all, ended, wake] = ['', '', false, () => {}];
  stream.setEncoding('utf8');
  stream.on('data', (chunk) => {
    all += chunk;
    text += chunk;
    const parts = text.split(/\r?\n\r?\n/);
    text = parts.pop();
    blocks.push(...parts);
    wake();
  });
  for (const end of ['end', 'close', 'error']) {
    stream.on(end, () => {
      ended = true;
      wake();
    });
  }
  const wait = () => within(ms, 'the next event', new Promise((resolve) => { wake = resolve; }));
  const fields = (block) => Object.fromEntries(block.split(/\r?\n/).filter((line) => !line.startsWith(':')).map((line) => {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line);
    return [name, value];
  }));
  return {
    text: () => all,
    async next() {
      while (blocks.length === 0 && !ended) await wait();
      const block = blocks.shift();
      return block === undefined ? undefined : fields(block);
    },
    /** Waits for the end, and gives all of it. */
    async rest() {
      while (!ended) await wait();
      return all;
    },
  };
}
