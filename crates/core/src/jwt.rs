//! What the claims of signed tokens have in common (RFC 7519), whoever sends them: client assertions, identity
//! assertions, DPoP proofs. Who signed is looked at elsewhere.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::timestamp::Timestamp;

/// The longest `jti`, in bytes: it has to be remembered.
pub const MAX_JTI_LENGTH: usize = 256;

/// Members of a JSON Web Key that are private or symmetric keys (RFC 7518 §6, RFC 8037 §2).
pub const PRIVATE_KEY_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

/// Seconds since 1970, which may have a fraction (RFC 7519 §2).
pub(crate) fn numeric_date(value: &Value) -> Option<Timestamp> {
    let since_epoch = Duration::try_from_secs_f64(value.as_f64()?).ok()?;
    u64::try_from(since_epoch.as_millis()).ok().map(Timestamp::from_millis)
}

/// A string, or a list of exactly one: what others would take, too, could be theirs (RFC 7519 §4.1.3).
pub(crate) fn sole(value: Option<&Value>) -> Option<&str> {
    match value? {
        Value::Array(list) => match list.as_slice() {
            [only] => only.as_str(),
            _ => None,
        },
        one => one.as_str(),
    }
}

/// `jti`, if it is there and short enough to be remembered (RFC 7519 §4.1.7).
pub(crate) fn jti(claims: &Map<String, Value>) -> Option<&str> {
    claims.get("jti")?.as_str().filter(|jti| (1..=MAX_JTI_LENGTH).contains(&jti.len()))
}

/// Whether a `typ` is this media type: its case does not matter, and `application/` may stand before it (RFC 7515
/// §4.1.9).
#[must_use]
pub fn is_type(typ: &str, wanted: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn times_are_numbers_that_a_clock_could_show() {
        assert_eq!(numeric_date(&json!(1)), Some(Timestamp::from_millis(1000)));
        assert_eq!(numeric_date(&json!(1.5)), Some(Timestamp::from_millis(1500)));
        for odd in [json!(-1), json!("1"), json!(1e300), json!(null), json!([1])] {
            assert_eq!(numeric_date(&odd), None, "{odd}");
        }
    }

    #[test]
    fn one_is_a_string_or_a_list_of_one() {
        assert_eq!(sole(Some(&json!("a"))), Some("a"));
        assert_eq!(sole(Some(&json!(["a"]))), Some("a"));
        for odd in [json!(["a", "b"]), json!(["a", "a"]), json!([]), json!([["a"]]), json!(7)] {
            assert_eq!(sole(Some(&odd)), None, "{odd}");
        }
        assert_eq!(sole(None), None);
    }

    #[test]
    fn types_are_media_types() {
        for typ in ["at+jwt", "AT+JWT", "application/at+jwt", "Application/AT+jwt"] {
            assert!(is_type(typ, "at+jwt"), "{typ}");
        }
        for typ in ["", "jwt", "text/at+jwt", "application/application/at+jwt", "at+jwt "] {
            assert!(!is_type(typ, "at+jwt"), "{typ}");
        }
    }
}
