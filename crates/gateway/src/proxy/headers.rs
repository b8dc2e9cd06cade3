//! Which headers pass, in both directions, and which the gateway sets.

use std::net::SocketAddr;

use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use mcp_login::core::Secret;
use mcp_login::resource::Caller;

use super::error::ProxyError;
use super::template::header_value;

/// RFC 9110 §7.6.1, and what older proxies and HTTP/2 upgrades add to it.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What frameworks take for another method or path than the request line's. Which requests need a user was judged by that one.
const OVERRIDES: [&str; 5] =
    ["x-http-method", "x-http-method-override", "x-method-override", "x-original-url", "x-rewrite-url"];

/// What the layer in front has judged a request by. Under a name that a backend may take for one of these, such as
/// `Mcp_Session_Id`, nobody has looked at it.
const JUDGED: [&str; 7] = [
    "content-encoding",
    "content-type",
    "last-event-id",
    "mcp-method",
    "mcp-name",
    "mcp-protocol-version",
    "mcp-session-id",
];

/// Cookies of the authorization server begin so; they are nobody else's business.
const COOKIE_PREFIXES: [&str; 2] = ["__host-mcp-login-", "mcp-login-"];

pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const X_FORWARDED_USER: HeaderName = HeaderName::from_static("x-forwarded-user");
const X_FORWARDED_EMAIL: HeaderName = HeaderName::from_static("x-forwarded-email");
const X_FORWARDED_PREFERRED_USERNAME: HeaderName = HeaderName::from_static("x-forwarded-preferred-username");
const X_FORWARDED_CLIENT: HeaderName = HeaderName::from_static("x-forwarded-client");
const X_FORWARDED_SCOPE: HeaderName = HeaderName::from_static("x-forwarded-scope");
/// The same as the ones before, signed.
const X_MCP_LOGIN_ASSERTION: HeaderName = HeaderName::from_static("x-mcp-login-assertion");
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What the gateway sets, so that no file may.
const ALWAYS_SET: [HeaderName; 10] = [
    X_FORWARDED_USER,
    X_FORWARDED_EMAIL,
    X_FORWARDED_PREFERRED_USERNAME,
    X_FORWARDED_CLIENT,
    X_FORWARDED_SCOPE,
    X_MCP_LOGIN_ASSERTION,
    X_FORWARDED_FOR,
    X_FORWARDED_PROTO,
    X_FORWARDED_HOST,
    X_REQUEST_ID,
];

/// Lower case, with everything that is not a letter or digit as `-`: what CGI, WSGI and their kin cannot tell apart is one
/// name here (`X_Forwarded_User`).
fn canonical(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Whether a backend may take the two for one.
#[must_use]
pub fn same_name(a: &str, b: &str) -> bool {
    canonical(a) == canonical(b)
}

/// A header that a configuration may set. The error says why it may not.
pub fn check_configured_name(name: &str) -> Result<HeaderName, &'static str> {
    let header = HeaderName::try_from(name).map_err(|_| "not a header name (RFC 9110 §5.1)")?;
    let canonical = canonical(name);
    if HOP_BY_HOP.contains(&canonical.as_str()) {
        return Err("belongs to the connection (RFC 9110 §7.6.1), not to the request");
    }
    if matches!(canonical.as_str(), "host" | "content-length" | "expect") {
        return Err("is made from the request by the gateway");
    }
    if ALWAYS_SET.iter().any(|set| set.as_str() == canonical) {
        return Err("is the gateway's own to set: choose another name");
    }
    Ok(header)
}

/// Takes out what does not pass to the backend. `configured` are the names that the gateway's own headers have.
pub(super) fn clean_request(headers: &mut HeaderMap, configured: &[HeaderName]) {
    remove_hop_by_hop(headers);
    let dropped = |written: &HeaderName| {
        let name = canonical(written.as_str());
        name.starts_with("x-forwarded-")
            || (JUDGED.contains(&name.as_str()) && name != written.as_str())
            || matches!(
                name.as_str(),
                "authorization"
                    | "dpop"
                    | "x-mcp-login-assertion"
                    | "forwarded"
                    // Which pages may call is said in front. A backend's own check would refuse every page.
                    | "origin"
                    | "x-request-id"
                    | "host"
                    | "content-length"
                    | "expect"
            )
            || HOP_BY_HOP.contains(&name.as_str())
            || OVERRIDES.contains(&name.as_str())
            || configured.iter().any(|own| canonical(own.as_str()) == name)
    };
    remove(headers, dropped);
    let cookies: Vec<HeaderValue> =
        headers.get_all(header::COOKIE).iter().filter_map(other_cookies).collect();
    headers.remove(header::COOKIE);
    for cookie in cookies {
        headers.append(header::COOKIE, cookie);
    }
}

