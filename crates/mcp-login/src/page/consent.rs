//! The page that asks a person whether a client may act for them.

use std::net::IpAddr;

use askama::Template;
use url::{Host, Url};

use super::untrusted::Shown;
use super::{rendered, shown};

/// The longest client name that is shown whole, in characters.
pub(super) const MAX_NAME: usize = 64;
/// The longest address that is shown whole, in characters.
pub(super) const MAX_ADDRESS: usize = 200;
/// The longest host that is shown whole, in characters.
const MAX_HOST: usize = 80;

/// The consent page. Shown before the person is sent to the upstream service: with one upstream `client_id` for all
/// clients, that service cannot tell them apart, and asking here is what keeps a stranger from riding on an earlier yes.
#[derive(Debug, Clone, Copy)]
pub struct ConsentPage<'a> {
    /// What the client calls itself (RFC 7591 §2 `client_name`). May be hostile; may be empty.
    pub client_name: &'a str,
    /// How the client is known, and so what its name is worth.
    pub client_source: ClientSource<'a>,
    /// The host of `client_uri`, when it has one. Nothing is ever fetched from it.
    pub client_host: Option<&'a str>,
    /// Where the browser goes with the code.
    pub redirect: RedirectTarget<'a>,
    /// The MCP server that is asked for: the OAuth `resource` (RFC 8707).
    pub resource: &'a str,
    /// What is asked for; may be empty.
    pub scopes: &'a [ScopeLine<'a>],
    /// The name of the service the person signs in to next, as people write it: "GitHub".
    pub upstream: &'a str,
    /// Where the form goes: an absolute path or address of this server.
    pub action: &'a str,
    /// Ties the answer to this page and this browser; sent back as `consent_token`.
    pub consent_token: &'a str,
}

/// How a client is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientSource<'a> {
    /// It registered itself (RFC 7591): anybody can, under any name.
    SelfRegistered,
    /// Its `client_id` is the address of a metadata document: the name is what that host says.
    Document {
        /// The host of the `client_id`.
        host: &'a str,
    },
    /// Whoever runs this server wrote it into the configuration.
    Configured,
}

