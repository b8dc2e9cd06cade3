//! What is asked about a person, with the new access token.

use mcp_login_core::{Secret, Timestamp};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use super::error::UpstreamError;
use super::facebook;
use super::http::{ANSWER_LIMIT, Answer, send, send_accepting};
use super::identity::{address, point, stable};
use super::metadata::check_url;
use super::provider::{List, Method, Provider};
use super::quirk::Quirk;
use super::service::Upstream;

/// The most entries of a list that are read.
const MAX_ENTRIES: usize = 500;

/// What services call a token that is no good (RFC 6750 §3.1, and Slack's names).
const DEAD_TOKEN: [&str; 6] =
    ["invalid_token", "invalid_auth", "not_authed", "account_inactive", "token_expired", "token_revoked"];

impl Provider {
    /// What the userinfo endpoint's answer says of the token that it was asked with; `None` for nothing.
    fn says_of_token(&self, answer: &Answer) -> Option<bool> {
        if answer.status == StatusCode::UNAUTHORIZED {
            return Some(false);
        }
        let object = answer.object().unwrap_or_default();
        if let Some(error) = object.get("error").filter(|error| !error.is_null()) {
            let is_dead = if self.has(Quirk::Facebook) {
                facebook::refusal(error).ends_grant()
            } else {
                error.as_str().is_some_and(|error| DEAD_TOKEN.contains(&error))
            };
            return is_dead.then_some(false);
        }
        let person = match &self.userinfo_pointer {
            Some(pointer) => point(&object, pointer).is_some_and(Value::is_object),
            None => !object.is_empty() && object.get("ok") != Some(&Value::Bool(false)),
        };
        (answer.status.is_success() && person).then_some(true)
    }
}

impl Upstream {
    /// The userinfo endpoint's object (OIDC Core 1.0 §5.3).
    pub(super) async fn fetch_userinfo(
        &self,
        endpoint: Url,
        access_token: &Secret,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let answer = self.ask_userinfo(endpoint, access_token).await?;
        if !answer.status.is_success() {
            return Err(UpstreamError::Misconfigured(format!(
                "userinfo_endpoint: the service answered {} to a new access token; check the URL and `scopes`",
                answer.status.as_u16()
            )));
        }
        let Some(object) = answer.object().filter(|object| !object.is_empty()) else {
            return Err(UpstreamError::Untrusted("the userinfo answer is not a JSON object"));
        };
        let Some(pointer) = &self.provider.userinfo_pointer else { return Ok(object) };
        match point(&object, pointer) {
            Some(Value::Object(person)) => Ok(person.clone()),
            _ => Err(UpstreamError::Untrusted("the userinfo answer holds nobody at its userinfo_pointer")),
        }
    }

    /// Whether the service still takes an access token: it is asked whose it is. A service without a userinfo endpoint
    /// cannot be asked, and says no.
    ///
    /// # Errors
    /// When it did not say: an outage may have any form, also that of an answer.
    pub(crate) async fn confirms(
        &self,
        access_token: &Secret,
        now: Timestamp,
    ) -> Result<bool, UpstreamError> {
        let Some(endpoint) = self.metadata(now).await?.userinfo_endpoint else { return Ok(false) };
        let answer = self.ask_userinfo(endpoint, access_token).await?;
        let said = self.provider.says_of_token(&answer);
        said.ok_or_else(|| UpstreamError::unavailable("it did not say whether an access token is good"))
    }

    async fn ask_userinfo(&self, endpoint: Url, access_token: &Secret) -> Result<Answer, UpstreamError> {
        let request = self.userinfo_request(endpoint, access_token)?;
        let says_itself = self.provider.userinfo_request.headers.contains_key("Accept");
        send_accepting("userinfo_endpoint", request, ANSWER_LIMIT, says_itself).await
    }

    fn userinfo_request(
        &self,
        endpoint: Url,
        access_token: &Secret,
    ) -> Result<RequestBuilder, UpstreamError> {
        let wanted = &self.provider.userinfo_request;
        let endpoint = if self.provider.has(Quirk::Facebook) {
            self.with_proof(endpoint, access_token)
        } else {
            endpoint
        };
        let client = self.http.client()?;
        let mut request = match wanted.method {
            Method::Get => client.get(endpoint),
            Method::Post => client.post(endpoint),
        }
        .bearer_auth(access_token.expose_secret());
        for (name, value) in &wanted.headers {
            request = request.header(name, value.replace("{client_id}", &self.client_id));
        }
        Ok(match (&wanted.body, wanted.method) {
            (Some(body), _) => request.body(body.clone()),
            // Left to itself a body that is not there has no length, and some servers answer that with 411.
            (None, Method::Post) => request.header(CONTENT_LENGTH, "0"),
            (None, Method::Get) => request,
        })
    }

