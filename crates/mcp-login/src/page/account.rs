//! The page on which a person sees what is connected in their name, and disconnects it.

use askama::Template;
use mcp_login_core::Timestamp;

use super::consent::{MAX_ADDRESS, MAX_NAME, host, initial, place};
use super::moment::Moment;
use super::untrusted::Shown;
use super::{ClientSource, rendered, shown};

/// The longest name of a service, in characters.
const MAX_SERVICE: usize = 40;

/// The account page: an offer to sign in as long as nobody has.
#[derive(Debug, Clone, Copy)]
pub struct AccountPage<'a> {
    /// The address of the page: its forms go to paths below it.
    pub url: &'a str,
    /// Who has signed in, at which service.
    pub people: &'a [SignedIn<'a>],
    /// What is connected in their name, in the order in which it is shown.
    pub connections: &'a [Connection<'a>],
    /// Whether there is more than is shown.
    pub more: bool,
    /// The services at which one can sign in, too.
    pub services: &'a [Service<'a>],
    /// Ties the forms to this session; sent back as `form_token`. Without a session there is none.
    pub form_token: Option<&'a str>,
}

/// Somebody who has signed in.
#[derive(Debug, Clone, Copy)]
pub struct SignedIn<'a> {
    /// The name of the service, as people write it.
    pub service: &'a str,
    /// By what they know their account there.
    pub account: &'a str,
}

/// A service to sign in at.
#[derive(Debug, Clone, Copy)]
pub struct Service<'a> {
    /// Sent back as `upstream`.
    pub id: &'a str,
    /// Its name, as people write it.
    pub name: &'a str,
}

/// A program that is connected.
#[derive(Debug, Clone, Copy)]
pub struct Connection<'a> {
    /// Which one it is; sent back as `connection`.
    pub id: &'a str,
    /// What it is called; may be hostile, may be empty.
    pub client_name: &'a str,
    /// How it is known; `None` when it no longer is.
    pub client_source: Option<ClientSource<'a>>,
    /// The MCP server (RFC 8707).
    pub resource: &'a str,
    /// Since when.
    pub since: Timestamp,
    /// What it may do (RFC 6749 §3.3); may be empty.
    pub scopes: &'a [&'a str],
    /// In whose name, where that is not plain.
    pub person: Option<SignedIn<'a>>,
}

impl AccountPage<'_> {
    /// The whole page, as HTML.
    #[must_use]
    pub fn render(&self) -> String {
        let connections: Vec<_> = self.connections.iter().map(ConnectionView::of).collect();
        rendered(&AccountView {
            place: place(self.url),
            url: self.url,
            people: self.people.iter().map(PersonView::of).collect(),
            unverified: connections.iter().any(|connection| connection.mark.warns),
            connections,
            more: self.more,
            services: self.services.iter().map(ServiceView::of).collect(),
            form_token: self.form_token,
        })
    }
}

struct PersonView {
    service: String,
    account: String,
}

impl PersonView {
    fn of(person: &SignedIn<'_>) -> Self {
        Self {
            service: shown(person.service, MAX_SERVICE).text,
            account: shown(person.account, MAX_NAME).text,
        }
    }
}

struct ServiceView<'a> {
    id: &'a str,
    name: String,
}

impl<'a> ServiceView<'a> {
    fn of(service: &Service<'a>) -> Self {
        Self { id: service.id, name: shown(service.name, MAX_SERVICE).text }
    }
}

struct ConnectionView<'a> {
    id: &'a str,
    name: Shown,
    initial: String,
    mark: Mark,
    resource: String,
    since: String,
    since_exactly: String,
    scopes: Vec<String>,
    person: Option<PersonView>,
}

impl<'a> ConnectionView<'a> {
    fn of(connection: &Connection<'a>) -> Self {
        let mut name = match connection.client_source {
            Some(ClientSource::Document { host: site }) if connection.client_name.is_empty() => {
                Shown { text: host(site), shortened: false }
            }
            _ => shown(connection.client_name, MAX_NAME),
        };
        if name.text.is_empty() {
            let unnamed = match connection.client_source {
                Some(_) => "A program that gives no name",
                None => "A program that is no longer registered",
            };
            unnamed.clone_into(&mut name.text);
        }
        let since = Moment::from(connection.since);
        Self {
            id: connection.id,
            initial: initial(&name.text),
            name,
            mark: Mark::of(connection.client_source),
            resource: shown(connection.resource, MAX_ADDRESS).text,
            since: since.in_words(),
            since_exactly: since.to_string(),
            scopes: connection.scopes.iter().map(|scope| shown(scope, 100).text).collect(),
            person: connection.person.as_ref().map(PersonView::of),
        }
    }
}

/// What the program's name is worth, in the words of the consent page.
#[derive(Clone, Copy)]
struct Mark {
    class: &'static str,
    warns: bool,
    label: &'static str,
}

impl Mark {
    const fn of(source: Option<ClientSource<'_>>) -> Self {
        let (class, label) = match source {
            Some(ClientSource::SelfRegistered) => ("unverified", "Unverified"),
            Some(ClientSource::Document { .. }) => ("neutral", "Described by its site"),
            Some(ClientSource::Configured) => ("known", "Known here"),
            None => ("neutral", "No longer known here"),
        };
        Self { class, warns: matches!(source, Some(ClientSource::SelfRegistered)), label }
    }
}

#[derive(Template)]
#[template(path = "account.html")]
struct AccountView<'a> {
    place: String,
    url: &'a str,
    people: Vec<PersonView>,
    connections: Vec<ConnectionView<'a>>,
    unverified: bool,
    more: bool,
    services: Vec<ServiceView<'a>>,
    form_token: Option<&'a str>,
}
