//! What is kept, typed: hashing and sealing live here and nowhere else, so every backend has them.

mod account;
mod approvals;
mod clients;
mod grants;
mod handle;
mod lease;
mod listing;
mod people;
mod published_keys;
mod seal;
mod session_key;
mod survey;
mod used;

pub(crate) use account::{ACCOUNT_TTL, AccountIdentity, AccountSession};
pub use approvals::Approval;
pub use clients::ClientRecord;
pub(crate) use grants::GRANTS;
pub use grants::Versioned;
pub(crate) use handle::hash as hash_secret;
pub use handle::{BrowserSecret, GrantId, Handle, HandleKind, random_secret};
pub(crate) use lease::{LEASE_TTL, Lease};
pub use listing::{LiveClient, LiveLogin};
pub(crate) use people::PersonKey;
pub(crate) use published_keys::PublishedKey;
pub use seal::{DataKey, OpenError};
pub use session_key::SessionKey;
pub use survey::{Count, Survey};
pub use used::UsedKind;

/// What the upstream said of the person is sealed as this.
pub const CLAIMS_LABEL: &str = "claims";
/// The upstream's tokens are sealed as this.
pub const UPSTREAM_TOKENS_LABEL: &str = "upstream tokens";

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::backend::StoreError;

/// Whether records of this kind are the store's content: no note of a copy or of a check, and nothing of somebody else.
pub(crate) fn is_record(kind: &str) -> bool {
    use self::{account::ACCOUNTS, approvals::APPROVALS, clients::CLIENTS, lease::LEASES, people::PEOPLE};
    use self::{published_keys::KEY_SETS, session_key::SECRETS, used::USED};
    [GRANTS, CLIENTS, PEOPLE, ACCOUNTS, APPROVALS, USED, SECRETS, LEASES, KEY_SETS].contains(&kind)
}

fn encode(record: &impl Serialize) -> Result<Bytes, StoreError> {
    serde_json::to_vec(record)
        .map(Bytes::from)
        .map_err(|_| StoreError::Damaged("a record that cannot be written"))
}

fn decode<T: DeserializeOwned>(value: &[u8], what: &'static str) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(|_| StoreError::Damaged(what))
}
