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

/// For the sake of new nodes: a node that starts has to sign with a key that nobody has seen yet, so a cache in front would
/// answer those who ask for it with a list that lacks it. The store is asked every two seconds at most all the same.
const CACHE: [(axum::http::HeaderName, &str); 1] = [(CACHE_CONTROL, "no-cache")];

pub(crate) async fn get(State(server): State<Arc<AuthorizationServer>>) -> Result<Response, JsonError> {
    let keys: Vec<Value> = server.signer.keys().await?.iter().map(PublishedKey::jwk).collect();
    Ok((CACHE, Json(json!({ "keys": keys }))).into_response())
}
