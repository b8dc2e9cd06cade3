//! Client metadata (RFC 7591 §2) and the rules of a registration.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use url::Url;

use super::auth_method::{AuthMethods, ClientAuthMethod};
use super::keys::{ClientKeys, KeysError, holds_private_key};
use super::metadata_document::DocumentHosts;
use super::redirect_uri::RedirectPolicy;
use crate::error::{ErrorCode, OAuthError};
use crate::scope::Scopes;

/// The most redirect URIs of one client.
pub const MAX_REDIRECT_URIS: usize = 32;
/// The longest `client_name`, in characters.
pub const MAX_NAME_LENGTH: usize = 200;
/// The most that is kept of one registration, in bytes of name, URIs and keys.
pub const MAX_KEPT: usize = 8 * 1024;

/// A client, as the rules see it and as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Its identifier here.
    pub client_id: String,
    /// What the client calls itself. Nobody has checked it.
    pub client_name: Option<String>,
    /// The client's home page, likewise.
    pub client_uri: Option<String>,
    /// Where answers may be sent.
    pub redirect_uris: Vec<String>,
    /// How it may authenticate.
    #[serde(rename = "token_endpoint_auth_method")]
    pub auth_methods: AuthMethods,
    /// What its assertions are signed with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<ClientKeys>,
}

/// A registration request (RFC 7591 §3.1): the members that mean something here. Others are ignored, as §2 asks;
/// `logo_uri` and its like are never fetched.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct RegistrationRequest {
    redirect_uris: Option<Vec<String>>,
    client_name: Option<String>,
    client_uri: Option<String>,
    token_endpoint_auth_method: Option<String>,
    jwks: Option<Value>,
    jwks_uri: Option<String>,
    grant_types: Option<Vec<String>>,
    response_types: Option<Vec<String>>,
    application_type: Option<String>,
    scope: Option<String>,
}

/// What a registration comes to.
#[derive(Debug)]
pub struct Registration {
    /// The client.
    pub client: Client,
    /// `application_type`, returned as it was sent (SEP-837).
    pub application_type: Option<String>,
    /// `scope`, advisory: a client may ask for other scopes later.
    pub scope: Option<String>,
}

fn invalid_metadata(description: &'static str) -> OAuthError {
    OAuthError::new(ErrorCode::InvalidClientMetadata, description)
}

impl From<KeysError> for OAuthError {
    fn from(error: KeysError) -> Self {
        Self::new(ErrorCode::InvalidClientMetadata, error.to_string())
    }
}

impl RegistrationRequest {
    /// Reads the body of a registration request.
    pub fn parse(body: &[u8]) -> Result<Self, OAuthError> {
        // A struct is also read from an array of its members, and what is ignored may be no text.
        std::str::from_utf8(body)
            .ok()
            .filter(|body| body.trim_ascii_start().starts_with('{'))
            .and_then(|body| serde_json::from_str(body).ok())
            .ok_or_else(|| {
                invalid_metadata("the body is not a JSON object of client metadata (RFC 7591 section 3.1)")
            })
    }

    /// From the members of a JSON object that was read already.
    pub(super) fn from_members(
        members: serde_json::Map<String, serde_json::Value>,
    ) -> Result<Self, OAuthError> {
        serde_json::from_value(members.into()).map_err(|_| {
            invalid_metadata("a member of the client metadata has the wrong type (RFC 7591 section 2)")
        })
    }

    /// What becomes of the request under the operator's policy. Of the redirect URIs the acceptable ones are kept:
    /// real clients send several of which one does not fit, and the answer tells what was kept (RFC 7591 §3.2.1).
    /// The hosts that the operator has named may have a `jwks_uri` without https.
    pub fn check(
        self,
        client_id: String,
        policy: &RedirectPolicy,
        named: &DocumentHosts,
    ) -> Result<Registration, OAuthError> {
        let method = check_auth_method(self.token_endpoint_auth_method.as_deref())?;
        self.check_as(client_id, method.into(), policy, named)
    }

    /// Whether there are keys, whatever they are.
    pub(super) const fn has_keys(&self) -> bool {
        self.jwks.is_some() || self.jwks_uri.is_some()
    }

