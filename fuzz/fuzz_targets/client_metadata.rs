//! RFC 7591 §2, §3.1 and Client ID Metadata Documents: whatever a client says of itself, what is kept is bounded, can be
//! redirected to, and a document makes no client with a secret.
//!
//! Input: a line with the address of a document, then JSON: the metadata, as a registration and as that document.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_login_core::OAuthError;
use mcp_login_core::client::metadata_document::MAX_DOCUMENT_LENGTH;
use mcp_login_core::client::{
    Client, ClientAuthMethod, ClientKeys, DocumentHosts, DocumentUrl, RegistrationRequest,
};
use mcp_login_fuzz::{assert_error, assert_redirectable, policies};
use serde_json::{Map, Value};
use url::Url;

fuzz_target!(|data: &[u8]| {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (address, json) = data.split_at(end);
    let json = json.get(1..).unwrap_or_default();
    check_registration(json);
    if let Ok(address) = std::str::from_utf8(address) {
        check_document(address, json);
    }
});

fn check_registration(json: &[u8]) {
    for (any_site, policy) in [false, true].into_iter().zip(policies()) {
        let checked = RegistrationRequest::parse(json)
            .and_then(|request| request.check("id".into(), &policy, &DocumentHosts::default()));
        let registration = match checked {
            Ok(registration) => registration,
            Err(error) => {
                assert_error(&error);
                continue;
            }
        };
        assert_client(&registration.client, any_site);
        assert_eq!(registration.client.client_id, "id");
        assert!(matches!(registration.application_type.as_deref(), None | Some("web" | "native")));
        assert!(registration.scope.is_none_or(|scope| scope.len() <= 4096 && scope.is_ascii()));
        assert!(json.trim_ascii_start().starts_with(b"{") && std::str::from_utf8(json).is_ok());
        // What is ignored is not read, so it can be what another parser refuses.
        let Ok(Value::Object(sent)) = serde_json::from_slice(json) else { continue };
        assert_sent(&registration.client, &sent);
        let method = sent.get("token_endpoint_auth_method").and_then(Value::as_str).unwrap_or("none");
        assert_eq!(registration.client.auth_methods.preferred().as_str(), method);
        for (list, needed) in [("grant_types", "authorization_code"), ("response_types", "code")] {
            let list = sent.get(list).and_then(Value::as_array);
            assert!(list.is_none_or(|list| list.iter().any(|held| held == needed)), "{sent:?}");
        }
    }
}

fn check_document(address: &str, json: &[u8]) {
    let mut named = DocumentHosts::default();
    named.insert("10.0.0.5:8443").expect("a host");
    let document = match DocumentUrl::parse(address, &named) {
        Ok(document) => document,
        Err(error) => return assert_error(&OAuthError::from(error)),
    };
    assert!(DocumentUrl::is_meant_by(address));
    assert_eq!(document.client_id(), address);
    assert_address(address, &document);
    // The document as it is, and as one that says the right address: else hardly any input would get further.
    let with_address = match serde_json::from_slice::<Value>(json) {
        Ok(Value::Object(mut members)) => {
            members.insert("client_id".into(), address.into());
            Value::from(members).to_string().into_bytes()
        }
        _ => Vec::new(),
    };
    for json in [json, &with_address] {
        for (any_site, policy) in [false, true].into_iter().zip(policies()) {
            match document.read(json, &policy, &named) {
                Ok(client) => assert_document(&client, address, json, any_site),
                Err(error) => assert_error(&OAuthError::from(error)),
            }
        }
    }
}

