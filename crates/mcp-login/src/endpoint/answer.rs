//! The two ways in which a refusal is answered: as JSON to a program, as a page or a redirect to a browser.
//!
//! What lies behind an outage is logged once, when the answer is made, and shown nowhere.

use std::borrow::Cow;
use std::time::Duration;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION, PRAGMA, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use mcp_login_core::authorize::{AuthorizationResponse, RedirectError};
use mcp_login_core::error::{ErrorCode, OAuthError};
use serde_json::json;

use super::rate_limit::TooManyRequests;
use super::sign_in::SignInError;
use crate::page::{ErrorPage, WayBack, security_headers};
use crate::store::backend::StoreError;
use crate::telemetry::log_failure;
use crate::upstream::{Identity, UpstreamError};

/// How long a client should wait when nobody has said so.
const RETRY_AFTER_SECONDS: u64 = 5;

/// `Retry-After` in seconds, rounded up (RFC 9110 §10.2.3).
pub(crate) fn retry_after(wait: Option<Duration>) -> HeaderValue {
    HeaderValue::from(wait.map_or(RETRY_AFTER_SECONDS, in_seconds))
}

fn in_seconds(wait: Duration) -> u64 {
    let seconds = wait.as_secs();
    if wait.subsec_nanos() > 0 { seconds.saturating_add(1) } else { seconds }.clamp(1, 3600)
}

/// A redirect that always makes a `GET` of what was a form (RFC 9110 §15.4.4).
pub(crate) fn see_other(location: &str) -> Response {
    let Ok(location) = HeaderValue::from_str(location) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let headers = [
        (LOCATION, location),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (axum::http::header::REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    ];
    (StatusCode::SEE_OTHER, headers).into_response()
}

/// A refusal to a program (RFC 6749 §5.2).
#[derive(Debug)]
pub(crate) struct JsonError {
    error: OAuthError,
    status: StatusCode,
    headers: HeaderMap,
}

impl JsonError {
    /// The same refusal with another HTTP status.
    pub(crate) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Nobody knows right now: not the client's fault, and no reason to start over.
    pub(crate) fn unavailable(description: &'static str, wait: Duration) -> Self {
        let mut answer = Self::from(OAuthError::new(ErrorCode::TemporarilyUnavailable, description));
        answer.headers.insert(RETRY_AFTER, retry_after(Some(wait)));
        answer
    }

    /// A client that tried `Authorization: Basic` is told to try it again (RFC 6749 §5.2).
    pub(crate) fn with_basic_challenge(mut self) -> Self {
        self.headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"mcp-login\""));
        self
    }
}

impl From<TooManyRequests> for JsonError {
    fn from(TooManyRequests { wait }: TooManyRequests) -> Self {
        let description = "too many requests from this address; wait";
        let error = OAuthError::new(ErrorCode::TemporarilyUnavailable, description);
        let mut answer = Self::from(error).with_status(StatusCode::TOO_MANY_REQUESTS);
        answer.headers.insert(RETRY_AFTER, retry_after(Some(wait)));
        answer
    }
}

impl From<OAuthError> for JsonError {
    fn from(error: OAuthError) -> Self {
        let status = StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::BAD_REQUEST);
        Self { error, status, headers: HeaderMap::new() }
    }
}

impl From<StoreError> for JsonError {
    fn from(error: StoreError) -> Self {
        log_failure(&error);
        let description = "the login service is not available right now; try again";
        let mut answer = Self::from(OAuthError::new(ErrorCode::TemporarilyUnavailable, description));
        answer.headers.insert(RETRY_AFTER, retry_after(None));
        answer
    }
}

/// An identity provider that is away, or not as the operator says, when a program presents something of it.
impl From<UpstreamError> for JsonError {
    fn from(error: UpstreamError) -> Self {
        log_failure(&error);
        let wait = match error {
            UpstreamError::Unavailable { retry_after, .. } => retry_after,
            _ => None,
        };
        let description = "the identity provider cannot be asked right now; try again";
        let mut answer = Self::from(OAuthError::new(ErrorCode::TemporarilyUnavailable, description));
        answer.headers.insert(RETRY_AFTER, retry_after(wait));
        answer
    }
}

/// Whether the body is said to be of this media type, whatever its parameters (RFC 9110 §8.3.1).
pub(crate) fn is_media_type(headers: &HeaderMap, media_type: &str) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    content_type.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(media_type)
}

/// A body that was read within its bounds, or not.
pub(crate) type Body = Result<Bytes, BytesRejection>;

