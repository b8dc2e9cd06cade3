//! `grants show`: all that the store tells of one login.

use anyhow::anyhow;
use comfy_table::{ContentArrangement, Table, presets};
use mcp_login::clock::{Clock, SystemClock};
use mcp_login::page::Moment;
use mcp_login::store::records::LiveLogin;

use super::super::rows::{json_text, plain};
use super::{Names, in_json, open, parse_id};
use crate::cli::{Failure, GrantsShowArgs, say};

/// `grants show`
pub async fn show(args: &GrantsShowArgs) -> Result<(), Failure> {
    let id = parse_id(&args.id)?;
    let named = open(&args.store).await?;
    let now = SystemClock.now();
    let found = named.store.live_login(&id, now).await.map_err(anyhow::Error::from)?;
    let login = found.ok_or_else(|| anyhow!("there is no login of this id, or no more"))?;
    let name = Names::new(&named.store, now).of(&login.login.client_id).await.map_err(anyhow::Error::from)?;
    if args.store.json {
        say(&json_text(&in_json(&login, name.as_deref())));
    } else {
        say(&in_words(&login, name.as_deref()));
    }
    Ok(())
}

fn in_words(live: &LiveLogin, client_name: Option<&str>) -> String {
    let (login, user) = (&live.login, &live.login.user);
    let client = match client_name {
        Some(name) => format!("{} (its name for itself: {})", plain(&login.client_id), plain(name)),
        None => plain(&login.client_id),
    };
    let service = match (&login.upstream_tokens, login.upstream_ended) {
        (_, true) => "has ended the login: the person has to sign in again",
        (Some(_), false) => "its tokens are kept, sealed for the client",
        (None, false) => "nobody signed in there",
    };
    let moment = |at| Moment::from(at).in_words();
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    let mut add = |what: &str, text: String| {
        table.add_row([what.to_owned(), text]);
    };
    add("id", live.id.as_str().to_owned());
    add("subject", plain(&user.subject));
    let known = [("e-mail", &user.email), ("name", &user.name), ("user name", &user.preferred_username)];
    for (what, text) in known {
        if let Some(text) = text {
            add(what, plain(text));
        }
    }
    add("client", client);
    add("MCP server", plain(&login.resource));
    add("scopes", login.scope.to_string());
    add("since", moment(login.logged_in_at));
    add("ends", format!("{}, unless the client comes back before", moment(live.ends)));
    if live.stage != "active" {
        add("stage", "the client has not come for its tokens yet".to_owned());
    }
    add("service", service.to_owned());
    table.trim_fmt()
}
