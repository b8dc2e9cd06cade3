//! Who is signed in, in the names of `OpenID` Connect Core §5.1.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use mcp_login::core::Secret;
use serde_json::json;

use super::SignIn;

/// `GET /userinfo`, with a bearer token (RFC 6750 §2.1).
pub(super) async fn show(State(service): State<Arc<SignIn>>, headers: HeaderMap) -> Response {
    let Some(token) = bearer(&headers) else { return refused("Bearer realm=\"demo sign-in\"") };
    let now = service.now();
    let Some(login) = service.sessions().who(&token, now) else {
        return refused("Bearer realm=\"demo sign-in\", error=\"invalid_token\"");
    };
    let mut body = json!({ "sub": login.person.sub });
    if login.scope.profile {
        body["name"] = login.person.name.into();
        body["preferred_username"] = login.person.username.into();
    }
    if login.scope.email {
        body["email"] = login.person.email.into();
        body["email_verified"] = true.into();
    }
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Secret::new(token.trim()))
}

fn refused(challenge: &'static str) -> Response {
    (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, challenge), (CACHE_CONTROL, "no-store")]).into_response()
}
