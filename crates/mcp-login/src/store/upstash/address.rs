//! From a URL to where Upstash is, and the token for it.
//!
//! No text of an error holds any part of the URL.

use mcp_login_core::Secret;
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::store::backend::StoreError;

/// The longest token, in bytes. Upstash's have less than a hundred.
const TOKEN_LIMIT: usize = 1024;

const FORM: &str = "it is upstash+https://TOKEN@HOST, with the host of UPSTASH_REDIS_REST_URL, the token of \
    UPSTASH_REDIS_REST_TOKEN, special characters of the token percent-encoded, and nothing behind the host";

/// Where to ask, and as whom.
#[derive(Debug)]
pub(super) struct Address {
    /// `https://HOST[:PORT]/`, without the token.
    pub(super) url: Url,
    pub(super) token: Secret,
}

fn unreadable() -> StoreError {
    StoreError::Open(format!("the store's Upstash URL cannot be read; {FORM}"))
}

impl Address {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let (scheme, _) = url.split_once("://").ok_or_else(unreadable)?;
        let rest = match scheme.to_ascii_lowercase().as_str() {
            "upstash+https" | "upstash+http" => url.get("upstash+".len()..),
            _ => None,
        };
        let mut url = Url::parse(rest.ok_or_else(unreadable)?).map_err(|_| unreadable())?;
        if url.password().is_some() {
            return Err(StoreError::Open(
                "the store's Upstash URL has a user and a password; the token alone stands before the `@`, which is \
                 not the password of the database"
                    .to_owned(),
            ));
        }
        if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
            return Err(unreadable());
        }
        if url.scheme() == "http" && !is_loopback(&url) {
            return Err(StoreError::Open(
                "the store's Upstash URL is upstash+http, which would show the token to the network; write upstash+https"
                    .to_owned(),
            ));
        }
        let token = percent_decode_str(url.username()).decode_utf8().map_err(|_| unreadable())?;
        let token = Secret::new(token);
        let printable = token.expose_secret().bytes().all(|b| b.is_ascii_graphic());
        if token.is_empty() || token.expose_secret().len() > TOKEN_LIMIT || !printable {
            return Err(StoreError::Open(format!(
                "the store's Upstash URL has no token before an `@`, or none that can be one; {FORM}"
            )));
        }
        url.set_username("").map_err(|()| unreadable())?;
        Ok(Self { url, token })
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
