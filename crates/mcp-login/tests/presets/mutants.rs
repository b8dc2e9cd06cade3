//! That a preset with a wrong field does not fit its shape: what says so is no better than what it would have missed.

use std::collections::BTreeMap;

use mcp_login::upstream::{Provider, preset};
use serde_json::{Map, Value, json};

use crate::run::Run;
use crate::shape::shapes;

/// How many presets are spoiled in each field.
const EACH: usize = 2;

/// Fields that are for people, and those at which a test of their own looks: what they refuse is in no good answer.
const ELSEWHERE: [&str; 12] = [
    "name",
    "aliases",
    "display_name",
    "params",
    "lists",
    "rotation",
    "refresh",
    "setup",
    "source",
    "quirks",
    "require",
    "issuer_aliases",
];

/// Another value, and a wrong one.
fn spoiled(field: &str, value: &Value) -> Value {
    let other = |a: &str, b: &str| json!(if value == a { b } else { a });
    match (field, value) {
        ("kind", _) => other("oidc", "oauth2"),
        ("pkce", _) => other("S256", "off"),
        ("nonce", _) => other("require", "skip"),
        ("token_body", _) => other("form", "json"),
        ("client_auth", _) => other("basic", "post"),
        ("revocation_token", _) => other("refresh", "access"),
        ("revocation_style", _) => other("bearer_post", "access_token_post"),
        ("scope_separator", _) => other(" ", ","),
        (_, Value::Bool(flag)) => json!(!flag),
        (_, Value::String(text)) => json!(format!("{text}x")),
        (_, Value::Array(list)) => json!(list[1..]),
        (_, Value::Object(map)) => Value::Object(map.clone().into_iter().take(map.len() - 1).collect()),
        _ => json!("x"),
    }
}

/// The fields that a preset sets.
fn fields(provider: &Provider) -> Map<String, Value> {
    let Value::Object(all) = serde_json::to_value(provider).unwrap() else { panic!("an object") };
    let usual = serde_json::to_value(preset("oauth2").unwrap()).unwrap();
    let is_set =
        |field: &String, value: &Value| *value != usual[field] && !ELSEWHERE.contains(&field.as_str());
    all.into_iter().filter(|(field, value)| is_set(field, value)).collect()
}

#[tokio::test]
async fn a_preset_with_a_wrong_field_does_not_fit() {
    let mut spoilt: BTreeMap<String, usize> = BTreeMap::new();
    let mut fit = Vec::new();
    for (name, shape) in shapes() {
        let provider = preset(name).unwrap();
        for (field, value) in fields(&provider) {
            let count = spoilt.entry(field.clone()).or_default();
            if *count == EACH {
                continue;
            }
            *count += 1;
            let wrong = spoiled(&field, &value);
            let wrong = provider.with_fields(Map::from_iter([(field.clone(), wrong)])).unwrap();
            if tokio::spawn(async { Run::of(wrong, shape).await.compare().await }).await.is_ok() {
                fit.push(format!("{name}.{field}"));
            }
        }
    }
    assert_eq!(fit, [""; 0]);
    assert!(spoilt.len() > 25, "{spoilt:?}");
}
