//! Proof Key for Code Exchange with `S256` (RFC 7636). `plain` is not offered (OAuth 2.1 §4.1.1).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// The name of the one method.
pub const S256: &str = "S256";

/// A `code_challenge` of the method `S256`: 43 characters of base64url.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CodeChallenge(String);

/// Not what SHA-256 in base64url looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an S256 code challenge (RFC 7636 section 4.2)")]
pub struct InvalidChallenge;

impl CodeChallenge {
    /// Reads a challenge.
    pub fn parse(challenge: &str) -> Result<Self, InvalidChallenge> {
        match URL_SAFE_NO_PAD.decode(challenge) {
            Ok(bytes) if bytes.len() == 32 => Ok(Self(challenge.to_owned())),
            _ => Err(InvalidChallenge),
        }
    }

    /// The challenge of a verifier of our own.
    #[must_use]
    pub fn of(verifier: &str) -> Self {
        Self(URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())))
    }

    /// Whether this is the verifier behind the challenge (RFC 7636 §4.6).
    #[must_use]
    pub fn verify(&self, verifier: &str) -> bool {
        is_verifier(verifier) && bool::from(Self::of(verifier).0.as_bytes().ct_eq(self.0.as_bytes()))
    }

    /// As it is sent.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// `code-verifier = 43*128unreserved`, RFC 7636 §4.1.
fn is_verifier(verifier: &str) -> bool {
    (43..=128).contains(&verifier.len())
        && verifier.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'))
}

impl TryFrom<String> for CodeChallenge {
    type Error = InvalidChallenge;
    fn try_from(challenge: String) -> Result<Self, Self::Error> {
        Self::parse(&challenge)
    }
}

impl From<CodeChallenge> for String {
    fn from(challenge: CodeChallenge) -> Self {
        challenge.0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// RFC 7636 appendix B.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

    #[test]
    fn the_vector_of_the_rfc_holds() {
        let challenge = CodeChallenge::parse(CHALLENGE).unwrap();
        assert!(challenge.verify(VERIFIER));
        assert_eq!(CodeChallenge::of(VERIFIER), challenge);
    }

    #[test]
    fn other_verifiers_do_not_fit() {
        let challenge = CodeChallenge::parse(CHALLENGE).unwrap();
        assert!(!challenge.verify(""));
        assert!(!challenge.verify(CHALLENGE));
        assert!(!challenge.verify(&VERIFIER.to_lowercase()));
        assert!(!CodeChallenge::of("short").verify("short"), "42 characters or fewer are no verifier");
        let long = "a".repeat(129);
        assert!(!CodeChallenge::of(&long).verify(&long));
        let spaced = format!("{VERIFIER} ");
        assert!(!CodeChallenge::of(&spaced).verify(&spaced));
    }

    #[test]
    fn only_43_characters_of_base64url_are_a_challenge() {
        for bad in
            ["", "abc", VERIFIER.get(..42).unwrap(), &format!("{CHALLENGE}="), &format!("{CHALLENGE}A")]
        {
            assert!(CodeChallenge::parse(bad).is_err(), "{bad}");
        }
        assert!(CodeChallenge::parse("E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw+cM").is_err());
        assert!(CodeChallenge::parse(&"a".repeat(128)).is_err());
    }
}
