//! Client ID Metadata Documents (draft-ietf-oauth-client-id-metadata-document-00, which MCP 2025-11-25 and 2026-07-28
//! ask for): the `client_id` is the address of a JSON document in which the client describes itself.

mod hosts;
mod public_address;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use url::{Position, Url};

use super::metadata::{Client, RegistrationRequest};
use super::redirect_uri::RedirectPolicy;
use crate::error::OAuthError;

pub use hosts::{DocumentHosts, InvalidDocumentHost};
pub use public_address::is_public_address;

/// The longest address of a document, in bytes.
pub const MAX_URL_LENGTH: usize = 2048;
/// The longest document, in bytes (draft §6.6).
pub const MAX_DOCUMENT_LENGTH: usize = 5 * 1024;

/// A `client_id` that is the address of a document, as draft §3 wants one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentUrl {
    /// Byte for byte as the client wrote it: this is its identifier.
    client_id: String,
    url: Url,
}

/// Why a `client_id` that is an address identifies no client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// Longer than [`MAX_URL_LENGTH`].
    #[error("the client_id is an address of more than 2048 characters")]
    UrlTooLong,
    /// No URL, or one that could be written more plainly.
    #[error(
        "the client_id is not a plainly written URL: lower-case host, no default port, no odd characters"
    )]
    UrlMalformed,
    /// Neither https nor a host that the operator has named.
    #[error("a client_id that is an address has to be https")]
    NotHttps,
    /// `https://user@host/`.
    #[error("a client_id that is an address has no user information")]
    UserInfo,
    /// `https://host/path#part`.
    #[error("a client_id that is an address has no fragment")]
    Fragment,
    /// `https://host/`.
    #[error("a client_id that is an address has to have a path")]
    NoPath,
    /// `.` or `..`, perhaps percent-encoded.
    #[error("a client_id that is an address has no dot segments in its path")]
    DotSegment,
    /// Longer than [`MAX_DOCUMENT_LENGTH`].
    #[error("the client's metadata document is larger than 5 KiB")]
    TooLarge,
    /// No JSON, or no object.
    #[error("the client's metadata document is not a JSON object")]
    NotAnObject,
    /// Whoever wrote it did not write it for this address.
    #[error("the client_id in the client's metadata document is not the document's own address")]
    OtherClientId,
    /// Nothing to show to a person.
    #[error("the client's metadata document has no client_name")]
    NoName,
    /// What everybody can read is no secret.
    #[error("the client's metadata document holds a secret or a private key")]
    HoldsSecret,
    /// It offers no method that this server takes without a registration.
    #[error("the client's metadata document does not offer token_endpoint_auth_method none")]
    AuthMethod,
    /// What would be refused in a registration too.
    #[error("the client's metadata document is refused: {}", .0.description)]
    Metadata(OAuthError),
}

impl From<DocumentError> for OAuthError {
    fn from(error: DocumentError) -> Self {
        Self::invalid_client(error.to_string())
    }
}

impl DocumentUrl {
    /// Whether a `client_id` means a document: then [`parse`](Self::parse) tells which. No registered one looks so.
    #[must_use]
    pub fn is_meant_by(client_id: &str) -> bool {
        let starts = |scheme: &str| {
            client_id.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
        };
        starts("https:") || starts("http:")
    }

    /// Reads a `client_id` (draft §3). Hosts that the operator has named may go without https.
    ///
    /// A query, which the draft only advises against, stays as it is written.
    pub fn parse(client_id: &str, named: &DocumentHosts) -> Result<Self, DocumentError> {
        if client_id.len() > MAX_URL_LENGTH {
            return Err(DocumentError::UrlTooLong);
        }
        if client_id.contains('#') {
            return Err(DocumentError::Fragment);
        }
        // RFC 3986 §2: what may stand in a URI at all.
        let visible = |b: u8| (0x21..=0x7E).contains(&b) && !b"\\\"<>^`{|}".contains(&b);
        let url = Url::parse(client_id).map_err(|_| DocumentError::UrlMalformed)?;
        if !client_id.bytes().all(visible) {
            return Err(DocumentError::UrlMalformed);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(DocumentError::UserInfo);
        }
        if url.scheme() != "https" && !(url.scheme() == "http" && named.contains(&url)) {
            return Err(DocumentError::NotHttps);
        }
        // `0x7f.1`, `EXAMPLE.com`, `:443` and `https:host` are other spellings: one client has one identifier.
        let Some(written) = client_id.strip_prefix(&url[..Position::BeforePath]) else {
            return Err(DocumentError::UrlMalformed);
        };
        let path = written.split('?').next().unwrap_or_default();
        if !path.is_empty() && !path.starts_with('/') {
            return Err(DocumentError::UrlMalformed);
        }
        if path.is_empty() || path == "/" {
            return Err(DocumentError::NoPath);
        }
        if has_dot_segment(path) {
            return Err(DocumentError::DotSegment);
        }
        Ok(Self { client_id: client_id.to_owned(), url })
    }

