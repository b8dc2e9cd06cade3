//! The configuration in types that cannot be wrong.

mod access;
mod allowed;
mod assertion;
mod backend;
mod clients;
mod command;
mod limits;
mod mcp;
mod own;
mod public_url;
mod static_client;
pub(super) mod store;
mod tokens;
mod transport;
mod trusted_issuers;
mod upstream;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};

use axum::http::HeaderName;

pub use access::AccessRule;
pub use backend::{BackendConfig, BackendUrl};
pub use clients::ClientsConfig;
pub use command::CommandConfig;
pub use limits::LimitsConfig;
pub use mcp::{Auth, Backend, McpConfig, McpPath, OWN_PATHS};
pub use public_url::PublicUrl;
pub use static_client::StaticClientConfig;
pub use store::StoreConfig;
pub use tokens::Lifetimes;
pub use transport::Transport;
pub use trusted_issuers::TrustedIssuer;
pub use upstream::{ClientAuth, Pkce, UpstreamConfig};

use super::fault::Faults;
use super::secret::Places;
use super::{check, raw, suggest};
use crate::rebinding::{Hosts, Origins, is_loopback};

/// What is judged against.
#[derive(Debug)]
pub struct Context<'a> {
    /// Where secrets are fetched from.
    pub places: Places<'a>,
    /// The names that `upstream.provider` may have.
    pub providers: &'a [&'a str],
}

/// A configuration without faults.
#[derive(Debug, Clone)]
pub struct Config {
    /// The issuer; every public URL starts with it.
    pub public_url: PublicUrl,
    /// Where the gateway listens.
    pub listen: SocketAddr,
    /// The header in which the proxy in front tells the client's address, for rate limits.
    pub client_address_header: Option<HeaderName>,
    /// By whose name it may be asked.
    pub allowed_hosts: Hosts,
    /// Whose pages may call the MCP servers.
    pub allowed_origins: Origins,
    /// Where grants are kept.
    pub store: StoreConfig,
    /// The services that users sign in to, by their name; that of `[upstream]` is empty.
    pub upstreams: BTreeMap<String, UpstreamConfig>,
    /// Who may finish a login.
    pub access: AccessRule,
    /// Whose identity assertions are taken.
    pub trusted_issuers: Vec<TrustedIssuer>,
    /// Which clients may ask.
    pub clients: ClientsConfig,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// How much there may be of everything.
    pub limits: LimitsConfig,
    /// The protected MCP servers: at least one, on paths that do not overlap.
    pub mcp: Vec<McpConfig>,
}

impl Config {
    /// Judges all of it. `None` only when there are faults.
    pub(super) fn judge(raw: raw::Config, context: &Context<'_>, faults: &mut Faults) -> Option<Self> {
        let public_url = PublicUrl::judge(raw.public_url, faults);
        let listen = listen(raw.listen.as_deref(), faults);
        if raw.admin_listen.is_some() {
            faults.not_yet("admin_listen", "leave it out; /healthz and /readyz are on the main listener");
        }
        let client_address_header = client_address_header(raw.client_address_header.as_deref(), faults);
        let allowed_hosts = allowed::hosts(raw.allowed_hosts, public_url.as_ref(), faults);
        let allowed_origins = allowed::origins(raw.allowed_origins, public_url.as_ref(), faults);
        let store = store::judge(raw.store.unwrap_or_default(), context, faults);
        if raw.upstream.is_none() && raw.upstreams.is_empty() {
            faults.missing("upstream", "the service people sign in to; write [upstream] with its provider");
        }
        let names: Vec<&str> = raw.upstreams.keys().map(String::as_str).collect();
        for (n, mcp) in raw.mcp.iter().enumerate() {
            if let Some(name) = mcp.upstream.as_deref().filter(|name| !names.contains(name)) {
                let hint = suggest::hint(name, names.iter().copied());
                faults.push(
                    format!("mcp[{n}].upstream"),
                    format!("there is no [upstreams.NAME] of this name{hint}"),
                );
            }
        }
        let upstreams = upstreams(raw.upstream, raw.upstreams, context, faults);
        let several = upstreams.as_ref().is_some_and(|upstreams| upstreams.len() > 1);
        let access = access::judge(raw.access.unwrap_or_default(), several, faults);
        let trusted_issuers = trusted_issuers::judge(raw.trusted_issuers, faults);
        let clients = clients::judge(raw.clients, context, faults);
        let lifetimes = tokens::judge(raw.tokens, faults);
        let at_addresses = raw.mcp.iter().filter(|mcp| mcp.command.is_none()).count();
        let limits = limits::judge(raw.limits, at_addresses, faults);
        let mcp = mcp::judge(raw.mcp, faults);
        if several {
            assertion::check_people(mcp.as_deref().unwrap_or_default(), faults);
        }
        for (n, server) in mcp.iter().flatten().enumerate() {
            let Backend::Urls(BackendConfig { urls, .. }) = &server.backend else { continue };
            for (at, url) in urls.iter().enumerate() {
                if let Some(own) = own::is_own(url.as_url(), listen, public_url.as_ref()) {
                    let message = format!("is this gateway's own {own}: it would call itself");
                    faults.push(backend::key_of(&format!("mcp[{n}].backend"), at, urls.len()), message);
                }
            }
        }
        Some(Self {
            public_url: public_url?,
            listen: listen?,
            client_address_header,
            allowed_hosts,
            allowed_origins,
            store: store?,
            upstreams: upstreams?,
            access,
            trusted_issuers,
            clients,
            lifetimes: lifetimes?,
            limits: limits?,
            mcp: mcp?,
        })
    }
}

