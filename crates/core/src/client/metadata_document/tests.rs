#![allow(clippy::unwrap_used)]

use serde_json::json;

use super::*;

const ID: &str = "https://client.example/oauth/client.json";

fn parse(client_id: &str) -> Result<DocumentUrl, DocumentError> {
    DocumentUrl::parse(client_id, &DocumentHosts::default())
}

#[test]
fn what_means_a_document() {
    for id in [ID, "http://x/y", "HTTPS://x/y", "https:x"] {
        assert!(DocumentUrl::is_meant_by(id), "{id}");
    }
    for id in ["", "0123456789abcdef0123456789abcdef", "ftp://x/y", "httpss", "café", "ürl"] {
        assert!(!DocumentUrl::is_meant_by(id), "{id}");
    }
}

#[test]
fn addresses_that_are_taken_stay_as_they_are_written() {
    for id in [
        ID,
        "https://claude.ai/oauth/mcp-oauth-client-metadata",
        "https://client.example:8443/a",
        "https://client.example/a/",
        "https://client.example/.well-known/client",
        "https://client.example/a..b/...",
        "https://client.example/a?b=c&d='%2e'",
        "https://client.example/a?up=../x",
        "https://client.example/%7Euser",
        "https://8.8.8.8/a",
        "https://[2606:4700::1]/a",
        "https://xn--bcher-kva.example/a",
    ] {
        assert_eq!(parse(id).unwrap().client_id(), id);
    }
    assert_eq!(parse("https://client.example:8443/a").unwrap().host(), "client.example:8443");
    assert_eq!(parse(ID).unwrap().host(), "client.example");
}

#[test]
fn addresses_that_are_refused() {
    let long = format!("https://client.example/{}", "a".repeat(MAX_URL_LENGTH));
    for (id, error) in [
        ("http://client.example/a", DocumentError::NotHttps),
        ("http://127.0.0.1:1234/a", DocumentError::NotHttps),
        ("https://client.example", DocumentError::NoPath),
        ("https://client.example/", DocumentError::NoPath),
        ("https://client.example?a", DocumentError::NoPath),
        ("https://client.example/?a/b", DocumentError::NoPath),
        ("https://client.example/a#b", DocumentError::Fragment),
        ("https://client.example/a#", DocumentError::Fragment),
        ("https://user@client.example/a", DocumentError::UserInfo),
        ("https://:pass@client.example/a", DocumentError::UserInfo),
        ("https://@client.example/a", DocumentError::UrlMalformed),
        ("https://client.example/a/../b", DocumentError::DotSegment),
        ("https://client.example/./b", DocumentError::DotSegment),
        ("https://client.example/b/.", DocumentError::DotSegment),
        ("https://client.example/..", DocumentError::DotSegment),
        ("https://client.example/a/%2e%2E/b", DocumentError::DotSegment),
        ("https://client.example/a/.%2e/b", DocumentError::DotSegment),
        ("https://client.example/%2e/b", DocumentError::DotSegment),
        ("https://client.example/a%2f..%2fb", DocumentError::DotSegment),
        ("https://client.example/a%5c..%5cb", DocumentError::DotSegment),
        ("https://client.example\\a", DocumentError::UrlMalformed),
        ("https://client.example/a b", DocumentError::UrlMalformed),
        ("https://client.example/a\tb", DocumentError::UrlMalformed),
        ("https://client.example/ä", DocumentError::UrlMalformed),
        ("https://bücher.example/a", DocumentError::UrlMalformed),
        ("https://CLIENT.example/a", DocumentError::UrlMalformed),
        ("HTTPS://client.example/a", DocumentError::UrlMalformed),
        ("https://client.example:443/a", DocumentError::UrlMalformed),
        ("https://0x7f.1/a", DocumentError::UrlMalformed),
        ("https://2130706433/a", DocumentError::UrlMalformed),
        ("https:client.example/a", DocumentError::UrlMalformed),
        ("https:///client.example/a", DocumentError::UrlMalformed),
        ("https://", DocumentError::UrlMalformed),
        ("https://client.example:99999/a", DocumentError::UrlMalformed),
        (&long, DocumentError::UrlTooLong),
    ] {
        assert_eq!(parse(id), Err(error), "{id}");
    }
}