/// Draft §3: one plain spelling.
fn assert_address(address: &str, document: &DocumentUrl) {
    assert!(address.len() <= 2048 && address.bytes().all(|b| b.is_ascii_graphic()), "{address:?}");
    assert!(address.starts_with("https://") || address.starts_with("http://10.0.0.5:8443/"), "{address}");
    assert!(!address.contains(['#', '\\', '"', '<', '>', '^', '`', '{', '|', '}']), "{address}");
    let (_, rest) = address.split_once("://").expect("a scheme");
    let (host, path) = rest.split_once('/').expect("a path");
    assert_eq!(host, document.host());
    assert!(!host.is_empty() && !host.contains(['@', '?']) && host.to_ascii_lowercase() == host, "{address}");
    assert!(!host.ends_with(':'), "{address}");
    assert!(!host.ends_with(":443") || address.starts_with("http:"), "{address}");
    let path = path.split('?').next().unwrap_or_default();
    assert!(!path.is_empty(), "{address}");
    let path = path.to_ascii_lowercase().replace("%2e", ".").replace("%2f", "/").replace("%5c", "/");
    assert!(path.split('/').all(|segment| segment != "." && segment != ".."), "{address}");
    assert_eq!(document.url().as_str(), Url::parse(address).expect("a URL").as_str());
    // Fetched where it says; an apostrophe in a query is written `%27` on the way (URL standard, special-query set).
    let fetched = match address.split_once('?') {
        Some((path, query)) => format!("{path}?{}", query.replace('\'', "%27")),
        None => address.to_owned(),
    };
    assert_eq!(document.url().as_str(), fetched);
}

fn assert_document(client: &Client, address: &str, json: &[u8], any_site: bool) {
    assert!(json.len() <= MAX_DOCUMENT_LENGTH);
    assert_client(client, any_site);
    assert_eq!(client.client_id, address);
    let has = |method| client.auth_methods.contains(method);
    assert!(has(ClientAuthMethod::None) || has(ClientAuthMethod::PrivateKeyJwt));
    assert!(!has(ClientAuthMethod::ClientSecretBasic) && !has(ClientAuthMethod::ClientSecretPost));
    assert!(client.client_name.is_some());
    let Ok(Value::Object(sent)) = serde_json::from_slice(json) else { panic!("no object was read") };
    assert_eq!(sent["client_id"], address);
    assert_sent(client, &sent);
    assert!(!sent.contains_key("client_secret") && !sent.contains_key("client_secret_expires_at"));
    let singular = sent.get("token_endpoint_auth_method").and_then(Value::as_str).unwrap_or("none");
    assert!(!singular.starts_with("client_secret"), "{singular}");
}

/// What is kept of a client, wherever it comes from.
fn assert_client(client: &Client, any_site: bool) {
    let uris = &client.redirect_uris;
    assert!((1..=32).contains(&uris.len()));
    for uri in uris {
        assert_redirectable(uri, any_site);
    }
    let mut distinct = uris.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), uris.len(), "one of them twice");
    assert!(
        client.client_name.as_ref().is_none_or(|name| name.chars().count() <= 200 && !name.trim().is_empty())
    );
    if let Some(uri) = &client.client_uri {
        assert!(matches!(Url::parse(uri).expect("a URL").scheme(), "http" | "https"), "{uri}");
    }
    assert_eq!(client.auth_methods.contains(ClientAuthMethod::PrivateKeyJwt), client.keys.is_some());
    match &client.keys {
        Some(ClientKeys::Jwks(jwks)) => {
            for key in jwks["keys"].as_array().expect("a key set") {
                for private in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
                    assert!(key.get(private).is_none(), "a private key");
                }
            }
        }
        Some(ClientKeys::JwksUri(uri)) => {
            assert!(uri.scheme() == "https" || uri.as_str().starts_with("http://10.0.0.5:8443/"), "{uri}");
        }
        None => {}
    }
    let texts = uris.iter().chain(&client.client_name).chain(&client.client_uri);
    assert!(texts.map(String::len).sum::<usize>() <= 8 * 1024);
}

/// Nothing is kept that was not said.
fn assert_sent(client: &Client, sent: &Map<String, Value>) {
    let list = sent.get("redirect_uris").and_then(Value::as_array).expect("a list");
    assert!(client.redirect_uris.iter().all(|uri| list.iter().any(|held| held == uri)));
    for (name, kept) in [("client_name", &client.client_name), ("client_uri", &client.client_uri)] {
        assert!(kept.is_none() || sent.get(name).and_then(Value::as_str) == kept.as_deref(), "{name}");
    }
}
