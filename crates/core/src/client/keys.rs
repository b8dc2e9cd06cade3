//! The public keys of a client that signs its assertions (RFC 7591 §2): `jwks` or `jwks_uri`.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::metadata_document::DocumentHosts;
use crate::jwt::PRIVATE_KEY_MEMBERS;

/// The longest address of a key set, in bytes.
pub const MAX_URI_LENGTH: usize = 2048;
/// The longest key set that is fetched, in bytes.
pub const MAX_KEY_SET_LENGTH: usize = 64 * 1024;

/// Where the keys of a client are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientKeys {
    /// A JSON Web Key Set (RFC 7517 §5), by value.
    Jwks(Value),
    /// The address of one.
    JwksUri(Url),
}

/// Why keys are refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// RFC 7591 §2: one of them.
    #[error("jwks and jwks_uri may not both be given (RFC 7591 section 2)")]
    Both,
    /// RFC 7517 §5.
    #[error("jwks is not a JSON Web Key Set with at least one key")]
    NotAKeySet,
    /// The private half, or a key that both sides would have to know.
    #[error("jwks holds a private or symmetric key; publish the public half only")]
    Private,
    /// No URL, or one that could be read in two ways.
    #[error("jwks_uri is not an absolute URL without fragment, user information and odd characters")]
    UriMalformed,
    /// Neither https nor a host that the operator has named.
    #[error("jwks_uri has to be https")]
    NotHttps,
}

impl ClientKeys {
    /// Reads the two members of a client's metadata. Hosts that the operator has named may go without https.
    pub fn read(
        jwks: Option<&Value>,
        jwks_uri: Option<&str>,
        named: &DocumentHosts,
    ) -> Result<Option<Self>, KeysError> {
        match (jwks, jwks_uri) {
            (None, None) => Ok(None),
            (Some(_), Some(_)) => Err(KeysError::Both),
            (Some(jwks), None) => {
                let keys = jwks.get("keys").and_then(Value::as_array);
                if keys.is_none_or(|keys| keys.is_empty() || !keys.iter().all(Value::is_object)) {
                    return Err(KeysError::NotAKeySet);
                }
                if holds_private_key(jwks) {
                    return Err(KeysError::Private);
                }
                Ok(Some(Self::Jwks(jwks.clone())))
            }
            (None, Some(uri)) => Ok(Some(Self::JwksUri(read_uri(uri, named)?))),
        }
    }

    /// How much of it is kept, in bytes.
    #[must_use]
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Jwks(jwks) => jwks.to_string().len(),
            Self::JwksUri(uri) => uri.as_str().len(),
        }
    }
}

fn read_uri(uri: &str, named: &DocumentHosts) -> Result<Url, KeysError> {
    // RFC 3986 §2: what may stand in a URI at all; a fragment means nothing to whoever fetches.
    let visible = |b: u8| (0x21..=0x7E).contains(&b) && !b"\\\"<>^`{|}#".contains(&b);
    if uri.len() > MAX_URI_LENGTH || !uri.bytes().all(visible) {
        return Err(KeysError::UriMalformed);
    }
    let url = Url::parse(uri).map_err(|_| KeysError::UriMalformed)?;
    let (_, rest) = uri.split_once("://").ok_or(KeysError::UriMalformed)?;
    if url.host_str().is_none() || rest.split(['/', '?']).next().is_none_or(|host| host.contains('@')) {
        return Err(KeysError::UriMalformed);
    }
    if url.scheme() != "https" && !(url.scheme() == "http" && named.contains(&url)) {
        return Err(KeysError::NotHttps);
    }
    Ok(url)
}

/// The private parts of a JSON Web Key (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 8037 §2), and keys that both sides know.
#[must_use]
pub fn holds_private_key(jwks: &Value) -> bool {
    let keys = jwks.get("keys").and_then(Value::as_array);
    keys.into_iter().flatten().any(|key| {
        PRIVATE_KEY_MEMBERS.iter().any(|name| key.get(name).is_some())
            || key.get("kty").and_then(Value::as_str) == Some("oct")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn jwks(jwks: &Value) -> Result<Option<ClientKeys>, KeysError> {
        ClientKeys::read(Some(jwks), None, &DocumentHosts::default())
    }

    fn uri(uri: &str) -> Result<Option<ClientKeys>, KeysError> {
        ClientKeys::read(None, Some(uri), &DocumentHosts::default())
    }

    #[test]
    fn a_set_of_public_keys_is_taken() {
        let set = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}]});
        assert_eq!(jwks(&set).unwrap(), Some(ClientKeys::Jwks(set)));
        assert_eq!(ClientKeys::read(None, None, &DocumentHosts::default()), Ok(None));
    }

    #[test]
    fn what_is_no_set_of_public_keys_is_refused() {
        for wrong in
            [json!({}), json!({"keys": []}), json!({"keys": ["x"]}), json!([]), json!("x"), json!(null)]
        {
            assert_eq!(jwks(&wrong), Err(KeysError::NotAKeySet), "{wrong}");
        }
        for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
            assert_eq!(
                jwks(&json!({"keys": [{"kty": "EC"}, {name: "x"}]})),
                Err(KeysError::Private),
                "{name}"
            );
        }
        assert_eq!(jwks(&json!({"keys": [{"kty": "oct"}]})), Err(KeysError::Private));
    }

    #[test]
    fn one_of_the_two() {
        let set = json!({"keys": [{"kty": "EC"}]});
        let both = ClientKeys::read(Some(&set), Some("https://c.example/jwks"), &DocumentHosts::default());
        assert_eq!(both, Err(KeysError::Both));
    }

    #[test]
    fn an_address_is_https_and_plain() {
        for fine in ["https://c.example/jwks.json", "https://c.example:8443/jwks?a=b", "https://c.example"] {
            assert!(uri(fine).is_ok(), "{fine}");
        }
        for http in ["http://c.example/jwks", "http://127.0.0.1/jwks", "ftp://c.example/jwks"] {
            assert_eq!(uri(http), Err(KeysError::NotHttps), "{http}");
        }
        let long = format!("https://c.example/{}", "a".repeat(MAX_URI_LENGTH));
        for wrong in [
            "",
            "jwks",
            "/jwks",
            "https:c.example/jwks",
            "https://",
            "https://u@c.example/",
            "https://@c.example/",
            "https://c.example/#a",
            "https://c.example/a b",
            "https://c.example\\@d.example/",
            "data:,x",
            &long,
        ] {
            assert_eq!(uri(wrong), Err(KeysError::UriMalformed), "{wrong}");
        }
        let mut named = DocumentHosts::default();
        named.insert("127.0.0.1:1234").unwrap();
        assert!(ClientKeys::read(None, Some("http://127.0.0.1:1234/jwks"), &named).is_ok());
        assert!(ClientKeys::read(None, Some("http://127.0.0.1:1235/jwks"), &named).is_err());
    }
}
