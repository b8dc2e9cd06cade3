//! The headers that go with every page.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY as REFERRER_POLICY_HEADER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};

use super::style_hash;

/// What a page tells other sites about where the person came from. The addresses of these pages hold handles, so nothing.
///
/// A form on such a page posts with `Origin: null` (Fetch §3.1, "append a request `Origin` header"): whoever checks that a
/// form came from our own page has to look at `Sec-Fetch-Site` and the form's token, not at `Origin`.
pub const REFERRER_POLICY: &str = "no-referrer";

/// The Content-Security-Policy of a page with these styles, each named by its hash (`sha256-…`, see [`style_hash`]).
///
/// There is no `form-action`, on purpose. Browsers hold it against every redirect that follows the form, and that chain
/// runs through the upstream service (and wherever that one signs people in) to the client's redirect URI: any https
/// host, any loopback port, any app's scheme. A list that lets all of those through keeps nothing out.
#[must_use]
pub fn content_security_policy(style_hashes: &[&str]) -> String {
    let sources: Vec<String> = style_hashes.iter().map(|hash| format!("'{hash}'")).collect();
    format!(
        "default-src 'none'; style-src {}; base-uri 'none'; frame-ancestors 'none'",
        if sources.is_empty() { "'none'".to_owned() } else { sources.join(" ") }
    )
}

/// The headers of every page: HTML, never kept, never framed, nothing loaded but the one style.
///
/// There is no `Cross-Origin-Opener-Policy`: a client that opens the login in a pop-up waits for word from it, and the
/// policy would cut the two apart for good.
#[must_use]
pub fn security_headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY_HEADER, HeaderValue::from_static(REFERRER_POLICY));
    if let Ok(policy) = HeaderValue::from_str(&content_security_policy(&[style_hash()])) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers
}
