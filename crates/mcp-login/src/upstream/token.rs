//! The token endpoint: proving the client, reading the answer, telling the kinds of refusal apart.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_login_core::{Secret, Timestamp};
use reqwest::{RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::error::UpstreamError;
use super::http::{ANSWER_LIMIT, Answer, send};
use super::provider::ClientAuth;
use super::service::Upstream;

/// A token is renewed this long before its end, so that it does not end on the way.
const MARGIN: Duration = Duration::from_secs(60);
/// Longer lifetimes are cut: nobody keeps a promise for ten years.
const MAX_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// What the service gave. `Serialize` shows the secrets: only for sealed records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTokens {
    /// For the service's own API.
    pub access_token: Secret,
    /// `Bearer`; anything else was refused.
    pub token_type: String,
    /// Absent when the service gives none: then a new login renews the access token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<Secret>,
    /// The end of the access token. `None` when the service does not say: use it until it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// When to renew the access token: 60 s before its end, or the last tenth of a life shorter than ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_at: Option<Timestamp>,
    /// Space-separated, whatever the service put between. `None` when it did not say: then it is what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
}

impl UpstreamTokens {
    /// Whether the access token has ended or is about to ([`refresh_at`](Self::refresh_at)).
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.refresh_at.or(self.expires_at).is_some_and(|at| at.has_passed(now))
    }

    /// RFC 6749 §5.1, with the liberties services take: `expires_in` as a string, `scope` as an array or with commas.
    pub(super) fn from_answer(answer: &Map<String, Value>, now: Timestamp) -> Result<Self, UpstreamError> {
        let Some(access_token) = text(answer, "access_token") else {
            return Err(UpstreamError::Untrusted("the token answer holds no access_token"));
        };
        let token_type = text(answer, "token_type").unwrap_or("Bearer");
        if !token_type.eq_ignore_ascii_case("bearer") {
            return Err(UpstreamError::Untrusted("the token_type is not Bearer"));
        }
        let lifetime = answer.get("expires_in").and_then(lifetime);
        let expires_at = lifetime.map(|lifetime| now.plus(lifetime));
        let refresh_at =
            lifetime.map(|lifetime| now.plus(lifetime.saturating_sub(MARGIN.min(lifetime / 10))));
        Ok(Self {
            access_token: access_token.into(),
            token_type: "Bearer".to_owned(),
            refresh_token: text(answer, "refresh_token").map(Secret::from),
            expires_at,
            refresh_at,
            scope: answer.get("scope").and_then(scope),
        })
    }
}

/// A non-empty string that can stand in a header.
fn text<'a>(answer: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    let text = answer.get(name)?.as_str()?;
    (!text.is_empty() && !text.chars().any(char::is_control)).then_some(text)
}

/// Zero and below mean "unknown": services write it for tokens that do not end.
fn lifetime(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::Number(number) => number.as_f64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    if seconds.is_nan() || seconds < 1.0 {
        return None;
    }
    Some(Duration::try_from_secs_f64(seconds.floor()).unwrap_or(MAX_LIFETIME).min(MAX_LIFETIME))
}

fn scope(value: &Value) -> Option<String> {
    let joined = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        _ => return None,
    };
    let scopes: Vec<_> = joined.split([' ', ',']).filter(|scope| !scope.is_empty()).collect();
    Some(scopes.join(" "))
}

impl Upstream {
    /// Sends a form to the token endpoint and gives the answer's object when it is not a refusal.
    pub(super) async fn call_token_endpoint(
        &self,
        endpoint: Url,
        form: &[(&str, &str)],
    ) -> Result<Map<String, Value>, UpstreamError> {
        let request = self.authenticated(self.http.client()?.post(endpoint), form);
        let answer = send("token_endpoint", request, ANSWER_LIMIT).await?;
        accept(&answer)
    }

    /// RFC 6749 §2.3.1.
    fn authenticated(&self, request: RequestBuilder, form: &[(&str, &str)]) -> RequestBuilder {
        let secret = self.client_secret.as_ref().map_or("", Secret::expose_secret);
        let mut form = form.to_vec();
        match self.provider.client_auth {
            ClientAuth::Basic => {
                let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
                let pair = STANDARD.encode(format!("{}:{}", encode(&self.client_id), encode(secret)));
                request.header(reqwest::header::AUTHORIZATION, format!("Basic {pair}")).form(&form)
            }
            ClientAuth::Post => {
                form.extend([("client_id", self.client_id.as_str()), ("client_secret", secret)]);
                request.form(&form)
            }
            ClientAuth::None => {
                form.push(("client_id", self.client_id.as_str()));
                request.form(&form)
            }
        }
    }
}

/// An `error` counts whatever the status (GitHub sends it with 200), and a refusal without one is still a refusal.
fn accept(answer: &Answer) -> Result<Map<String, Value>, UpstreamError> {
    let object = answer.object();
    if let Some(error) =
        object.as_ref().and_then(|object| object.get("error")).filter(|error| !error.is_null())
    {
        return Err(refusal(error.as_str().unwrap_or_default()));
    }
    match (answer.status, object) {
        (status, Some(object)) if status.is_success() => Ok(object),
        (status, None) if status.is_success() => {
            Err(UpstreamError::Untrusted("the token answer is not a JSON object"))
        }
        (StatusCode::UNAUTHORIZED, _) => Err(refusal("invalid_client")),
        (status @ (StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::GONE), _) => Err(
            UpstreamError::Misconfigured(format!("token_endpoint: the service answered {}", status.as_u16())),
        ),
        _ => Err(UpstreamError::refused("unrecognized_error")),
    }
}

/// RFC 6749 §5.2, and the names GitHub has for the same things.
fn refusal(error: &str) -> UpstreamError {
    let advice = match error {
        "invalid_client" | "incorrect_client_credentials" => {
            "client_secret: the service does not know this client_id with this client_secret; check both, and client_auth"
        }
        "unauthorized_client" => {
            "client_id: the service does not let this client use the authorization code grant"
        }
        "redirect_uri_mismatch" => {
            "client_id: the callback URL is not registered for this client at the service"
        }
        "unsupported_grant_type" => "token_endpoint: the service does not support this grant there",
        "invalid_scope" => "scopes: the service does not give these scopes to this client",
        "temporarily_unavailable" | "server_error" | "slow_down" | "rate_limited" => {
            return UpstreamError::unavailable("it answered with a temporary error");
        }
        // The alphabet has no room for a token: nothing the service echoes here can leak one.
        _ if !error.is_empty()
            && error.len() <= 40
            && error.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') =>
        {
            return UpstreamError::refused(error);
        }
        _ => return UpstreamError::refused("unrecognized_error"),
    };
    UpstreamError::Misconfigured(format!("{advice} ({error})"))
}

#[cfg(test)]
mod tests;
