//! Which endpoint stands where.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{MethodRouter, get, post};
use mcp_login_core::params;
use url::Url;

use crate::endpoint::token::method_not_allowed;
use crate::endpoint::{AuthorizationServer, authorize, callback, consent, metadata, register, revoke, token};
use crate::resource::cors;

type Server = Arc<AuthorizationServer>;

/// Every endpoint. With an issuer that has a path they stand below it, and again at the root, where clients of the
/// 2025-03-26 revision look.
pub(super) fn router(server: &Server) -> Router {
    let mut router = well_known().merge(endpoints());
    let path = Url::parse(&server.issuer).map(|issuer| issuer.path().trim_end_matches('/').to_owned());
    if let Ok(path) = path
        && !path.is_empty()
    {
        router = router.nest(&path, endpoints());
    }
    router.with_state(Arc::clone(server))
}

/// The documents that everything else is found by.
fn well_known() -> Router<Server> {
    let document = |handler: MethodRouter<Server>| handler.layer(cors());
    Router::new()
        .route("/.well-known/oauth-authorization-server", document(get(metadata::authorization_server)))
        .route("/.well-known/oauth-authorization-server/{*path}", document(get(metadata::authorization_server_at)))
        .route("/.well-known/oauth-protected-resource", document(get(metadata::protected_resource)))
        .route("/.well-known/oauth-protected-resource/{*path}", document(get(metadata::protected_resource_at)))
        .route("/.well-known/{*path}", document(get(metadata::not_found)))
}

/// The endpoints for programs answer browsers of any origin; those that a person sees never do.
fn endpoints() -> Router<Server> {
    let form = DefaultBodyLimit::max(params::MAX_LENGTH);
    Router::new()
        .route("/authorize", get(authorize::get).post(authorize::post).layer(form))
        .route("/consent", post(consent::post).layer(form))
        .route("/callback", get(callback::get))
        .route("/token", post(token::post).fallback(method_not_allowed).layer(form).layer(cors()))
        .route("/revoke", post(revoke::post).fallback(method_not_allowed).layer(form).layer(cors()))
        .route(
            "/register",
            post(register::post)
                .fallback(method_not_allowed)
                .layer(DefaultBodyLimit::max(register::MAX_BODY))
                .layer(cors()),
        )
}
