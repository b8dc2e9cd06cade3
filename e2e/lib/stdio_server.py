"""A stdio server of the Python SDK, which speaks MCP 2026-07-28 and the revisions before it."""

import os

from mcp.server import MCPServer

server = MCPServer("who")


@server.tool(name="Wer bin ich, Zoë?")
def who() -> str:
    return f"{os.environ['WHO']} {os.getpid()}"


server.run()
