//! The `Authorization` request header with the schemes `Bearer` (RFC 6750 §2.1) and `DPoP` (RFC 9449 §7.1).

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_LENGTH: usize = 4096;

/// What the `Authorization` headers of a request hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Authorization<'a> {
    /// There is none: the caller is anonymous.
    Absent,
    /// A bearer token.
    Bearer(&'a str),
    /// A token that is bound to a key, of which the `DPoP` header has the proof.
    Dpop(&'a str),
    /// Something else, or more than one: never taken for an anonymous caller.
    Unusable,
}

impl<'a> Authorization<'a> {
    /// Reads the values of all `Authorization` headers of a request.
    pub fn parse(values: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut values = values.into_iter();
        let Some(value) = values.next() else { return Self::Absent };
        if values.next().is_some() {
            return Self::Unusable;
        }
        let Ok(value) = std::str::from_utf8(value) else { return Self::Unusable };
        let Some((scheme, token)) = value.split_once(' ') else { return Self::Unusable };
        let token = token.trim_matches(' ');
        if !is_b64token(token) {
            Self::Unusable
        } else if scheme.eq_ignore_ascii_case("bearer") {
            Self::Bearer(token)
        } else if scheme.eq_ignore_ascii_case("dpop") {
            Self::Dpop(token)
        } else {
            Self::Unusable
        }
    }
}

/// `b64token`, RFC 6750 §2.1; RFC 9449 §7.1 calls the same `token68`.
fn is_b64token(token: &str) -> bool {
    let body = token.trim_end_matches('=');
    token.len() <= MAX_TOKEN_LENGTH
        && !body.is_empty()
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~' | b'+' | b'/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse<'a>(values: &[&'a str]) -> Authorization<'a> {
        Authorization::parse(values.iter().map(|value| value.as_bytes()))
    }

    #[test]
    fn one_bearer_token_is_read() {
        assert_eq!(parse(&[]), Authorization::Absent);
        assert_eq!(parse(&["Bearer abc"]), Authorization::Bearer("abc"));
        assert_eq!(parse(&["bEARER  a-._~+/9=="]), Authorization::Bearer("a-._~+/9=="));
        assert_eq!(parse(&["DPoP abc"]), Authorization::Dpop("abc"));
        assert_eq!(parse(&["dpop  a-._~+/9=="]), Authorization::Dpop("a-._~+/9=="));
    }

    #[test]
    fn anything_else_is_unusable() {
        for value in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer a b",
            "Bearer a,b",
            "Basic abc",
            "abc",
            "Bearer =",
            "Bearer ü",
            "DPoP",
            "DPoP a b",
            "DPoPa abc",
        ] {
            assert_eq!(parse(&[value]), Authorization::Unusable, "{value}");
        }
        assert_eq!(parse(&["Bearer a", "Bearer a"]), Authorization::Unusable);
        assert_eq!(parse(&["Bearer a", "DPoP a"]), Authorization::Unusable);
        let long = format!("Bearer {}", "a".repeat(MAX_TOKEN_LENGTH + 1));
        assert_eq!(parse(&[&long]), Authorization::Unusable);
    }
}
