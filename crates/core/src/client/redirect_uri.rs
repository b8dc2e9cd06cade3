//! Redirect URIs: which ones a client may register, and which one a request may name (RFC 8252, OAuth 2.1 §2.3).

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// The longest redirect URI, in bytes.
pub const MAX_LENGTH: usize = 2048;

/// Where answers to an authorization request may be sent: registered by the client and allowed by the operator. Only
/// [`check_redirect_uri`] makes one, or the sealed record that one was kept in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct VerifiedRedirectUri(String);

/// Why a redirect URI is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedirectUriError {
    /// Not an absolute URI in ASCII, too long, or with a fragment, user information or a backslash.
    #[error("a redirect URI is an absolute URI without fragment, user information or backslash")]
    Malformed,
    /// Plain http to a host that is not this machine.
    #[error("a redirect URI with http is for loopback hosts only; use https")]
    InsecureHttp,
    /// The host or scheme is not on the operator's list.
    #[error(
        "the redirect URI's host or scheme is not allowed here; the operator can add it to clients.redirect_hosts or clients.redirect_schemes"
    )]
    NotAllowed,
    /// The client did not register it.
    #[error("the redirect URI is not one that the client registered")]
    NotRegistered,
    /// The request names none and the client has several.
    #[error("the request has to name one of the client's redirect URIs")]
    Missing,
}

/// What the operator lets clients redirect to: `[clients]` of the configuration.
#[derive(Debug, Clone, Default)]
pub struct RedirectPolicy {
    hosts: BTreeSet<String>,
    any_https_host: bool,
    schemes: BTreeSet<String>,
    unrestricted: bool,
}

/// Schemes that are no native app's: of the web, or those that make a browser run or show something.
const NO_APPS_SCHEMES: [&str; 14] = [
    "http",
    "https",
    "javascript",
    "data",
    "file",
    "vbscript",
    "blob",
    "about",
    "view-source",
    "filesystem",
    "ws",
    "wss",
    "ftp",
    "mailto",
];

/// Whether a scheme can be the private-use scheme of a native app (RFC 8252 §7.1).
#[must_use]
pub fn is_private_use_scheme(scheme: &str) -> bool {
    !NO_APPS_SCHEMES.contains(&scheme.to_ascii_lowercase().as_str())
}

impl RedirectPolicy {
    /// From the lists of the configuration: hosts (`*` is any host with https) and private-use schemes.
    pub fn new(
        hosts: impl IntoIterator<Item = impl AsRef<str>>,
        schemes: impl IntoIterator<Item = impl AsRef<str>>,
    ) -> Self {
        let hosts: BTreeSet<String> =
            hosts.into_iter().map(|host| host.as_ref().to_ascii_lowercase()).collect();
        let schemes = schemes
            .into_iter()
            .map(|scheme| scheme.as_ref().to_ascii_lowercase())
            .filter(|scheme| is_private_use_scheme(scheme))
            .collect();
        Self { any_https_host: hosts.contains("*"), hosts, schemes, unrestricted: false }
    }

    /// For clients that the operator has set up: every host and scheme, but no form that could be read in two ways.
    #[must_use]
    pub fn unrestricted() -> Self {
        Self { unrestricted: true, ..Self::default() }
    }

    /// Whether the operator allows this redirect URI for any client at all.
    pub fn check_allowed(&self, uri: &str) -> Result<(), RedirectUriError> {
        let parsed = parse(uri)?;
        let host = parsed.host_str().unwrap_or_default();
        let allowed = match parsed.scheme() {
            "https" => (self.any_https_host && is_public_name(&parsed)) || self.hosts.contains(host),
            "http" if Loopback::parse(uri).is_none() => return Err(RedirectUriError::InsecureHttp),
            "http" => self.hosts.contains(host),
            scheme => self.schemes.contains(scheme),
        };
        if allowed || self.unrestricted { Ok(()) } else { Err(RedirectUriError::NotAllowed) }
    }
}

/// `*` opens every site, not the machines around the server.
fn is_public_name(uri: &Url) -> bool {
    matches!(uri.host(), Some(Host::Domain(_))) && !is_loopback(uri)
}

