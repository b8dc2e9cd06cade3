//! `transport` at `[[mcp]]`: how a server at an address is spoken to.

use super::upstream::one_of;
use crate::config::fault::Faults;
use crate::config::raw;

/// How a server at an address is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// Streamable HTTP, of MCP 2025-03-26 and later.
    #[default]
    StreamableHttp,
    /// HTTP+SSE, of MCP 2024-11-05: `backend` is the address of the stream.
    Sse,
}

pub(super) fn judge(raw: &raw::Mcp, lazy: Option<bool>, key: &str, faults: &mut Faults) -> Option<Transport> {
    let key = format!("{key}.transport");
    if raw.transport.is_none() {
        return Some(Transport::default());
    }
    if raw.command.is_some() {
        faults.push(
            key,
            "a program has no address to speak to: take it out, or write backend instead of command",
        );
        return None;
    }
    let words = [("streamable-http", Transport::StreamableHttp), ("sse", Transport::Sse)];
    let transport = one_of(raw.transport.clone(), &key, &words, faults)?;
    if transport == Transport::Sse && lazy == Some(true) {
        let message = "\"sse\" opens its stream before anything else, and a stream is somebody's: write auth = \"required\"";
        faults.push(&key, message);
    }
    if transport == Transport::Sse
        && matches!(&raw.backend, Some(raw::OneOrMany::Many(many)) if many.len() > 1)
    {
        let message = "\"sse\" keeps a session in the server that has its stream, so there can be one: write one backend";
        faults.push(&key, message);
    }
    if transport == Transport::Sse && raw.hide_tools {
        faults.warn(key, "\"sse\" answers on the stream, which is not looked into: hide_tools does nothing");
    }
    Some(transport)
}
