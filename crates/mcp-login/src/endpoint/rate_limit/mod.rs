//! How often one address may ask, before the endpoint does anything.

mod address;
mod buckets;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::HeaderName;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use mcp_login_core::Timestamp;

use self::address::client_network;
use self::buckets::Buckets;
use super::AuthorizationServer;
use super::answer::{AuthorizeError, JsonError};
use crate::settings::RateLimits;

/// An address has asked too often, and may come back after this long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TooManyRequests {
    pub(crate) wait: Duration,
}

/// Who has asked how often, for each group of endpoints.
#[derive(Debug)]
pub(crate) struct AddressLimits {
    register: Option<Buckets>,
    authorize: Option<Buckets>,
    token: Option<Buckets>,
    documents: Option<Buckets>,
    /// The header in which a trusted proxy tells the client's address.
    header: Option<HeaderName>,
    /// Whether it has been written down that somebody is not limited.
    told: AtomicBool,
}

impl AddressLimits {
    pub(crate) fn new(limits: RateLimits, header: Option<HeaderName>) -> Self {
        Self {
            register: limits.register.map(|limit| Buckets::new("register", limit)),
            authorize: limits.authorize.map(|limit| Buckets::new("authorize", limit)),
            token: limits.token.map(|limit| Buckets::new("token", limit)),
            documents: limits.documents.map(|limit| Buckets::new("documents of clients", limit)),
            header,
            told: AtomicBool::new(false),
        }
    }

    /// Counts a fetch of a document that this network makes us do.
    pub(super) fn take_document(&self, network: ClientNetwork, now: Timestamp) -> Result<(), Duration> {
        let (Some(buckets), Some(network)) = (&self.documents, network.0) else { return Ok(()) };
        buckets.take(network, now).map_err(|TooManyRequests { wait }| wait)
    }

    /// Counts a request, if anybody knows whose it is.
    fn check(
        &self,
        buckets: Option<&Buckets>,
        server: &AuthorizationServer,
        request: &Request,
    ) -> Result<(), TooManyRequests> {
        let Some(buckets) = buckets else { return Ok(()) };
        let network = client_network(request.headers(), request.extensions(), self.header.as_ref());
        if let Some(network) = network {
            return buckets.take(network, server.now());
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::info!(
                "requests of a loopback, private or unknown peer are not limited; behind a proxy, name the header that tells the client's address"
            );
        }
        Ok(())
    }
}

/// Whose request it is, as far as an address tells.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientNetwork(Option<IpAddr>);

impl FromRequestParts<Arc<AuthorizationServer>> for ClientNetwork {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        server: &Arc<AuthorizationServer>,
    ) -> Result<Self, Infallible> {
        Ok(Self(client_network(&parts.headers, &parts.extensions, server.limits.header.as_ref())))
    }
}

/// Before `/register`.
pub(crate) async fn register(
    State(server): State<Arc<AuthorizationServer>>,
    request: Request,
    next: Next,
) -> Result<Response, JsonError> {
    server.limits.check(server.limits.register.as_ref(), &server, &request)?;
    Ok(next.run(request).await)
}

/// Before `/authorize`, `/consent` and `/account`.
pub(crate) async fn authorize(
    State(server): State<Arc<AuthorizationServer>>,
    request: Request,
    next: Next,
) -> Result<Response, AuthorizeError> {
    server.limits.check(server.limits.authorize.as_ref(), &server, &request)?;
    Ok(next.run(request).await)
}

/// Before `/token`, `/revoke` and `/introspect`.
pub(crate) async fn token(
    State(server): State<Arc<AuthorizationServer>>,
    request: Request,
    next: Next,
) -> Result<Response, JsonError> {
    server.limits.check(server.limits.token.as_ref(), &server, &request)?;
    Ok(next.run(request).await)
}
