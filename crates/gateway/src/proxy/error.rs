//! Why a request was not passed on, or its answer not passed back.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mcp_login::resource::{AssertionError, LoginNeeded, UpstreamTokenError};
use serde_json::json;

/// Why a request was not passed on, or its answer not passed back. The text goes to the client: it names no address.
///
/// The layer in front finishes [`Self::LoginNeeded`] with the challenge that only it can write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// 400
    #[error("the path leads outside of this MCP server")]
    BadPath,
    /// 405: TRACE would show the client the headers that the gateway added.
    #[error("this method is not passed on")]
    MethodNotAllowed,
    /// 405 from a server of the HTTP+SSE transport. Clients that speak both take it for a reason to open the stream (MCP
    /// 2025-11-25, "Backwards Compatibility").
    #[error(
        "this MCP server speaks the HTTP+SSE transport: open its stream with GET, and post to the address that its `endpoint` event names"
    )]
    StreamOnly,
    /// 404 from a server of the HTTP+SSE transport, which is its stream and nothing else.
    #[error(
        "this MCP server has nothing below its path, and no query but the one that its `endpoint` event names"
    )]
    NothingBelow,
    /// 413
    #[error("the request body is longer than {limit} bytes")]
    BodyTooLarge {
        /// The bound, in bytes.
        limit: u64,
    },
    /// 400
    #[error("the request body ended early or is not valid HTTP")]
    BodyBroken,
    /// 408
    #[error("the request body stopped arriving")]
    BodyStalled,
    /// 401, still without its `WWW-Authenticate`.
    #[error("the login at the upstream service has ended: sign in again")]
    LoginNeeded,
    /// 403: nobody signed in at the upstream, and another login of the same kind would not help.
    #[error(
        "this MCP server works with an account at the upstream service, which a login by client credentials or identity assertion does not have"
    )]
    NoUpstreamAccount,
    /// 403: it holds what no header can, or is empty.
    #[error("this user's identifier cannot be passed on")]
    SubjectNotPassed,
    /// 403: signed, it would be longer than servers read.
    #[error("this login has more scopes, or a longer client_id, than can be passed on")]
    AssertionTooLong,
    /// 503 with `Retry-After`: nobody could check what would be signed now.
    #[error("the login service is not available right now: try again")]
    AssertionUnavailable,
    /// 503 with `Retry-After`.
    #[error("the upstream service cannot be reached: try again")]
    UpstreamUnavailable {
        /// How long to wait, where the upstream said so.
        retry_after: Option<Duration>,
    },
    /// 502
    #[error(
        "the MCP server behind this gateway cannot be reached; its operator should see that it runs and that mcp.backend names it"
    )]
    BackendUnreachable,
    /// 502
    #[error(
        "the MCP server behind this gateway broke off or did not answer in HTTP; its operator finds the reason in its log"
    )]
    BackendBroke,
    /// 502: `transport = "sse"` of a server that speaks otherwise.
    #[error(
        "the MCP server behind this gateway does not begin its stream as HTTP+SSE has it; its operator finds the reason in the gateway's log"
    )]
    BadStream,
    /// 502: it answered 401. Clients would take that for a reason to log in here again, which would not help.
    #[error(
        "the MCP server behind this gateway did not accept what the gateway sent it; its operator should look at mcp.headers and mcp.assertion_audience"
    )]
    BackendRefused,
    /// 503 with `Retry-After`: the backend refused a token of the service, which has been renewed since.
    #[error("the service's token has just been renewed: try again")]
    UpstreamTokenRenewed,
    /// 504
    #[error(
        "the MCP server behind this gateway did not accept the connection in time; its operator should see that it runs and that mcp.backend names it"
    )]
    ConnectTimeout,
    /// 504
    #[error("the MCP server behind this gateway did not begin to answer in time")]
    ResponseTimeout,
    /// 400: not one message of JSON-RPC, or one that does not fit its session.
    #[error("{0}")]
    BadMessage(&'static str),
    /// 404: on it a client initializes anew (MCP, Streamable HTTP: "Session Management").
    #[error("this session has ended; initialize again")]
    SessionEnded,
    /// 503 with `Retry-After`: as many processes or requests as there may be.
    #[error("the MCP server behind this gateway is busy: try again")]
    Busy,
    /// 429 with `Retry-After`: as many requests as one user may have, or all of those who are not signed in.
    #[error("too many requests at once for one user: try again when some of them have ended")]
    TooManyAtOnce,
    /// 502
    #[error(
        "the MCP server behind this gateway could not be started, or ended; its operator finds the reason in the gateway's log"
    )]
    ProcessEnded,
}

