//! `store stats`: how much there is of what.

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use mcp_login::clock::{Clock, SystemClock};
use mcp_login::store::records::Survey;
use serde_json::json;

use super::progress::Meter;
use super::{Named, Place, count, grouped};
use crate::cli::{Failure, StoreArgs, say};

/// `store stats`
pub async fn stats(args: &StoreArgs) -> Result<(), Failure> {
    let named = Place::find(args.store.as_deref(), &args.options)?.open_existing().await?;
    let survey = survey(&named).await?;
    if args.json {
        say(&in_json(&survey).to_string());
    } else {
        say(&in_words(&survey, &named.name));
    }
    Ok(())
}

/// Looks at every record, and shows how far it is.
pub(super) async fn survey(named: &Named) -> Result<Survey, Failure> {
    let about = named.store.estimate().await.map_err(anyhow::Error::from)?;
    let mut meter = Meter::new();
    let survey = named.store.survey(SystemClock.now(), |done| meter.show("reading", done, about)).await;
    Ok(survey.map_err(anyhow::Error::from)?)
}

pub(super) fn in_json(survey: &Survey) -> serde_json::Value {
    let kinds = survey.kinds.iter().map(|(kind, count)| {
        let count = json!({
            "records": count.records, "bytes": count.bytes, "longest": count.longest, "ended": count.ended,
        });
        (kind.clone(), count)
    });
    json!({
        "kinds": kinds.collect::<serde_json::Map<_, _>>(),
        "stages": survey.stages,
        "people": survey.people,
        "damaged": survey.damaged,
        "foreign": survey.foreign,
        "unfinished_copy": survey.unfinished_copy,
    })
}

fn in_words(survey: &Survey, name: &str) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["KIND", "RECORDS", "BYTES", "LONGEST", "ENDED"]);
    let right = |number: u64| Cell::new(grouped(number)).set_alignment(CellAlignment::Right);
    for (kind, count) in &survey.kinds {
        table.add_row([
            Cell::new(kind),
            right(count.records),
            right(count.bytes),
            right(count.longest),
            right(count.ended),
        ]);
        let stages = survey.stages.iter().filter(|_| kind == "grant");
        for (stage, records) in stages {
            table.add_row([Cell::new(format!("  {stage}")), right(*records)]);
        }
    }
    let mut lines = vec![name.to_owned(), String::new()];
    if survey.kinds.is_empty() {
        lines.push("no records".to_owned());
    } else {
        lines.extend([table.trim_fmt(), String::new()]);
        lines.push(format!(
            "{} with a login",
            if survey.people == 1 {
                "1 person".to_owned()
            } else {
                format!("{} people", grouped(survey.people))
            }
        ));
    }
    if survey.damaged > 0 {
        lines.push(format!(
            "{} cannot be read: `mcp-login store check` names them",
            count(survey.damaged, "record")
        ));
    }
    if survey.foreign > 0 {
        lines.push(format!("{} that this version knows nothing of", count(survey.foreign, "key")));
    }
    if survey.unfinished_copy {
        lines.push("a copy to this store was broken off: run it again, or everybody whose login is missing has to log in again".to_owned());
    }
    lines.join("\n")
}
