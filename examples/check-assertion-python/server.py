"""A server that answers nobody but those whom the gateway has signed. `python server.py`."""

import json
import os

import uvicorn

from check_assertion import CheckAssertion

PORT = int(os.environ.get("PORT", "3000"))


async def whoami(scope, receive, send):
    """An MCP server would stand here. This one says whom it sees."""
    body = json.dumps(scope["mcp_login"]).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": body})


app = CheckAssertion(
    whoami,
    issuer=os.environ.get("ISSUER", "https://mcp.example.com"),
    audience=os.environ.get("AUDIENCE", f"http://127.0.0.1:{PORT}/mcp"),
    jwks_url=os.environ.get("JWKS_URL"),
    cooldown=float(os.environ.get("COOLDOWN", "1000")) / 1000,
    grace=float(os.environ.get("GRACE", "3600000")) / 1000,
)

if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=PORT, log_level="warning", lifespan="off")
