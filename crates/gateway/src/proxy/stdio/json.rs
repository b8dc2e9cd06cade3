//! Single members of an object in JSON, and where they stand, so that they can be replaced and all else stays as it was
//! written.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use axum::body::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

/// Parsers need not read deeper (RFC 8259 §9), and some end their process where they cannot.
const MAX_DEPTH: usize = 128;

/// The members of these names, each as it was written. The error is that the text is no object in JSON; or that it has one
/// of them twice, or under a name that some parsers take for the same: what is read here has to be what the program reads.
pub(super) fn members<'a, const N: usize>(
    text: &'a str,
    names: [&'static str; N],
) -> serde_json::Result<[Option<&'a str>; N]> {
    let mut json = serde_json::Deserializer::from_str(text);
    let found = Members(names).deserialize(&mut json)?;
    json.end()?;
    Ok(found.map(|member| member.map(RawValue::get).filter(|member| *member != "null")))
}

/// The same of a member that may be missing or be no object: then there is none of them.
pub(super) fn members_of<'a, const N: usize>(
    text: Option<&'a str>,
    names: [&'static str; N],
) -> serde_json::Result<[Option<&'a str>; N]> {
    match text {
        Some(text) if text.starts_with('{') => members(text, names),
        _ => Ok([None; N]),
    }
}

struct Members<const N: usize>([&'static str; N]);

impl<'de, const N: usize> DeserializeSeed<'de> for Members<N> {
    type Value = [Option<&'de RawValue>; N];

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, const N: usize> Visitor<'de> for Members<N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut found = [None; N];
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if let Some(n) = self.0.iter().position(|wanted| *wanted == name) {
                if found[n].replace(map.next_value()?).is_some() {
                    return Err(A::Error::custom("a member stands here twice"));
                }
            } else if self.0.iter().any(|wanted| folded(wanted) == folded(&name)) {
                return Err(A::Error::custom("a member differs from one of the protocol by its case only"));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Without regard to case, as Go's parser compares names: `ſ` is an s to it, and the sign of kelvin a k.
fn folded(name: &str) -> String {
    name.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// Whether it is nested deeper than others have to read.
pub(super) fn is_deep(text: &str) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

/// A string or a number in a text, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spot {
    pub(super) at: Range<usize>,
    /// The same for every way to write the value, and another for `1` than for `"1"`.
    pub(super) key: String,
}

impl Spot {
    /// Of a member of this text. `None` when it is neither a string nor a number, or longer than this.
    pub(super) fn of(text: &str, member: &str, max: usize) -> Option<Self> {
        let at = place(text, member);
        let value: Value =
            if member.len() <= max { serde_json::from_str(member).ok()? } else { return None };
        matches!(value, Value::String(_) | Value::Number(_)).then(|| Self { at, key: value.to_string() })
    }
}

/// Where a part of a text stands in it.
pub(super) fn place(text: &str, part: &str) -> Range<usize> {
    let start = part.as_ptr().addr().saturating_sub(text.as_ptr().addr());
    start..start + part.len()
}

/// The text with other values at these places, none of which overlap.
pub(super) fn splice(text: &Bytes, mut edits: Vec<(Range<usize>, &str)>) -> Bytes {
    edits.sort_by_key(|(at, _)| at.start);
    let mut spliced = Vec::with_capacity(text.len() + edits.iter().map(|(_, new)| new.len()).sum::<usize>());
    let mut from = 0;
    for (at, new) in edits {
        spliced.extend_from_slice(&text[from..at.start]);
        spliced.extend_from_slice(new.as_bytes());
        from = at.end;
    }
    spliced.extend_from_slice(&text[from..]);
    spliced.into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn members_are_found_as_they_were_written() {
        let text = r#" {"a" : 1.0e2, "\u0062":[1, {"a":2}], "c":null, "d":3} "#;
        assert_eq!(
            members(text, ["b", "a", "c", "x"]).unwrap(),
            [Some("[1, {\"a\":2}]"), Some("1.0e2"), None, None]
        );
        assert_eq!(members_of(Some("[1]"), ["a"]).unwrap(), [None]);
        assert_eq!(members_of(None, ["a"]).unwrap(), [None]);
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for text in [
            r#"{"id":1,"id":2}"#,
            r#"{"id":1,"\u0069d":2}"#,
            r#"{"id":1,"ID":2}"#,
            r#"{"meſs":1}"#,
            r#"{"to\u212aen":1}"#,
            r#"{"id":1}{"id":2}"#,
            "[1]",
            "",
        ] {
            assert!(members(text, ["id", "mess", "token"]).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_replaced_stands_between_what_is_not() {
        let text = r#"{"id": "x","n":1.00,"m":2}"#;
        let [id, m] = members(text, ["id", "m"]).unwrap().map(|member| place(text, member.unwrap()));
        let spliced = splice(&Bytes::from_static(text.as_bytes()), vec![(m, "\"y\""), (id, "17")]);
        assert_eq!(spliced, r#"{"id": 17,"n":1.00,"m":"y"}"#);
    }

    #[test]
    fn a_value_has_one_key_and_a_type() {
        let key = |text| Spot::of(text, text, 10).map(|spot| spot.key);
        assert_eq!(key(r#""\u0061""#), key(r#""a""#));
        assert_ne!(key(r#""1""#), key("1"));
        for none in ["[]", "true", r#""1234567890""#] {
            assert_eq!(key(none), None);
        }
    }

    #[test]
    fn depth_is_counted_outside_of_strings() {
        let nested = |depth: usize| "[".repeat(depth);
        assert!(!is_deep(&nested(MAX_DEPTH)) && is_deep(&nested(MAX_DEPTH + 1)));
        assert!(!is_deep(&format!("\"\\\"{}\"", nested(MAX_DEPTH + 1))));
    }
}
