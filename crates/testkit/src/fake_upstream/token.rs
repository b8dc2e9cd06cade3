//! The token endpoint.

use axum::Json;
use axum::extract::{Form, State as Extract};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use url::form_urlencoded;

use super::endpoint::{seen, status};
use super::fault::Fault;
use super::key::{encode, hs256, unprotected};
use super::state::{AccessToken, Family, RefreshToken, SeenRequest, Shared, State};

/// RFC 7009: a token takes everything along that its login gave.
pub(super) async fn revoke(
    Extract(shared): Extract<Shared>,
    headers: HeaderMap,
    Form(params): Form<Vec<(String, String)>>,
) -> Response {
    let request = seen(&headers, params);
    let mut state = shared.lock();
    state.seen_revocations.push(request.clone());
    if !client_holds(&state, &request) {
        return refuse("invalid_client");
    }
    let token = request.get("token").unwrap_or_default();
    let of_refresh = state.refresh_tokens.get(token).map(|token| token.family);
    let family = of_refresh.or_else(|| state.access_tokens.get(token).map(|token| token.family));
    if let Some(family) = family.and_then(|family| state.families.get_mut(family)) {
        family.alive = false;
    }
    StatusCode::OK.into_response()
}

pub(super) async fn token(
    Extract(shared): Extract<Shared>,
    headers: HeaderMap,
    Form(params): Form<Vec<(String, String)>>,
) -> Response {
    let request = seen(&headers, params);
    let faults = {
        let mut state = shared.lock();
        state.seen_token.push(request.clone());
        state.faults.clone()
    };
    for fault in &faults {
        match fault {
            Fault::TokenHang => std::future::pending::<()>().await,
            Fault::TokenDelay(time) => tokio::time::sleep(*time).await,
            Fault::TokenClose => close(),
            Fault::TokenStatus(code) => return status(*code),
            Fault::TokenRateLimited(seconds) => {
                return (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, seconds.to_string())])
                    .into_response();
            }
            Fault::TokenError(error) => return refuse(error),
            Fault::ErrorIn200(error) => {
                return Json(json!({"error": error, "error_description": "said with 200"})).into_response();
            }
            Fault::TokenUnauthorized => return StatusCode::UNAUTHORIZED.into_response(),
            Fault::TokenRedirect(to) => {
                return (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to.clone())]).into_response();
            }
            _ => {}
        }
    }
    let mut state = shared.lock();
    let result = match request.get("grant_type") {
        _ if !client_holds(&state, &request) => Err("invalid_client"),
        Some("authorization_code") => exchange(&mut state, &request),
        Some("refresh_token") => refresh(&mut state, &request),
        _ => Err("unsupported_grant_type"),
    };
    if state.has(&Fault::TokenAnswerLost) {
        drop(state);
        close();
    }
    match result {
        Ok(answer) => encode_answer(&state, &request, answer),
        Err("invalid_client") => {
            (StatusCode::UNAUTHORIZED, Json(json!({"error": "invalid_client"}))).into_response()
        }
        Err(error) => refuse(error),
    }
}

/// Ends the connection without an answer: the server gives each connection its own task, and this ends the task without
/// the noise of a panic.
fn close() -> ! {
    std::panic::resume_unwind(Box::new("the fake upstream closes the connection"))
}

fn refuse(error: &str) -> Response {
    let body = json!({"error": error, "error_description": "the fake upstream says no"});
    (StatusCode::BAD_REQUEST, Json(body)).into_response()
}

/// RFC 6749 §2.3.1: one method, not two.
fn client_holds(state: &State, request: &SeenRequest) -> bool {
    let in_form = (request.get("client_id"), request.get("client_secret"));
    if state.public_client {
        return in_form == (Some(&state.client_id), None) && request.authorization.is_none();
    }
    match &request.authorization {
        Some(basic) => {
            let pair = basic.strip_prefix("Basic ").and_then(|basic| STANDARD.decode(basic).ok());
            let pair = pair.and_then(|pair| String::from_utf8(pair).ok()).unwrap_or_default();
            let decode = |text: &str| {
                form_urlencoded::parse(format!("x={text}").as_bytes())
                    .next()
                    .map(|(_, value)| value.into_owned())
            };
            let Some((id, secret)) = pair.split_once(':') else { return false };
            in_form.1.is_none()
                && decode(id).as_ref() == Some(&state.client_id)
                && decode(secret).as_ref() == Some(&state.client_secret)
        }
        None => in_form == (Some(&state.client_id), Some(&state.client_secret)),
    }
}

fn exchange(state: &mut State, request: &SeenRequest) -> Result<Map<String, Value>, &'static str> {
    let secret = request.get("code").unwrap_or_default();
    let Some(code) = state.codes.get(secret) else { return Err("invalid_grant") };
    if let Some(family) = code.family {
        // RFC 6749 §4.1.2: a second use ends what the first one gave.
        state.kill(family);
        return Err("invalid_grant");
    }
    if request.get("redirect_uri") != Some(&code.redirect_uri) {
        return Err("invalid_grant");
    }
    let verifier = request.get("code_verifier");
    let challenge = verifier.map(|verifier| encode(&Sha256::digest(verifier.as_bytes())));
    if challenge != code.challenge {
        return Err("invalid_grant");
    }
    let family = state.families.len();
    let (user, scope, nonce) = (code.user.clone(), code.scope.clone(), code.nonce.clone());
    state.families.push(Family { user, scope: scope.clone(), alive: true });
    if let Some(code) = state.codes.get_mut(secret) {
        code.family = Some(family);
    }
    let mut answer = new_tokens(state, family);
    if scope.split(' ').any(|scope| scope == "openid") && !state.has(&Fault::NoIdToken) {
        let access_token = answer["access_token"].as_str().unwrap_or_default().to_owned();
        let id_token = id_token(state, family, nonce.as_deref(), &access_token);
        state.issued.push(id_token.clone());
        answer.insert("id_token".to_owned(), id_token.into());
    }
    Ok(answer)
}

