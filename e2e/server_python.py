"""A server of the Python SDK that speaks HTTP+SSE, at /sse on the port that is its argument."""

import sys

from mcp.server.mcpserver import Context, MCPServer

server = MCPServer("e2e-python")


@server.tool()
def whoami(context: Context) -> str:
    """Who the gateway says is calling."""
    return context.headers["x-forwarded-user"]


server.run(transport="sse", host="127.0.0.1", port=int(sys.argv[1]))
