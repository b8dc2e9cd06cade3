//! Handles: the codes, tokens and states that clients and browsers hold.
//!
//! A handle is a prefix, the id of its grant and a secret: `mla_` + 32 hexadecimal digits + base64url. The id finds
//! the record in one read, and the hash of the whole handle proves it. The prefix lets secret scanners know it.

use std::fmt;

use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login_core::grant::SecretHash;
use mcp_login_core::{Secret, Timestamp};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// 256 bits in base64url.
const SECRET_LENGTH: usize = 43;
/// 128 bits in base64url: what all refresh tokens of one grant share.
const LINEAGE_LENGTH: usize = 22;
const ID_LENGTH: usize = 32;

/// The identifier of a grant: six bytes of milliseconds and ten random ones, so that grants that are made together
/// lie together in an ordered store.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct GrantId(String);

impl<'de> Deserialize<'de> for GrantId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        Self::parse(&id).ok_or_else(|| D::Error::custom("no id of a grant"))
    }
}

impl GrantId {
    /// A new one.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let mut random = [0; 16];
        fill(&mut random);
        let random = u128::from_be_bytes(random) >> 48;
        Self(format!("{:032x}", u128::from(now.as_millis()) << 80 | random))
    }

    /// What [`as_str`](Self::as_str) gives; `None` for what is no id.
    #[must_use]
    pub fn parse(id: &str) -> Option<Self> {
        let valid = id.len() == ID_LENGTH && id.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        valid.then(|| Self(id.to_owned()))
    }

    /// 32 hexadecimal digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// When it was made.
    pub(crate) fn begun(&self) -> Timestamp {
        let millis = self.0.get(..12).and_then(|digits| u64::from_str_radix(digits, 16).ok());
        Timestamp::from_millis(millis.unwrap_or_default())
    }

    /// The end of the id: enough to tell the logins of one browser apart, too little to find the record.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(ID_LENGTH - 12..).unwrap_or_default()
    }
}

/// What a handle is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandleKind {
    /// The token in the consent page's form.
    Consent,
    /// The `state` of our request to the upstream.
    State,
    /// An authorization code.
    Code,
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

impl HandleKind {
    /// How handles of this kind begin.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Consent => "mlf_",
            Self::State => "mls_",
            Self::Code => "mlc_",
            Self::Access => "mla_",
            Self::Refresh => "mlr_",
        }
    }

    const fn lineage_length(self) -> usize {
        if matches!(self, Self::Refresh) { LINEAGE_LENGTH } else { 0 }
    }
}

/// A code, token or state, taken apart.
#[derive(Clone)]
pub struct Handle {
    kind: HandleKind,
    grant: GrantId,
    lineage: Secret,
    secret: Secret,
}

impl Handle {
    /// A new handle of this grant. For a refresh token, one of a new lineage.
    #[must_use]
    pub fn new(kind: HandleKind, grant: &GrantId) -> Self {
        let lineage = if kind == HandleKind::Refresh { random::<16>() } else { Secret::default() };
        Self { kind, grant: grant.clone(), lineage, secret: random_secret() }
    }

    /// A new refresh token of the same lineage.
    #[must_use]
    pub fn successor(&self) -> Self {
        Self { secret: random_secret(), ..self.clone() }
    }

    /// Takes a presented handle apart, if it has the form of this kind.
    #[must_use]
    pub fn parse(kind: HandleKind, presented: &str) -> Option<Self> {
        let rest = presented.strip_prefix(kind.prefix())?;
        let (id, rest) = rest.split_at_checked(ID_LENGTH)?;
        let (lineage, secret) = rest.split_at_checked(kind.lineage_length())?;
        let in_alphabet = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if secret.len() != SECRET_LENGTH || !rest.bytes().all(in_alphabet) {
            return None;
        }
        Some(Self { kind, grant: GrantId::parse(id)?, lineage: lineage.into(), secret: secret.into() })
    }

    /// The grant that it belongs to, or says it does.
    #[must_use]
    pub fn grant(&self) -> &GrantId {
        &self.grant
    }

    /// As the other side holds it.
    #[must_use]
    pub fn to_secret(&self) -> Secret {
        let (lineage, secret) = (self.lineage.expose_secret(), self.secret.expose_secret());
        Secret::new(format!("{}{}{lineage}{secret}", self.kind.prefix(), self.grant.as_str()))
    }