/// Each refresh token works once; the second time ends the whole login.
fn refresh(state: &mut State, request: &SeenRequest) -> Result<Map<String, Value>, &'static str> {
    let secret = request.get("refresh_token").unwrap_or_default();
    let keep = state.has(&Fault::OmitRefreshToken);
    let Some(token) = state.refresh_tokens.get_mut(secret) else { return Err("invalid_grant") };
    let family = token.family;
    if std::mem::replace(&mut token.used, !keep) {
        state.kill(family);
    }
    if !state.families[family].alive {
        return Err("invalid_grant");
    }
    if state.has(&Fault::OldAccessTokenDies) {
        state.access_tokens.retain(|_, token| token.family != family);
    }
    let mut answer = new_tokens(state, family);
    if keep {
        answer.remove("refresh_token");
        answer.remove("scope");
    }
    Ok(answer)
}

fn new_tokens(state: &mut State, family: usize) -> Map<String, Value> {
    let access_token = state.issue("fake-at");
    let expires_at = state.now().plus(state.access_ttl);
    state.access_tokens.insert(access_token.clone(), AccessToken { family, expires_at });
    let refresh_token = state.issue("fake-rt");
    state.refresh_tokens.insert(refresh_token.clone(), RefreshToken { family, used: false });
    let Value::Object(answer) = json!({
        "access_token": access_token,
        "token_type": "bearer",
        "expires_in": state.access_ttl.as_secs(),
        "refresh_token": refresh_token,
        "scope": state.families[family].scope,
        "user_id": state.families[family].user.id,
    }) else {
        unreachable!("an object")
    };
    answer
}

fn id_token(state: &State, family: usize, nonce: Option<&str>, access_token: &str) -> String {
    let now = state.now().as_secs();
    let mut claims = Value::Object(state.families[family].user.oidc_claims());
    claims["iss"] = json!(state.issuer);
    claims["aud"] = json!(state.client_id);
    claims["iat"] = json!(now);
    claims["exp"] = json!(now + 3600);
    claims["nonce"] = json!(nonce);
    claims["at_hash"] = json!(encode(&Sha256::digest(access_token.as_bytes())[..16]));
    for fault in &state.faults {
        match fault {
            Fault::WrongNonce => claims["nonce"] = json!("another nonce"),
            Fault::NoNonce => claims["nonce"] = Value::Null,
            Fault::WrongAudience => claims["aud"] = json!("another-client"),
            Fault::TwoAudiences => claims["aud"] = json!([state.client_id, "another-client"]),
            Fault::WrongIssuer => claims["iss"] = json!("https://somebody-else.example"),
            Fault::IssuerIs(issuer) => claims["iss"] = json!(issuer),
            Fault::ExpiredIdToken => {
                claims["iat"] = json!(now - 7200);
                claims["exp"] = json!(now - 3600);
            }
            Fault::FutureIdToken => {
                claims["iat"] = json!(now + 3600);
                claims["exp"] = json!(now + 7200);
            }
            Fault::WrongAtHash => claims["at_hash"] = json!("77QmUPtjPfzWtF2AnpK9RQ"),
            _ => {}
        }
    }
    if state.has(&Fault::AlgNone) {
        return unprotected(&claims);
    }
    if state.has(&Fault::Hs256) {
        return hs256(state.client_secret.as_bytes(), "key-1", &claims);
    }
    if state.has(&Fault::UnknownKid) {
        return state.next_key.sign("key-of-nobody", &claims);
    }
    if state.has(&Fault::RotatedKey) {
        return state.next_key.sign("key-2", &claims);
    }
    let key = if state.has(&Fault::WrongKey) { &state.next_key } else { &state.key };
    key.sign("key-1", &claims)
}

/// JSON for who accepts it, else a form, as GitHub does.
fn encode_answer(state: &State, request: &SeenRequest, mut answer: Map<String, Value>) -> Response {
    for fault in &state.faults {
        match fault {
            Fault::NoAccessToken => drop(answer.remove("access_token")),
            Fault::NoRefreshToken => drop(answer.remove("refresh_token")),
            Fault::NoExpiresIn => drop(answer.remove("expires_in")),
            Fault::ExpiresInString => {
                if let Some(seconds) = answer.get("expires_in").map(Value::to_string) {
                    answer.insert("expires_in".to_owned(), seconds.into());
                }
            }
            Fault::ScopeArray => {
                let scope = answer.get("scope").and_then(Value::as_str).unwrap_or_default();
                let scopes: Vec<Value> = scope.split(' ').map(Value::from).collect();
                answer.insert("scope".to_owned(), scopes.into());
            }
            Fault::HugeBody => drop(answer.insert("padding".to_owned(), "x".repeat(2 * 1024 * 1024).into())),
            _ => {}
        }
    }
    let json = request.accept.as_ref().is_some_and(|accept| accept.contains("application/json"));
    if json && !state.has(&Fault::FormEncoded) {
        return Json(answer).into_response();
    }
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in &answer {
        form.append_pair(name, value.as_str().unwrap_or(&value.to_string()));
    }
    ([(header::CONTENT_TYPE, "application/x-www-form-urlencoded")], form.finish()).into_response()
}
