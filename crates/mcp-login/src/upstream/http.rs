//! The HTTP client of the back channel: no redirects, no proxy, bounded time, bounded bodies.

use std::sync::OnceLock;
use std::time::Duration;

use reqwest::header::{ACCEPT, CONTENT_TYPE, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode, redirect};
use serde_json::{Map, Value};
use url::Url;

use super::error::{Cause, UpstreamError};

/// Bytes of a token or userinfo answer.
pub(super) const ANSWER_LIMIT: usize = 1024 * 1024;
/// Bytes of a discovery document or key set.
pub(super) const DOCUMENT_LIMIT: usize = 256 * 1024;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const CALL_TIMEOUT: Duration = Duration::from_secs(15);
/// Shorter than the 5 s after which common servers hang up: a rotating refresh token must not be sent into a closing connection.
const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);

/// Made on first use, so that building an `Upstream` cannot fail.
#[derive(Debug)]
pub(super) struct Http {
    client: OnceLock<Result<reqwest::Client, UpstreamError>>,
    timeout: Duration,
}

impl Default for Http {
    fn default() -> Self {
        Self::new(CALL_TIMEOUT)
    }
}

impl Http {
    pub(super) fn new(timeout: Duration) -> Self {
        Self { client: OnceLock::new(), timeout }
    }

    pub(super) fn client(&self) -> Result<&reqwest::Client, UpstreamError> {
        self.client.get_or_init(|| build(self.timeout)).as_ref().map_err(Clone::clone)
    }

    /// A JSON document anybody may read: discovery, keys. `key` is the configuration key the URL came from.
    pub(super) async fn document(&self, key: &'static str, url: Url) -> Result<Value, UpstreamError> {
        let answer = send(key, self.client()?.get(url), DOCUMENT_LIMIT).await?;
        if answer.status != StatusCode::OK {
            return Err(UpstreamError::Misconfigured(format!(
                "{key}: a JSON document was expected there, the service answered {}",
                answer.status.as_u16()
            )));
        }
        serde_json::from_slice(&answer.body)
            .map_err(|_| UpstreamError::Untrusted("a discovery document or key set is not JSON"))
    }
}

fn build(timeout: Duration) -> Result<reqwest::Client, UpstreamError> {
    reqwest::Client::builder()
        .user_agent(concat!("mcp-login/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT.min(timeout))
        .timeout(timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .build()
        .map_err(|error| UpstreamError::Unavailable {
            retry_after: None,
            reason: "TLS cannot be set up on this machine (are CA certificates installed?)",
            source: Some(Cause::new(error)),
        })
}

/// An answer that is neither an outage nor a redirect.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
    form: bool,
}

impl Answer {
    #[cfg(test)]
    pub(super) fn of(status: StatusCode, body: Vec<u8>) -> Self {
        Self { status, body, form: false }
    }

    /// The body as an object: JSON, or a form where the service says so (old GitHub-like servers).
    pub(super) fn object(&self) -> Option<Map<String, Value>> {
        if self.form {
            let pairs = url::form_urlencoded::parse(&self.body);
            return Some(pairs.map(|(k, v)| (k.into_owned(), Value::String(v.into_owned()))).collect());
        }
        match serde_json::from_slice(&self.body) {
            Ok(Value::Object(object)) => Some(object),
            _ => None,
        }
    }
}

/// Sends and reads at most `limit` bytes. 408, 429 and 5xx become [`UpstreamError::Unavailable`]; a redirect is refused,
/// because following one would hand the secrets of the request to another address.
pub(super) async fn send(
    key: &'static str,
    request: RequestBuilder,
    limit: usize,
) -> Result<Answer, UpstreamError> {
    send_accepting(key, request, limit, false).await
}

/// The same for a request that may say itself what it accepts.
pub(super) async fn send_accepting(
    key: &'static str,
    request: RequestBuilder,
    limit: usize,
    says_itself: bool,
) -> Result<Answer, UpstreamError> {
    let request = if says_itself { request } else { request.header(ACCEPT, "application/json") };
    let mut response = request.send().await.map_err(broken)?;
    let status = response.status();
    if status.is_server_error()
        || matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT)
    {
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        return Err(UpstreamError::Unavailable {
            retry_after: retry_after.and_then(delay_seconds),
            reason: if status == StatusCode::TOO_MANY_REQUESTS {
                "it answered 429 (too many requests)"
            } else {
                "it answered with a server error"
            },
            source: None,
        });
    }
    if status.is_redirection() {
        return Err(UpstreamError::Misconfigured(format!(
            "{key}: the service answered with a redirect ({}), which is not followed here; set the final URL",
            status.as_u16()
        )));
    }
    let form = response
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded"));
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(broken)? {
        if body.len() + chunk.len() > limit {
            return Err(UpstreamError::Untrusted("the answer is larger than any honest one"));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(Answer { status, body, form })
}

fn broken(error: reqwest::Error) -> UpstreamError {
    let reason = if error.is_timeout() {
        "it did not answer in time"
    } else if error.is_connect() {
        "it cannot be reached"
    } else {
        "the connection broke"
    };
    UpstreamError::Unavailable { retry_after: None, reason, source: Some(Cause::new(error)) }
}

/// RFC 9110 §10.2.3, the form in seconds; a date is ignored, for a foreign clock is no help.
fn delay_seconds(value: &str) -> Option<Duration> {
    let seconds: u64 = value.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(MAX_RETRY_AFTER))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_and_capped() {
        assert_eq!(delay_seconds("7"), Some(Duration::from_secs(7)));
        assert_eq!(delay_seconds(" 0 "), Some(Duration::ZERO));
        assert_eq!(delay_seconds("86400"), Some(MAX_RETRY_AFTER));
        assert_eq!(delay_seconds("99999999999999999999999"), None);
        assert_eq!(delay_seconds("Fri, 31 Dec 1999 23:59:59 GMT"), None);
    }
}
