//! How often one address may ask, before the endpoint does anything.

mod address;
mod buckets;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::HeaderName;
use axum::middleware::Next;
use axum::response::Response;

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
            header,
            told: AtomicBool::new(false),
        }
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

/// Before `/register`.
pub(crate) async fn register(
    State(server): State<Arc<AuthorizationServer>>,
    request: Request,
    next: Next,
) -> Result<Response, JsonError> {
    server.limits.check(server.limits.register.as_ref(), &server, &request)?;
    Ok(next.run(request).await)
}

/// Before `/authorize` and `/consent`.
pub(crate) async fn authorize(
    State(server): State<Arc<AuthorizationServer>>,
    request: Request,
    next: Next,
) -> Result<Response, AuthorizeError> {
    server.limits.check(server.limits.authorize.as_ref(), &server, &request)?;
    Ok(next.run(request).await)
}

/// Before `/token` and `/revoke`.
pub(crate) async fn token(
    State(server): State<Arc<AuthorizationServer>>,
    request: Request,
    next: Next,
) -> Result<Response, JsonError> {
    server.limits.check(server.limits.token.as_ref(), &server, &request)?;
    Ok(next.run(request).await)
}