/// Whether it leads to this computer, whatever the scheme: then any program may be listening.
fn is_loopback(uri: &Url) -> bool {
    match uri.host() {
        Some(Host::Domain(name)) => {
            let name = name.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn parse(uri: &str) -> Result<Url, RedirectUriError> {
    let visible =
        uri.bytes().all(|b| (0x21..=0x7E).contains(&b) && !matches!(b, b'\\' | b'"' | b'<' | b'>' | b'#'));
    if uri.len() > MAX_LENGTH || !visible {
        return Err(RedirectUriError::Malformed);
    }
    let parsed = Url::parse(uri).map_err(|_| RedirectUriError::Malformed)?;
    // As text: to a URL parser an empty user is none, and a reader by eye may take what stands before the `@` for the host.
    let has_user = uri
        .split_once("://")
        .is_some_and(|(_, rest)| rest.split(['/', '?']).next().is_some_and(|host| host.contains('@')));
    let has_user = has_user || !parsed.username().is_empty() || parsed.password().is_some();
    let is_web = matches!(parsed.scheme(), "http" | "https");
    let has_slashes = uri.get(parsed.scheme().len()..).is_some_and(|rest| rest.starts_with("://"));
    if has_user || (is_web && !has_slashes) || !(is_web || is_private_use_scheme(parsed.scheme())) {
        return Err(RedirectUriError::Malformed);
    }
    Ok(parsed)
}

/// A loopback redirect URI taken apart as text, so that no two readings of it can differ.
#[derive(PartialEq, Eq)]
struct Loopback<'a> {
    host: &'a str,
    path_and_query: &'a str,
}

impl<'a> Loopback<'a> {
    fn parse(uri: &'a str) -> Option<Self> {
        let rest = uri.strip_prefix("http://")?;
        let host = ["localhost", "127.0.0.1", "[::1]"].into_iter().find(|host| rest.starts_with(host))?;
        let (host, rest) = rest.split_at_checked(host.len())?;
        let rest = match rest.strip_prefix(':') {
            None => rest,
            Some(port_on) => {
                let end = port_on.bytes().position(|b| !b.is_ascii_digit()).unwrap_or(port_on.len());
                let (port, rest) = port_on.split_at_checked(end)?;
                port.parse::<u16>().ok()?;
                rest
            }
        };
        match rest.as_bytes().first() {
            None => Some(Self { host, path_and_query: "/" }),
            Some(b'/') => Some(Self { host, path_and_query: rest }),
            Some(_) => None,
        }
    }
}

/// Whether a requested URI is a registered one: the same bytes, but for the port on loopback, which a native app
/// learns only when it runs (RFC 8252 §7.3).
fn is_same(registered: &str, requested: &str) -> bool {
    match (Loopback::parse(registered), Loopback::parse(requested)) {
        (Some(registered), Some(requested)) => registered == requested,
        (None, None) => registered == requested,
        _ => false,
    }
}

/// The redirect URI of an authorization request (OAuth 2.1 §4.1.1): registered by the client and still allowed.
pub fn check_redirect_uri(
    requested: Option<&str>,
    registered: &[String],
    policy: &RedirectPolicy,
) -> Result<VerifiedRedirectUri, RedirectUriError> {
    let uri = match (requested, registered) {
        (Some(uri), _) => uri,
        (None, [only]) => only,
        (None, _) => return Err(RedirectUriError::Missing),
    };
    parse(uri)?;
    if !registered.iter().any(|registered| is_same(registered, uri)) {
        return Err(RedirectUriError::NotRegistered);
    }
    policy.check_allowed(uri)?;
    Ok(VerifiedRedirectUri(uri.to_owned()))
}

impl VerifiedRedirectUri {
    /// The URI, byte for byte as the client sent it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it leads to a web site, and not to whatever program listens on this computer or opens such links.
    #[must_use]
    pub fn is_website(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| url.scheme() == "https" && !is_loopback(&url))
    }

    /// The URI with these parameters added to its query (RFC 6749 §4.1.2).
    #[must_use]
    pub fn with_params(&self, params: &[(&str, &str)]) -> String {
        let mut encoded = url::form_urlencoded::Serializer::new(String::new());
        encoded.extend_pairs(params);
        let encoded = encoded.finish();
        let joint = match self.0.split_once('?') {
            None => "?",
            Some((_, query)) if query.is_empty() || query.ends_with('&') => "",
            Some(_) => "&",
        };
        format!("{}{joint}{encoded}", self.0)
    }
}

#[cfg(test)]
#[path = "redirect_uri/tests.rs"]
mod tests;
