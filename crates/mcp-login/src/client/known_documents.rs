//! Copies of well-known clients' metadata documents, for when theirs cannot be reached: data, in
//! `known_client_documents.toml`.

use std::sync::LazyLock;

use mcp_login_core::client::{AuthMethods, Client, ClientAuthMethod, ClientKeys, RedirectPolicy};
use serde::Deserialize;
use url::Url;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownDocuments {
    document: Vec<KnownDocument>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct KnownDocument {
    client_id: String,
    client_name: String,
    redirect_uris: Vec<String>,
    /// Of one that may come without a proof, or with an assertion that these keys have signed.
    jwks_uri: Option<Url>,
}

fn known_documents() -> &'static [KnownDocument] {
    static KNOWN: LazyLock<KnownDocuments> = LazyLock::new(|| {
        toml::from_str(include_str!("../../known_client_documents.toml")).unwrap_or_default()
    });
    &KNOWN.document
}

/// The copy of this client's document, with the redirect URIs that the operator allows.
pub(super) fn known_document(client_id: &str, policy: &RedirectPolicy) -> Option<Client> {
    let known = known_documents().iter().find(|known| known.client_id == client_id)?;
    let allowed = known.redirect_uris.iter().filter(|uri| policy.check_allowed(uri).is_ok());
    let redirect_uris: Vec<String> = allowed.cloned().collect();
    let keys = known.jwks_uri.clone().map(ClientKeys::JwksUri);
    let signs = keys.as_ref().map(|_| ClientAuthMethod::PrivateKeyJwt);
    let auth_methods = AuthMethods::of([ClientAuthMethod::None].into_iter().chain(signs))?;
    (!redirect_uris.is_empty()).then(|| Client {
        client_id: known.client_id.clone(),
        client_name: Some(known.client_name.clone()),
        client_uri: None,
        redirect_uris,
        auth_methods,
        keys,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use mcp_login_core::client::{DocumentHosts, DocumentUrl};
    use serde_json::json;

    use super::super::known::known_clients;
    use super::*;

    #[test]
    fn every_copy_says_what_a_document_could_say_under_the_default_lists() {
        let lists = known_clients();
        let policy = RedirectPolicy::new(&lists.redirect_hosts, &lists.redirect_schemes);
        assert!(known_documents().len() > 9);
        for known in known_documents() {
            let address = DocumentUrl::parse(&known.client_id, &DocumentHosts::default()).unwrap();
            let mut document = json!({
                "client_id": known.client_id,
                "client_name": known.client_name,
                "redirect_uris": known.redirect_uris,
            });
            if let Some(jwks_uri) = &known.jwks_uri {
                document["jwks_uri"] = json!(jwks_uri);
                document["token_endpoint_auth_method"] = json!("private_key_jwt");
                document["token_endpoint_auth_methods_supported"] = json!(["none", "private_key_jwt"]);
            }
            let named = DocumentHosts::default();
            let read = address.read(document.to_string().as_bytes(), &policy, &named).unwrap();
            assert_eq!(read.redirect_uris, known.redirect_uris, "{}", known.client_id);
            assert_eq!(known_document(&known.client_id, &policy), Some(read));
        }
    }

    #[test]
    fn the_operators_lists_hold_for_copies_too() {
        let id = "https://claude.ai/oauth/mcp-oauth-client-metadata";
        let policy = |host: &str| RedirectPolicy::new([host], [""; 0]);
        let client = known_document(id, &policy("claude.ai")).unwrap();
        assert_eq!(client.redirect_uris, ["https://claude.ai/api/mcp/auth_callback"]);
        assert_eq!(known_document(id, &policy("localhost")), None);
        assert_eq!(known_document("https://claude.ai/oauth/other", &policy("claude.ai")), None);
    }
}
