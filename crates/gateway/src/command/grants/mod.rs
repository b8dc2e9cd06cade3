//! `grants`: who is connected with what, and ending it.

mod list;
pub(super) mod revoke;
mod show;

use std::collections::BTreeMap;

use mcp_login::Store;
use mcp_login::core::Timestamp;
use mcp_login::store::backend::StoreError;
use mcp_login::store::records::{GrantId, LiveLogin};
use serde_json::{Value, json};
use url::Url;

use super::store::{Named, Place};
use crate::cli::{Failure, GrantsFilterArgs, GrantsStoreArgs};

pub use list::list;
pub use revoke::revoke;
pub use show::show;

/// Of how many clients the name is remembered.
const MAX_NAMES: usize = 1_000;

pub(super) async fn open(args: &GrantsStoreArgs) -> Result<Named, Failure> {
    Place::find(args.store.as_deref(), &args.options)?.open_existing().await
}

fn parse_id(id: &str) -> Result<GrantId, Failure> {
    let form = || Failure::Usage(format!("{id} is no id: `mcp-login grants list` shows them"));
    GrantId::parse(&id.to_ascii_lowercase()).ok_or_else(form)
}

/// What clients have registered as their names.
struct Names<'a> {
    store: &'a Store,
    now: Timestamp,
    known: BTreeMap<String, Option<String>>,
}

impl<'a> Names<'a> {
    fn new(store: &'a Store, now: Timestamp) -> Self {
        Self { store, now, known: BTreeMap::new() }
    }

    async fn of(&mut self, client_id: &str) -> Result<Option<String>, StoreError> {
        if let Some(known) = self.known.get(client_id) {
            return Ok(known.clone());
        }
        let name = match self.store.look_at_client(client_id, self.now).await {
            Ok(record) => record.and_then(|record| record.client.client_name),
            // A client that cannot be read hides nobody's login.
            Err(StoreError::Damaged(_)) => None,
            Err(error) => return Err(error),
        };
        if self.known.len() >= MAX_NAMES {
            self.known.clear();
        }
        self.known.insert(client_id.to_owned(), name.clone());
        Ok(name)
    }
}

impl GrantsFilterArgs {
    fn fits(&self, login: &LiveLogin, client_name: Option<&str>) -> bool {
        let login = &login.login;
        let user = |wanted: &String| {
            let email = login.user.email.as_ref();
            login.user.subject == *wanted || email.is_some_and(|email| email.eq_ignore_ascii_case(wanted))
        };
        let client = |wanted: &String| login.client_id == *wanted || client_name == Some(wanted);
        let resource = |wanted: &String| {
            let url = Url::parse(&login.resource).ok();
            login.resource == *wanted || url.is_some_and(|url| url.path() == wanted)
        };
        self.user.as_ref().is_none_or(user)
            && self.client.as_ref().is_none_or(client)
            && self.resource.as_ref().is_none_or(resource)
    }

    fn says_nothing(&self) -> bool {
        self.user.is_none() && self.client.is_none() && self.resource.is_none()
    }
}

/// By what an operator knows the person best.
fn person(login: &LiveLogin) -> &str {
    let user = &login.login.user;
    user.email.as_deref().or(user.preferred_username.as_deref()).unwrap_or(&user.subject)
}

fn in_json(login: &LiveLogin, client_name: Option<&str>) -> Value {
    let LiveLogin { id, login, stage, ends } = login;
    json!({
        "id": id.as_str(),
        "subject": login.user.subject,
        "email": login.user.email,
        "name": login.user.name,
        "preferred_username": login.user.preferred_username,
        "client_id": login.client_id,
        "client_name": client_name,
        "resource": login.resource,
        "scope": login.scope.to_string(),
        "stage": stage,
        "since": login.logged_in_at.as_secs(),
        "ends": ends.as_secs(),
        "upstream_ended": login.upstream_ended,
    })
}
