//! Discovery, keys, the authorization endpoint and what answers a bearer token.

use axum::Json;
use axum::extract::{Query, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use url::Url;

use super::fault::Fault;
use super::state::{Code, SeenRequest, Shared};

pub(super) fn seen(headers: &HeaderMap, params: Vec<(String, String)>) -> SeenRequest {
    let text =
        |name: header::HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    SeenRequest {
        params,
        accept: text(header::ACCEPT),
        user_agent: text(header::USER_AGENT),
        authorization: text(header::AUTHORIZATION),
    }
}

pub(super) fn status(code: u16) -> Response {
    let code = StatusCode::from_u16(code).expect("a status");
    (code, [(header::CONTENT_TYPE, "text/html")], "<h1>something is wrong</h1>").into_response()
}

pub(super) async fn discovery(Extract(state): Extract<Shared>) -> Response {
    let mut state = state.lock();
    state.discoveries += 1;
    if let Some(code) = state.find(|f| if let Fault::DiscoveryStatus(code) = f { Some(*code) } else { None })
    {
        return status(code);
    }
    let issuer = &state.issuer;
    let mut document = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"),
        "userinfo_endpoint": format!("{issuer}/userinfo"),
        "jwks_uri": format!("{issuer}/jwks"),
        "revocation_endpoint": format!("{issuer}/revoke"),
        "response_types_supported": ["code"],
        "subject_types_supported": ["public"],
        // HS256 as a trap: what the metadata claims must not widen what is accepted.
        "id_token_signing_alg_values_supported": ["ES256", "RS256", "HS256", "none"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
    });
    for fault in &state.faults {
        match fault {
            Fault::DiscoveryIssuer(other) => document["issuer"] = json!(other),
            Fault::DiscoveryTokenEndpoint(other) => document["token_endpoint"] = json!(other),
            Fault::DiscoveryHuge => document["padding"] = json!("x".repeat(300 * 1024)),
            _ => {}
        }
    }
    Json(document).into_response()
}

pub(super) async fn jwks(Extract(state): Extract<Shared>) -> Response {
    let mut state = state.lock();
    state.key_fetches += 1;
    if let Some(code) = state.find(|f| if let Fault::JwksStatus(code) = f { Some(*code) } else { None }) {
        return status(code);
    }
    let mut keys = vec![state.key.jwk("key-1")];
    if state.has(&Fault::RotatedKey) {
        keys.push(state.next_key.jwk("key-2"));
    }
    Json(json!({ "keys": keys })).into_response()
}

/// Strict, then generous: a request that holds is approved at once by the chosen user.
pub(super) async fn authorize(
    Extract(state): Extract<Shared>,
    headers: HeaderMap,
    Query(params): Query<Vec<(String, String)>>,
) -> Response {
    let mut state = state.lock();
    let request = seen(&headers, params);
    state.seen_authorize.push(request.clone());
    let bad = |what: &str| (StatusCode::BAD_REQUEST, format!("fake upstream: {what}")).into_response();
    if request.params.iter().enumerate().any(|(i, (a, _))| request.params[..i].iter().any(|(b, _)| a == b)) {
        return bad("a parameter comes twice (RFC 6749 §3.1)");
    }
    if request.get("client_id") != Some(&state.client_id) {
        return bad("unknown client_id");
    }
    let Some(mut callback) = request.get("redirect_uri").and_then(|uri| Url::parse(uri).ok()) else {
        return bad("redirect_uri");
    };
    if request.get("response_type") != Some("code") {
        return bad("response_type");
    }
    let challenge = request.get("code_challenge").filter(|challenge| challenge.len() == 43);
    if state.pkce && (challenge.is_none() || request.get("code_challenge_method") != Some("S256")) {
        return bad("PKCE with S256 is required");
    }
    let scope = request.get("scope").unwrap_or_default();
    if scope.split(' ').any(|scope| scope == "openid") && request.get("nonce").is_none() {
        return bad("nonce is required");
    }
    let chosen =
        request.get("login_hint").and_then(|hint| state.users.iter().find(|user| user.login == hint));
    let user = chosen.unwrap_or(&state.user).clone();
    let code = Code {
        user,
        redirect_uri: request.get("redirect_uri").unwrap_or_default().to_owned(),
        challenge: challenge.map(str::to_owned),
        nonce: request.get("nonce").map(str::to_owned),
        scope: scope.to_owned(),
        family: None,
    };
    if state.has(&Fault::AccessDenied) {
        callback.query_pairs_mut().append_pair("error", "access_denied");
    } else {
        let secret = state.issue("fake-code");
        callback.query_pairs_mut().append_pair("code", &secret);
        state.codes.insert(secret, code);
    }
    if let Some(value) = request.get("state") {
        callback.query_pairs_mut().append_pair("state", value);
    }
    if state.has(&Fault::WrongIss) {
        callback.query_pairs_mut().append_pair("iss", "https://somebody-else.example");
    } else if !state.has(&Fault::NoIss) {
        callback.query_pairs_mut().append_pair("iss", &state.issuer);
    }
    (StatusCode::FOUND, [(header::LOCATION, callback.to_string())]).into_response()
}

pub(super) async fn userinfo(Extract(state): Extract<Shared>, headers: HeaderMap) -> Response {
    let mut state = state.lock();
    let request = seen(&headers, Vec::new());
    state.seen_userinfo.push(request.clone());
    if let Some(code) = state.find(|f| if let Fault::UserinfoStatus(code) = f { Some(*code) } else { None }) {
        return status(code);
    }
    let Some(user) = state.bearer(request.authorization.as_deref()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let mut claims = user.oidc_claims();
    if state.has(&Fault::OtherSubject) {
        claims.insert("sub".to_owned(), json!("sub-of-mallory"));
    }
    Json(claims).into_response()
}

/// The shape of GitHub's `GET /user`, with its demand for a `User-Agent`.
pub(super) async fn github_user(Extract(state): Extract<Shared>, headers: HeaderMap) -> Response {
    let mut state = state.lock();
    let request = seen(&headers, Vec::new());
    state.seen_userinfo.push(request.clone());
    if let Some(code) = state.find(|f| if let Fault::UserinfoStatus(code) = f { Some(*code) } else { None }) {
        return status(code);
    }
    if request.user_agent.is_none() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let Some(user) = state.bearer(request.authorization.as_deref()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    Json(json!({
        "login": user.login, "id": user.id, "type": "User", "name": user.name,
        // What a user shows in public, verified or not.
        "email": "public@example.com",
    }))
    .into_response()
}

/// The shape of GitHub's `GET /user/emails`.
pub(super) async fn github_emails(Extract(state): Extract<Shared>, headers: HeaderMap) -> Response {
    let state = state.lock();
    if let Some(code) = state.find(|f| if let Fault::EmailsStatus(code) = f { Some(*code) } else { None }) {
        return status(code);
    }
    let Some(user) = state.bearer(seen(&headers, Vec::new()).authorization.as_deref()) else {
        return StatusCode::UNAUTHORIZED.into_response();
    };
    let verified = user.email_verified == Value::Bool(true);
    Json(json!([
        {"email": "old@example.com", "primary": false, "verified": true},
        {"email": user.email, "primary": true, "verified": verified},
    ]))
    .into_response()
}
