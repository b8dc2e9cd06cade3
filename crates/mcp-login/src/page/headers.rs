//! The headers that go with every page.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY as REFERRER_POLICY_HEADER,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue};

use super::style_hash;

/// What a page tells other sites about where the person came from: nothing. Not `no-referrer`, because a form on such a
/// page posts with `Origin: null` (Fetch §3.1, "append a request `Origin` header"), and the origin is what its receiver
/// checks.
pub const REFERRER_POLICY: &str = "same-origin";

/// The Content-Security-Policy of a page with these styles, each named by its hash (`sha256-…`, see [`style_hash`]), and
/// forms that lead to these sources; without a list, wherever they lead.
///
/// Browsers hold `form-action` against every redirect that follows the form, so a page whose form starts a login has
/// to name where that chain can lead.
#[must_use]
pub fn content_security_policy(style_hashes: &[&str], form_action: Option<&[String]>) -> String {
    let styles: Vec<String> = style_hashes.iter().map(|hash| format!("'{hash}'")).collect();
    let or_none = |sources: String| if sources.is_empty() { "'none'".to_owned() } else { sources };
    let form_action = form_action.map(|sources| format!("form-action {}; ", or_none(sources.join(" "))));
    format!(
        "default-src 'none'; style-src {}; {}base-uri 'none'; frame-ancestors 'none'",
        or_none(styles.join(" ")),
        form_action.unwrap_or_default()
    )
}

/// The headers of every page, with the sources its form may lead to: HTML, never kept, never framed, nothing loaded but the one style.
///
/// There is no `Cross-Origin-Opener-Policy`: a client that opens the login in a pop-up waits for word from it, and the
/// policy would cut the two apart for good.
#[must_use]
pub fn security_headers(form_action: &[String]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(REFERRER_POLICY_HEADER, HeaderValue::from_static(REFERRER_POLICY));
    if let Ok(policy) = HeaderValue::from_str(&content_security_policy(&[style_hash()], Some(form_action))) {
        headers.insert(CONTENT_SECURITY_POLICY, policy);
    }
    headers
}
