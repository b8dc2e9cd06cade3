//! `store copy`: everything to another store.

use anyhow::anyhow;
use mcp_login::clock::{Clock, SystemClock};
use mcp_login::store::copy::{Copied, CopyError, Progress, Target};
use serde_json::json;

use super::super::ask::{ask, check_somebody_is_there};
use super::progress::Meter;
use super::{Named, Place, count, grouped};
use crate::cli::{CopyArgs, Failure, say};

/// `store copy`
pub async fn copy(args: &CopyArgs) -> Result<(), Failure> {
    let from = Place::find(Some(&args.from), &args.options)?;
    let mut to = Place::find(Some(&args.to), &args.options)?;
    if let Some(prefix) = &args.to_key_prefix {
        to.options = to.options.key_prefix(prefix);
    }
    let (of_from, of_to) = (from.options.prefix(), to.options.prefix());
    if from.url == to.url && (of_from.starts_with(of_to) || of_to.starts_with(of_from)) {
        return Err(Failure::Usage("FROM and TO are the same store, or one is within the other".to_owned()));
    }
    if args.catch_up && !args.yes {
        check_somebody_is_there()?;
    }
    let (from, to) = (from.open_existing().await?, to.open().await?);
    if args.catch_up && !args.yes {
        ask(&format!("Remove every login from {} that is not in {}?", to.name, from.name))?;
    }
    let target = if args.catch_up { Target::EarlierCopy } else { Target::Empty };
    let mut meter = Meter::new();
    let copied = from
        .store
        .copy_to(
            &to.store,
            target,
            || SystemClock.now(),
            |progress| match progress {
                Progress::Copying { done, about } => meter.show("copying", done, about),
                Progress::Comparing { done, of } => meter.show("comparing", done, Some(of)),
            },
        )
        .await;
    drop(meter);
    let copied = copied.map_err(|error| Failure::Failed(explained(&error)))?;
    if args.json {
        say(&in_json(&copied).to_string());
    } else {
        say(&in_words(&copied, &from, &to));
    }
    Ok(())
}

/// What went wrong, and what to do about it.
fn explained(error: &CopyError) -> anyhow::Error {
    let advice = match error {
        CopyError::From(_) | CopyError::To(_) => "when both answer, run it again: it goes on where it is",
        CopyError::InUse => {
            "name an empty store, or another --to-key-prefix; if it is an earlier copy of the same store that no \
             gateway has used since, --catch-up brings it up to date"
        }
        CopyError::Unfinished => "FROM lacks logins",
        CopyError::Differ { .. } => {
            "stop every gateway that uses one of them, and run it again: it goes on where it is"
        }
    };
    let cause = std::error::Error::source(error).and_then(std::error::Error::source);
    let cause = cause.map(|cause| format!(" ({cause})")).unwrap_or_default();
    anyhow!("{error}{cause}; {advice}")
}

fn in_json(copied: &Copied) -> serde_json::Value {
    json!({
        "records": copied.records,
        "written": copied.written,
        "ended": copied.ended,
        "damaged": copied.damaged,
        "removed": copied.removed,
        "compared": copied.compared,
    })
}

fn in_words(copied: &Copied, from: &Named, to: &Named) -> String {
    let mut lines = vec![
        format!("{} copied", count(copied.records, "record")),
        format!("  from {}", from.name),
        format!("  to   {}", to.name),
    ];
    if copied.written < copied.records {
        lines.push(format!("{} of them were there already", grouped(copied.records - copied.written)));
    }
    if copied.removed > 0 {
        lines.push(format!("{} removed that FROM has no more", count(copied.removed, "record")));
    }
    if copied.ended > 0 {
        lines.push(format!("{} left behind that had ended", count(copied.ended, "record")));
    }
    if copied.damaged > 0 {
        lines.push(format!(
            "{} left behind that cannot be read: `mcp-login store check` names them",
            count(copied.damaged, "record")
        ));
    }
    lines.push(format!("{} read from both and found the same", count(copied.compared, "record")));
    lines.push("Next: put the new store into store.url, and start the gateways.".to_owned());
    lines.join("\n")
}
