//! The clients that the operator has set up.

use std::collections::BTreeMap;
use std::sync::Arc;

use mcp_login_core::client::metadata::MAX_NAME_LENGTH;
use mcp_login_core::client::{
    AuthMethods, Client, ClientAuthMethod, ClientKeys, DocumentHosts, RedirectPolicy,
};
use mcp_login_core::grant::SecretHash;
use mcp_login_core::scope::Scopes;
use mcp_login_core::token::GrantType;
use url::{Host, Url};

use super::key_sets::has_usable_key;
use crate::settings::{MIN_SECRET_LENGTH, StaticClient};
use crate::store::records::hash_secret;

/// The longest `client_id`, in characters.
const MAX_ID_LENGTH: usize = 200;

/// A client that the operator has set up, without faults.
#[derive(Debug)]
pub(crate) struct ConfiguredClient {
    pub(crate) client: Client,
    secret: Option<SecretHash>,
    grant_types: Vec<GrantType>,
    scopes: Option<Scopes>,
}

/// All of them, by `client_id`.
#[derive(Debug, Default)]
pub(crate) struct ConfiguredClients(BTreeMap<String, Arc<ConfiguredClient>>);

impl ConfiguredClient {
    /// Whether this is the client's secret; the comparison takes the same time whatever differs.
    pub(super) fn has_secret(&self, presented: &str) -> bool {
        self.secret.is_some_and(|held| held == hash_secret(presented))
    }

    /// Whether it may use this grant type.
    pub(crate) fn may_use(&self, grant_type: GrantType) -> bool {
        self.grant_types.contains(&grant_type)
    }

    /// The most that its tokens may be used for; `None` is every scope.
    pub(crate) const fn scopes(&self) -> Option<&Scopes> {
        self.scopes.as_ref()
    }
}

impl ConfiguredClients {
    /// Everything that the operator has written, and what is wrong with it. `known` are the scopes of all servers.
    pub(crate) fn check(written: &[StaticClient], known: &Scopes, faults: &mut Vec<String>) -> Self {
        let mut clients = BTreeMap::new();
        for (n, client) in written.iter().enumerate() {
            let mut fault = |key: &str, what: &str| faults.push(format!("clients.static[{n}].{key}: {what}"));
            check_id(client, clients.contains_key(&client.client_id), &mut fault);
            let auth_methods = check_credential(client, &mut fault);
            let keys = check_keys(client, &mut fault);
            let grant_types = check_grant_types(client, &mut fault);
            check_redirect_uris(client, &mut fault);
            let scopes = check_scopes(client, known, &mut fault);
            let checked = ConfiguredClient {
                client: Client {
                    client_id: client.client_id.clone(),
                    client_name: client.name.clone(),
                    client_uri: None,
                    redirect_uris: client.redirect_uris.clone(),
                    auth_methods,
                    keys,
                },
                secret: client.secret.map(|secret| secret.hash),
                grant_types,
                scopes,
            };
            clients.entry(client.client_id.clone()).or_insert_with(|| Arc::new(checked));
        }
        Self(clients)
    }

    /// Whether one of them may use this grant type.
    pub(crate) fn any_may_use(&self, grant_type: GrantType) -> bool {
        self.0.values().any(|client| client.may_use(grant_type))
    }

    /// The client of this identifier.
    pub(crate) fn get(&self, client_id: &str) -> Option<&Arc<ConfiguredClient>> {
        self.0.get(client_id)
    }
}

/// Says of a key what is wrong with it.
type Fault<'a> = dyn FnMut(&str, &str) + 'a;

fn check_id(client: &StaticClient, taken: bool, fault: &mut Fault<'_>) {
    let id = &client.client_id;
    if id.is_empty() || id.len() > MAX_ID_LENGTH || !id.bytes().all(|b| b.is_ascii_graphic()) {
        fault("client_id", "has to be 1 to 200 visible ASCII characters");
    }
    if taken {
        fault("client_id", "another client has it");
    }
    if client.name.as_ref().is_some_and(|name| name.chars().count() > MAX_NAME_LENGTH) {
        fault("client_name", "may be 200 characters long");
    }
}

