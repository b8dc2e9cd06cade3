//! What more than one target holds the rules against. It is written from the RFCs and not from the code under test,
//! so that a mistake there is not made here again.

use mcp_login_core::OAuthError;
use mcp_login_core::client::RedirectPolicy;
use url::{Host, Url};

/// Hosts of the policy that most targets use.
pub const HOSTS: [&str; 4] = ["claude.ai", "localhost", "127.0.0.1", "[::1]"];
/// Its private-use schemes, and two that no list can open.
pub const SCHEMES: [&str; 3] = ["cursor", "javascript", "http"];

/// An operator's policy with names, and one that opens every site with https.
#[must_use]
pub fn policies() -> [RedirectPolicy; 2] {
    [RedirectPolicy::new(HOSTS, SCHEMES), RedirectPolicy::new(["*"], SCHEMES)]
}

/// RFC 6749 §5.2: what may stand in `error` and `error_description`.
///
/// # Panics
/// When something else does.
pub fn assert_error(error: &OAuthError) {
    let allowed = |b: u8| (0x20..=0x7E).contains(&b) && b != b'"' && b != b'\\';
    assert!(!error.description.is_empty() && error.description.len() < 400, "{error:?}");
    assert!(error.description.bytes().all(allowed), "{error:?}");
    assert!(error.code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{error:?}");
    assert!((400..500).contains(&error.code.status()), "no input is the server's fault: {error:?}");
}

/// A URI that may be redirected to under [`HOSTS`] and [`SCHEMES`], or under `*` (RFC 8252, RFC 9700 §4.1).
///
/// # Panics
/// When it may not.
pub fn assert_redirectable(uri: &str, any_site: bool) {
    assert!(!uri.is_empty() && uri.len() <= 2048, "bounds: {uri:?}");
    assert!(uri.bytes().all(|b| b.is_ascii_graphic()), "visible ASCII: {uri:?}");
    assert!(!uri.contains(['#', '\\', '"', '<', '>']), "{uri:?}");
    let parsed = Url::parse(uri).expect("an absolute URI");
    assert!(
        parsed.fragment().is_none() && parsed.username().is_empty() && parsed.password().is_none(),
        "{uri}"
    );
    let host = parsed.host_str().unwrap_or_default();
    match parsed.scheme() {
        "https" => {
            assert!(!authority(uri).contains('@'), "user information: {uri}");
            let local = match parsed.host() {
                Some(Host::Domain(name)) => {
                    format!(".{}", name.trim_end_matches('.')).ends_with(".localhost")
                }
                _ => true,
            };
            assert!(if any_site { !local } else { HOSTS.contains(&host) }, "{uri}");
        }
        "http" => {
            assert!(!authority(uri).contains('@'), "user information: {uri}");
            assert!(!any_site && matches!(host, "localhost" | "127.0.0.1" | "[::1]"), "not loopback: {uri}");
            assert!(uri.starts_with(&format!("http://{host}")), "another spelling: {uri}");
        }
        scheme => assert_eq!(scheme, "cursor", "{uri}"),
    }
}

/// What stands between `//` and the path, by hand.
fn authority(uri: &str) -> &str {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether two URIs are the same byte for byte, or differ in nothing but the port of a loopback host
/// (RFC 8252 §7.3); an empty path is `/` there.
#[must_use]
pub fn is_same_but_for_loopback_port(registered: &str, requested: &str) -> bool {
    if registered == requested {
        return true;
    }
    let without_port = |uri: &str| {
        let authority = authority(uri);
        let host = match authority.rsplit_once(':') {
            Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
            _ => authority,
        };
        let loopback = uri.starts_with("http://") && ["localhost", "127.0.0.1", "[::1]"].contains(&host);
        let path = uri.get("http://".len() + authority.len()..).filter(|_| loopback)?;
        Some(format!("{host} {}", if path.is_empty() { "/" } else { path }))
    };
    without_port(registered).is_some_and(|registered| without_port(requested) == Some(registered))
}

/// The decoded values of a parameter, as another parser reads them.
#[must_use]
pub fn values(encoded: &[u8], name: &str) -> Vec<String> {
    let pairs = url::form_urlencoded::parse(encoded);
    pairs.filter(|(held, _)| held == name).map(|(_, value)| value.into_owned()).collect()
}

/// Whether any parameter but `resource` is there twice, as another parser reads them.
#[must_use]
pub fn has_duplicates(encoded: &[u8]) -> bool {
    let mut seen = std::collections::BTreeSet::new();
    url::form_urlencoded::parse(encoded)
        .any(|(name, _)| name != "resource" && !seen.insert(name.into_owned()))
}
