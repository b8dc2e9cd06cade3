//! Requests that web pages make to servers on their visitor's own computer or network (DNS rebinding): the page's own name
//! leads to the server's address, so that the browser takes the two for one origin. MCP, Streamable HTTP, "Security Warning".
//!
//! What lets in is a token and never a cookie, so such a page gets what anybody gets. On the internet that is nothing new;
//! on a computer that nobody else reaches it is what a server with public discovery tells.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use url::{Host, Url};

/// The hosts by whose name the gateway may be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hosts {
    /// Any: proxies in front may have names of their own for it.
    Any,
    /// These, in lower case; and all that no website can have: addresses, `localhost`, `*.internal` and names without a dot.
    These(BTreeSet<String>),
}

/// The origins whose pages may call MCP servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origins {
    /// Any: a page needs a token like everybody else.
    Any,
    /// Some.
    These {
        /// As browsers write them (RFC 6454 §6.2).
        listed: BTreeSet<String>,
        /// Whether pages that come from this computer may, too, and those of `*.internal`.
        loopback: bool,
    },
}

impl Hosts {
    /// Whether this is one of them; with its port or without.
    #[must_use]
    pub fn allow(&self, host: &[u8]) -> bool {
        let Self::These(listed) = self else { return true };
        let Ok(authority) = Authority::try_from(host) else { return false };
        if host.contains(&b'@') {
            return false;
        }
        let name = authority.host().to_ascii_lowercase();
        let name = name.strip_suffix('.').unwrap_or(&name);
        let bare = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        bare.parse::<IpAddr>().is_ok()
            || !name.contains('.')
            || name.ends_with(".localhost")
            || is_internal(name)
            || listed.contains(name)
    }
}

impl Origins {
    /// Whether this is one of them. Programs that are installed have origins that no website has (`vscode-webview://…`); a
    /// page without one (`null`) may be anybody's.
    #[must_use]
    pub fn allow(&self, origin: &str) -> bool {
        let Self::These { listed, loopback } = self else { return true };
        if listed.contains(origin) {
            return true;
        }
        let Some((scheme, _)) = origin.split_once("://") else { return false };
        if !matches!(scheme, "http" | "https") {
            let is_scheme = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"+-.".contains(&b);
            return scheme.starts_with(|c: char| c.is_ascii_lowercase()) && scheme.bytes().all(is_scheme);
        }
        let Ok(url) = Url::parse(origin) else { return false };
        listed.contains(&url.origin().ascii_serialization())
            || (*loopback && (is_loopback(&url) || url.domain().is_some_and(is_internal)))
    }
}

/// Whether the URL's host is this machine.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether it is of the domain that is kept for private use and never delegated (ICANN, 2024-07-29), such as
/// `host.docker.internal`: no website has it.
fn is_internal(name: &str) -> bool {
    name.ends_with(".internal")
}

/// What [`check_host`] goes by.
#[derive(Debug)]
pub struct HostCheck {
    /// The names.
    pub hosts: Hosts,
    /// The paths of documents that everybody may read, which are there by any name.
    pub open: BTreeSet<String>,
}

/// A middleware: refuses requests by the name of another host. One without a name comes from no browser.
pub async fn check_host(State(check): State<Arc<HostCheck>>, request: Request, next: Next) -> Response {
    if check.open.contains(request.uri().path()) {
        return next.run(request).await;
    }
    let authority = request.uri().authority().map(Authority::as_str);
    let named = request.headers().get_all(HOST).iter().map(axum::http::HeaderValue::as_bytes);
    for host in named.chain(authority.map(str::as_bytes)) {
        if !check.hosts.allow(host) {
            return refuse("allowed_hosts", "this is not the name of this server", host);
        }
    }
    next.run(request).await
}

/// A middleware: refuses requests of pages of other origins.
pub async fn check_origin(State(origins): State<Arc<Origins>>, request: Request, next: Next) -> Response {
    if let Some(origin) = foreign_origin(request.headers(), &origins) {
        return refuse("allowed_origins", "pages of this origin may not call this server", origin);
    }
    next.run(request).await
}