fn check_credential(client: &StaticClient, fault: &mut Fault<'_>) -> AuthMethods {
    let has_keys = client.jwks.is_some() || client.jwks_uri.is_some();
    if client.secret.is_some_and(|secret| secret.is_short) {
        fault("client_secret", &format!("has to have {MIN_SECRET_LENGTH} characters at least"));
    }
    match (client.secret.is_some(), has_keys) {
        (true, true) => {
            fault("client_secret", "a client has a secret or keys (jwks, jwks_uri), not both");
            ClientAuthMethod::PrivateKeyJwt.into()
        }
        (false, true) => ClientAuthMethod::PrivateKeyJwt.into(),
        (true, false) => ClientAuthMethod::ClientSecretBasic.into(),
        (false, false) => ClientAuthMethod::None.into(),
    }
}

fn check_keys(client: &StaticClient, fault: &mut Fault<'_>) -> Option<ClientKeys> {
    if let Some(jwks) = &client.jwks {
        if client.jwks_uri.is_some() {
            fault("jwks_uri", "a client has jwks or jwks_uri, not both");
        }
        return match ClientKeys::read(Some(jwks), None, &DocumentHosts::default()) {
            Ok(keys) if has_usable_key(jwks) => keys,
            Ok(_) => {
                fault("jwks", "none of the keys can sign with RS256, PS256, ES256 or EdDSA (Ed25519)");
                None
            }
            Err(error) => {
                fault("jwks", &error.to_string());
                None
            }
        };
    }
    let uri = client.jwks_uri.as_ref()?;
    let safe = match uri.scheme() {
        "https" => true,
        "http" => is_loopback(uri),
        _ => false,
    };
    if !safe {
        fault("jwks_uri", "has to be https (http only for this computer)");
    }
    if uri.fragment().is_some() || !uri.username().is_empty() || uri.password().is_some() {
        fault("jwks_uri", "has neither fragment nor user information");
    }
    Some(ClientKeys::JwksUri(uri.clone()))
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

fn check_grant_types(client: &StaticClient, fault: &mut Fault<'_>) -> Vec<GrantType> {
    let mut grant_types = Vec::new();
    for name in &client.grant_types {
        if let Some(grant_type) = GrantType::parse(name) {
            grant_types.push(grant_type);
        } else {
            let known = GrantType::ALL.map(GrantType::as_str).join(", ");
            fault("grant_types", &format!("holds an unknown name; known are {known}"));
        }
    }
    if client.grant_types.is_empty() {
        fault("grant_types", "names nothing that the client may do");
    }
    let public = client.secret.is_none() && client.jwks.is_none() && client.jwks_uri.is_none();
    for grant_type in [GrantType::ClientCredentials, GrantType::JwtBearer] {
        if public && grant_types.contains(&grant_type) {
            let name = grant_type.as_str();
            fault("grant_types", &format!("{name} needs a client_secret, jwks or jwks_uri"));
        }
    }
    if grant_types.contains(&GrantType::AuthorizationCode) && client.redirect_uris.is_empty() {
        fault("redirect_uris", "authorization_code needs at least one; or leave it out of grant_types");
    }
    grant_types
}

fn check_redirect_uris(client: &StaticClient, fault: &mut Fault<'_>) {
    for (n, uri) in client.redirect_uris.iter().enumerate() {
        if let Err(error) = RedirectPolicy::unrestricted().check_allowed(uri) {
            fault(&format!("redirect_uris[{n}]"), &error.to_string());
        }
    }
}

fn check_scopes(client: &StaticClient, known: &Scopes, fault: &mut Fault<'_>) -> Option<Scopes> {
    let written = client.scopes.as_ref()?;
    let Ok(scopes) = Scopes::from_names(written) else {
        fault("scopes", "holds something that is no scope (RFC 6749 section 3.3)");
        return None;
    };
    for scope in scopes.iter().filter(|scope| !known.covers_name(scope)) {
        fault("scopes", &format!("no server has the scope {scope}"));
    }
    Some(scopes)
}
