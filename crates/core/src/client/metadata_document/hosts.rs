//! [`DocumentHosts`]: the hosts whose documents the operator vouches for.

use url::Url;

/// Hosts that documents may be fetched from without https and at private addresses: for closed networks and tests.
/// Documents of every other host are fetched from public addresses by https only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DocumentHosts(Vec<DocumentHost>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct DocumentHost {
    /// In lower case, IPv6 in brackets.
    host: String,
    /// Without one, the scheme's own.
    port: Option<u16>,
}

/// Not a host with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a host: write \"clients.example.com\" or \"10.0.0.5:8443\", without scheme and path")]
pub struct InvalidDocumentHost;

impl DocumentHosts {
    /// One more: `host` or `host:port`.
    ///
    /// # Errors
    /// When it is not a host, or is not spelled plainly.
    pub fn insert(&mut self, written: &str) -> Result<(), InvalidDocumentHost> {
        let parse =
            |scheme: &str| Url::parse(&format!("{scheme}://{written}/")).map_err(|_| InvalidDocumentHost);
        // A URL does not keep the default port of its scheme: of the two, one tells.
        let (https, http) = (parse("https")?, parse("http")?);
        let port = https.port().or(http.port());
        let host = https.host_str().ok_or(InvalidDocumentHost)?.to_owned();
        let plain = match port {
            Some(port) => format!("{host}:{port}"),
            None => host.clone(),
        };
        if written.contains('*') || !plain.eq_ignore_ascii_case(written) {
            return Err(InvalidDocumentHost);
        }
        self.0.push(DocumentHost { host, port });
        Ok(())
    }

    /// Whether the operator has named the host and port of this URL.
    #[must_use]
    pub fn contains(&self, url: &Url) -> bool {
        self.0.iter().any(|named| {
            let port = named.port.is_none_or(|port| url.port_or_known_default() == Some(port));
            Some(named.host.as_str()) == url.host_str()
                && port
                && (named.port.is_some() || url.port().is_none())
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn named(entry: &str, url: &str) -> bool {
        let mut hosts = DocumentHosts::default();
        hosts.insert(entry).unwrap();
        hosts.contains(&Url::parse(url).unwrap())
    }

    #[test]
    fn exactly_this_host_and_port() {
        assert!(named("10.0.0.5:8443", "http://10.0.0.5:8443/x"));
        assert!(!named("10.0.0.5:8443", "http://10.0.0.5/x"));
        assert!(!named("10.0.0.5:8443", "http://10.0.0.5:8444/x"));
        assert!(!named("10.0.0.5:8443", "http://10.0.0.6:8443/x"));
        assert!(named("[::1]:80", "http://[::1]/x"));
        assert!(named("a.example:443", "https://a.example/x"));
        assert!(!named("a.example:443", "http://a.example/x"));
        assert!(named("A.example", "https://a.example/x"));
        assert!(named("a.example", "http://a.example/x"));
        assert!(!named("a.example", "https://a.example:8443/x"));
        assert!(!named("a.example", "https://b.a.example/x"));
        assert!(!DocumentHosts::default().contains(&Url::parse("https://a.example/x").unwrap()));
    }

    #[test]
    fn what_is_not_a_host_is_refused() {
        for wrong in
            ["", "*", "http://a", "a/b", "a:b", "a:99999", "u@a", "0x7f.1", "a b", "a?b", "::1", "a:"]
        {
            assert_eq!(DocumentHosts::default().insert(wrong), Err(InvalidDocumentHost), "{wrong}");
        }
    }
}
