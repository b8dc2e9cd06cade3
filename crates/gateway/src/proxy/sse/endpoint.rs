//! The address that the first event names, and the one that the client is told.

use axum::http::Uri;
use mcp_login::resource::SessionBinding;
use url::{Position, Url};

use super::SESSION_QUERY;

/// The longest path with its query that is sealed, in bytes: what the client then asks for has to fit into the request line
/// that servers and proxies take (8 KiB, mostly).
const MAX_ENDPOINT: usize = 4096;

/// Why a stream is not passed on: for its operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it does not come within 16 KiB")]
    TooFar,
    #[error("the stream ended before it")]
    Ended,
    #[error("it is another event than `endpoint`")]
    AnotherEvent,
    #[error("`endpoint` names no address")]
    NoAddress,
    #[error(
        "`endpoint` names another origin than that of mcp.backend: let the server name a path, or its own origin as mcp.backend has it"
    )]
    ForeignOrigin,
    #[error("`endpoint` names an address of more than 4096 bytes")]
    TooLong,
}

/// One client's.
#[derive(Debug)]
pub(super) struct Endpoint<'a> {
    /// The address of the stream.
    pub(super) backend: &'a Url,
    /// The path that the client knows.
    pub(super) mount: &'a str,
    pub(super) binding: &'a SessionBinding,
}

impl Endpoint<'_> {
    /// What the client is told in the place of what the server has named.
    pub(super) fn instead_of(&self, named: &str) -> Result<String, Fault> {
        let sealed = self.binding.seal(&own_path(self.backend, named)?);
        Ok(format!("{}?{SESSION_QUERY}={sealed}", self.mount))
    }
}

/// The path and query of what the server has named, on its own origin: requests with a user's token go nowhere else.
fn own_path(backend: &Url, named: &str) -> Result<String, Fault> {
    // Parsers of URLs drop line ends and tabs.
    if named.is_empty() || named.bytes().any(|b| b.is_ascii_control()) {
        return Err(Fault::NoAddress);
    }
    let url = backend.join(named).map_err(|_| Fault::NoAddress)?;
    if url.origin() != backend.origin() {
        return Err(Fault::ForeignOrigin);
    }
    let path = &url[Position::BeforePath..Position::AfterQuery];
    if path.len() > MAX_ENDPOINT { Err(Fault::TooLong) } else { Ok(path.to_owned()) }
}

/// What a path with its query names on the origin of this URL. Not as a reference is resolved: two slashes at its beginning
/// would be another host.
pub(super) fn on_origin_of(url: &Url, path: &str) -> Option<Uri> {
    if !path.starts_with('/') {
        return None;
    }
    format!("{}{path}", url.origin().ascii_serialization()).parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_address_is_the_servers_own() {
        let long = format!("/m?{}", "x".repeat(MAX_ENDPOINT - 3));
        for (named, wanted) in [
            ("/messages?sessionId=1", Ok("/messages?sessionId=1")),
            ("messages/?session_id=1", Ok("/base/messages/?session_id=1")),
            ("?sessionId=1", Ok("/base/sse?sessionId=1")),
            ("http://b:1/messages#x", Ok("/messages")),
            ("HTTP://B:1/messages?a=%2F", Ok("/messages?a=%2F")),
            ("//b:1/messages", Ok("/messages")),
            ("http://user:secret@b:1/messages", Ok("/messages")),
            (&long, Ok(&*long)),
            (&format!("{long}x"), Err(Fault::TooLong)),
            ("", Err(Fault::NoAddress)),
            ("/a\nb", Err(Fault::NoAddress)),
            ("http://", Err(Fault::NoAddress)),
            ("https://b:1/messages", Err(Fault::ForeignOrigin)),
            ("http://b:2/messages", Err(Fault::ForeignOrigin)),
            ("http://b/messages", Err(Fault::ForeignOrigin)),
            ("//evil.example/messages", Err(Fault::ForeignOrigin)),
            ("\\\\evil.example/messages", Err(Fault::ForeignOrigin)),
            ("http://b:1@evil.example/messages", Err(Fault::ForeignOrigin)),
            ("http://b:1//evil.example/m", Ok("//evil.example/m")),
            ("javascript:alert(1)", Err(Fault::ForeignOrigin)),
        ] {
            let backend = "http://b:1/base/sse".parse().unwrap();
            assert_eq!(own_path(&backend, named).as_deref(), wanted.as_ref().copied(), "{named}");
        }
    }

    #[test]
    fn a_path_leads_to_no_other_host() {
        let url = "http://user@b:1/sse".parse().unwrap();
        let to = |path| on_origin_of(&url, path).map(|uri| uri.to_string());
        assert_eq!(to("//evil.example/m?a").as_deref(), Some("http://b:1//evil.example/m?a"));
        assert_eq!(to("/sse").as_deref(), Some("http://b:1/sse"));
        assert_eq!((to("@evil.example/"), to("1/x"), to("")), (None, None, None));
    }
}
