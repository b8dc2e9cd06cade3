//! Keys from the environment: `MCP_LOGIN_` and the path in upper case, joined by `__`.
//!
//! `MCP_LOGIN_STORE__URL`, `MCP_LOGIN_MCP__0__BACKEND`, `MCP_LOGIN_CLIENTS__REDIRECT_HOSTS=claude.ai,chatgpt.com`. What
//! is written is read by the kind of the key: lists are comma separated (between URLs of `backend` only where another follows), a table of names is an inline table
//! (`MCP_LOGIN_MCP__0__HEADERS={ "X-Key" = "…" }`) or one variable per (lower-case) name, and a secret is the literal or,
//! with `__ENV` or `__FILE` behind it, where it is.
//!
//! Others use the prefix, too, Kubernetes first of all: what is not like a key of ours is no fault.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::fault::Faults;
use super::schema::{self, Key, Kind};
use super::suggest;

/// The environment, handed in so that tests need not change the real one.
pub type Environment = BTreeMap<String, String>;

/// What every name of ours begins with.
pub const PREFIX: &str = "MCP_LOGIN_";
/// How many entries a list of tables may have.
const MAX_ENTRIES: usize = 64;

/// The environment of this process.
#[must_use]
pub fn of_process() -> Environment {
    std::env::vars_os()
        .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
        .collect()
}

/// Writes what the environment says over what the file says.
pub fn overlay(table: &mut Table, environment: &Environment, faults: &mut Faults) {
    for (name, value) in environment {
        let Some(rest) = name.strip_prefix(PREFIX) else { continue };
        if is_kubernetes(rest, value) {
            continue;
        }
        let lower = rest.to_ascii_lowercase();
        let path: Vec<&str> = lower.split("__").collect();
        if is_foreign(path[0]) {
            faults.warn(name, "not a key of mcp-login: ignored");
        } else if let Err(message) = write(table, schema::ROOT, &path, value) {
            faults.push(name, message);
        }
    }
}

/// Whether a variable is there that this program is meant by.
#[must_use]
pub fn says_anything(environment: &Environment) -> bool {
    environment.iter().any(|(name, value)| {
        name.strip_prefix(PREFIX).is_some_and(|rest| {
            let first = rest.to_ascii_lowercase();
            !is_kubernetes(rest, value) && !is_foreign(first.split("__").next().unwrap_or_default())
        })
    })
}

/// Whether this is one of the variables that Kubernetes gives every container beside a Service called `mcp-login` or
/// `mcp-login-…`: `…SERVICE_HOST`, `…SERVICE_PORT`, `…SERVICE_PORT_NAME`, `…PORT` and `…PORT_8080_TCP`, `…_ADDR` and so on.
fn is_kubernetes(rest: &str, value: &str) -> bool {
    if rest.contains("__") {
        return false;
    }
    let words: Vec<&str> = rest.split('_').collect();
    (0..words.len()).any(|at| match &words[at..] {
        ["SERVICE", "HOST"] | ["SERVICE", "PORT", ..] => true,
        // A number alone is what an operator would write who looks for `listen`.
        ["PORT"] => value.contains("://"),
        ["PORT", number, "TCP" | "UDP" | "SCTP", more @ ..] => {
            number.parse::<u16>().is_ok() && matches!(more, [] | ["PROTO" | "PORT" | "ADDR"])
        }
        _ => false,
    })
}

/// Whether a name that begins so is somebody else's, and not a key of ours written wrong.
fn is_foreign(first: &str) -> bool {
    schema::find(schema::ROOT, first).is_none()
        && suggest::nearest(first, schema::names(schema::ROOT)).is_none()
        && single_underscore(first).is_none()
}

/// `store__url` for `store_url`: the likeliest mistake of all.
fn single_underscore(first: &str) -> Option<String> {
    schema::ROOT.iter().find_map(|key| {
        let rest = first.strip_prefix(key.name)?.strip_prefix('_')?;
        match key.kind {
            Kind::Section(keys) => {
                schema::find(keys, rest).map(|below| format!("{}__{}", key.name, below.name))
            }
            Kind::Sections(keys) => {
                let (number, rest) = rest.split_once('_')?;
                let below = schema::find(keys, rest)?;
                number.parse::<usize>().ok().map(|number| format!("{}__{number}__{}", key.name, below.name))
            }
            _ => None,
        }
    })
}

