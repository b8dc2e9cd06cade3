//! `[clients]`: which clients may ask.

use mcp_login::core::client::DocumentHosts;
use mcp_login::core::client::redirect_uri::is_private_use_scheme;

use super::static_client::{self, StaticClientConfig};
use super::{Context, each};
use crate::config::fault::Faults;
use crate::config::raw;

/// Which clients may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientsConfig {
    /// Hosts of redirect URIs, in lower case, IPv6 in brackets; `*` is any https host. `None`: the known clients'.
    pub redirect_hosts: Option<Vec<String>>,
    /// Private-use schemes of redirect URIs (RFC 8252 §7.1), in lower case. `None`: the known clients'.
    pub redirect_schemes: Option<Vec<String>>,
    /// RFC 7591.
    pub registration: bool,
    /// Client ID Metadata Documents.
    pub metadata_documents: bool,
    /// `host` or `host:port` whose documents may be fetched from private addresses and without https.
    pub metadata_document_hosts: Vec<String>,
    /// The clients that are set up by hand.
    pub static_clients: Vec<StaticClientConfig>,
}

pub(super) fn judge(raw: raw::Clients, context: &Context<'_>, faults: &mut Faults) -> ClientsConfig {
    let without_static = raw.r#static.is_empty();
    let static_clients = static_client::judge_all(raw.r#static, context, faults);
    let registration = raw.registration.unwrap_or(true);
    let metadata_documents = raw.metadata_documents.unwrap_or(true);
    if !registration && !metadata_documents && without_static {
        faults.warn(
            "clients.registration",
            "without registration, metadata documents and [[clients.static]] no client can log in",
        );
    }
    ClientsConfig {
        redirect_hosts: raw
            .redirect_hosts
            .map(|hosts| each(hosts, "clients.redirect_hosts", faults, check_host)),
        redirect_schemes: raw
            .redirect_schemes
            .map(|schemes| each(schemes, "clients.redirect_schemes", faults, check_scheme)),
        registration,
        metadata_documents,
        metadata_document_hosts: each(
            raw.metadata_document_hosts.unwrap_or_default(),
            "clients.metadata_document_hosts",
            faults,
            check_document_host,
        ),
        static_clients,
    }
}

fn check_host(written: &str) -> Result<String, String> {
    if written == "*" {
        return Ok(written.to_owned());
    }
    if written.contains('*') {
        return Err("a host is whole: write each one, or \"*\" alone for any https host".to_owned());
    }
    if written.contains("://") {
        return Err("only the host, without scheme and path".to_owned());
    }
    match url::Host::parse(written) {
        // Parsing tells what is a host; a different spelling (`0x7f.1`, a port) would never match anything.
        Ok(host) if host.to_string().eq_ignore_ascii_case(written) => Ok(host.to_string()),
        _ => Err("not a host: write \"example.com\", \"127.0.0.1\" or \"[::1]\", without a port".to_owned()),
    }
}

fn check_document_host(written: &str) -> Result<String, String> {
    DocumentHosts::default().insert(written).map_err(|error| error.to_string())?;
    Ok(written.to_owned())
}

/// RFC 3986 §3.1.
fn check_scheme(written: &str) -> Result<String, String> {
    let scheme = written.to_ascii_lowercase();
    let letters = scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b));
    if !letters || !scheme.starts_with(|c: char| c.is_ascii_lowercase()) {
        return Err("not a scheme: write \"cursor\", without colon and slashes".to_owned());
    }
    if !is_private_use_scheme(&scheme) {
        return Err("not a private-use scheme of a native app (RFC 8252 §7.1)".to_owned());
    }
    Ok(scheme)
}