    /// What the record holds of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        hash(self.to_secret().expose_secret())
    }

    /// What the record holds of a refresh token's lineage.
    #[must_use]
    pub fn lineage_hash(&self) -> SecretHash {
        hash(&format!("{}{}", self.grant.as_str(), self.lineage.expose_secret()))
    }

    pub(super) const fn kind(&self) -> HandleKind {
        self.kind
    }

    pub(super) fn secret(&self) -> &Secret {
        &self.secret
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}…", self.kind.prefix())
    }
}

/// The value of a cookie that ties a step to one browser.
#[derive(Debug, Clone)]
pub struct BrowserSecret(Secret);

impl BrowserSecret {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        Self(random_secret())
    }

    /// From a cookie, if it has the form of one of ours.
    #[must_use]
    pub fn parse(cookie: &str) -> Option<Self> {
        let valid = URL_SAFE_NO_PAD.decode(cookie).is_ok_and(|bytes| bytes.len() == 32);
        valid.then(|| Self(cookie.into()))
    }

    /// For the cookie.
    #[must_use]
    pub fn as_secret(&self) -> &Secret {
        &self.0
    }

    /// What a record holds of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        hash(self.0.expose_secret())
    }
}

impl Default for BrowserSecret {
    fn default() -> Self {
        Self::new()
    }
}

/// SHA-256 is enough for what has 256 random bits: there is nothing to guess.
pub(crate) fn hash(secret: &str) -> SecretHash {
    SecretHash::new(Sha256::digest(secret.as_bytes()).into())
}

/// 256 random bits in base64url: 43 characters, which is also a `code_verifier` (RFC 7636 §4.1).
#[must_use]
pub fn random_secret() -> Secret {
    random::<32>()
}

fn random<const BYTES: usize>() -> Secret {
    let mut bytes = Zeroizing::new([0; BYTES]);
    fill(&mut *bytes);
    Secret::new(URL_SAFE_NO_PAD.encode(*bytes))
}

/// A machine that has no randomness cannot run this program at all.
#[allow(clippy::expect_used)]
pub(super) fn fill(bytes: &mut [u8]) {
    rand::fill(bytes).expect("the operating system gives randomness");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const KINDS: [HandleKind; 5] =
        [HandleKind::Consent, HandleKind::State, HandleKind::Code, HandleKind::Access, HandleKind::Refresh];

    fn id() -> GrantId {
        GrantId::new(Timestamp::from_millis(1_780_000_000_000))
    }

    #[test]
    fn what_is_given_out_is_read_back() {
        for kind in KINDS {
            let handle = Handle::new(kind, &id());
            let text = handle.to_secret();
            let read = Handle::parse(kind, text.expose_secret()).unwrap();
            assert_eq!(read.hash(), handle.hash());
            assert_eq!(read.to_secret(), text);
            assert_eq!(read.grant(), handle.grant());
        }
    }

    #[test]
    fn one_kind_is_not_another() {
        for kind in KINDS {
            let text = Handle::new(kind, &id()).to_secret();
            for other in KINDS {
                assert_eq!(Handle::parse(other, text.expose_secret()).is_some(), kind == other);
            }
        }
    }

    #[test]
    fn what_has_another_form_is_not_read() {
        let text = Handle::new(HandleKind::Access, &id()).to_secret().expose_secret().to_owned();
        for bad in ["", "mla_", "mla_ü", text.get(1..).unwrap(), &text.to_uppercase(), &format!("{text}A")] {
            assert!(Handle::parse(HandleKind::Access, bad).is_none(), "{bad}");
        }
        let colon = text.replacen(text.get(10..11).unwrap(), ":", 1);
        assert!(Handle::parse(HandleKind::Access, &colon).is_none());
    }

    #[test]
    fn successors_share_their_lineage_only() {
        let first = Handle::new(HandleKind::Refresh, &id());
        let second = first.successor();
        assert_eq!(first.lineage_hash(), second.lineage_hash());
        assert_ne!(first.hash(), second.hash());
        let stranger = Handle::new(HandleKind::Refresh, first.grant());
        assert_ne!(first.lineage_hash(), stranger.lineage_hash());
    }

    #[test]
    fn grant_ids_are_ordered_by_time() {
        let early = GrantId::new(Timestamp::from_millis(1_780_000_000_000));
        let late = GrantId::new(Timestamp::from_millis(1_780_000_000_001));
        assert!(early.as_str() < late.as_str());
        assert_eq!(early.as_str().len(), 32);
    }

    #[test]
    fn debug_shows_no_secret() {
        let handle = Handle::new(HandleKind::Code, &id());
        assert_eq!(format!("{handle:?}"), "mlc_…");
    }
}
