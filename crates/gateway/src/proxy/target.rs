//! From the path a client asked for to the one the backend is asked for.

use axum::http::Uri;
use url::Url;

/// A path that is not passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the path leads outside of this server")]
pub(super) struct BadPath;

/// Where one mount leads.
#[derive(Debug, Clone)]
pub(super) struct Target {
    mount: String,
    /// `http://host:port`
    origin: String,
    path: String,
}

impl Target {
    pub(super) fn new(mount: &str, backend: &Url) -> Self {
        Self {
            mount: mount.to_owned(),
            origin: backend[..url::Position::BeforePath].to_owned(),
            path: backend.path().to_owned(),
        }
    }

    /// The backend's path, the rest of the client's path behind the mount, and the client's query, byte for byte.
    pub(super) fn of(&self, asked: &Uri) -> Result<Uri, BadPath> {
        let rest = asked.path().strip_prefix(&self.mount).ok_or(BadPath)?;
        if !(rest.is_empty() || rest.starts_with('/')) || climbs(rest) {
            return Err(BadPath);
        }
        let base = if rest.is_empty() { self.path.as_str() } else { self.path.trim_end_matches('/') };
        let mut target = format!("{}{base}{rest}", self.origin);
        if let Some(query) = asked.query() {
            target.push('?');
            target.push_str(query);
        }
        target.parse().map_err(|_| BadPath)
    }
}

/// Whether some reader could see a `.` or `..` segment here. Decoded once, as a backend does; `%252e` stays what it is.
/// Backslashes part segments on Windows, and parameters (`..;a=1`) are cut off by Java servers.
fn climbs(path: &str) -> bool {
    let decoded = percent_decode(path);
    decoded.contains(&0)
        || decoded
            .split(|b| matches!(b, b'/' | b'\\'))
            .filter_map(|segment| segment.split(|b| *b == b';').next())
            .any(|segment| matches!(segment, b"." | b".."))
}

fn percent_decode(path: &str) -> Vec<u8> {
    let bytes = path.as_bytes();
    let digit = |at: usize| {
        bytes.get(at).and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok())
    };
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        if let (b'%', Some(high), Some(low)) = (byte, digit(at + 1), digit(at + 2)) {
            decoded.push(high * 16 + low);
            at += 3;
        } else {
            decoded.push(byte);
            at += 1;
        }
    }
    decoded
}

#[cfg(test)]
fn path_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("", axum::http::uri::PathAndQuery::as_str)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn map(backend: &str, asked: &str) -> Result<String, BadPath> {
        let target = Target::new("/mcp", &backend.parse().unwrap());
        target.of(&asked.parse().unwrap()).map(|uri| {
            assert!(uri.to_string().starts_with("http://b:1/"));
            path_of(&uri).to_owned()
        })
    }

    #[test]
    fn the_rest_of_the_path_follows_the_backends() {
        for (backend, asked, wanted) in [
            ("http://b:1/mcp", "/mcp", "/mcp"),
            ("http://b:1/mcp", "/mcp?a=1&b=%2F..", "/mcp?a=1&b=%2F.."),
            ("http://b:1/mcp", "/mcp/", "/mcp/"),
            ("http://b:1/mcp", "/mcp/x%2Fy//z", "/mcp/x%2Fy//z"),
            ("http://b:1", "/mcp", "/"),
            ("http://b:1", "/mcp/x", "/x"),
            ("http://b:1/base/", "/mcp", "/base/"),
            ("http://b:1/base/", "/mcp/x", "/base/x"),
            ("http://b:1/mcp", "/mcp/%252e%252e/x", "/mcp/%252e%252e/x"),
            ("http://b:1/mcp", "/mcp/..x/.y", "/mcp/..x/.y"),
            ("http://b:1/mcp", "http://elsewhere/mcp/x", "/mcp/x"),
        ] {
            assert_eq!(map(backend, asked).as_deref(), Ok(wanted), "{backend} {asked}");
        }
    }

    #[test]
    fn nothing_leads_out() {
        for asked in [
            "/mcp/..",
            "/mcp/../admin",
            "/mcp/%2e%2E/admin",
            "/mcp/.%2e/admin",
            "/mcp/..%2fadmin",
            "/mcp/%5c..%5cadmin",
            "/mcp/..;a=1/admin",
            "/mcp/./x",
            "/mcp/x%00",
            "/mcpx",
            "/other",
            "/",
        ] {
            assert_eq!(map("http://b:1/mcp", asked), Err(BadPath), "{asked}");
        }
    }
}
