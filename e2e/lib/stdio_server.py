"""A stdio server of the Python SDK, which speaks MCP 2026-07-28 and the revisions before it."""

import os

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context

server = MCPServer("who")


@server.tool(name="Wer bin ich, Zoë?")
def who() -> str:
    return f"{os.environ['WHO']} {os.getpid()}"


@server.tool()
async def wait(file: str, context: Context) -> str:
    """Says that it waits, and is done once there is such a file."""
    await context.report_progress(1)
    while not await anyio.Path(file).exists():
        await anyio.sleep(0.02)
    return "done"


server.run()