    /// The verified primary address of a list: GitHub's names, or Bitbucket's. No permission for the list means no address,
    /// not a failure.
    pub(super) async fn fetch_email(
        &self,
        endpoint: Url,
        access_token: &Secret,
    ) -> Result<Option<String>, UpstreamError> {
        let request = self.http.client()?.get(endpoint).bearer_auth(access_token.expose_secret());
        let answer = send("email_endpoint", request, ANSWER_LIMIT).await?;
        if answer.status != StatusCode::OK {
            return Ok(None);
        }
        let list = match serde_json::from_slice(&answer.body) {
            Ok(Value::Array(list)) => list,
            Ok(Value::Object(mut object)) => match object.remove("values") {
                Some(Value::Array(list)) => list,
                _ => return Ok(None),
            },
            _ => return Ok(None),
        };
        let holds = |entry: &Value, names: [&str; 2]| {
            names.iter().any(|name| entry.get(*name) == Some(&Value::Bool(true)))
        };
        let primary = list.iter().find(|entry| {
            holds(entry, ["primary", "is_primary"]) && holds(entry, ["verified", "is_confirmed"])
        });
        Ok(primary.and_then(|entry| entry.get("email")).and_then(address))
    }

    /// The lists that rules ask for. One that cannot be had is an outage or a mistake: a rule on it must neither let
    /// somebody in nor shut somebody out for good.
    pub(super) async fn fetch_lists(
        &self,
        access_token: &Secret,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let mut lists = Map::new();
        for (name, list) in self.provider.lists.iter().filter(|(name, _)| self.wanted.contains(*name)) {
            lists.insert(name.clone(), Value::Array(self.fetch_list(list, access_token).await?));
        }
        Ok(lists)
    }

    async fn fetch_list(&self, list: &List, access_token: &Secret) -> Result<Vec<Value>, UpstreamError> {
        let misconfigured = |fault: String| UpstreamError::Misconfigured(format!("lists: {fault}"));
        let endpoint = check_url(&list.endpoint).map_err(misconfigured)?;
        let request = self.http.client()?.get(endpoint).bearer_auth(access_token.expose_secret());
        let answer = send("lists", request, ANSWER_LIMIT).await?;
        if !answer.status.is_success() {
            let status = answer.status.as_u16();
            return Err(misconfigured(format!(
                "the service answered {status}; check the scopes of the client"
            )));
        }
        let Ok(Value::Array(entries)) = serde_json::from_slice(&answer.body) else {
            return Err(UpstreamError::Untrusted("a list about the person is none"));
        };
        let name = |entry: &Value| {
            let parts: Option<Vec<_>> =
                list.value.iter().map(|pointer| entry.pointer(pointer).and_then(stable)).collect();
            parts.map(|parts| Value::from(parts.join("/")))
        };
        Ok(entries.iter().take(MAX_ENTRIES).filter_map(name).collect())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::upstream::preset;

    fn said(provider: &str, status: u16, body: &str) -> Option<bool> {
        let answer = Answer::of(StatusCode::from_u16(status).unwrap(), body.as_bytes().to_vec());
        preset(provider).unwrap().says_of_token(&answer)
    }

    #[test]
    fn only_a_clear_word_is_one() {
        for (provider, status, body, wanted) in [
            ("github", 200, r#"{"id":1,"login":"ada"}"#, Some(true)),
            ("github", 401, "", Some(false)),
            ("github", 403, r#"{"message":"API rate limit exceeded"}"#, None),
            ("github", 400, r#"{"error":"invalid_token"}"#, Some(false)),
            ("github", 400, r#"{"error":"invalid_request"}"#, None),
            // An outage behind a page.
            ("github", 200, "<h1>We will be back</h1>", None),
            ("github", 200, "{}", None),
            ("slack", 200, r#"{"ok":true,"user_id":"U1"}"#, Some(true)),
            ("slack", 200, r#"{"ok":false,"error":"token_revoked"}"#, Some(false)),
            ("slack", 200, r#"{"ok":false,"error":"internal_error"}"#, None),
            ("slack", 200, r#"{"ok":false}"#, None),
            ("linear", 200, r#"{"data":{"viewer":{"id":"1"}}}"#, Some(true)),
            ("linear", 200, r#"{"errors":[{"message":"down"}],"data":null}"#, None),
            ("facebook", 400, r#"{"error":{"code":190,"message":"x"}}"#, Some(false)),
            ("facebook", 400, r#"{"error":{"code":2,"message":"x"}}"#, None),
        ] {
            assert_eq!(said(provider, status, body), wanted, "{provider} {status} {body}");
        }
    }
}
