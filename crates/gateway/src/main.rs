//! `mcp-login`: login in front of any MCP server.

use std::process::ExitCode;

fn main() -> ExitCode {
    mcp_login_gateway::cli::main()
}