impl From<BytesRejection> for JsonError {
    fn from(rejection: BytesRejection) -> Self {
        let error = OAuthError::invalid_request("the body is too long or broke off");
        Self::from(error).with_status(rejection.status())
    }
}

impl From<BytesRejection> for AuthorizeError {
    fn from(_: BytesRejection) -> Self {
        Self::bad_request(&OAuthError::invalid_request("the form is too long or broke off"))
    }
}

impl IntoResponse for JsonError {
    fn into_response(self) -> Response {
        // Whoever asks too often is not to fill the log as well; the limiter counts them.
        if self.status != StatusCode::TOO_MANY_REQUESTS {
            tracing::info!(error = self.error.code.as_str(), reason = %self.error.description, "refused a program");
        }
        let body = json!({"error": self.error.code.as_str(), "error_description": self.error.description});
        (self.status, self.headers, no_store(), Json(body)).into_response()
    }
}

/// What holds tokens is never kept by a cache (OAuth 2.1 §3.2.3).
pub(crate) fn no_store() -> [(axum::http::HeaderName, HeaderValue); 2] {
    [(CACHE_CONTROL, HeaderValue::from_static("no-store")), (PRAGMA, HeaderValue::from_static("no-cache"))]
}

/// A refusal to a browser.
#[derive(Debug)]
pub(crate) enum AuthorizeError {
    /// Nowhere safe to send the person: a page.
    Page(PageError),
    /// To the client, with `error`, `state` and `iss`. The URL is complete.
    Redirect(String),
}

/// A page that says what went wrong.
#[derive(Debug)]
pub(crate) struct PageError {
    status: StatusCode,
    title: &'static str,
    what_happened: String,
    what_to_do: Cow<'static, str>,
    code: &'static str,
    retry_after: Option<HeaderValue>,
    /// Where the person can go from here: what the link says, and where it leads.
    back: Option<(&'static str, String)>,
}

impl AuthorizeError {
    /// The request itself is at fault, and with it the client that made it.
    pub(crate) fn bad_request(error: &OAuthError) -> Self {
        Self::Page(PageError {
            status: StatusCode::BAD_REQUEST,
            title: "This login link does not work",
            what_happened: format!(
                "The program that sent you here made a request that cannot be answered: {}.",
                error.description
            ),
            what_to_do: "Go back to the program and connect again. If that does not help, tell whoever makes it what it says above.".into(),
            code: error.code.as_str(),
            retry_after: None,
            back: None,
        })
    }

    /// The login went on in another browser, was finished, or took too long.
    pub(crate) fn stale(status: StatusCode) -> Self {
        Self::Page(PageError {
            status,
            title: "This login is no longer open",
            what_happened: "It was finished before, took too long, or was started in another browser.".into(),
            what_to_do: "Go back to where you began it, and begin again.".into(),
            code: "invalid_request",
            retry_after: None,
            back: None,
        })
    }

    /// What came back from the upstream is not what was asked for.
    pub(crate) fn untrusted() -> Self {
        Self::Page(PageError {
            status: StatusCode::BAD_REQUEST,
            title: "The sign-in could not be verified",
            what_happened:
                "The answer of the sign-in service does not belong to the login that was started here.".into(),
            what_to_do: "Go back to your program and connect again. If that does not help, tell whoever runs this server.".into(),
            code: "invalid_request",
            retry_after: None,
            back: None,
        })
    }

    /// Somebody who may not use this server. They learn whom to ask, and the client learns it when they go back.
    pub(crate) fn not_admitted(
        to: AuthorizationResponse<'_>,
        service: &str,
        identity: &Identity,
        contact: Option<&str>,
    ) -> Self {
        let account = identity.email.as_deref().or(identity.preferred_username.as_deref());
        let account = account.or(identity.name.as_deref()).unwrap_or(&identity.subject);
        let whom = contact.unwrap_or("whoever runs this server");
        let error = OAuthError::new(ErrorCode::AccessDenied, "this account may not use this server");
        Self::Page(PageError {
            status: StatusCode::FORBIDDEN,
            title: "This account may not use this server",
            what_happened: format!(
                "You signed in with {service} as {account}, and this server does not let you in."
            ),
            what_to_do: format!("Ask {whom}, or connect again with another account.").into(),
            code: error.code.as_str(),
            retry_after: None,
            back: Some(("Back to the program", to.error(&error))),
        })
    }

