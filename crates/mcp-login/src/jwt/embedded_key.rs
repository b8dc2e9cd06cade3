//! Tokens that bring the key that they are signed with (RFC 7515 §4.1.3): such a one proves that whoever made it holds the
//! private half, and nothing else.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::key_set::Key;
use super::{JwtError, UnverifiedJwt, claims};

/// The header and the claims of a token whose signature holds.
#[derive(Debug)]
pub(crate) struct SelfSigned {
    pub(crate) header: Map<String, Value>,
    pub(crate) claims: Map<String, Value>,
}

impl UnverifiedJwt<'_> {
    /// Header and claims, once the signature holds with the key in the header, which has to be one for the algorithm.
    pub(crate) fn verify_with_own_key(&self) -> Result<SelfSigned, JwtError> {
        // The typed header leaves out what it does not know, such as the private half of a key.
        let encoded = self.text.split('.').next().unwrap_or_default();
        let header = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| JwtError::Malformed)?;
        let header: Map<String, Value> = serde_json::from_slice(&header).map_err(|_| JwtError::Malformed)?;
        let key = header.get("jwk").and_then(Key::read).ok_or(JwtError::UnknownKey)?;
        let verifier = key.for_algorithm(self.header.alg).ok_or(JwtError::UnknownKey)?;
        let claims = claims(self.text, verifier, self.header.alg).ok_or(JwtError::Signature)?;
        Ok(SelfSigned { header, claims })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    /// RFC 9449 §4.1.
    const PROOF: &str = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg";

    fn verify(text: &str) -> Result<SelfSigned, JwtError> {
        UnverifiedJwt::read(text)?.verify_with_own_key()
    }

    /// The example with another header.
    fn with_header(header: &Value) -> Result<SelfSigned, JwtError> {
        let (_, rest) = PROOF.split_once('.').unwrap();
        verify(&format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header.to_string())))
    }

    #[test]
    fn the_example_of_the_rfc_holds() {
        let proof = verify(PROOF).unwrap();
        assert_eq!(proof.header["typ"], "dpop+jwt");
        assert_eq!(proof.claims["htu"], "https://server.example.com/token");
    }

    #[test]
    fn a_signature_is_for_its_own_text() {
        let other_end = PROOF.replacen("3Lg", "3Lh", 1);
        let claims = URL_SAFE_NO_PAD.encode(json!({"jti": "other"}).to_string());
        let mut parts = PROOF.split('.');
        let (header, _, signature) = (parts.next().unwrap(), parts.next(), parts.next().unwrap());
        for bad in [other_end, format!("{header}.{claims}.{signature}"), format!("{header}.{claims}.")] {
            assert!(matches!(verify(&bad), Err(JwtError::Signature | JwtError::Malformed)), "{bad}");
        }
    }

    #[test]
    fn the_key_has_to_be_there_and_fit_the_algorithm() {
        let header = verify(PROOF).unwrap().header;
        let key = &header["jwk"];
        assert_eq!(with_header(&json!({"alg": "ES256"})).unwrap_err(), JwtError::UnknownKey);
        for alg in ["RS256", "PS256", "EdDSA"] {
            let refused = with_header(&json!({"alg": alg, "jwk": key})).unwrap_err();
            assert_eq!(refused, JwtError::UnknownKey, "{alg}");
        }
        let symmetric = json!({"kty": "oct", "k": "c2VjcmV0"});
        for (alg, error) in [
            ("HS256", JwtError::Algorithm),
            ("ES384", JwtError::Algorithm),
            ("ES256", JwtError::UnknownKey),
            ("none", JwtError::Malformed),
        ] {
            assert_eq!(with_header(&json!({"alg": alg, "jwk": symmetric})).unwrap_err(), error, "{alg}");
        }
        let mut critical = header.clone();
        critical.insert("crit".to_owned(), json!(["exp"]));
        assert_eq!(with_header(&Value::Object(critical)).unwrap_err(), JwtError::Critical);
    }

    #[test]
    fn nothing_else_is_a_token() {
        for bad in ["", ".", "..", "...", "a.b.c", &PROOF.replace('.', " "), &format!("{PROOF}.{PROOF}")] {
            assert_eq!(verify(bad).unwrap_err(), JwtError::Malformed, "{bad}");
        }
    }

    #[test]
    fn what_clients_are_told_is_what_is_taken() {
        let names = super::super::ALGORITHMS.map(|algorithm| format!("{algorithm:?}"));
        for name in mcp_login_core::metadata::SIGNING_ALGORITHMS {
            assert!(names.iter().any(|taken| taken == name), "{name}");
        }
        assert_eq!(names.len(), mcp_login_core::metadata::SIGNING_ALGORITHMS.len());
    }
}