#[test]
fn only_a_named_host_may_go_without_https() {
    let mut named = DocumentHosts::default();
    named.insert("127.0.0.1:1234").unwrap();
    assert!(DocumentUrl::parse("http://127.0.0.1:1234/a", &named).is_ok());
    for id in ["http://127.0.0.1:1235/a", "http://127.0.0.1/a", "http://localhost:1234/a"] {
        assert_eq!(DocumentUrl::parse(id, &named), Err(DocumentError::NotHttps), "{id}");
    }
    assert_eq!(DocumentUrl::parse("http://127.0.0.1:1234/", &named), Err(DocumentError::NoPath));
}

fn document() -> Value {
    json!({
        "client_id": ID,
        "client_name": "Example",
        "client_uri": "https://client.example",
        "redirect_uris": ["http://localhost/callback", "https://client.example/callback"],
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut document = document();
    document[name] = value;
    document
}

fn read(document: &Value) -> Result<Client, DocumentError> {
    read_bytes(document.to_string().as_bytes())
}

fn read_bytes(document: &[u8]) -> Result<Client, DocumentError> {
    parse(ID).unwrap().read(document, &RedirectPolicy::new(["client.example", "localhost"], ["cursor"]))
}

#[test]
fn a_document_becomes_a_public_client() {
    let client = read(&document()).unwrap();
    assert_eq!(client.client_id, ID);
    assert_eq!(client.client_name.as_deref(), Some("Example"));
    assert_eq!(client.redirect_uris, ["http://localhost/callback", "https://client.example/callback"]);
    assert_eq!(client.token_endpoint_auth_method, crate::client::ClientAuthMethod::None);
}

#[test]
fn what_is_no_object_or_too_large_is_refused() {
    for wrong in ["", "[]", "null", "\"x\"", "<html>", "{\"client_id\":"] {
        assert_eq!(read_bytes(wrong.as_bytes()), Err(DocumentError::NotAnObject), "{wrong}");
    }
    assert_eq!(read_bytes("[".repeat(4000).as_bytes()), Err(DocumentError::NotAnObject));
    let mut whole = document().to_string().into_bytes();
    whole.resize(MAX_DOCUMENT_LENGTH, b' ');
    assert!(read_bytes(&whole).is_ok());
    whole.push(b' ');
    assert_eq!(read_bytes(&whole), Err(DocumentError::TooLarge));
}

#[test]
fn it_has_to_be_written_for_its_own_address() {
    for other in [
        json!("https://client.example/oauth/client.json/"),
        json!("https://client.example/oauth/client.json?"),
        json!("https://CLIENT.example/oauth/client.json"),
        json!("https://evil.example/oauth/client.json"),
        json!([ID]),
        json!(null),
    ] {
        assert_eq!(read(&with("client_id", other)), Err(DocumentError::OtherClientId));
    }
    let mut without = document();
    without.as_object_mut().unwrap().remove("client_id");
    assert_eq!(read(&without), Err(DocumentError::OtherClientId));
}

#[test]
fn a_name_is_needed() {
    for name in [json!(null), json!(""), json!("  "), json!(7)] {
        assert_eq!(read(&with("client_name", name)), Err(DocumentError::NoName));
    }
    assert!(matches!(read(&with("client_name", json!("x".repeat(201)))), Err(DocumentError::Metadata(_))));
}

#[test]
fn redirect_uris_are_needed_and_held_against_the_policy() {
    for none in
        [json!(null), json!([]), json!(["https://evil.example/cb"]), json!(["http://client.example/"])]
    {
        assert!(matches!(read(&with("redirect_uris", none)), Err(DocumentError::Metadata(_))));
    }
    assert!(matches!(
        read(&with("redirect_uris", json!("http://localhost/"))),
        Err(DocumentError::Metadata(_))
    ));
    let mixed = json!(["https://evil.example/cb", "cursor://x", "javascript:alert(1)", "http://localhost/"]);
    assert_eq!(
        read(&with("redirect_uris", mixed)).unwrap().redirect_uris,
        ["cursor://x", "http://localhost/"]
    );
}

#[test]
fn secrets_and_private_keys_are_refused() {
    for (name, value) in [
        ("client_secret", json!("s")),
        ("client_secret", json!(null)),
        ("client_secret_expires_at", json!(0)),
        ("jwks", json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y", "d": "d"}]})),
        ("jwks", json!({"keys": [{"kty": "RSA", "n": "n", "e": "AQAB"}, {"kty": "RSA", "p": "p"}]})),
        ("jwks", json!({"keys": [{"kty": "oct", "k": "k"}]})),
    ] {
        assert_eq!(read(&with(name, value)), Err(DocumentError::HoldsSecret), "{name}");
    }
    for name in ["d", "p", "q", "dp", "dq", "qi", "oth", "k"] {
        assert_eq!(
            read(&with("jwks", json!({"keys": [{name: "x"}]}))),
            Err(DocumentError::HoldsSecret),
            "{name}"
        );
    }
    let public = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}]});
    assert!(read(&with("jwks", public)).is_ok());
}