    /// The identifier of the client: the address, byte for byte as it was written.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Where the document is.
    #[must_use]
    pub const fn url(&self) -> &Url {
        &self.url
    }

    /// Who vouches for what the document says: host, and port if it is not the scheme's own.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.url[Position::BeforeHost..Position::AfterPort]
    }

    /// Reads the document that was found there (draft §4). Redirect URIs are held against the operator's policy, as in
    /// a registration: what is not acceptable is left out, and something has to be left.
    pub fn read(&self, document: &[u8], policy: &RedirectPolicy) -> Result<Client, DocumentError> {
        if document.len() > MAX_DOCUMENT_LENGTH {
            return Err(DocumentError::TooLarge);
        }
        let Ok(Value::Object(mut members)) = serde_json::from_slice(document) else {
            return Err(DocumentError::NotAnObject);
        };
        if members.get("client_id").and_then(Value::as_str) != Some(&self.client_id) {
            return Err(DocumentError::OtherClientId);
        }
        if holds_secret(&members) {
            return Err(DocumentError::HoldsSecret);
        }
        if !offers_none(&members) {
            return Err(DocumentError::AuthMethod);
        }
        if members.get("client_name").and_then(Value::as_str).is_none_or(|name| name.trim().is_empty()) {
            return Err(DocumentError::NoName);
        }
        members.insert("token_endpoint_auth_method".into(), "none".into());
        let request = RegistrationRequest::from_members(members).map_err(DocumentError::Metadata)?;
        let registration = request.check(self.client_id.clone(), policy).map_err(DocumentError::Metadata)?;
        Ok(registration.client)
    }
}

/// Decoded first: whoever answers at that address may decode before splitting.
fn has_dot_segment(path: &str) -> bool {
    let path: Vec<u8> = percent_decode_str(path).collect();
    path.split(|b| matches!(b, b'/' | b'\\')).any(|segment| matches!(segment, b"." | b".."))
}

/// Draft §4.1, and the private parts of a JSON Web Key (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2).
fn holds_secret(members: &Map<String, Value>) -> bool {
    const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
    let keys = members.get("jwks").and_then(|jwks| jwks.get("keys")).and_then(Value::as_array);
    ["client_secret", "client_secret_expires_at"].iter().any(|name| members.contains_key(*name))
        || keys.into_iter().flatten().any(|key| PRIVATE.iter().any(|name| key.get(name).is_some()))
}

/// Whether the client can come without a proof. One that names no method can: the default of RFC 7591 §2 is a secret,
/// which draft §4.1 rules out. Real clients list several in a plural member that SEP-3149 proposes; where there is one,
/// the singular is only the method that they prefer.
fn offers_none(members: &Map<String, Value>) -> bool {
    let singular = members.get("token_endpoint_auth_method");
    let method = singular.map(|method| method.as_str().unwrap_or_default());
    if method.is_some_and(|method| method.starts_with("client_secret")) {
        return false;
    }
    let plural = ["token_endpoint_auth_methods", "token_endpoint_auth_methods_supported"];
    match plural.iter().find_map(|name| members.get(*name)) {
        Some(list) => list.as_array().is_some_and(|list| list.iter().any(|method| method == "none")),
        None => matches!(method, None | Some("none")),
    }
}

#[cfg(test)]
#[path = "metadata_document/tests.rs"]
mod tests;
