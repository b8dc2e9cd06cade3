//! `clients`: the programs that have registered themselves, and forgetting one.

use std::ops::ControlFlow;

use anyhow::anyhow;
use mcp_login::clock::{Clock, SystemClock};
use mcp_login::page::Moment;
use mcp_login::store::records::LiveClient;
use serde_json::{Value, json};

use super::ask::{ask, check_somebody_is_there};
use super::grants::open;
use super::grants::revoke::{OF_SERVICE, end_all};
use super::rows::{Rows, Trouble, of_damaged, plain};
use super::store::count;
use crate::cli::{ClientsListArgs, ClientsRemoveArgs, Failure, GrantsFilterArgs, say};

/// `clients list`
pub async fn list(args: &ClientsListArgs) -> Result<(), Failure> {
    let named = open(&args.store).await?;
    let now = SystemClock.now();
    let mut rows = Rows::new(args.store.json, line(["ID", "SINCE", "ENDS", "USED", "NAME", "REDIRECTS TO"]));
    let walked = named
        .store
        .each_client(now, async |client| {
            rows.add(|| in_json(&client), || in_words(&client))?;
            Ok::<_, Trouble>(ControlFlow::Continue(()))
        })
        .await;
    rows.end(walked, "client", "no client has registered itself")
}

fn in_json(client: &LiveClient) -> Value {
    let record = &client.record;
    json!({
        "client_id": record.client.client_id,
        "client_name": record.client.client_name,
        "redirect_uris": record.client.redirect_uris,
        "since": record.registered_at.as_secs(),
        "ends": client.ends.as_secs(),
        "used": !record.is_unused(),
    })
}

fn in_words(client: &LiveClient) -> String {
    let (record, moment) = (&client.record, |at| Moment::from(at).to_string());
    let name = record.client.client_name.as_deref().map(plain).unwrap_or_default();
    let redirects: Vec<String> = record.client.redirect_uris.iter().map(|uri| plain(uri)).collect();
    line([
        &record.client.client_id,
        &moment(record.registered_at),
        &moment(client.ends),
        if record.is_unused() { "no" } else { "yes" },
        &name,
        &redirects.join(" "),
    ])
}

/// The widths are fixed: the longest name is known only at the end.
fn line([id, since, ends, used, name, redirects]: [&str; 6]) -> String {
    format!("{id:<32}  {since:<17}  {ends:<17}  {used:<4}  {name:<28}  {redirects}")
}

/// `clients remove`: first the client, so that it gets no new login, then those that it has.
pub async fn remove(args: &ClientsRemoveArgs) -> Result<(), Failure> {
    if !args.yes {
        check_somebody_is_there()?;
    }
    let named = open(&args.store).await?;
    let now = SystemClock.now();
    let found = named.store.look_at_client(&args.id, now).await.map_err(anyhow::Error::from)?;
    let record = found.ok_or_else(|| anyhow!("no client of this id has registered itself, or no more"))?;
    if !args.yes {
        let name = record.client.client_name.as_deref().unwrap_or(&args.id);
        ask(&format!("Remove {}, and end all its logins?", plain(name)))?;
    }
    named.store.remove_client(&args.id, now).await.map_err(anyhow::Error::from)?;
    let its = GrantsFilterArgs { client: Some(args.id.clone()), ..GrantsFilterArgs::default() };
    let (ended, damaged) = end_all(&named, &its, true).await?;
    if args.store.json {
        say(&json!({ "removed": args.id, "ended": ended, "damaged": damaged }).to_string());
        return Ok(());
    }
    say(&format!("removed; {} ended", count(ended, "login")));
    if ended > 0 {
        say(OF_SERVICE);
    }
    if let Some(damaged) = of_damaged(damaged) {
        say(&damaged);
    }
    Ok(())
}