    /// The same for a client whose methods are known already.
    pub(super) fn check_as(
        self,
        client_id: String,
        auth_methods: AuthMethods,
        policy: &RedirectPolicy,
        named: &DocumentHosts,
    ) -> Result<Registration, OAuthError> {
        let redirect_uris = check_redirect_uris(self.redirect_uris.unwrap_or_default(), policy)?;
        let keys = check_keys(&auth_methods, self.jwks.as_ref(), self.jwks_uri.as_deref(), named)?;
        check_grant_types(self.grant_types.as_deref(), self.response_types.as_deref())?;
        check_name(self.client_name.as_deref())?;
        if let Some(scope) = &self.scope {
            Scopes::parse(scope)
                .map_err(|_| invalid_metadata("scope is not a list of scopes (RFC 6749 section 3.3)"))?;
        }
        if !matches!(self.application_type.as_deref(), None | Some("web" | "native")) {
            return Err(invalid_metadata("application_type is web or native"));
        }
        let client_uri = self.client_uri.filter(|uri| is_web_page(uri));
        let client_name = self.client_name.filter(|name| !name.trim().is_empty());
        let texts = redirect_uris.iter().chain(&client_name).chain(&client_uri);
        let keys_length = keys.as_ref().map_or(0, ClientKeys::length);
        if texts.map(String::len).sum::<usize>() + keys_length > MAX_KEPT {
            return Err(invalid_metadata(
                "the name, the URIs and the keys of a client may be 8 KiB long in all",
            ));
        }
        Ok(Registration {
            client: Client { client_id, client_name, client_uri, redirect_uris, auth_methods, keys },
            application_type: self.application_type,
            scope: self.scope,
        })
    }
}

fn check_redirect_uris(uris: Vec<String>, policy: &RedirectPolicy) -> Result<Vec<String>, OAuthError> {
    let invalid = |description: String| OAuthError::new(ErrorCode::InvalidRedirectUri, description);
    if uris.is_empty() {
        return Err(invalid("redirect_uris has to name at least one URI".into()));
    }
    if uris.len() > MAX_REDIRECT_URIS {
        return Err(invalid(format!("redirect_uris may name {MAX_REDIRECT_URIS} URIs")));
    }
    let mut kept: Vec<String> = Vec::new();
    let mut first_error = None;
    for uri in uris {
        match policy.check_allowed(&uri) {
            Ok(()) if kept.contains(&uri) => {}
            Ok(()) => kept.push(uri),
            Err(error) => first_error = first_error.or(Some(error)),
        }
    }
    match first_error {
        Some(error) if kept.is_empty() => Err(invalid(error.to_string())),
        _ => Ok(kept),
    }
}

/// A client that names no method gets `none`: the clients that leave it out cannot keep a secret, whatever the default
/// of RFC 7591 §2 says, and the answer tells them.
fn check_auth_method(method: Option<&str>) -> Result<ClientAuthMethod, OAuthError> {
    let Some(name) = method else { return Ok(ClientAuthMethod::None) };
    ClientAuthMethod::parse(name).ok_or_else(|| {
        invalid_metadata(
            "token_endpoint_auth_method is none, client_secret_post, client_secret_basic or private_key_jwt",
        )
    })
}

/// The keys of a client that signs. Of one that does not they mean nothing here, but a private key is nobody's to send.
fn check_keys(
    methods: &AuthMethods,
    jwks: Option<&Value>,
    jwks_uri: Option<&str>,
    named: &DocumentHosts,
) -> Result<Option<ClientKeys>, OAuthError> {
    if jwks.is_some_and(holds_private_key) {
        return Err(KeysError::Private.into());
    }
    if !methods.contains(ClientAuthMethod::PrivateKeyJwt) {
        return Ok(None);
    }
    match ClientKeys::read(jwks, jwks_uri, named)? {
        None => Err(invalid_metadata("private_key_jwt needs the client's jwks or jwks_uri")),
        keys => Ok(keys),
    }
}

/// Clients list more than we offer (`urn:…:device_code`, `jwt-bearer`); the code flow has to be among it.
fn check_grant_types(grants: Option<&[String]>, responses: Option<&[String]>) -> Result<(), OAuthError> {
    let lists =
        |list: Option<&[String]>, name: &str| list.is_none_or(|list| list.iter().any(|held| held == name));
    if !lists(grants, "authorization_code") {
        return Err(invalid_metadata("grant_types has to list authorization_code"));
    }
    if !lists(responses, "code") {
        return Err(invalid_metadata("response_types has to list code"));
    }
    Ok(())
}

fn check_name(name: Option<&str>) -> Result<(), OAuthError> {
    match name {
        Some(name) if name.chars().count() > MAX_NAME_LENGTH => {
            Err(invalid_metadata("client_name may be 200 characters long"))
        }
        _ => Ok(()),
    }
}