fn write(table: &mut Table, keys: &'static [Key], path: &[&str], value: &str) -> Result<(), String> {
    let Some((&name, rest)) = path.split_first() else {
        return Err("names a section: add __ and the key".to_owned());
    };
    let Some(key) = schema::find(keys, name) else {
        let hint = single_underscore(name)
            .filter(|_| std::ptr::eq(keys, schema::ROOT))
            .or_else(|| suggest::nearest(name, schema::names(keys)).map(ToOwned::to_owned))
            .map(|near| format!("; did you mean {}?", near.to_ascii_uppercase()))
            .unwrap_or_default();
        return Err(format!("there is no key {name:?} here{hint}"));
    };
    match key.kind {
        Kind::Section(keys) => write(sub_table(table, name)?, keys, rest, value),
        Kind::SectionByName(keys) => {
            let Some((&entry, rest)) = rest.split_first() else {
                return Err(format!("a name is missing: {PREFIX}{}__NAME__KEY", name.to_ascii_uppercase()));
            };
            write(sub_table(sub_table(table, name)?, entry)?, keys, rest, value)
        }
        Kind::Sections(keys) => {
            let index = rest.first().and_then(|index| index.parse::<usize>().ok());
            let Some(index) = index.filter(|index| *index < MAX_ENTRIES) else {
                return Err(format!(
                    "a number from 0 to {} belongs after {}",
                    MAX_ENTRIES - 1,
                    name.to_ascii_uppercase()
                ));
            };
            let entries = table.entry(name).or_insert_with(|| Value::Array(Vec::new()));
            let Some(entries) = entries.as_array_mut() else { return Err(mismatch(name)) };
            while entries.len() <= index {
                entries.push(Value::Table(Table::new()));
            }
            let Some(entry) = entries[index].as_table_mut() else { return Err(mismatch(name)) };
            write(entry, keys, &rest[1..], value)
        }
        kind => {
            let written = leaf(table, name, kind, rest, value)?;
            table.insert(name.to_owned(), written);
            Ok(())
        }
    }
}

/// The new value at a key that is not a section.
fn leaf(table: &Table, name: &str, kind: Kind, rest: &[&str], value: &str) -> Result<Value, String> {
    match (kind, rest) {
        (_, []) => whole(kind, value),
        (Kind::Secret, [place @ ("env" | "file")]) => {
            Ok(Value::Table(Table::from_iter([((*place).to_owned(), Value::String(value.to_owned()))])))
        }
        (Kind::TextByName | Kind::TextsByName | Kind::ValuesByName, [entry]) => {
            let mut entries = table.get(name).and_then(Value::as_table).cloned().unwrap_or_default();
            let written =
                if kind == Kind::TextByName { Value::String(value.to_owned()) } else { list(value) };
            entries.insert((*entry).to_owned(), written);
            Ok(Value::Table(entries))
        }
        _ => Err(format!("nothing belongs below {name:?}")),
    }
}

fn whole(kind: Kind, value: &str) -> Result<Value, String> {
    match kind {
        Kind::Texts | Kind::TextOrTexts => Ok(list(value)),
        Kind::UrlOrUrls => Ok(urls(value)),
        Kind::Bool => match value {
            "true" => Ok(Value::Boolean(true)),
            "false" => Ok(Value::Boolean(false)),
            _ => Err("write true or false".to_owned()),
        },
        Kind::Number => {
            value.parse().map(Value::Integer).map_err(|_| "write a whole number, such as 2".to_owned())
        }
        Kind::TextByName | Kind::TextsByName | Kind::ValuesByName | Kind::Opaque => inline_table(value),
        _ => Ok(Value::String(value.to_owned())),
    }
}

fn list(value: &str) -> Value {
    let items = value.split(',').map(str::trim).filter(|item| !item.is_empty());
    Value::Array(items.map(|item| Value::String(item.to_owned())).collect())
}

/// A URL may hold a comma, so one counts where another URL follows it.
fn urls(value: &str) -> Value {
    let begins_one = |text: &str| {
        let text = text.trim_start().to_ascii_lowercase();
        text.is_empty() || text.starts_with("http://") || text.starts_with("https://")
    };
    let (mut urls, mut begin) = (Vec::new(), 0);
    let commas = value.match_indices(',').map(|(at, _)| at).filter(|at| begins_one(&value[at + 1..]));
    for end in commas.chain([value.len()]) {
        let url = value[begin..end].trim();
        if !url.is_empty() {
            urls.push(Value::String(url.to_owned()));
        }
        begin = (end + 1).min(value.len());
    }
    Value::Array(urls)
}

fn inline_table(value: &str) -> Result<Value, String> {
    let wanted = || "write an inline table, such as { \"name\" = \"value\" }".to_owned();
    let mut table = format!("value = {value}").parse::<Table>().map_err(|_| wanted())?;
    match table.remove("value") {
        Some(Value::Table(written)) if table.is_empty() => Ok(Value::Table(written)),
        _ => Err(wanted()),
    }
}

fn sub_table<'t>(table: &'t mut Table, name: &str) -> Result<&'t mut Table, String> {
    table
        .entry(name)
        .or_insert_with(|| Value::Table(Table::new()))
        .as_table_mut()
        .ok_or_else(|| mismatch(name))
}

fn mismatch(name: &str) -> String {
    format!("cannot be joined with the file, where {name:?} is something else")
}