fn foreign_origin<'h>(headers: &'h HeaderMap, origins: &Origins) -> Option<&'h [u8]> {
    let allowed = |value: &[u8]| std::str::from_utf8(value).is_ok_and(|origin| origins.allow(origin));
    headers.get_all(ORIGIN).iter().map(axum::http::HeaderValue::as_bytes).find(|value| !allowed(value))
}

/// 403 is what MCP asks for. The operator reads which name it was.
fn refuse(key: &'static str, reason: &'static str, named: &[u8]) -> Response {
    let named = String::from_utf8_lossy(named.get(..256).unwrap_or(named));
    tracing::info!(key, %reason, named = ?named, "refused with 403");
    let description = format!("{reason}; its operator can add it to {key}");
    let body = Json(json!({"error": "access_denied", "error_description": description}));
    (StatusCode::FORBIDDEN, [(CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_host_that_a_website_can_have_has_to_be_listed() {
        let hosts = Hosts::These(set(&["mcp.example.com"]));
        for host in [
            "mcp.example.com",
            "MCP.example.com:8443",
            "mcp.example.com.",
            "localhost:8080",
            "app.localhost",
            "127.0.0.1:8080",
            "192.168.1.7",
            "[::1]:8080",
            "[fe80::1]",
            "gateway:8080",
            "host.docker.internal:8080",
            "Gateway.INTERNAL.",
        ] {
            assert!(hosts.allow(host.as_bytes()), "{host}");
            assert!(Hosts::Any.allow(host.as_bytes()), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "mcp.example.com.evil.example",
            "evil-mcp.example.com",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evil.example@localhost",
            "localhost@evil.example",
            "evil.example/localhost",
            "evil-internal.example",
            "host.docker.internal.evil.example",
            "",
        ] {
            assert!(!hosts.allow(host.as_bytes()), "{host}");
        }
        assert!(!hosts.allow(b"evil.\xFF") && Hosts::Any.allow(b"evil.\xFF"));
    }

    #[test]
    fn an_origin_that_a_website_can_have_has_to_be_listed() {
        let origins = |loopback| Origins::These { listed: set(&["https://app.example", "null"]), loopback };
        for (origin, here, elsewhere) in [
            ("https://app.example", true, true),
            ("https://app.example:443", true, true),
            ("vscode-webview://1x7", true, true),
            ("chrome-extension://abc", true, true),
            ("null", true, true),
            ("http://localhost:6274", true, false),
            ("http://127.0.0.1:1", true, false),
            ("http://[::1]:1", true, false),
            ("http://tauri.localhost", true, false),
            ("http://host.docker.internal:6274", true, false),
            ("http://host.docker.internal.evil.example", false, false),
            ("http://app.example", false, false),
            ("https://app.example:8443", false, false),
            ("https://app.example.evil.example", false, false),
            ("http://evil.example:8080", false, false),
            ("http://localhost.evil.example", false, false),
            ("http://localhost@evil.example", false, false),
            ("HTTP://evil.example", false, false),
            ("blob:https://evil.example", false, false),
            ("http://", false, false),
            ("evil", false, false),
            ("", false, false),
        ] {
            assert_eq!(origins(true).allow(origin), here, "{origin}");
            assert_eq!(origins(false).allow(origin), elsewhere, "{origin}");
            assert!(Origins::Any.allow(origin));
        }
        assert!(!Origins::These { listed: BTreeSet::new(), loopback: true }.allow("null"));
    }

    #[test]
    fn one_foreign_origin_of_two_is_foreign() {
        let mut headers = HeaderMap::new();
        let origins = Origins::These { listed: BTreeSet::new(), loopback: true };
        assert_eq!(foreign_origin(&headers, &origins), None);
        headers.append(ORIGIN, "http://localhost:1".parse().unwrap());
        assert_eq!(foreign_origin(&headers, &origins), None);
        headers.append(ORIGIN, "https://evil.example".parse().unwrap());
        assert_eq!(foreign_origin(&headers, &origins), Some(&b"https://evil.example"[..]));
    }
}