/// An error, and what its operator should know but the client should not.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) error: ProxyError,
    /// What the HTTP client said of it.
    pub(super) cause: Option<String>,
}

impl From<ProxyError> for Failure {
    fn from(error: ProxyError) -> Self {
        Self { error, cause: None }
    }
}

/// What `Retry-After` says when the upstream did not.
const DEFAULT_RETRY: Duration = Duration::from_secs(5);
const MAX_RETRY: Duration = Duration::from_secs(60 * 60);

impl ProxyError {
    /// The HTTP status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        match self {
            Self::BadPath | Self::BodyBroken | Self::BadMessage(_) => StatusCode::BAD_REQUEST,
            Self::SessionEnded | Self::NothingBelow => StatusCode::NOT_FOUND,
            Self::BodyStalled => StatusCode::REQUEST_TIMEOUT,
            Self::MethodNotAllowed | Self::StreamOnly => StatusCode::METHOD_NOT_ALLOWED,
            Self::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooManyAtOnce => StatusCode::TOO_MANY_REQUESTS,
            Self::LoginNeeded => StatusCode::UNAUTHORIZED,
            Self::SubjectNotPassed | Self::NoUpstreamAccount | Self::AssertionTooLong => {
                StatusCode::FORBIDDEN
            }
            Self::UpstreamUnavailable { .. }
            | Self::UpstreamTokenRenewed
            | Self::AssertionUnavailable
            | Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::BackendUnreachable
            | Self::BackendBroke
            | Self::BadStream
            | Self::BackendRefused
            | Self::ProcessEnded => StatusCode::BAD_GATEWAY,
            Self::ConnectTimeout | Self::ResponseTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    /// Whether only an operator can mend it, so that it belongs into the log.
    #[must_use]
    pub fn is_operators(&self) -> bool {
        match self {
            Self::SubjectNotPassed | Self::AssertionTooLong => true,
            Self::UpstreamTokenRenewed => false,
            _ => self.status().is_server_error(),
        }
    }

    /// The error code, in OAuth's words (RFC 6749 §4.1.2.1, RFC 6750 §3.1).
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::BadPath
            | Self::MethodNotAllowed
            | Self::StreamOnly
            | Self::NothingBelow
            | Self::BodyTooLarge { .. }
            | Self::BodyBroken
            | Self::BodyStalled
            | Self::BadMessage(_)
            | Self::SessionEnded => "invalid_request",
            Self::LoginNeeded => "invalid_token",
            Self::SubjectNotPassed | Self::NoUpstreamAccount | Self::AssertionTooLong => "access_denied",
            Self::BackendBroke | Self::BadStream | Self::BackendRefused | Self::ProcessEnded => {
                "server_error"
            }
            Self::UpstreamUnavailable { .. }
            | Self::UpstreamTokenRenewed
            | Self::AssertionUnavailable
            | Self::Busy
            | Self::TooManyAtOnce
            | Self::BackendUnreachable
            | Self::ConnectTimeout
            | Self::ResponseTimeout => "temporarily_unavailable",
        }
    }
}

impl From<UpstreamTokenError> for ProxyError {
    fn from(error: UpstreamTokenError) -> Self {
        match error {
            UpstreamTokenError::LoginNeeded => Self::LoginNeeded,
            UpstreamTokenError::NoAccount => Self::NoUpstreamAccount,
            UpstreamTokenError::Unavailable { retry_after } => Self::UpstreamUnavailable { retry_after },
        }
    }
}

impl From<AssertionError> for ProxyError {
    fn from(error: AssertionError) -> Self {
        match error {
            AssertionError::Unavailable => Self::AssertionUnavailable,
            AssertionError::TooLong => Self::AssertionTooLong,
        }
    }
}

impl IntoResponse for ProxyError {
    fn into_response(self) -> Response {
        let body = json!({ "error": self.code(), "error_description": self.to_string() });
        let mut response = (self.status(), Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match &self {
            Self::UpstreamUnavailable { retry_after } => {
                let wait = retry_after.unwrap_or(DEFAULT_RETRY).min(MAX_RETRY);
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
            }
            Self::UpstreamTokenRenewed => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Busy | Self::TooManyAtOnce | Self::AssertionUnavailable => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(DEFAULT_RETRY.as_secs()));
            }
            Self::StreamOnly => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET"));
            }
            Self::MethodNotAllowed => {
                headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, POST, DELETE, OPTIONS"));
            }
            _ => {}
        }
        if self == Self::LoginNeeded {
            response.extensions_mut().insert(LoginNeeded);
        }
        response
    }
}
