"""The Python SDK as a host uses it, driven over stdin and stdout: one JSON object a line.

From the driver: {"op": "connect" | "tools" | "call" | "expire" | "tokens" | "close", ...} and, when asked for,
{"callback": URL}. To the driver: {"redirect": URL} (open this, answer with the callback), {"result": ...} or
{"error": TEXT}, one result or error for each op.
"""

import asyncio
import json
import sys
from contextlib import AsyncExitStack
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import OAuthClientProvider
from mcp.client.client import Client
from mcp.client.sse import sse_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata


class Memory:
    """Where the SDK keeps what it was given; `issued` remembers every token set."""

    def __init__(self):
        self.tokens = None
        self.client = None
        self.issued = []

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens
        self.issued.append(tokens.model_dump(mode="json", exclude_none=True))

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


def say(message):
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


class Host:
    def __init__(self, url, redirect_uri, transport, lines):
        self.transport = transport
        self.url = url
        self.lines = lines
        self.memory = Memory()
        self.stack = AsyncExitStack()
        self.auth = OAuthClientProvider(
            server_url=url,
            client_metadata=OAuthClientMetadata(client_name="e2e python host", redirect_uris=[redirect_uri]),
            storage=self.memory,
            redirect_handler=self.redirect,
            callback_handler=self.callback,
        )
        self.client = None

    async def redirect(self, url):
        say({"redirect": url})

    async def callback(self):
        message = await self.lines.get()
        query = parse_qs(urlsplit(message["callback"]).query)
        if "error" in query:
            raise RuntimeError(f"authorization failed: {query}")
        return AuthorizationCodeResult(
            code=query["code"][0], state=query.get("state", [None])[0], iss=query.get("iss", [None])[0]
        )

    async def connect(self, _message):
        if self.transport == "sse":
            transport = sse_client(self.url, auth=self.auth, timeout=30)
        else:
            http = await self.stack.enter_async_context(httpx2.AsyncClient(auth=self.auth, timeout=30))
            transport = streamable_http_client(self.url, http_client=http)
        self.client = await self.stack.enter_async_context(Client(transport))
        return "connected"

    async def tools(self, _message):
        return sorted(tool.name for tool in (await self.client.list_tools()).tools)

    async def call(self, message):
        result = await self.client.call_tool(message["name"], message.get("arguments", {}))
        if result.is_error:
            raise RuntimeError(result.model_dump_json())
        return result.content[0].text

    async def expire(self, _message):
        # This SDK refreshes by the clock only: a 401 makes it log in again.
        self.auth.context.token_expiry_time = 1
        return "expired"

    async def tokens(self, _message):
        client = self.memory.client
        return {
            "current": self.memory.issued[-1] if self.memory.issued else None,
            "issued": self.memory.issued,
            "client_id": client.client_id if client else None,
        }


async def read_lines(queue):
    loop = asyncio.get_running_loop()
    while True:
        line = await loop.run_in_executor(None, sys.stdin.readline)
        await queue.put(json.loads(line) if line.strip() else {"op": "close"})
        if not line:
            return


async def main(host_class):
    lines = asyncio.Queue()
    reader = asyncio.create_task(read_lines(lines))
    host = host_class(*sys.argv[1:4], lines)
    operations = {name: getattr(host, name) for name in ("connect", "tools", "call", "expire", "tokens")}
    while True:
        message = await lines.get()
        if message["op"] == "close":
            break
        try:
            say({"result": await operations[message["op"]](message)})
        except Exception as error:  # the driver decides what a failure means
            say({"error": f"{type(error).__name__}: {error}"})
    await host.stack.aclose()
    say({"result": "closed"})
    reader.cancel()


if __name__ == "__main__":
    asyncio.run(main(Host))