/// Where the authorization response goes (OAuth 2.1 §4.1.2), as a person can judge it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectTarget<'a> {
    /// A site on the web: its host, with the port if it is not the scheme's own.
    Site(&'a str),
    /// Some program that listens on this computer (RFC 8252 §7.3): the host as written.
    Loopback(&'a str),
    /// Whatever app opens links of this scheme (RFC 8252 §7.1).
    App(&'a str),
}

impl<'a> RedirectTarget<'a> {
    /// What this redirect URI means to a person. Never the whole of it: a long path could push the host out of sight.
    #[must_use]
    pub fn of(redirect_uri: &'a Url) -> Self {
        let host = redirect_uri.host_str().unwrap_or_default();
        match redirect_uri.scheme() {
            "http" if is_loopback(redirect_uri) => Self::Loopback(host),
            "http" | "https" => {
                Self::Site(&redirect_uri[url::Position::BeforeHost..url::Position::AfterPort])
            }
            scheme => Self::App(scheme),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(domain)) => domain == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::V4(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::V6(ip).is_loopback(),
        None => false,
    }
}

/// One scope that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ScopeLine<'a> {
    /// The scope token (RFC 6749 §3.3).
    pub name: &'a str,
    /// What it lets the client do, in words; the operator's.
    pub description: Option<&'a str>,
}

impl ConsentPage<'_> {
    /// The whole page, as HTML.
    #[must_use]
    pub fn render(&self) -> String {
        let mut name = shown(self.client_name, MAX_NAME);
        if name.text.is_empty() {
            "A program that gives no name".clone_into(&mut name.text);
        }
        rendered(&ConsentView {
            place: place(self.resource),
            initial: initial(&name.text),
            name,
            mark: Mark::of(self.client_source),
            client_host: self.client_host.map(host),
            back: Back::of(self.redirect),
            resource: shown(self.resource, MAX_ADDRESS).text,
            scopes: self.scopes.iter().map(ScopeView::of).collect(),
            caution: caution(self.redirect),
            upstream: shown(self.upstream, 40).text,
            action: self.action,
            consent_token: self.consent_token,
        })
    }
}

/// A host that is too long loses its front: whose it is stands at the end.
pub(super) fn host(text: &str) -> String {
    let whole = shown(text, 2000).text;
    match whole.char_indices().rev().nth(MAX_HOST) {
        Some((cut, c)) => format!("…{}", &whole[cut + c.len_utf8()..]),
        None => whole,
    }
}

/// The host of the resource, for the small line above the title.
pub(super) fn place(resource: &str) -> String {
    let url = Url::parse(resource).ok();
    host(url.as_ref().map_or(resource, |url| &url[url::Position::BeforeHost..url::Position::AfterPort]))
}

/// A letter to stand where a logo would: logos are not fetched, they would tell a stranger who is logging in.
pub(super) fn initial(name: &str) -> String {
    name.chars().find(|c| c.is_alphanumeric()).map_or_else(|| "?".to_owned(), |c| c.to_uppercase().collect())
}

fn caution(redirect: RedirectTarget<'_>) -> &'static str {
    match redirect {
        RedirectTarget::Site(_) => "Continue only if you asked for this connection yourself.",
        RedirectTarget::Loopback(_) | RedirectTarget::App(_) => {
            "Any program on this computer could be waiting there, so continue only if you have just started this yourself."
        }
    }
}

/// What the client's name is worth.
struct Mark {
    class: &'static str,
    warns: bool,
    label: &'static str,
    text_before: &'static str,
    host: Option<String>,
    text_after: &'static str,
}

impl Mark {
    fn of(source: ClientSource<'_>) -> Self {
        match source {
            ClientSource::SelfRegistered => Self {
                class: "unverified",
                warns: true,
                label: "Unverified",
                text_before: "The name is what the program says of itself.",
                host: None,
                text_after: "",
            },
            ClientSource::Document { host: site } => Self {
                class: "neutral",
                warns: false,
                label: "Described by its site",
                text_before: "The name is what ",
                host: Some(host(site)),
                text_after: " says of it.",
            },
            ClientSource::Configured => Self {
                class: "known",
                warns: false,
                label: "Known here",
                text_before: "Set up by whoever runs this server.",
                host: None,
                text_after: "",
            },
        }
    }
}

/// Where the browser goes, with the words around it.
struct Back {
    before: &'static str,
    place: String,
    after: &'static str,
}

impl Back {
    fn of(redirect: RedirectTarget<'_>) -> Self {
        match redirect {
            RedirectTarget::Site(site) => Self { before: "", place: host(site), after: "" },
            RedirectTarget::Loopback(name) => {
                Self { before: "a program on this computer (", place: host(name), after: ")" }
            }
            RedirectTarget::App(scheme) => {
                let place = format!("{}:", shown(scheme, MAX_HOST).text);
                Self { before: "the app that opens ", place, after: " links" }
            }
        }
    }
}

struct ScopeView {
    name: String,
    description: Option<String>,
}

impl ScopeView {
    fn of(scope: &ScopeLine<'_>) -> Self {
        Self {
            name: shown(scope.name, 100).text,
            description: scope.description.map(|text| shown(text, 200).text).filter(|text| !text.is_empty()),
        }
    }
}

#[derive(Template)]
#[template(path = "consent.html")]
struct ConsentView<'a> {
    place: String,
    initial: String,
    name: Shown,
    mark: Mark,
    client_host: Option<String>,
    back: Back,
    resource: String,
    scopes: Vec<ScopeView>,
    caution: &'static str,
    upstream: String,
    action: &'a str,
    consent_token: &'a str,
}