#[test]
fn none_has_to_be_among_the_auth_methods() {
    let methods = |singular: Value, name: &str, plural: Value| {
        let mut document = with(name, plural);
        document["token_endpoint_auth_method"] = singular;
        read(&document)
    };
    assert!(read(&with("token_endpoint_auth_method", json!("none"))).is_ok());
    for wrong in [json!("private_key_jwt"), json!("client_secret_post"), json!("tls_client_auth"), json!(7)] {
        assert_eq!(read(&with("token_endpoint_auth_method", wrong)), Err(DocumentError::AuthMethod));
    }
    for name in ["token_endpoint_auth_methods", "token_endpoint_auth_methods_supported"] {
        // As ChatGPT publishes it.
        assert!(
            methods(json!("private_key_jwt"), name, json!(["none", "private_key_jwt"])).is_ok(),
            "{name}"
        );
        assert!(read(&with(name, json!(["none"]))).is_ok());
        for wrong in [json!(["private_key_jwt"]), json!([]), json!("none"), json!(null)] {
            assert_eq!(methods(json!("none"), name, wrong), Err(DocumentError::AuthMethod), "{name}");
        }
        let secret = methods(json!("client_secret_basic"), name, json!(["none", "client_secret_basic"]));
        assert_eq!(secret, Err(DocumentError::AuthMethod), "{name}");
    }
}

#[test]
fn a_document_that_cannot_log_in_is_refused() {
    for (name, value) in
        [("grant_types", json!(["client_credentials"])), ("response_types", json!(["token"]))]
    {
        assert!(matches!(read(&with(name, value)), Err(DocumentError::Metadata(_))), "{name}");
    }
    let kiro = json!(["authorization_code", "refresh_token", "urn:ietf:params:oauth:grant-type:jwt-bearer"]);
    assert!(read(&with("grant_types", kiro)).is_ok());
}

#[test]
fn every_refusal_can_be_said_on_the_wire() {
    let metadata = read(&with("redirect_uris", json!([]))).unwrap_err();
    for error in [
        DocumentError::UrlTooLong,
        DocumentError::UrlMalformed,
        DocumentError::NotHttps,
        DocumentError::UserInfo,
        DocumentError::Fragment,
        DocumentError::NoPath,
        DocumentError::DotSegment,
        DocumentError::TooLarge,
        DocumentError::NotAnObject,
        DocumentError::OtherClientId,
        DocumentError::NoName,
        DocumentError::HoldsSecret,
        DocumentError::AuthMethod,
        metadata,
    ] {
        // `OAuthError::new` asserts the characters of RFC 6749 §5.2.
        assert_eq!(OAuthError::from(error).code, crate::ErrorCode::InvalidClient);
    }
}
