//! `grants revoke`: ends logins at once.

use std::ops::ControlFlow;

use anyhow::anyhow;
use mcp_login::clock::{Clock, SystemClock};
use mcp_login::store::backend::StoreError;
use mcp_login::store::records::GrantId;
use serde_json::json;

use super::super::ask::{ask, check_somebody_is_there};
use super::super::rows::of_damaged;
use super::super::store::progress::Meter;
use super::super::store::{Named, count};
use super::{open, parse_id, person};
use crate::cli::{Failure, GrantsFilterArgs, GrantsRevokeArgs, say};
use crate::command::rows::plain;

/// What the operator cannot do.
pub(in crate::command) const OF_SERVICE: &str = "What the service gave for them is sealed for their clients: it was not revoked there, and ends by itself.";

/// `grants revoke`
pub async fn revoke(args: &GrantsRevokeArgs) -> Result<(), Failure> {
    let id = args.id.as_deref().map(parse_id).transpose()?;
    if !args.yes {
        check_somebody_is_there()?;
    }
    let named = open(&args.store).await?;
    let (ended, damaged) = match &id {
        Some(id) => (end_one(&named, id, args.yes).await?, 0),
        None => end_all(&named, &args.filter, args.yes).await?,
    };
    if args.store.json {
        say(&json!({ "ended": ended, "damaged": damaged }).to_string());
        return Ok(());
    }
    say(&format!("{} ended", count(ended, "login")));
    if ended > 0 {
        say(OF_SERVICE);
    }
    if let Some(damaged) = of_damaged(damaged) {
        say(&damaged);
    }
    Ok(())
}

async fn end_one(named: &Named, id: &GrantId, yes: bool) -> Result<u64, Failure> {
    let now = SystemClock.now();
    let found = named.store.live_login(id, now).await.map_err(anyhow::Error::from)?;
    let login = found.ok_or_else(|| anyhow!("there is no login of this id, or no more"))?;
    if !yes {
        let of = (plain(person(&login)), plain(&login.login.resource));
        ask(&format!("End the login of {} with {}?", of.0, of.1))?;
    }
    let ended = named.store.end_grant(id, now).await.map_err(anyhow::Error::from)?;
    Ok(u64::from(ended))
}

pub(in crate::command) async fn end_all(
    named: &Named,
    filter: &GrantsFilterArgs,
    yes: bool,
) -> Result<(u64, u64), Failure> {
    if !yes {
        let (meant, damaged) = each(named, filter, async |_| Ok(true)).await?;
        if meant == 0 {
            return Ok((0, damaged));
        }
        ask(&format!("End {}?", count(meant, "login")))?;
    }
    each(named, filter, async |id| named.store.end_grant(id, SystemClock.now()).await).await
}

/// Does something with each login that is meant. Gives how many times it was done, and how many records cannot be read.
async fn each(
    named: &Named,
    filter: &GrantsFilterArgs,
    act: impl AsyncFn(&GrantId) -> Result<bool, StoreError>,
) -> Result<(u64, u64), Failure> {
    let now = SystemClock.now();
    let mut meter = Meter::new();
    let (mut looked_at, mut done) = (0_u64, 0_u64);
    let walked = named
        .store
        .each_login(now, async |login| {
            looked_at = looked_at.saturating_add(1);
            meter.show("looking", looked_at, None);
            // A client is meant by its id alone: any client can register any name.
            if filter.fits(&login, None) && act(&login.id).await? {
                done = done.saturating_add(1);
            }
            Ok::<_, StoreError>(ControlFlow::Continue(()))
        })
        .await;
    drop(meter);
    let damaged = walked.map_err(|error| match done {
        0 => anyhow::Error::from(error),
        _ => anyhow::Error::from(error).context(format!("{} ended, then", count(done, "login"))),
    })?;
    Ok((done, damaged))
}
