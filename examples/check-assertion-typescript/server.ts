// A server that answers nobody but those whom the gateway has signed. `node server.ts` (22.18 or newer).
import http from 'node:http';
import { callerOf, checkAssertion } from './check-assertion.ts';

const { ISSUER, AUDIENCE, JWKS_URL, COOLDOWN, GRACE, PORT = '3000' } = process.env;
const check = checkAssertion({
  issuer: ISSUER ?? 'https://mcp.example.com',
  audience: AUDIENCE ?? `http://127.0.0.1:${PORT}/mcp`,
  jwksUrl: JWKS_URL,
  cooldown: COOLDOWN === undefined ? undefined : Number(COOLDOWN),
  grace: GRACE === undefined ? undefined : Number(GRACE),
});

http.createServer((request, response) => check(request, response, () => {
  // An MCP server would stand here. This one says whom it sees.
  response.setHeader('content-type', 'application/json');
  response.end(JSON.stringify(callerOf(request)));
})).listen(Number(PORT), '127.0.0.1');
