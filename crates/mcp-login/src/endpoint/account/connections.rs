//! What is connected in somebody's name.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcp_login_core::grant::Login;

use super::super::AuthorizationServer;
use super::super::ending::end_login;
use crate::client::KnownAs;
use crate::page::{ClientSource, Connection, SignedIn};
use crate::store::backend::StoreError;
use crate::store::records::{AccountIdentity, GrantId, PersonKey};

/// The most that one page shows.
const MAX_SHOWN: usize = 100;

/// The newest first.
pub(super) struct Connections {
    pub(super) shown: Vec<Held>,
    /// There are others.
    pub(super) more: bool,
}

/// One of them.
pub(super) struct Held {
    grant: GrantId,
    pub(super) login: Login,
    client: KnownAs,
    /// In whose name: which of the identities.
    pub(super) identity: usize,
}

impl Connections {
    pub(super) async fn of(
        server: &AuthorizationServer,
        identities: &[AccountIdentity],
    ) -> Result<Self, StoreError> {
        let now = server.now();
        let mut found: Vec<(GrantId, Login, usize)> = Vec::new();
        for (n, identity) in identities.iter().enumerate() {
            for (grant, record) in server.store.logins_of(&person(server, identity), now).await? {
                let login = record.login().filter(|login| login.user.subject == identity.user.subject);
                found.extend(login.map(|login| (grant, login.clone(), n)));
            }
        }
        found.sort_by(|(a, one, _), (b, other, _)| {
            (other.logged_in_at, b.as_str()).cmp(&(one.logged_in_at, a.as_str()))
        });
        let more = found.len() > MAX_SHOWN;
        found.truncate(MAX_SHOWN);
        let mut clients: BTreeMap<String, KnownAs> = BTreeMap::new();
        let mut shown = Vec::new();
        for (grant, login, identity) in found {
            let client = match clients.get(&login.client_id) {
                Some(known) => known.clone(),
                None => server.clients.known_as(&login.client_id, now).await?,
            };
            clients.entry(login.client_id.clone()).or_insert_with(|| client.clone());
            shown.push(Held { grant, login, client, identity });
        }
        Ok(Self { shown, more })
    }
}

impl Held {
    pub(super) fn for_page<'a>(
        &'a self,
        scopes: &'a [&'a str],
        person: Option<&SignedIn<'a>>,
    ) -> Connection<'a> {
        let (client_name, client_source) = match &self.client {
            KnownAs::Configured(name) => {
                (name.as_deref().unwrap_or(&self.login.client_id), Some(ClientSource::Configured))
            }
            KnownAs::Document(host) => ("", Some(ClientSource::Document { host })),
            KnownAs::Registered(name) => {
                (name.as_deref().unwrap_or_default(), Some(ClientSource::SelfRegistered))
            }
            KnownAs::Gone => ("", None),
        };
        Connection {
            id: self.grant.as_str(),
            client_name,
            client_source,
            resource: &self.login.resource,
            since: self.login.logged_in_at,
            scopes,
            person: person.copied(),
        }
    }
}

/// Ends a login at once, if it is one of these people's. What the service gave for it can be opened by its client only,
/// and ends by itself.
pub(super) async fn end_connection(
    server: &Arc<AuthorizationServer>,
    identities: &[AccountIdentity],
    grant: &GrantId,
) -> Result<(), StoreError> {
    for identity in identities {
        let found = server.store.login_of(&person(server, identity), grant, server.now()).await?;
        let login = found.as_ref().and_then(|record| record.login());
        if let Some(login) = login.filter(|login| login.user.subject == identity.user.subject) {
            end_login(server, grant, login, None).await?;
            tracing::info!(
                client_id = login.client_id,
                resource = login.resource,
                "a login was ended by its person"
            );
        }
    }
    Ok(())
}

fn person(server: &AuthorizationServer, identity: &AccountIdentity) -> PersonKey {
    server.person(&identity.upstream, &identity.user.subject)
}
