//! `[[clients.static]]`: clients that are set up by hand. What they may be is the library's rule; here is what the file can
//! get wrong.

use mcp_login::core::Secret;
use serde_json::Value;
use url::Url;

use super::{Context, check_http_url};
use crate::config::fault::Faults;
use crate::config::{raw, secret};

/// A client that is set up by hand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StaticClientConfig {
    /// Its identifier.
    pub client_id: String,
    /// What people see.
    pub client_name: Option<String>,
    /// For `client_secret_basic` and `client_secret_post`.
    pub client_secret: Option<Secret>,
    /// For `private_key_jwt`: its public keys,
    pub jwks: Option<Value>,
    /// or where they are.
    pub jwks_uri: Option<Url>,
    /// Where answers may be sent.
    pub redirect_uris: Vec<String>,
    /// What it may do. `None`: log people in.
    pub grant_types: Option<Vec<String>>,
    /// The most that its tokens may be used for. `None`: everything.
    pub scopes: Option<Vec<String>>,
}

pub(super) fn judge_all(
    raw: Vec<raw::StaticClient>,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Vec<StaticClientConfig> {
    let numbered = raw.into_iter().enumerate();
    numbered.filter_map(|(n, raw)| judge(raw, &format!("clients.static[{n}]"), context, faults)).collect()
}

fn judge(
    raw: raw::StaticClient,
    path: &str,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<StaticClientConfig> {
    let client_id = format!("{path}.client_id");
    if raw.client_id.as_deref().unwrap_or_default().is_empty() {
        faults.missing(&client_id, "the identifier that the client sends");
    }
    let client_secret = raw
        .client_secret
        .and_then(|written| secret::fetch(written, context.places, &format!("{path}.client_secret"), faults));
    let jwks = raw.jwks.and_then(|table| {
        let jwks = serde_json::to_value(table).ok();
        if jwks.is_none() {
            faults.push(format!("{path}.jwks"), "not a JSON Web Key Set");
        }
        jwks
    });
    let jwks_uri = raw.jwks_uri.and_then(|written| {
        check_http_url(&written).map_err(|message| faults.push(format!("{path}.jwks_uri"), message)).ok()
    });
    Some(StaticClientConfig {
        client_id: raw.client_id.filter(|id| !id.is_empty())?,
        client_name: raw.client_name,
        client_secret,
        jwks,
        jwks_uri,
        redirect_uris: raw.redirect_uris.unwrap_or_default(),
        grant_types: raw.grant_types,
        scopes: raw.scopes,
    })
}
