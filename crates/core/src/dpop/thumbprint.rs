//! [`JwkThumbprint`]: the name of a public key (RFC 7638).

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The SHA-256 thumbprint of a public key: what a token that is bound to the key holds of it (`jkt`, RFC 9449 §6.1).
/// Compared in constant time.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct JwkThumbprint([u8; 32]);

/// Not what a SHA-256 thumbprint looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 43 characters of base64url")]
pub struct InvalidThumbprint;

impl JwkThumbprint {
    /// Reads a thumbprint.
    pub fn parse(thumbprint: &str) -> Result<Self, InvalidThumbprint> {
        let bytes = URL_SAFE_NO_PAD.decode(thumbprint).map_err(|_| InvalidThumbprint)?;
        bytes.try_into().map(Self).map_err(|_| InvalidThumbprint)
    }

    /// The thumbprint of an asymmetric key, of which nothing but the public members count. `None` for any other key, and
    /// for one whose members are not there as base64url.
    #[must_use]
    pub fn of(jwk: &Map<String, Value>) -> Option<Self> {
        let member = |name| jwk.get(name).and_then(Value::as_str).filter(|value| is_base64url(value));
        // RFC 7638 §3.2, RFC 8037 §2: in the order of their names, without spaces. Nothing in them needs an escape.
        let canonical = match member("kty")? {
            "EC" => format!(
                r#"{{"crv":"{}","kty":"EC","x":"{}","y":"{}"}}"#,
                member("crv")?,
                member("x")?,
                member("y")?
            ),
            "OKP" => format!(r#"{{"crv":"{}","kty":"OKP","x":"{}"}}"#, member("crv")?, member("x")?),
            "RSA" => format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, member("e")?, member("n")?),
            _ => return None,
        };
        Some(Self(Sha256::digest(canonical.as_bytes()).into()))
    }
}

fn is_base64url(value: &str) -> bool {
    !value.is_empty() && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
}

impl PartialEq for JwkThumbprint {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for JwkThumbprint {}

impl fmt::Display for JwkThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for JwkThumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JwkThumbprint({self})")
    }
}

impl TryFrom<String> for JwkThumbprint {
    type Error = InvalidThumbprint;
    fn try_from(thumbprint: String) -> Result<Self, Self::Error> {
        Self::parse(&thumbprint)
    }
}

impl From<JwkThumbprint> for String {
    fn from(thumbprint: JwkThumbprint) -> Self {
        thumbprint.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn thumbprint(jwk: &Value) -> Option<String> {
        JwkThumbprint::of(jwk.as_object().unwrap()).map(|thumbprint| thumbprint.to_string())
    }

    #[test]
    fn the_vectors_of_the_rfcs_hold() {
        let rfc7638 = json!({
            "kty": "RSA",
            "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZC\
                  iFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnY\
                  b9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0L\
                  s1jF44-csFCur-kEgU8awapJzKnqDKgw",
            "e": "AQAB", "alg": "RS256", "kid": "2011-04-29",
        });
        let rfc8037 = json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        });
        let rfc9449 = json!({
            "kty": "EC", "crv": "P-256",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs", "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
        });
        for (jwk, expected) in [
            (&rfc7638, "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"),
            (&rfc8037, "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"),
            (&rfc9449, "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"),
        ] {
            assert_eq!(thumbprint(jwk).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_keys_have_none() {
        for jwk in [
            json!({}),
            json!({"kty": "oct", "k": "c2VjcmV0"}),
            json!({"kty": "ec", "crv": "P-256", "x": "eA", "y": "eQ"}),
            json!({"kty": "EC", "crv": "P-256", "x": "eA"}),
            json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": 1}),
            json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": ""}),
            json!({"kty": "EC", "crv": "P-256\",\"kty\":\"EC", "x": "eA", "y": "eQ"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": "eA=="}),
            json!({"kty": "RSA", "n": "bg"}),
        ] {
            assert_eq!(thumbprint(&jwk), None, "{jwk}");
        }
    }

    #[test]
    fn only_43_characters_of_base64url_are_a_thumbprint() {
        let text = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(JwkThumbprint::parse(text).unwrap().to_string(), text);
        for bad in ["", "abc", &text[..42], &format!("{text}="), &format!("{text}A"), &text.replace('-', "+")]
        {
            assert_eq!(JwkThumbprint::parse(bad), Err(InvalidThumbprint), "{bad}");
        }
        let other = JwkThumbprint::parse(&text.replacen('0', "1", 1)).unwrap();
        assert_ne!(JwkThumbprint::parse(text).unwrap(), other);
    }
}
