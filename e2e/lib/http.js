// One HTTP/1.1 exchange with nothing hidden: no redirects followed, no headers added but Host, any header may be set.
import http from 'node:http';

const LIMIT = 32 * 1024 * 1024;

/**
 * Sends one request and reads the whole answer.
 * @returns {Promise<{status: number, headers: object, rawHeaders: string[], text: string, json: any, url: string}>}
 */
export function request(method, url, { headers = {}, body, form, json, timeout = 15_000 } = {}) {
  const sent = { ...headers };
  let payload = body;
  if (form) {
    payload = form instanceof URLSearchParams ? form.toString() : new URLSearchParams(form).toString();
    sent['content-type'] ??= 'application/x-www-form-urlencoded';
  } else if (json !== undefined) {
    payload = JSON.stringify(json);
    sent['content-type'] ??= 'application/json';
  }
  if (payload !== undefined && !sent['transfer-encoding']) sent['content-length'] ??= Buffer.byteLength(payload);
  return new Promise((resolve, reject) => {
    const outgoing = http.request(url, { method, headers: sent, agent: false });
    const timer = setTimeout(
      () => outgoing.destroy(new Error(`${method} ${url}: no complete answer within ${timeout} ms`)),
      timeout,
    );
    outgoing.on('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    outgoing.on('response', (incoming) => {
      const chunks = [];
      let size = 0;
      incoming.on('data', (chunk) => {
        size += chunk.length;
        if (size > LIMIT) outgoing.destroy(new Error(`${url}: answer over ${LIMIT} bytes`));
        else chunks.push(chunk);
      });
      incoming.on('error', reject);
      incoming.on('end', () => {
        clearTimeout(timer);
        const text = Buffer.concat(chunks).toString('utf8');
        const answer = { status: incoming.statusCode, headers: incoming.headers, rawHeaders: incoming.rawHeaders, text, url: String(url) };
        resolve(Object.defineProperty(answer, 'json', { get: () => JSON.parse(text) }));
      });
    });
    outgoing.end(payload);
  });
}

/** Opens a request and hands back its answer as a stream, for SSE. */
export function open(method, url, { headers = {}, json } = {}) {
  const payload = json === undefined ? undefined : JSON.stringify(json);
  const sent = { ...headers };
  if (payload !== undefined) {
    sent['content-type'] ??= 'application/json';
    sent['content-length'] = Buffer.byteLength(payload);
  }
  return new Promise((resolve, reject) => {
    const outgoing = http.request(url, { method, headers: sent, agent: false });
    outgoing.on('error', reject);
    outgoing.on('response', (incoming) => {
      incoming.on('error', () => {}); // the test destroys streams on purpose
      resolve({ status: incoming.statusCode, headers: incoming.headers, stream: incoming, abort: () => outgoing.destroy() });
    });
    outgoing.end(payload);
  });
}

/** Rejects when `promise` has not settled within `ms`. */
export async function within(ms, what, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
