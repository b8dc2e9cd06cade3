//! OAuth 2.1 §3.2.2: a token request is read as it is written, no parameter twice, and shows no secret.
//!
//! Input: the form.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mcp_login_core::params::{MAX_LENGTH, MAX_PARAMS, Params};
use mcp_login_core::resource_indicator::Resources;
use mcp_login_core::token::TokenRequest;
use mcp_login_fuzz::{assert_error, has_duplicates, values};

const SERVERS: [&str; 2] = ["https://mcp.example.com/mcp", "https://mcp.example.com/b"];
/// Where this stands in a secret, it has to be nowhere in what `Debug` shows.
const MARK: &str = "hunter2";

fuzz_target!(|form: &[u8]| {
    let params = match Params::parse(form) {
        Ok(params) => params,
        Err(error) => return assert_error(&error),
    };
    assert!(
        form.len() <= MAX_LENGTH
            && form.split(|b| *b == b'&').filter(|p| !p.is_empty()).count() <= MAX_PARAMS
    );
    let resources = Resources::new(SERVERS.map(str::to_owned)).expect("two servers");
    let request = match TokenRequest::parse(&params, &resources) {
        Ok(request) => request,
        Err(error) => return assert_error(&error),
    };
    assert!(!has_duplicates(form));
    let shown = format!("{request:?}");
    let one = |name: &str| values(form, name).concat();
    let optional = |name: &str| Some(one(name)).filter(|value| !value.is_empty());
    let (resource, secrets, others) = match &request {
        TokenRequest::AuthorizationCode(request) => {
            assert_eq!(one("grant_type"), "authorization_code");
            assert!(!request.code.expose_secret().is_empty());
            assert_eq!(request.code.expose_secret(), one("code"));
            assert_eq!(request.code_verifier.expose_secret(), one("code_verifier"));
            assert_eq!(request.redirect_uri.map(str::to_owned), optional("redirect_uri"));
            (request.resource, one("code") + &one("code_verifier"), one("redirect_uri"))
        }
        TokenRequest::RefreshToken(request) => {
            assert_eq!(one("grant_type"), "refresh_token");
            assert!(!request.refresh_token.expose_secret().is_empty());
            assert_eq!(request.refresh_token.expose_secret(), one("refresh_token"));
            assert_eq!(request.scope.map(str::to_owned), optional("scope"));
            (request.resource, one("refresh_token"), one("scope"))
        }
        TokenRequest::ClientCredentials(request) => {
            assert_eq!(one("grant_type"), "client_credentials");
            assert_eq!(request.scope.map(str::to_owned), optional("scope"));
            (request.resource, String::new(), one("scope"))
        }
        TokenRequest::JwtBearer(request) => {
            assert_eq!(one("grant_type"), "urn:ietf:params:oauth:grant-type:jwt-bearer");
            assert_eq!(request.assertion.expose_secret(), one("assertion"));
            assert_eq!(request.scope.map(str::to_owned), optional("scope"));
            (request.resource, one("assertion"), one("scope"))
        }
    };
    assert!(!secrets.contains(MARK) || others.contains(MARK) || !shown.contains(MARK), "a secret is shown");
    let named: Vec<String> = values(form, "resource").into_iter().filter(|named| !named.is_empty()).collect();
    assert_eq!(resource.is_some(), !named.is_empty());
    assert!(resource.is_none_or(|resource| SERVERS.contains(&resource)));
    assert!(
        named.iter().all(|named| resources.find(named) == resource),
        "one server, however often it is named"
    );
});