/// Takes out what does not pass to the client.
pub(super) fn clean_response(headers: &mut HeaderMap) {
    if headers.contains_key(header::TRANSFER_ENCODING) {
        // It stands over the length (RFC 9112 §6.3), which need not be right then.
        headers.remove(header::CONTENT_LENGTH);
    }
    remove_hop_by_hop(headers);
    // CORS is answered by the layer in front, for the gateway's origin and not for the backend's. So is the question for a
    // login: clients would follow a backend's challenge to another authorization server.
    remove(headers, |name| {
        name.as_str().starts_with("access-control-")
            || *name == X_REQUEST_ID
            || *name == header::WWW_AUTHENTICATE
            || name.as_str() == "dpop-nonce"
            // It would end the sessions of everything at this origin.
            || name.as_str() == "clear-site-data"
    });
    let cookies: Vec<HeaderValue> = headers
        .get_all(header::SET_COOKIE)
        .iter()
        .filter(|cookie| !is_own_cookie(cookie.as_bytes()) && !is_nameless(cookie.as_bytes()))
        .cloned()
        .collect();
    headers.remove(header::SET_COOKIE);
    for cookie in cookies {
        headers.append(header::SET_COOKIE, cookie);
    }
}

/// Also what `Connection` lists, except the contract's own headers, which are set afterwards anyway.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let listed: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .flat_map(|value| value.as_bytes().split(|b| *b == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect();
    for name in listed {
        headers.remove(name);
    }
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}

fn remove(headers: &mut HeaderMap, unwanted: impl Fn(&HeaderName) -> bool) {
    let names: Vec<HeaderName> = headers.keys().filter(|name| unwanted(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// The cookies that are not ours; `None` when none is left.
fn other_cookies(header: &HeaderValue) -> Option<HeaderValue> {
    let crumbs =
        || header.as_bytes().split(|b| *b == b';').map(<[u8]>::trim_ascii).filter(|crumb| !crumb.is_empty());
    if !crumbs().any(is_own_cookie) {
        return Some(header.clone());
    }
    let others: Vec<&[u8]> = crumbs().filter(|crumb| !is_own_cookie(crumb)).collect();
    if others.is_empty() { None } else { HeaderValue::from_bytes(&others.join(&b"; "[..])).ok() }
}

/// A browser sends the value of a cookie without a name as it is, `=` and all that is in it: as any cookie it likes.
fn is_nameless(set_cookie: &[u8]) -> bool {
    let pair = set_cookie.split(|b| *b == b';').next().unwrap_or_default();
    pair.iter().position(|b| *b == b'=').is_none_or(|at| pair[..at].trim_ascii().is_empty())
}

/// Browsers do not regard case in the `__Host-` prefix, so it is not regarded here.
fn is_own_cookie(cookie: &[u8]) -> bool {
    let cookie = cookie.trim_ascii();
    COOKIE_PREFIXES.iter().any(|prefix| {
        cookie.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix.as_bytes()))
    })
}

/// Says who is calling. What cannot stand in a header is left out, as is what is not known.
///
/// Without the subject the backend would take the user for nobody, so that is an error.
pub(super) fn set_identity(headers: &mut HeaderMap, caller: &Caller) -> Result<(), ProxyError> {
    let subject = Some(caller.subject()).filter(|subject| !subject.is_empty()).and_then(header_value);
    let subject = subject.ok_or(ProxyError::SubjectNotPassed)?;
    headers.insert(X_FORWARDED_USER, subject);
    let scope = caller.scopes().to_string();
    let known = [
        (X_FORWARDED_EMAIL, caller.email()),
        (X_FORWARDED_PREFERRED_USERNAME, caller.preferred_username()),
        (X_FORWARDED_CLIENT, Some(caller.client_id())),
        (X_FORWARDED_SCOPE, Some(scope.as_str())),
    ];
    for (name, value) in known {
        match value.map(header_value) {
            Some(Some(value)) => {
                headers.insert(name, value);
            }
            Some(None) => tracing::warn!(header = %name, "left out: its value cannot stand in a header"),
            None => {}
        }
    }
    Ok(())
}

/// Says who is calling so that a backend can check it.
pub(super) fn set_assertion(headers: &mut HeaderMap, assertion: &Secret) -> Result<(), ProxyError> {
    let value = HeaderValue::from_str(assertion.expose_secret());
    let mut value = value.map_err(|_| ProxyError::AssertionTooLong)?;
    value.set_sensitive(true);
    headers.insert(X_MCP_LOGIN_ASSERTION, value);
    Ok(())
}

/// Says where the request came from. The chain of `X-Forwarded-For` starts here: what a client sent proves nothing.
pub(super) fn set_origin(
    headers: &mut HeaderMap,
    peer: Option<SocketAddr>,
    scheme: &'static str,
    host: &HeaderValue,
) {
    if let Some(peer) = peer
        && let Ok(address) = HeaderValue::try_from(peer.ip().to_canonical().to_string())
    {
        headers.insert(X_FORWARDED_FOR, address);
    }
    headers.insert(X_FORWARDED_PROTO, HeaderValue::from_static(scheme));
    headers.insert(X_FORWARDED_HOST, host.clone());
}

#[cfg(test)]
mod tests;
