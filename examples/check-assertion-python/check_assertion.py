"""Lets through whoever mcp-login has signed for this server, and nobody else: an ASGI middleware.

    app = CheckAssertion(app, issuer="https://mcp.example.com", audience="http://127.0.0.1:3000/mcp")

The caller's claims are in `scope["mcp_login"]`. Needs `PyJWT[crypto]`.
"""

import asyncio
import http.client
import json
import logging
import time
import urllib.request

import jwt

TYPE = "mcp-login-assertion+jwt"
CLAIMS = ["iss", "sub", "aud", "iat", "exp", "client_id", "scope"]

# How long keys are used without asking for them again, in seconds, and how long the fetch of them may take.
KEPT = 300
TIMEOUT = 5
MAX_BYTES = 256 * 1024

# Some firewalls refuse the name that Python gives itself.
HEADERS = {"User-Agent": "mcp-login-check-assertion/1.0", "Accept": "application/jwk-set+json, application/json"}

log = logging.getLogger("check_assertion")


class NoKeys(Exception):
    """The keys cannot be had: nobody knows whether the assertion is good."""


class Keys:
    """The keys of the gateway, fetched when there are none, when they are old, and for a key that is not among them."""

    def __init__(self, url, cooldown, grace):
        self.url = url
        self.cooldown = cooldown
        self.grace = grace
        self.keys = {}
        # When they were fetched, and when that was last tried, with success or without.
        self.fetched = self.asked = float("-inf")
        self.failed = False
        self.fetching = asyncio.Lock()

    async def find(self, kid):
        if self._is_due(kid):
            async with self.fetching:
                # Somebody else may have fetched them meanwhile.
                if self._is_due(kid):
                    await self._fetch()
        if not self._knows(kid) and self.failed:
            raise NoKeys
        return self.keys.get(kid)

    def _knows(self, kid):
        return kid in self.keys and not (self.failed and time.monotonic() - self.fetched >= self.grace)

    def _is_due(self, kid):
        # Anybody can make up a kid.
        return time.monotonic() - self.asked >= (KEPT if self._knows(kid) else self.cooldown)

    async def _fetch(self):
        try:
            self.keys = await asyncio.to_thread(self._read)
            self.fetched = time.monotonic()
            self.failed = False
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            # Those that are known stay for a while.
            self.failed = True
            log.warning("the keys at %s cannot be fetched: %r", self.url, error)
        self.asked = time.monotonic()

    def _read(self):
        request = urllib.request.Request(self.url, headers=HEADERS)
        with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
            body = answer.read(MAX_BYTES + 1)
        if len(body) > MAX_BYTES:
            raise ValueError("too long for a key set")
        keys = {}
        for key in json.loads(body)["keys"]:
            try:
                keys[key["kid"]] = jwt.PyJWK(key)
            except jwt.PyJWTError:
                pass  # Of a kind that is not ours.
        return keys


class CheckAssertion:
    def __init__(self, app, *, issuer, audience, jwks_url=None, cooldown=1.0, grace=3600.0):
        """`issuer` is the gateway's `public_url`, byte for byte. `audience` is what the gateway calls this server:
        `backend` of its `[[mcp]]` as it is written there, or `assertion_audience`. `jwks_url` is where the keys are, if
        the gateway cannot be reached from here at its public URL. For `cooldown` seconds an unknown key is not looked for
        again: a gateway that has just started has a new one. For `grace` seconds after the last fetch known keys are
        good while they cannot be fetched."""
        self.app = app
        self.issuer = issuer
        self.audience = audience
        self.keys = Keys(jwks_url or f"{issuer}/.well-known/jwks.json", cooldown, grace)

    async def __call__(self, scope, receive, send):
        if scope["type"] == "lifespan":
            return await self.app(scope, receive, send)
        if scope["type"] != "http":
            return await send({"type": "websocket.close", "code": 1008})
        try:
            caller = await self.check(scope["headers"])
        except NoKeys:
            return await refuse(send, 503, b"temporarily_unavailable", (b"retry-after", b"5"))
        except jwt.PyJWTError:
            return await refuse(send, 401, b"invalid_assertion", (b"www-authenticate", b"mcp-login-assertion"))
        return await self.app({**scope, "mcp_login": caller}, receive, send)

    async def check(self, headers):
        """The claims of the one assertion among these headers."""
        found = [value for name, value in headers if name == b"x-mcp-login-assertion"]
        if len(found) != 1:
            raise jwt.InvalidTokenError("not one assertion")
        header = jwt.get_unverified_header(found[0])
        if header.get("typ") != TYPE or not isinstance(header.get("kid"), str):
            raise jwt.InvalidTokenError("not an assertion")
        key = await self.keys.find(header["kid"])
        if key is None:
            raise jwt.InvalidTokenError("signed with a key that is not published")
        return jwt.decode(
            found[0],
            key,
            algorithms=["ES256"],
            issuer=self.issuer,
            audience=self.audience,
            leeway=30,
            options={"require": CLAIMS, "strict_aud": True},
        )


async def refuse(send, status, error, header):
    headers = [(b"content-type", b"application/json"), header]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": b'{"error": "%s"}' % error})
