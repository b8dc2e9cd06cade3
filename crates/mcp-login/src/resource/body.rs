//! The body of a request that is looked at before it is let through.

use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use http_body_util::{BodyExt, Limited};
use mcp_login_core::mcp::{HeaderMismatch, MAX_PUBLIC_BODY, Repeated, request_id};
use serde_json::json;

/// How long a body that is looked at is waited for.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// The whole body, to be looked at; `None` if it is too long, or broke off.
pub(super) async fn read_body(request: &mut Request<Body>) -> Result<Option<Bytes>, Response> {
    let body = Limited::new(std::mem::take(request.body_mut()), MAX_PUBLIC_BODY).collect();
    match tokio::time::timeout(BODY_TIMEOUT, body).await {
        Ok(body) => Ok(body.ok().map(http_body_util::Collected::to_bytes)),
        Err(_) => Err(too_slow()),
    }
}

fn too_slow() -> Response {
    let body =
        Json(json!({"error": "invalid_request", "error_description": "the request body stopped arriving"}));
    (StatusCode::REQUEST_TIMEOUT, body).into_response()
}

/// The same of a message, which is refused if its headers contradict it.
pub(super) async fn read_message(request: &mut Request<Body>) -> Result<Option<Bytes>, Response> {
    let Some(body) = read_body(request).await? else { return Ok(None) };
    let checked = repeated(request.headers()).and_then(|repeated| repeated.check(&body));
    checked.map_err(|mismatch| {
        tracing::info!(%mismatch, "refused with 400");
        contradicted(&body, mismatch)
    })?;
    Ok(Some(body))
}

/// The headers that repeat what is in the body.
pub(super) fn repeated(headers: &HeaderMap) -> Result<Repeated<'_>, HeaderMismatch> {
    Repeated::of(|name| headers.get_all(name).iter().map(HeaderValue::as_bytes).collect())
}

/// MCP 2026-07-28, Streamable HTTP, "Server Validation".
fn contradicted(body: &[u8], mismatch: HeaderMismatch) -> Response {
    let error = json!({"code": HeaderMismatch::CODE, "message": mismatch.to_string()});
    let mut answer = json!({"jsonrpc": "2.0", "error": error});
    if let Some(id) = request_id(body) {
        answer["id"] = id;
    }
    (StatusCode::BAD_REQUEST, [(CACHE_CONTROL, "no-store")], Json(answer)).into_response()
}

/// Whether the body is what it looks like: JSON in UTF-8, not compressed. A backend might decode anything else into
/// another message than the one that was read here.
pub(super) fn is_plain_json(headers: &HeaderMap) -> bool {
    let only = |name: HeaderName| {
        let mut values = headers.get_all(name).iter();
        (values.next(), values.next())
    };
    let (content_type, second) = only(CONTENT_TYPE);
    let content_type = content_type.and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    let mut parts = content_type.split(';').map(|part| part.trim().to_ascii_lowercase());
    let is_json = parts.next().as_deref() == Some("application/json");
    let in_utf8 = parts.all(|part| matches!(part.as_str(), "charset=utf-8" | "charset=\"utf-8\"" | ""));
    // Some backends read `content_encoding` or `mcp_name` as if it were the header.
    let disguised = |name: &HeaderName| {
        matches!(
            name.as_str(),
            "content_type"
                | "content_encoding"
                | "transfer_encoding"
                | "content_length"
                | "mcp_method"
                | "mcp_name"
                | "mcp_protocol_version"
                | "mcp_session_id"
        )
    };
    let encoded = headers.contains_key(CONTENT_ENCODING) || headers.keys().any(disguised);
    second.is_none() && is_json && in_utf8 && !encoded
}