fn is_web_page(uri: &str) -> bool {
    uri.len() <= 2048 && Url::parse(uri).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn register(body: &Value) -> Result<Registration, OAuthError> {
        let policy = RedirectPolicy::new(["claude.ai", "localhost"], ["cursor"]);
        RegistrationRequest::parse(body.to_string().as_bytes())?.check(
            "id".into(),
            &policy,
            &DocumentHosts::default(),
        )
    }

    fn refused(body: &Value) -> ErrorCode {
        register(body).unwrap_err().code
    }

    #[test]
    fn a_mixed_set_keeps_what_is_acceptable() {
        let kept = register(&json!({"redirect_uris": [
            "cursor://anysphere.cursor-mcp/oauth/callback",
            "https://www.cursor.com/agents/mcp/oauth/callback",
            "http://localhost:8787/callback",
            "http://localhost:8787/callback",
        ]}))
        .unwrap();
        assert_eq!(
            kept.client.redirect_uris,
            ["cursor://anysphere.cursor-mcp/oauth/callback", "http://localhost:8787/callback"]
        );
        assert_eq!(kept.client.auth_methods, ClientAuthMethod::None.into());
    }

    #[test]
    fn no_acceptable_redirect_uri_is_an_error() {
        for uris in [json!([]), json!(["http://evil.example/x"]), json!(["javascript:alert(1)"]), json!(null)]
        {
            assert_eq!(refused(&json!({"redirect_uris": uris})), ErrorCode::InvalidRedirectUri);
        }
        let many: Vec<String> = (0..1000).map(|n| format!("http://localhost/{n}")).collect();
        assert_eq!(refused(&json!({"redirect_uris": many})), ErrorCode::InvalidRedirectUri);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let uris = |length: usize| -> Vec<String> {
            let uri = |n: usize| format!("http://localhost/{n}{}", "x".repeat(length - 18));
            (0..8).map(uri).collect()
        };
        let uri = "https://example.com";
        let kept = |length: usize, more: &str| {
            let body = json!({"redirect_uris": uris(length), "client_name": more, "client_uri": uri});
            register(&body).map(|kept| kept.client.redirect_uris.len())
        };
        assert_eq!(kept(1000, &"n".repeat(192 - uri.len())), Ok(8));
        assert_eq!(
            kept(1000, &"n".repeat(193 - uri.len())).unwrap_err().code,
            ErrorCode::InvalidClientMetadata
        );
        // What is not kept does not count.
        let body = json!({"redirect_uris": ["http://localhost/"], "logo_uri": "x".repeat(20_000)});
        assert!(register(&body).is_ok());
    }

    #[test]
    fn metadata_that_cannot_work_is_refused() {
        let with = |name: &str, value: Value| {
            let mut body = json!({"redirect_uris": ["http://localhost/cb"]});
            body[name] = value;
            body
        };
        for (name, value) in [
            ("token_endpoint_auth_method", json!("tls_client_auth")),
            ("grant_types", json!(["implicit"])),
            ("response_types", json!(["token"])),
            ("client_name", json!("x".repeat(201))),
            ("client_name", json!(7)),
            ("scope", json!("a\"b")),
            ("application_type", json!("toaster")),
            ("redirect_uris", json!("http://localhost/cb")),
        ] {
            assert_eq!(refused(&with(name, value)), ErrorCode::InvalidClientMetadata, "{name}");
        }
        assert!(RegistrationRequest::parse(b"[1]").is_err());
        assert!(RegistrationRequest::parse(br#"[["http://localhost/cb"],"a name"]"#).is_err());
        assert!(RegistrationRequest::parse(b"{\"logo_uri\":\"\xff\"}").is_err());
        assert!(RegistrationRequest::parse(b" \r\n\t{}").is_ok());
        assert!(RegistrationRequest::parse(b"").is_err());
        assert!(RegistrationRequest::parse("[".repeat(10_000).as_bytes()).is_err());
        let fine = with("grant_types", json!(["authorization_code", "refresh_token", "urn:x:device_code"]));
        assert!(register(&fine).is_ok());
    }

    #[test]
    fn keys_belong_to_clients_that_sign() {
        let body = |method: &str, more: Value| {
            let mut body =
                json!({"redirect_uris": ["http://localhost/cb"], "token_endpoint_auth_method": method});
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let jwks = json!({"keys": [{"kty": "EC", "crv": "P-256", "x": "x", "y": "y"}]});
        let uri = "https://client.example/jwks.json";
        let kept = |method: &str, more: Value| register(&body(method, more)).unwrap().client.keys;
        assert_eq!(kept("private_key_jwt", json!({"jwks": jwks})), Some(ClientKeys::Jwks(jwks.clone())));
        let address = ClientKeys::JwksUri(uri.parse().unwrap());
        assert_eq!(kept("private_key_jwt", json!({"jwks_uri": uri})), Some(address));
        assert_eq!(kept("none", json!({"jwks_uri": uri, "jwks": jwks})), None);
        let long = json!({"keys": [{"kty": "RSA", "n": "n".repeat(8 * 1024), "e": "AQAB"}]});
        for (method, more) in [
            ("private_key_jwt", json!({})),
            ("private_key_jwt", json!({"jwks": jwks, "jwks_uri": uri})),
            ("private_key_jwt", json!({"jwks": {"keys": []}})),
            ("private_key_jwt", json!({"jwks": {"keys": [{"kty": "oct", "k": "aa"}]}})),
            ("private_key_jwt", json!({"jwks": {"keys": [{"kty": "EC", "d": "aa"}]}})),
            ("private_key_jwt", json!({"jwks": long})),
            ("private_key_jwt", json!({"jwks_uri": "http://client.example/jwks.json"})),
            ("none", json!({"jwks": {"keys": [{"kty": "EC", "d": "aa"}]}})),
        ] {
            assert_eq!(refused(&body(method, more.clone())), ErrorCode::InvalidClientMetadata, "{more}");
        }
    }
}
