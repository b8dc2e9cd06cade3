//! `store check`: does it work, can everything be read, and what would lose logins.

use std::time::Instant;

use anstyle::{AnsiColor, Style};
use mcp_login::clock::{Clock, SystemClock};
use mcp_login::store::backend::{Finding, StoreError};
use mcp_login::store::records::Survey;
use serde_json::json;

use super::stats::survey;
use super::{Named, Place, count, grouped};
use crate::cli::{Failure, StoreArgs, say};

/// How an item of the list is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Ok,
    Warn,
    Bad,
}

/// One line of the list.
struct Item {
    verdict: Verdict,
    name: String,
    text: String,
}

impl Item {
    fn new(verdict: Verdict, name: &str, text: impl Into<String>) -> Self {
        Self { verdict, name: name.to_owned(), text: text.into() }
    }
}

/// `store check`
pub async fn check(args: &StoreArgs) -> Result<(), Failure> {
    let named = Place::find(args.store.as_deref(), &args.options)?.open_existing().await?;
    let items = examine(&named).await;
    let bad = items.iter().filter(|item| item.verdict == Verdict::Bad).count();
    if args.json {
        let items = items
            .iter()
            .map(|item| json!({ "verdict": word(item.verdict), "name": item.name, "text": item.text }));
        say(&json!({ "ok": bad == 0, "items": items.collect::<Vec<_>>() }).to_string());
    } else {
        say(&in_words(&items, &named.name));
    }
    if bad == 0 { Ok(()) } else { Err(Failure::Said(1)) }
}

async fn examine(named: &Named) -> Vec<Item> {
    let mut items = Vec::new();
    let begun = Instant::now();
    let answers = named.store.ping().await;
    let took = begun.elapsed();
    if let Err(error) = answers {
        return vec![Item::new(Verdict::Bad, "answers", with_cause(&error))];
    }
    items.push(Item::new(Verdict::Ok, "answers", format!("in {:.1} ms", took.as_secs_f64() * 1000.0)));
    items.push(match named.store.probe(SystemClock.now()).await {
        Ok(()) => Item::new(Verdict::Ok, "writes", "a record was written, changed and taken out"),
        Err(error) => Item::new(Verdict::Bad, "writes", with_cause(&error)),
    });
    match survey(named).await {
        Ok(survey) => items.extend(of_records(&survey)),
        Err(Failure::Failed(error)) => items.push(Item::new(Verdict::Bad, "records", format!("{error:#}"))),
        Err(_) => items.push(Item::new(Verdict::Bad, "records", "cannot be listed")),
    }
    match named.store.inspect().await {
        Ok(findings) => items.extend(findings.into_iter().map(of_finding)),
        Err(error) => items.push(Item::new(Verdict::Warn, "settings", with_cause(&error))),
    }
    items
}

fn of_records(survey: &Survey) -> Vec<Item> {
    let records = survey.kinds.values().fold(0_u64, |sum, count| sum.saturating_add(count.records));
    let mut items = vec![Item::new(Verdict::Ok, "records", format!("{} read", grouped(records)))];
    if survey.damaged > 0 {
        items.push(Item::new(
            Verdict::Bad,
            "damaged",
            format!("{} cannot be read", count(survey.damaged, "record")),
        ));
    }
    for (key, why) in &survey.named {
        items.push(Item::new(Verdict::Bad, "damaged", format!("{}: {why}", key.as_str())));
    }
    if survey.foreign > 0 {
        let text = format!("{} that this version knows nothing of", count(survey.foreign, "key"));
        items.push(Item::new(Verdict::Warn, "foreign", text));
    }
    if survey.unfinished_copy {
        let text = "a copy to this store was broken off: run `mcp-login store copy` again";
        items.push(Item::new(Verdict::Bad, "copy", text));
    }
    items
}

fn of_finding(finding: Finding) -> Item {
    match finding.advice {
        None => Item::new(Verdict::Ok, &finding.name, finding.value),
        Some(advice) => Item::new(Verdict::Warn, &finding.name, format!("{}: {advice}", finding.value)),
    }
}

fn with_cause(error: &StoreError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

const fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Warn => "warn",
        Verdict::Bad => "bad",
    }
}

fn in_words(items: &[Item], name: &str) -> String {
    let width = items.iter().map(|item| item.name.chars().count()).max().unwrap_or(0);
    let mut lines = vec![name.to_owned(), String::new()];
    for item in items {
        let color = match item.verdict {
            Verdict::Ok => AnsiColor::Green,
            Verdict::Warn => AnsiColor::Yellow,
            Verdict::Bad => AnsiColor::Red,
        };
        let style: Style = color.on_default().bold();
        lines.push(format!(
            "{style}{:<4}{style:#}  {:<width$}  {}",
            word(item.verdict),
            item.name,
            item.text
        ));
    }
    lines.join("\n")
}
