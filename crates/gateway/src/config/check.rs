//! Unknown keys and wrong types, all of them at once; what is refused is taken out, so that the rest can be judged too.

use toml::{Table, Value};

use super::fault::Faults;
use super::schema::{self, Key, Kind};
use super::suggest;

/// The path of a key below `path`; names that TOML would quote are quoted.
#[must_use]
pub(super) fn join(path: &str, name: &str) -> String {
    let bare = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    let name = if bare { name.to_owned() } else { format!("{name:?}") };
    if path.is_empty() { name } else { format!("{path}.{name}") }
}

/// Takes out of `table` what the schema does not know, with a fault for each.
pub(super) fn section(table: &mut Table, keys: &'static [Key], path: &str, faults: &mut Faults) {
    table.retain(|name, value| {
        let path = join(path, name);
        let Some(key) = schema::find(keys, name) else {
            faults.push(path, format!("unknown key{}", suggest::hint(name, schema::names(keys))));
            return false;
        };
        let ok = fits(value, key.kind, &path, faults);
        if !ok && !faults.concerns(&path) {
            faults.push(&path, format!("{} where {} belongs", found(value), key.kind.wanted()));
        }
        ok
    });
}

/// Whether the value may stand there. Faults deeper inside are reported and taken out here.
fn fits(value: &mut Value, kind: Kind, path: &str, faults: &mut Faults) -> bool {
    match kind {
        Kind::Text => value.is_str(),
        Kind::Bool => value.is_bool(),
        Kind::Number => value.is_integer(),
        Kind::Texts => is_texts(value),
        Kind::TextOrTexts | Kind::UrlOrUrls => value.is_str() || is_texts(value),
        Kind::Secret => value.is_str() || value.as_table().is_some_and(|place| is_place(place, path, faults)),
        Kind::TextByName => by_name(value, path, faults, Value::is_str, "a string in quotes"),
        Kind::TextsByName => by_name(value, path, faults, is_texts, "a list of strings"),
        Kind::ValuesByName => {
            by_name(value, path, faults, is_values, "a list of strings, whole numbers or booleans")
        }
        Kind::Opaque => value.is_table(),
        Kind::Section(keys) => value.as_table_mut().is_some_and(|table| {
            section(table, keys, path, faults);
            true
        }),
        Kind::SectionByName(keys) => value.as_table_mut().is_some_and(|tables| {
            tables.retain(|name, value| {
                let path = join(path, name);
                let Some(table) = value.as_table_mut() else {
                    faults.push(path, format!("{} where {} belong", found(value), kind.wanted()));
                    return false;
                };
                section(table, keys, &path, faults);
                true
            });
            true
        }),
        Kind::Sections(keys) => {
            let Some(entries) = value.as_array_mut().filter(|entries| entries.iter().all(Value::is_table))
            else {
                return false;
            };
            for (n, table) in entries.iter_mut().filter_map(Value::as_table_mut).enumerate() {
                section(table, keys, &format!("{path}[{n}]"), faults);
            }
            true
        }
    }
}

fn is_texts(value: &Value) -> bool {
    value.as_array().is_some_and(|values| values.iter().all(Value::is_str))
}

fn is_values(value: &Value) -> bool {
    value.as_array().is_some_and(|values| values.iter().all(|v| v.is_str() || v.is_integer() || v.is_bool()))
}

fn by_name(
    value: &mut Value,
    path: &str,
    faults: &mut Faults,
    fits: fn(&Value) -> bool,
    wanted: &str,
) -> bool {
    let Some(table) = value.as_table_mut() else { return false };
    table.retain(|name, value| {
        let ok = fits(value);
        if !ok {
            faults.push(join(path, name), format!("{} where {wanted} belongs", found(value)));
        }
        ok
    });
    true
}

fn is_place(place: &Table, path: &str, faults: &mut Faults) -> bool {
    let known = ["env", "file"];
    for name in place.keys().filter(|name| !known.contains(&name.as_str())) {
        faults.push(join(path, name), format!("unknown key{}", suggest::hint(name, known)));
    }
    place.len() == 1 && place.iter().all(|(name, value)| known.contains(&name.as_str()) && value.is_str())
}

/// What stands there, without showing it: it may be a secret in the wrong place.
const fn found(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a string",
        Value::Integer(_) | Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Datetime(_) => "a date",
        Value::Array(_) => "a list",
        Value::Table(_) => "a table",
    }
}
