// What passes between a client and the gateway: a proxy under the public URL that keeps every request.
import http from 'node:http';

/** Starts it on a free port; `forward(port)` says where the gateway listens. */
export async function startRecorder() {
  const requests = []; // { method, path, query, headers, form, status }
  let to;
  const server = http.createServer((req, res) => {
    const url = new URL(req.url, 'http://recorder');
    const record = { method: req.method, path: url.pathname, query: Object.fromEntries(url.searchParams), headers: req.headers };
    if (url.pathname !== '/readyz') requests.push(record);
    const chunks = [];
    req.on('data', (chunk) => chunks.push(chunk));
    req.on('end', () => {
      const body = Buffer.concat(chunks);
      if (req.headers['content-type']?.startsWith('application/x-www-form-urlencoded')) record.form = Object.fromEntries(new URLSearchParams(body.toString('utf8')));
      const onward = http.request({ host: '127.0.0.1', port: to, method: req.method, path: req.url, headers: req.headers, agent: false }, (answer) => {
        record.status = answer.statusCode;
        res.writeHead(answer.statusCode, answer.rawHeaders);
        answer.pipe(res);
      });
      onward.on('error', () => res.destroy());
      res.on('close', () => onward.destroy());
      onward.end(body);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    forward(gatewayPort) {
      to = gatewayPort;
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
