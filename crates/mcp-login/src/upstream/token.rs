//! The token endpoint: proving the client, reading the answer, telling the kinds of refusal apart.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mcp_login_core::{Secret, Timestamp};
use reqwest::header::AUTHORIZATION;
use reqwest::{RequestBuilder, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::error::UpstreamError;
use super::facebook;
use super::http::{ANSWER_LIMIT, Answer, send};
use super::identity::point;
use super::provider::Provider;
use super::quirk::{ClientAuth, Quirk, TokenBody};
use super::service::Upstream;

/// A token is renewed this long before its end, so that it does not end on the way.
const MARGIN: Duration = Duration::from_secs(60);
/// How long what the service said of a token is taken for true.
const CONFIRMED: Duration = Duration::from_secs(60);
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
    /// When the service gave the access token, or last said that it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confirmed_at: Option<Timestamp>,
}

impl UpstreamTokens {
    /// Whether the service gave or confirmed the access token so short a while ago, a minute, that it would not say
    /// anything else now.
    #[must_use]
    pub fn is_confirmed(&self, now: Timestamp) -> bool {
        self.confirmed_at.is_some_and(|at| now.until(at) < CONFIRMED)
    }

    /// Whether the access token has ended or is about to ([`refresh_at`](Self::refresh_at)).
    #[must_use]
    pub fn is_stale(&self, now: Timestamp) -> bool {
        self.refresh_at.or(self.expires_at).is_some_and(|at| at.has_passed(now))
    }

    /// RFC 6749 §5.1, with the liberties services take: `expires_in` as a string, `scope` as an array or with commas.
    pub(super) fn from_answer(
        answer: &Map<String, Value>,
        provider: &Provider,
        now: Timestamp,
    ) -> Result<Self, UpstreamError> {
        let Some(access_token) = text(answer, "access_token") else {
            return Err(UpstreamError::Untrusted("the token answer holds no access_token"));
        };
        let token_type = text(answer, "token_type").unwrap_or("Bearer");
        let slacks_own = provider.has(Quirk::SlackAnswers) && matches!(token_type, "user" | "bot");
        if !token_type.eq_ignore_ascii_case("bearer") && !slacks_own {
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
            confirmed_at: Some(now),
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

/// What the token endpoint is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Tokens for a code, or for others.
    Exchange,
    /// New tokens.
    Refresh,
}

impl Upstream {
    /// Sends a request to the token endpoint and gives the answer's object when it is not a refusal.
    pub(super) async fn call_token_endpoint(
        &self,
        endpoint: Url,
        members: &[(&str, &str)],
        purpose: Purpose,
        now: Timestamp,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let request = self.authenticated(self.http.client()?.post(endpoint), members, now)?;
        let answer = send("token_endpoint", request, ANSWER_LIMIT).await?;
        if purpose == Purpose::Refresh && says_dead(&answer, &self.provider.dead_refresh) {
            return Err(UpstreamError::refused("invalid_grant"));
        }
        accept(&answer, &self.provider)
    }

    /// With the client proved (RFC 6749 §2.3.1), and these members in the body.
    pub(super) fn authenticated(
        &self,
        request: RequestBuilder,
        members: &[(&str, &str)],
        now: Timestamp,
    ) -> Result<RequestBuilder, UpstreamError> {
        let made;
        let (id, mut members) = (self.provider.client_id_param.as_str(), members.to_vec());
        let request = match self.provider.client_auth {
            ClientAuth::Basic => request.header(AUTHORIZATION, self.basic()),
            ClientAuth::Post => {
                members.extend([(id, self.client_id.as_str()), ("client_secret", self.secret())]);
                request
            }
            ClientAuth::JwtEs256 => {
                made = self.signed_secret(now)?;
                members.extend([(id, self.client_id.as_str()), ("client_secret", made.expose_secret())]);
                request
            }
            ClientAuth::BearerSecret => request.bearer_auth(self.secret()),
            ClientAuth::None => {
                members.push((id, self.client_id.as_str()));
                request
            }
        };
        Ok(match self.provider.token_body {
            TokenBody::Form => request.form(&members),
            TokenBody::Json => request.json(&members.into_iter().collect::<BTreeMap<_, _>>()),
        })
    }

    pub(super) fn secret(&self) -> &str {
        self.client_secret.as_ref().map_or("", Secret::expose_secret)
    }

    /// The `Authorization` of HTTP Basic.
    pub(super) fn basic(&self) -> String {
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        format!("Basic {}", STANDARD.encode(format!("{}:{}", encode(&self.client_id), encode(self.secret()))))
    }
}

/// Whether a refusal is one of those that end a refresh token here: by its status, its `error`, or what stands elsewhere.
fn says_dead(answer: &Answer, dead: &[String]) -> bool {
    if answer.status.is_success() || dead.is_empty() {
        return false;
    }
    let object = answer.object().unwrap_or_default();
    let says = |pointer: &str, text: &str| point(&object, pointer).and_then(Value::as_str) == Some(text);
    dead.iter().any(|dead| match dead.split_once('=').filter(|_| dead.starts_with('/')) {
        Some((pointer, text)) => says(pointer, text),
        // A page of something in between says nothing of the token.
        None => (answer.status.as_str() == dead && !object.is_empty()) || says("/error", dead),
    })
}

/// An `error` counts whatever the status (GitHub sends it with 200), and a refusal without one is still a refusal.
fn accept(answer: &Answer, provider: &Provider) -> Result<Map<String, Value>, UpstreamError> {
    let object = answer.object();
    if let Some(error) =
        object.as_ref().and_then(|object| object.get("error")).filter(|error| !error.is_null())
    {
        return Err(if provider.has(Quirk::Facebook) {
            facebook::refusal(error)
        } else {
            refusal(error.as_str().unwrap_or_default())
        });
    }
    let not_ok = |object: &Map<String, Value>| {
        provider.has(Quirk::SlackAnswers) && object.get("ok") == Some(&Value::Bool(false))
    };
    match (answer.status, object) {
        (status, Some(object)) if status.is_success() && not_ok(&object) => {
            Err(UpstreamError::refused("unrecognized_error"))
        }
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

/// RFC 6749 §5.2, and the names that GitHub, Slack and Todoist have for the same things.
pub(super) fn refusal(error: &str) -> UpstreamError {
    let advice = match error {
        "invalid_client"
        | "incorrect_client_credentials"
        | "incorrect_application_credentials"
        | "bad_client_secret"
        | "invalid_client_id" => {
            "client_secret: the service does not know this client_id with this client_secret; check both, and client_auth"
        }
        "unauthorized_client" => {
            "client_id: the service does not let this client use the authorization code grant"
        }
        "redirect_uri_mismatch" | "bad_redirect_uri" => {
            "client_id: the callback URL is not registered for this client at the service"
        }
        "unsupported_grant_type" => "token_endpoint: the service does not support this grant there",
        "invalid_scope" => "scopes: the service does not give these scopes to this client",
        "temporarily_unavailable" | "server_error" | "slow_down" | "rate_limited" | "ratelimited" => {
            return UpstreamError::unavailable("it answered with a temporary error");
        }
        // Slack's names.
        "invalid_refresh_token" | "token_expired" | "token_revoked" => {
            return UpstreamError::refused("invalid_grant");
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
