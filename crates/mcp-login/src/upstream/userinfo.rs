//! What is asked about a person, with the new access token.

use mcp_login_core::{Secret, Timestamp};
use reqwest::header::CONTENT_LENGTH;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use super::error::UpstreamError;
use super::http::{ANSWER_LIMIT, Answer, send, send_accepting};
use super::identity::{address, point, stable};
use super::metadata::check_url;
use super::provider::{List, Method};
use super::quirk::Quirk;
use super::service::Upstream;

/// The most entries of a list that are read.
const MAX_ENTRIES: usize = 500;

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
    /// When it did not say.
    pub(crate) async fn confirms(
        &self,
        access_token: &Secret,
        now: Timestamp,
    ) -> Result<bool, UpstreamError> {
        let Some(endpoint) = self.metadata(now).await?.userinfo_endpoint else { return Ok(false) };
        let answer = self.ask_userinfo(endpoint, access_token).await?;
        let says_who = || {
            let object = answer.object().filter(|object| object.get("ok") != Some(&Value::Bool(false)));
            let pointer = self.provider.userinfo_pointer.as_deref();
            object.is_some_and(|object| pointer.is_none_or(|pointer| point(&object, pointer).is_some()))
        };
        match answer.status {
            status if status.is_success() => Ok(says_who()),
            StatusCode::UNAUTHORIZED => Ok(false),
            // OAuthException 190.
            StatusCode::BAD_REQUEST if self.provider.has(Quirk::Facebook) => Ok(false),
            _ => Err(UpstreamError::unavailable("it did not say whether an access token is good")),
        }
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
