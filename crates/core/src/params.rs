//! Request parameters: the query of an authorization request, the form of a token request.

use std::fmt;

use percent_encoding::percent_decode_str;
use zeroize::Zeroizing;

use crate::error::OAuthError;

/// The longest query or form that is read, in bytes.
pub const MAX_LENGTH: usize = 16 * 1024;
/// The most parameters that one request may carry.
pub const MAX_PARAMS: usize = 64;

/// Decoded `application/x-www-form-urlencoded` parameters. Codes, verifiers and tokens are among them: `Debug` shows
/// names only and the values are zeroed on drop.
pub struct Params(Vec<(String, Zeroizing<String>)>);

impl Params {
    /// Decodes a query or a form body. Refuses what is too long or is not UTF-8 once decoded, instead of replacing
    /// characters: `state` has to come back byte for byte.
    pub fn parse(encoded: &[u8]) -> Result<Self, OAuthError> {
        if encoded.len() > MAX_LENGTH {
            return Err(OAuthError::invalid_request("the parameters are too long"));
        }
        let encoded = std::str::from_utf8(encoded)
            .map_err(|_| OAuthError::invalid_request("the parameters are not percent-encoded UTF-8"))?;
        let mut params = Vec::new();
        for pair in encoded.split('&').filter(|pair| !pair.is_empty()) {
            if params.len() == MAX_PARAMS {
                return Err(OAuthError::invalid_request("there are too many parameters"));
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            params.push((decode(name)?, Zeroizing::new(decode(value)?)));
        }
        Ok(Self(params))
    }

    /// The value of a parameter. One without a value counts as absent; one that is given twice is refused
    /// (RFC 6749 §3.1 and §3.2).
    pub fn one(&self, name: &str) -> Result<Option<&str>, OAuthError> {
        let mut values = self.0.iter().filter(|(held, _)| held == name).map(|(_, value)| value.as_str());
        let first = values.next();
        if values.next().is_some() {
            return Err(OAuthError::invalid_request("a parameter is given more than once"));
        }
        Ok(first.filter(|value| !value.is_empty()))
    }

    /// Every value of a parameter that may be given more than once.
    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(held, value)| held == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }

    /// Every parameter, in the order in which they came.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Whether a parameter is there at all, even without a value.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(held, _)| held == name)
    }

    /// Whether any parameter is given more than once, but for the ones that may be.
    #[must_use]
    pub fn has_duplicates(&self, but_for: &[&str]) -> bool {
        let mut names: Vec<&str> =
            self.0.iter().map(|(name, _)| name.as_str()).filter(|name| !but_for.contains(name)).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        names.len() != all
    }
}

fn decode(encoded: &str) -> Result<String, OAuthError> {
    let spaced = encoded.replace('+', " ");
    percent_decode_str(&spaced)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|_| OAuthError::invalid_request("a parameter is not UTF-8"))
}

impl fmt::Debug for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_come_out_byte_for_byte() {
        let params = Params::parse(b"state=a%2Bb+c%20%C3%BC&empty=&flag").unwrap();
        assert_eq!(params.one("state"), Ok(Some("a+b c ü")));
        assert_eq!(params.one("empty"), Ok(None));
        assert!(params.has("flag") && params.has("empty") && !params.has("other"));
    }

    #[test]
    fn what_is_given_twice_is_refused() {
        let params = Params::parse(b"a=1&a=1&resource=x&resource=x&r=1&r=2").unwrap();
        assert!(params.one("a").is_err());
        assert_eq!(params.all("resource").collect::<Vec<_>>(), ["x", "x"]);
        assert!(params.has_duplicates(&["resource", "r"]));
        assert!(!params.has_duplicates(&["resource", "r", "a"]));
    }

    #[test]
    fn what_cannot_be_read_is_refused() {
        assert!(Params::parse(b"a=%ff").is_err());
        assert!(Params::parse(&[b'a', b'=', 0xff]).is_err());
        assert!(Params::parse(&vec![b'a'; MAX_LENGTH + 1]).is_err());
        assert!(Params::parse("a&".repeat(MAX_PARAMS + 1).as_bytes()).is_err());
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", Params::parse(b"code=hunter2").unwrap());
        assert!(shown.contains("code") && !shown.contains("hunter2"));
    }
}
