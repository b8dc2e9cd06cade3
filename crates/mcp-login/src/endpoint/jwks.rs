//! `GET /.well-known/jwks.json`: the public keys that assertions are signed with (RFC 7517 §5), of all nodes.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::AuthorizationServer;
use super::answer::JsonError;
use crate::store::records::PublishedKey;

/// Short for the sake of new nodes: a node that starts has to sign with a key that nobody has seen yet. The key that
/// follows another is listed much longer before it signs.
const CACHE: [(axum::http::HeaderName, &str); 1] = [(CACHE_CONTROL, "public, max-age=30")];

pub(crate) async fn get(State(server): State<Arc<AuthorizationServer>>) -> Result<Response, JsonError> {
    let keys: Vec<Value> = server.signer.keys().await?.iter().map(PublishedKey::jwk).collect();
    Ok((CACHE, Json(json!({ "keys": keys }))).into_response())
}
