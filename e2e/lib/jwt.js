// JSON Web Tokens with everything in the test's hands, the signature's algorithm and the lies included.
import { createHmac, generateKeyPairSync, randomUUID, sign } from 'node:crypto';

const b64 = (value) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url');
const now = () => Math.floor(Date.now() / 1000);

/** A new key: its private half and both halves' public JWK. */
export function newKey(kid) {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return { privateKey, publicKey, jwk: { ...publicKey.export({ format: 'jwk' }), kid, alg: 'ES256', use: 'sig' } };
}

/** A JWS (RFC 7515). `signature` gives the bytes of its last part from the signing input; by default ES256 with `key`. */
export function jws(claims, { key, header = {}, signature = (input) => sign('sha256', input, { key: key.privateKey, dsaEncoding: 'ieee-p1363' }) }) {
  const input = `${b64({ alg: 'ES256', typ: 'JWT', kid: key?.jwk.kid, ...header })}.${b64(claims)}`;
  return `${input}.${Buffer.from(signature(Buffer.from(input))).toString('base64url')}`;
}

/** HMAC with a secret that everybody knows. */
export const hmac = (secret) => (input) => createHmac('sha256', secret).update(input).digest();

/** What a client says of itself (RFC 7523 §3), with changes; `undefined` leaves a claim out. */
export function assertionClaims(clientId, audience, changes = {}) {
  return { iss: clientId, sub: clientId, aud: audience, iat: now(), exp: now() + 60, jti: randomUUID(), ...changes };
}

/** Seconds from now, as a NumericDate. */
export const inSeconds = (seconds) => now() + seconds;
