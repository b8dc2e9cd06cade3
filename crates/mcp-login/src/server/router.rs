//! Which endpoint stands where.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{MethodRouter, get, post};
use mcp_login_core::params;
use tower_http::timeout::TimeoutLayer;
use url::Url;

use crate::endpoint::token::method_not_allowed;
use crate::endpoint::{
    AuthorizationServer, account, authorize, callback, consent, introspect, jwks, metadata, rate_limit,
    register, revoke, token,
};
use crate::resource::cors;

/// How long one request may take, body and upstream included: each call to the upstream has a shorter bound.
const TIMEOUT: Duration = Duration::from_secs(60);

type Server = Arc<AuthorizationServer>;

/// Every endpoint. With an issuer that has a path they stand below it, and again at the root, where clients of the
/// 2025-03-26 revision look.
pub(super) fn router(server: &Server) -> Router {
    let mut router = well_known().merge(endpoints(server));
    let path = Url::parse(&server.issuer).map(|issuer| issuer.path().trim_end_matches('/').to_owned());
    if let Ok(path) = path
        && !path.is_empty()
    {
        router = router.nest(&path, endpoints(server).merge(keys()));
    }
    router.with_state(Arc::clone(server))
}

/// The documents that everything else is found by.
fn well_known() -> Router<Server> {
    let document = |handler: MethodRouter<Server>| handler.layer(cors());
    Router::new()
        .route("/.well-known/oauth-authorization-server", document(get(metadata::authorization_server)))
        .route(
            "/.well-known/oauth-authorization-server/{*path}",
            document(get(metadata::authorization_server_at)),
        )
        .route("/.well-known/oauth-protected-resource", document(get(metadata::protected_resource)))
        .route(
            "/.well-known/oauth-protected-resource/{*path}",
            document(get(metadata::protected_resource_at)),
        )
        .route("/.well-known/{*path}", document(get(metadata::not_found)))
        .merge(keys())
}

/// The keys of assertions: at the issuer, and at the root, where the other documents are.
fn keys() -> Router<Server> {
    Router::new().route("/.well-known/jwks.json", get(jwks::get).layer(cors()))
}

/// The endpoints for programs answer browsers of any origin, also when an address asks too often; those that a person
/// sees never do.
fn endpoints(server: &Server) -> Router<Server> {
    let form = DefaultBodyLimit::max(params::MAX_LENGTH);
    let json = DefaultBodyLimit::max(register::MAX_BODY);
    let mut back = get(callback::get);
    if server.sign_ins.iter().any(|sign_in| sign_in.upstream.answers_with_a_form()) {
        back = back.post(callback::post);
    }
    let pages = Router::new()
        .route("/authorize", get(authorize::get).post(authorize::post))
        .route("/consent", post(consent::post))
        .route("/account", get(account::get))
        .route("/account/sign-in", post(account::sign_in))
        .route("/account/disconnect", post(account::disconnect))
        .route("/account/sign-out", post(account::sign_out))
        .route_layer(from_fn_with_state(Arc::clone(server), rate_limit::authorize))
        .route("/callback", back.clone())
        .route("/callback/{upstream}", back);
    let registration = Router::new()
        .route("/register", post(register::post).fallback(method_not_allowed).layer::<_, Infallible>(json))
        .route_layer(from_fn_with_state(Arc::clone(server), rate_limit::register));
    let programs = Router::new()
        .route("/token", post(token::post).fallback(method_not_allowed))
        .route("/revoke", post(revoke::post).fallback(method_not_allowed))
        .route_layer(from_fn_with_state(Arc::clone(server), rate_limit::token))
        .merge(registration)
        .layer(cors());
    // For servers, not for programs in browsers.
    let introspection = Router::new()
        .route("/introspect", post(introspect::post).fallback(method_not_allowed))
        .route_layer(from_fn_with_state(Arc::clone(server), rate_limit::token));
    pages
        .merge(programs)
        .merge(introspection)
        .layer(form)
        .layer(TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, TIMEOUT))
}
