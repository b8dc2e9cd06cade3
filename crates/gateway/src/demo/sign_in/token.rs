//! The token endpoint: RFC 6749 §3.2.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::FormRejection;
use axum::extract::{Form, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use mcp_login::core::Secret;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::SignIn;
use super::session::{ACCESS_LIFETIME, Refusal, Tokens};

/// A token request. A field that comes twice is refused by the form reader.
#[derive(Deserialize)]
pub(super) struct TokenRequest {
    grant_type: Option<String>,
    code: Option<Secret>,
    redirect_uri: Option<String>,
    code_verifier: Option<Secret>,
    refresh_token: Option<Secret>,
    client_id: Option<String>,
    client_secret: Option<Secret>,
}

/// RFC 6749 §5.2.
struct Fault {
    status: StatusCode,
    code: &'static str,
    what: &'static str,
}

const fn fault(code: &'static str, what: &'static str) -> Fault {
    Fault { status: StatusCode::BAD_REQUEST, code, what }
}

/// `POST /token`.
pub(super) async fn exchange(
    State(service): State<Arc<SignIn>>,
    headers: HeaderMap,
    form: Result<Form<TokenRequest>, FormRejection>,
) -> Response {
    let Ok(Form(request)) = form else {
        return fault("invalid_request", "the form could not be read, or holds a parameter twice")
            .into_response();
    };
    match service.check_client(&headers, &request).and_then(|()| service.grant(&request)) {
        Ok(tokens) => issued(&tokens),
        Err(fault) => fault.into_response(),
    }
}

impl SignIn {
    /// RFC 6749 §2.3.1: the secret by HTTP Basic or in the form, never both.
    fn check_client(&self, headers: &HeaderMap, request: &TokenRequest) -> Result<(), Fault> {
        const WRONG: Fault = Fault {
            status: StatusCode::UNAUTHORIZED,
            code: "invalid_client",
            what: "the client or its secret is wrong",
        };
        let (client_id, secret) = match (headers.get(AUTHORIZATION), &request.client_secret) {
            (Some(_), Some(_)) => {
                return Err(fault("invalid_request", "the client authenticates in two ways at once"));
            }
            (Some(basic), None) => basic.to_str().ok().and_then(parse_basic).ok_or(WRONG)?,
            (None, Some(secret)) => (request.client_id.clone().ok_or(WRONG)?, secret.clone()),
            (None, None) => return Err(WRONG),
        };
        // Both are compared, always, and the secret in constant time.
        let right_secret = secret == self.client_secret;
        let right_client = client_id == self.client_id;
        if right_client && right_secret { Ok(()) } else { Err(WRONG) }
    }

    fn grant(&self, request: &TokenRequest) -> Result<Tokens, Fault> {
        let now = self.now();
        let outcome = match request.grant_type.as_deref() {
            Some("authorization_code") => {
                let (Some(code), Some(verifier)) = (&request.code, &request.code_verifier) else {
                    return Err(fault("invalid_request", "code and code_verifier are required"));
                };
                if request.redirect_uri.as_deref() != Some(&self.redirect_uri) {
                    return Err(fault(
                        "invalid_grant",
                        "the redirect_uri is not that of the authorization request",
                    ));
                }
                self.sessions().redeem_code(code, |challenge| verifies(verifier, challenge), now)
            }
            Some("refresh_token") => {
                let Some(token) = &request.refresh_token else {
                    return Err(fault("invalid_request", "refresh_token is required"));
                };
                self.sessions().refresh(token, now)
            }
            Some(_) => {
                return Err(fault(
                    "unsupported_grant_type",
                    "served are authorization_code and refresh_token",
                ));
            }
            None => return Err(fault("invalid_request", "grant_type is missing")),
        };
        outcome.map_err(|refusal| match refusal {
            Refusal::Grant(what) => fault("invalid_grant", what),
            Refusal::Broken => {
                Fault { status: StatusCode::INTERNAL_SERVER_ERROR, code: "server_error", what: "try again" }
            }
        })
    }
}

/// RFC 7636 §4.6, with the length that §4.1 asks of a verifier.
fn verifies(verifier: &Secret, challenge: &str) -> bool {
    let verifier = verifier.expose_secret();
    let computed = URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes()));
    (43..=128).contains(&verifier.len()) && Secret::new(computed) == Secret::from(challenge)
}

/// The name and the secret are each form-encoded inside Basic (RFC 6749 §2.3.1).
fn parse_basic(header: &str) -> Option<(String, Secret)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (client_id, secret) = decoded.split_once(':')?;
    Some((form_decoded(client_id), Secret::new(form_decoded(secret))))
}

fn form_decoded(text: &str) -> String {
    // `=` and `&` are escaped in what a client sends; one that is not must not split the text in two.
    let text = text.replace('&', "%26").replace('=', "%3D");
    url::form_urlencoded::parse(text.as_bytes())
        .next()
        .map_or_else(String::new, |(name, _)| name.into_owned())
}

fn issued(tokens: &Tokens) -> Response {
    let body = json!({
        "access_token": tokens.access.expose_secret(),
        "token_type": "Bearer",
        "expires_in": ACCESS_LIFETIME.as_secs(),
        "refresh_token": tokens.refresh.expose_secret(),
        "scope": tokens.scope.as_str(),
    });
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let body = Json(json!({ "error": self.code, "error_description": self.what }));
        let mut response = (self.status, [(CACHE_CONTROL, "no-store")], body).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            let challenge = axum::http::HeaderValue::from_static("Basic realm=\"demo sign-in\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
