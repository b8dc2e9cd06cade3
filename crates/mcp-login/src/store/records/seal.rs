//! Sealing: AES-256-GCM under keys that only the holder of a handle can derive.
//!
//! Each grant has a random [`DataKey`]. It is stored only wrapped, once under every live code and token; the key that
//! wraps is derived from the handle's secret (HKDF-SHA-256, RFC 5869), of which the store has no more than a hash.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use hkdf::Hkdf;
use mcp_login_core::grant::Sealed;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::handle::{GrantId, Handle, fill};

/// What was sealed does not open: another key, another place, or damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sealed record does not open")]
pub struct OpenError;

impl From<OpenError> for super::StoreError {
    fn from(_: OpenError) -> Self {
        Self::Damaged("what is sealed in a grant does not open")
    }
}

/// The key under which a grant keeps what it knows of the upstream.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct DataKey([u8; 32]);

impl DataKey {
    /// A new one.
    #[must_use]
    pub fn new() -> Self {
        let mut key = [0; 32];
        fill(&mut key);
        Self(key)
    }

    /// Seals a value. `label` says what it is: it opens as nothing else, and in no other grant.
    pub fn seal(&self, grant: &GrantId, label: &str, value: &impl Serialize) -> Result<Sealed, OpenError> {
        let plain = Zeroizing::new(serde_json::to_vec(value).map_err(|_| OpenError)?);
        self.seal_bytes(grant, label, &plain)
    }

    /// Opens what [`Self::seal`] sealed.
    pub fn open<T: DeserializeOwned>(
        &self,
        grant: &GrantId,
        label: &str,
        sealed: &Sealed,
    ) -> Result<T, OpenError> {
        let plain = self.open_bytes(grant, label, sealed)?;
        serde_json::from_slice(&plain).map_err(|_| OpenError)
    }

    fn seal_bytes(&self, grant: &GrantId, label: &str, plain: &[u8]) -> Result<Sealed, OpenError> {
        let mut nonce = [0; NONCE_LEN];
        fill(&mut nonce);
        let mut sealed = nonce.to_vec();
        let mut body = Zeroizing::new(plain.to_vec());
        let tag = self
            .cipher()?
            .seal_in_place_separate_tag(Nonce::assume_unique_for_key(nonce), aad(grant, label), &mut body)
            .map_err(|_| OpenError)?;
        sealed.extend_from_slice(&body);
        sealed.extend_from_slice(tag.as_ref());
        Ok(Sealed::new(sealed))
    }

    fn open_bytes(
        &self,
        grant: &GrantId,
        label: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, OpenError> {
        let (nonce, body) = sealed.as_bytes().split_at_checked(NONCE_LEN).ok_or(OpenError)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| OpenError)?;
        let mut plain = Zeroizing::new(body.to_vec());
        let length =
            self.cipher()?.open_in_place(nonce, aad(grant, label), &mut plain).map_err(|_| OpenError)?.len();
        plain.truncate(length);
        Ok(plain)
    }

    fn cipher(&self) -> Result<LessSafeKey, OpenError> {
        UnboundKey::new(&AES_256_GCM, &self.0).map(LessSafeKey::new).map_err(|_| OpenError)
    }

    /// The data key, for the holder of this handle only.
    pub fn wrap(&self, handle: &Handle) -> Result<Sealed, OpenError> {
        handle.key()?.seal_bytes(handle.grant(), "data key", &self.0)
    }

    /// The data key that was wrapped for this handle.
    pub fn unwrap(handle: &Handle, wrapped: &Sealed) -> Result<Self, OpenError> {
        let plain = handle.key()?.open_bytes(handle.grant(), "data key", wrapped)?;
        <[u8; 32]>::try_from(plain.as_slice()).map(Self).map_err(|_| OpenError)
    }
}

impl Default for DataKey {
    fn default() -> Self {
        Self::new()
    }
}

impl Handle {
    /// The key that only the holder of this handle can derive.
    fn key(&self) -> Result<DataKey, OpenError> {
        let mut key = DataKey([0; 32]);
        Hkdf::<Sha256>::new(Some(self.grant().as_str().as_bytes()), self.secret().expose_secret().as_bytes())
            .expand(format!("mcp-login/1/{}", self.kind().prefix()).as_bytes(), &mut key.0)
            .map_err(|_| OpenError)?;
        Ok(key)
    }

    /// Seals a value for the holder of this handle.
    pub fn seal(&self, label: &str, value: &impl Serialize) -> Result<Sealed, OpenError> {
        self.key()?.seal(self.grant(), label, value)
    }

    /// Opens what [`Self::seal`] sealed.
    pub fn open<T: DeserializeOwned>(&self, label: &str, sealed: &Sealed) -> Result<T, OpenError> {
        self.key()?.open(self.grant(), label, sealed)
    }
}

fn aad(grant: &GrantId, label: &str) -> Aad<Vec<u8>> {
    Aad::from(format!("{}/{label}", grant.as_str()).into_bytes())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use mcp_login_core::Timestamp;

    use super::super::handle::HandleKind;
    use super::*;

    fn id() -> GrantId {
        GrantId::new(Timestamp::from_millis(1_780_000_000_000))
    }

    #[test]
    fn only_the_handle_opens_what_is_sealed_for_it() {
        let handle = Handle::new(HandleKind::Code, &id());
        let key = DataKey::new();
        let wrapped = key.wrap(&handle).unwrap();
        let sealed = key.seal(handle.grant(), "claims", &"value").unwrap();
        let opened = DataKey::unwrap(&handle, &wrapped).unwrap();
        assert_eq!(opened.open::<String>(handle.grant(), "claims", &sealed).unwrap(), "value");

        let other = Handle::new(HandleKind::Code, handle.grant());
        assert_eq!(DataKey::unwrap(&other, &wrapped).err(), Some(OpenError));
        let as_token = handle.to_secret().expose_secret().replacen("mlc_", "mla_", 1);
        let as_token = Handle::parse(HandleKind::Access, &as_token).unwrap();
        assert_eq!(DataKey::unwrap(&as_token, &wrapped).err(), Some(OpenError), "another kind");
    }

    #[test]
    fn a_seal_opens_in_its_own_place_only() {
        let (grant, key) = (id(), DataKey::new());
        let sealed = key.seal(&grant, "claims", &1).unwrap();
        assert_eq!(key.open::<u8>(&grant, "claims", &sealed), Ok(1));
        assert_eq!(key.open::<u8>(&grant, "tokens", &sealed), Err(OpenError));
        assert_eq!(key.open::<u8>(&id(), "claims", &sealed), Err(OpenError));
        assert_eq!(DataKey::new().open::<u8>(&grant, "claims", &sealed), Err(OpenError));
        for place in 0..sealed.as_bytes().len() {
            let mut damaged = sealed.as_bytes().to_vec();
            damaged[place] ^= 1;
            assert_eq!(
                key.open::<u8>(&grant, "claims", &Sealed::new(damaged)),
                Err(OpenError),
                "byte {place}"
            );
        }
        for length in 0..sealed.as_bytes().len() {
            let cut = Sealed::new(sealed.as_bytes()[..length].to_vec());
            assert_eq!(key.open::<u8>(&grant, "claims", &cut), Err(OpenError), "{length} bytes");
        }
    }

    #[test]
    fn one_value_is_sealed_differently_each_time() {
        let (grant, key) = (id(), DataKey::new());
        assert_ne!(key.seal(&grant, "l", &1).unwrap(), key.seal(&grant, "l", &1).unwrap());
    }
}