/// `None` when any of them cannot be used.
fn upstreams(
    one: Option<raw::Upstream>,
    several: BTreeMap<String, raw::Upstream>,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<BTreeMap<String, UpstreamConfig>> {
    let one = one.map(|upstream| (String::new(), "upstream".to_owned(), upstream));
    let several =
        several.into_iter().map(|(name, upstream)| (name.clone(), check::join("upstreams", &name), upstream));
    let all: Vec<_> = one.into_iter().chain(several).collect();
    let judged: Vec<_> = all
        .into_iter()
        .map(|(name, section, upstream)| Some((name, upstream::judge(upstream, &section, context, faults)?)))
        .collect();
    judged.into_iter().collect::<Option<BTreeMap<_, _>>>().filter(|upstreams| !upstreams.is_empty())
}

fn client_address_header(written: Option<&str>, faults: &mut Faults) -> Option<HeaderName> {
    let written = written?;
    let name = HeaderName::from_bytes(written.as_bytes()).ok();
    if name.is_none() {
        faults.push("client_address_header", "not a header name: write \"X-Forwarded-For\"");
    }
    name
}

fn listen(written: Option<&str>, faults: &mut Faults) -> Option<SocketAddr> {
    let Some(written) = written else { return Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))) };
    let address = written.parse().ok();
    if address.is_none() {
        faults
            .push("listen", "not an address: write IP:PORT, such as \"127.0.0.1:8080\" or \"0.0.0.0:8080\"");
    }
    address
}

/// A URL of the scheme http or https that names a host, without userinfo and fragment. The message says what is wrong.
fn check_http_url(written: &str) -> Result<url::Url, &'static str> {
    if written.bytes().any(|b| b <= b' ' || b == b'\\' || b == 0x7F) {
        return Err("holds a space, a backslash or a control character");
    }
    let url: url::Url = written.parse().map_err(|_| "not a URL: write https://host/path")?;
    if !matches!(url.scheme(), "http" | "https") || !written.contains("://") {
        return Err("not an http or https URL");
    }
    // An empty userinfo (`https://@host`) leaves no trace in the parsed URL, so the text is looked at.
    if authority(written).contains('@') {
        return Err("holds a user name or password: take it out");
    }
    if url.fragment().is_some() {
        return Err("holds a fragment: take out # and what follows");
    }
    if url.port() == Some(0) {
        return Err("names port 0");
    }
    Ok(url)
}

/// What stands between `://` and the path.
fn authority(written: &str) -> &str {
    let rest = written.split_once("://").map_or("", |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Adds a fault for every entry of a list that `check` refuses, and gives the accepted ones.
fn each<T>(
    written: Vec<String>,
    key: &str,
    faults: &mut Faults,
    check: impl Fn(&str) -> Result<T, String>,
) -> Vec<T> {
    let mut accepted = Vec::with_capacity(written.len());
    for (n, entry) in written.into_iter().enumerate() {
        match check(&entry) {
            Ok(value) => accepted.push(value),
            Err(message) => faults.push(format!("{key}[{n}]"), message),
        }
    }
    accepted
}
