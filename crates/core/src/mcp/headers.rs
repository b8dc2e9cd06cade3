//! The headers that repeat what is in the body (MCP 2026-07-28, Streamable HTTP, "Request Metadata").
//!
//! Whoever stands between may go by them, and a backend by the body, or the other way round: a request in which they
//! contradict each other is no request ("Server Validation"). What cannot be compared, because the body is not written
//! plainly, is not refused here; it agrees with nothing, and is treated as what it could be at worst.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Message, Sent};

/// The first revision that asks for the headers, and has no sessions.
const FIRST_REVISION: &str = "2026-07-28";

const METHOD: &str = "Mcp-Method";
const NAME: &str = "Mcp-Name";
const VERSION: &str = "MCP-Protocol-Version";

/// The headers of one request that repeat what is in its body, as they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Repeated<'a> {
    /// `Mcp-Method`: the method.
    pub method: Option<&'a [u8]>,
    /// `Mcp-Name`: the tool, prompt, resource or task.
    pub name: Option<&'a [u8]>,
    /// `MCP-Protocol-Version`: the revision.
    pub version: Option<&'a [u8]>,
}

/// What a body says of what the headers repeat, for whoever has read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Said<'a> {
    /// The method.
    pub method: &'a str,
    /// Whether it has an id.
    pub is_request: bool,
    /// The parameter of [`name_parameter`]; `None` also where it is not known.
    pub name: Option<&'a str>,
    /// `_meta["io.modelcontextprotocol/protocolVersion"]`.
    pub version: Option<&'a str>,
}

/// Which header is the matter, by its name; what it holds is not shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderMismatch {
    /// It is not there, and the revision asks for it.
    #[error("Header mismatch: {0} is missing")]
    Missing(&'static str),
    /// It is there twice, or not written as it has to be.
    #[error("Header mismatch: {0} is malformed, or there more than once")]
    Malformed(&'static str),
    /// The body says something else.
    #[error("Header mismatch: {0} does not say what the body says")]
    Differs(&'static str),
}

impl HeaderMismatch {
    /// The code of the JSON-RPC error (MCP 2026-07-28, "Error Codes").
    pub const CODE: i64 = -32020;
}

impl<'a> Repeated<'a> {
    /// From all values of each header, in the order of the fields.
    pub fn of(mut values: impl FnMut(&'static str) -> Vec<&'a [u8]>) -> Result<Self, HeaderMismatch> {
        let mut one = |name| match *values(name) {
            [] => Ok(None),
            [value] => Ok(Some(value)),
            _ => Err(HeaderMismatch::Malformed(name)),
        };
        Ok(Self { method: one(METHOD)?, name: one(NAME)?, version: one(VERSION)? })
    }

    /// That the headers do not contradict the body, and that none is missing which the revision asks for. Where the body
    /// is not one plain message nothing can be missing.
    pub fn check(&self, body: &[u8]) -> Result<(), HeaderMismatch> {
        self.name.map(decoded).transpose()?;
        let Some(sent) = Sent::all(body) else { return Ok(()) };
        let [Sent::Message(message)] = *sent else {
            // Of a batch, or of an answer, no header can speak.
            let speaks = self.method.map(|_| METHOD).or(self.name.map(|_| NAME));
            return speaks.map_or(Ok(()), |header| Err(HeaderMismatch::Differs(header)));
        };
        self.check_said(&message.said())
    }

    /// The same for a message that somebody else has read.
    pub fn check_said(&self, said: &Said<'_>) -> Result<(), HeaderMismatch> {
        let name = self.name.map(decoded).transpose()?;
        self.check_version(said)?;
        if self.method.is_some_and(|method| method != said.method.as_bytes()) {
            return Err(HeaderMismatch::Differs(METHOD));
        }
        if let (Some(held), Some(named)) = (&name, said.name)
            && **held != *named.as_bytes()
        {
            return Err(HeaderMismatch::Differs(NAME));
        }
        // Of notifications nothing is asked, and whoever sends `initialize` speaks an older revision first.
        if !self.is_of_revision(said) || !said.is_request || said.method == "initialize" {
            return Ok(());
        }
        if self.method.is_none() {
            return Err(HeaderMismatch::Missing(METHOD));
        }
        let asks = matches!(said.method, "tools/call" | "prompts/get" | "resources/read");
        if asks && self.name.is_none() && said.name.is_some() {
            return Err(HeaderMismatch::Missing(NAME));
        }
        Ok(())
    }

    fn check_version(&self, said: &Said<'_>) -> Result<(), HeaderMismatch> {
        match (self.version, said.version) {
            (Some(held), Some(said)) if held != said.as_bytes() => Err(HeaderMismatch::Differs(VERSION)),
            (None, Some(said)) if is_stateless(said.as_bytes()) => Err(HeaderMismatch::Missing(VERSION)),
            _ => Ok(()),
        }
    }

    /// Whether the request is of a revision that asks for the headers.
    fn is_of_revision(&self, said: &Said<'_>) -> bool {
        self.version.or(said.version.map(str::as_bytes)).is_some_and(is_stateless)
    }
}

impl Message<'_> {
    /// Whether the headers say what the message says, if they say anything: a backend may go by them.
    #[must_use]
    pub fn agrees_with(&self, mcp_method: Option<&[u8]>, mcp_name: Option<&[u8]>) -> bool {
        let same = |held: &[u8]| {
            decoded(held).is_ok_and(|held| self.named().is_some_and(|named| *held == *named.as_bytes()))
        };
        mcp_method.is_none_or(|method| method == self.method.as_bytes()) && mcp_name.is_none_or(same)
    }

    fn said(&self) -> Said<'_> {
        let Self { method, has_id: is_request, .. } = *self;
        Said { method, is_request, name: self.named(), version: self.params.version }
    }

    fn named(&self) -> Option<&str> {
        match name_parameter(self.method)? {
            "name" => self.params.name,
            "uri" => self.params.uri,
            _ => self.params.task_id,
        }
    }
}

/// Which parameter of a method `Mcp-Name` repeats: of a task as the extension has it (SEP-2663), of subscriptions as some
/// clients do.
#[must_use]
pub fn name_parameter(method: &str) -> Option<&'static str> {
    match method {
        "tools/call" | "prompts/get" => Some("name"),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some("uri"),
        "tasks/get" | "tasks/update" | "tasks/cancel" => Some("taskId"),
        _ => None,
    }
}

/// What `Mcp-Name` holds ("Value Encoding").
fn decoded(held: &[u8]) -> Result<Cow<'_, [u8]>, HeaderMismatch> {
    let malformed = HeaderMismatch::Malformed(NAME);
    if !held.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~')) {
        return Err(malformed);
    }
    let encoded = held.strip_prefix(b"=?base64?").and_then(|rest| rest.strip_suffix(b"?="));
    match encoded {
        None => Ok(Cow::Borrowed(held)),
        Some(encoded) => STANDARD.decode(encoded).map(Cow::Owned).map_err(|_| malformed),
    }
}

/// Whether a revision is one that asks for the headers, and has no sessions. Revisions are dates; of what is none nothing
/// is known.
#[must_use]
pub fn is_stateless(version: &[u8]) -> bool {
    let is_date = version.iter().enumerate().all(|(at, byte)| match at {
        4 | 7 => *byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    version.len() == FIRST_REVISION.len() && is_date && version >= FIRST_REVISION.as_bytes()
}

#[cfg(test)]
#[path = "headers/tests.rs"]
mod tests;
