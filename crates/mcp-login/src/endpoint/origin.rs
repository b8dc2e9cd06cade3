//! Where a form comes from.

use axum::http::header::ORIGIN;
use axum::http::{HeaderMap, HeaderValue};

use super::AuthorizationServer;

/// Whether a form was posted by a page of ours. Browsers name the origin of every form that is posted. Our pages' referrer
/// policy lets them name ours; one that names another, or hides it, is not ours. Only what is no browser leaves it out.
pub(super) fn is_ours(server: &AuthorizationServer, headers: &HeaderMap) -> bool {
    let ours = |origin: &HeaderValue| origin.as_bytes() == server.origin.as_bytes();
    headers.get_all(ORIGIN).iter().all(ours)
}