    /// A form of the account page that does not come from it, or not from this session of it. `account` is its address.
    pub(super) fn foreign_form(account: String) -> Self {
        Self::Page(PageError {
            status: StatusCode::FORBIDDEN,
            title: "Nothing was changed",
            what_happened: "The page that this came from was open too long, is of an earlier sign-in, or is not one of this server.".into(),
            what_to_do: "Open your connections and do it again there.".into(),
            code: "access_denied",
            retry_after: None,
            back: Some(("Your connections", account)),
        })
    }

    /// Somebody came back from the sign-in service to the account page, and nobody knows who it is.
    pub(super) fn not_signed_in(failure: &SignInError, account: String) -> Self {
        let (what_happened, wait) = match failure {
            SignInError::Upstream(UpstreamError::Unavailable { retry_after, .. }) => {
                ("The sign-in service does not answer right now.", Some(*retry_after))
            }
            SignInError::NoCode | SignInError::Upstream(UpstreamError::Untrusted(_)) => {
                ("The answer of the sign-in service does not belong to what was started here.", None)
            }
            _ => ("The sign-in service refused the sign-in.", None),
        };
        Self::Page(PageError {
            status: wait.map_or(StatusCode::BAD_REQUEST, |_| StatusCode::SERVICE_UNAVAILABLE),
            title: "You are not signed in",
            what_happened: what_happened.into(),
            what_to_do:
                "Wait a moment and sign in again. If that does not help, tell whoever runs this server."
                    .into(),
            code: wait.map_or("access_denied", |_| "temporarily_unavailable"),
            retry_after: wait.map(retry_after),
            back: Some(("Your connections", account)),
        })
    }

    /// To the client.
    pub(crate) fn redirect(to: AuthorizationResponse<'_>, error: &OAuthError) -> Self {
        tracing::info!(error = error.code.as_str(), reason = %error.description, "refused a client with a redirect");
        Self::Redirect(to.error(error))
    }

    /// To the client, from a check.
    pub(crate) fn refused(refusal: &RedirectError, issuer: &str) -> Self {
        let to = AuthorizationResponse {
            redirect_uri: &refusal.redirect_uri,
            state: refusal.state.as_deref(),
            issuer,
        };
        Self::redirect(to, &refusal.error)
    }

    fn unavailable(wait: Option<Duration>) -> Self {
        Self::Page(PageError {
            status: StatusCode::SERVICE_UNAVAILABLE,
            title: "Signing in is not possible right now",
            what_happened: "A service that is needed for it does not answer. Nobody has been signed out."
                .into(),
            what_to_do: "Wait a moment and load this page again.".into(),
            code: "temporarily_unavailable",
            retry_after: Some(retry_after(wait)),
            back: None,
        })
    }
}

impl From<TooManyRequests> for AuthorizeError {
    fn from(TooManyRequests { wait }: TooManyRequests) -> Self {
        Self::Page(PageError {
            status: StatusCode::TOO_MANY_REQUESTS,
            title: "Too many logins from your network",
            what_happened: "Your network has opened this page too often in a short time.".into(),
            what_to_do: "Wait a minute and load this page again.".into(),
            code: "temporarily_unavailable",
            retry_after: Some(retry_after(Some(wait))),
            back: None,
        })
    }
}

impl From<StoreError> for AuthorizeError {
    fn from(error: StoreError) -> Self {
        log_failure(&error);
        Self::unavailable(None)
    }
}

/// An upstream that fails before the person is sent there.
impl From<UpstreamError> for AuthorizeError {
    fn from(error: UpstreamError) -> Self {
        log_failure(&error);
        let wait = match error {
            UpstreamError::Unavailable { retry_after, .. } => retry_after,
            _ => None,
        };
        Self::unavailable(wait)
    }
}

impl IntoResponse for AuthorizeError {
    fn into_response(self) -> Response {
        let page = match self {
            Self::Redirect(url) => return see_other(&url),
            Self::Page(page) => page,
        };
        if page.status != StatusCode::TOO_MANY_REQUESTS {
            tracing::info!(status = page.status.as_u16(), reason = %page.what_happened, "refused a browser with a page");
        }
        let body = ErrorPage {
            status: page.status.as_u16(),
            title: page.title,
            what_happened: &page.what_happened,
            what_to_do: &page.what_to_do,
            code: page.code,
            request_id: None,
            back: page.back.as_ref().map(|(label, url)| WayBack { label, url }),
        };
        let mut response = (page.status, security_headers(&[]), body.render()).into_response();
        if let Some(wait) = page.retry_after {
            response.headers_mut().insert(RETRY_AFTER, wait);
        }
        response
    }
}
