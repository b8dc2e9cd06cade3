//! The metadata documents (RFC 8414, RFC 9728).

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::CACHE_CONTROL;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use mcp_login_core::metadata::{AuthorizationServerMetadata, Offer, ProtectedResourceMetadata};
use serde_json::json;
use url::Url;

use super::AuthorizationServer;
use crate::settings::ResourceSettings;

/// Short, so that a change of the configuration is seen.
const CACHE: [(axum::http::HeaderName, &str); 1] = [(CACHE_CONTROL, "public, max-age=300")];

/// The authorization server's document at the root.
pub(crate) async fn authorization_server(State(server): State<Arc<AuthorizationServer>>) -> Response {
    let metadata = AuthorizationServerMetadata::new(&Offer {
        issuer: &server.issuer,
        scopes: &server.resources.all_scopes(),
        registration: server.registration,
        metadata_documents: server.clients.by_document(),
        grant_types: &server.grant_types,
    });
    (CACHE, Json(metadata)).into_response()
}

/// The same with the issuer's path inserted (RFC 8414 §3.1), and for clients that insert the MCP server's.
pub(crate) async fn authorization_server_at(state: State<Arc<AuthorizationServer>>, uri: Uri) -> Response {
    let (server, path) = (&state.0, inserted(&uri, "/.well-known/oauth-authorization-server"));
    let issuer_path = path_of(&server.issuer);
    let known = same_path(&issuer_path, path)
        || server.resources.0.iter().any(|resource| same_path(&path_of(&resource.url), path));
    if known { authorization_server(state).await } else { not_found().await }
}

/// The default MCP server's document at the root.
pub(crate) async fn protected_resource(State(server): State<Arc<AuthorizationServer>>) -> Response {
    match server.resources.0.first() {
        Some(resource) => document(&server, resource),
        None => not_found().await,
    }
}

/// An MCP server's document with its path inserted (RFC 9728 §3.1).
pub(crate) async fn protected_resource_at(
    State(server): State<Arc<AuthorizationServer>>,
    uri: Uri,
) -> Response {
    let path = inserted(&uri, "/.well-known/oauth-protected-resource");
    match server.resources.0.iter().find(|resource| same_path(&path_of(&resource.url), path)) {
        Some(resource) => document(&server, resource),
        None => not_found().await,
    }
}

fn document(server: &AuthorizationServer, resource: &ResourceSettings) -> Response {
    let name = resource.name.as_deref();
    let metadata = ProtectedResourceMetadata::new(&resource.url, &server.issuer, &resource.supported, name);
    (CACHE, Json(metadata)).into_response()
}

/// Every other well-known address: clients probe several and take an answer that is not JSON for a broken server.
pub(crate) async fn not_found() -> Response {
    let body = json!({"error": "not_found", "error_description": "there is no such document here"});
    (StatusCode::NOT_FOUND, Json(body)).into_response()
}

fn path_of(url: &str) -> String {
    Url::parse(url).map(|url| url.path().to_owned()).unwrap_or_default()
}

/// What follows the well-known part of an address.
fn inserted<'a>(uri: &'a Uri, well_known: &str) -> &'a str {
    uri.path().strip_prefix(well_known).unwrap_or_default()
}

/// A path as it is configured and as it is asked for: without the first slash, perhaps with one at the end.
fn same_path(known: &str, asked: &str) -> bool {
    known.trim_matches('/') == asked.trim_matches('/')
}
