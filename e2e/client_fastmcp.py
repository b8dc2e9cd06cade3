"""FastMCP as a program uses it, driven like client_python.py. It opens a browser and listens for the callback by itself:
{"redirect": URL} is what it opens, and it wants no answer over stdin.
"""

import asyncio
import webbrowser

from client_python import Host, main, say
from fastmcp import Client
from fastmcp.client.auth import OAuth
from key_value.aio.stores.memory import MemoryStore


class FastMcpHost(Host):
    def __init__(self, url, _redirect_uri, transport, lines):
        super().__init__(url, "http://localhost/unused", transport, lines)
        # Its own storage; what else is kept here is for the test to look at.
        self.auth = OAuth(client_name="e2e FastMCP", token_storage=MemoryStore())
        webbrowser.open = self.open

    def open(self, url):
        say({"redirect": url})
        return True

    async def connect(self, _message):
        client = Client(self.url, auth=self.auth)
        storage = self.auth.token_storage_adapter
        keep = storage.set_tokens

        async def set_tokens(tokens):
            await self.memory.set_tokens(tokens)
            await keep(tokens)

        storage.set_tokens = set_tokens
        self.client = await self.stack.enter_async_context(client)
        return "connected"

    async def tools(self, _message):
        return sorted(tool.name for tool in await self.client.list_tools())

    async def tokens(self, message):
        self.memory.client = self.auth.context.client_info
        return await super().tokens(message)


asyncio.run(main(FastMcpHost))
