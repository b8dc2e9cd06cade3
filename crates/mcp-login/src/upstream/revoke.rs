//! Ending a login at the service (RFC 7009, and what stands for it).

use mcp_login_core::Timestamp;
use reqwest::header::AUTHORIZATION;
use reqwest::{RequestBuilder, StatusCode};
use serde_json::{Value, json};
use url::Url;
use url::form_urlencoded::byte_serialize;

use super::error::UpstreamError;
use super::http::{ANSWER_LIMIT, Answer, send};
use super::metadata::check_url;
use super::quirk::{Quirk, RevocationStyle, RevocationToken};
use super::service::Upstream;
use super::token::UpstreamTokens;

/// The address with something harmless in the places that are filled later.
pub(super) fn plain(endpoint: &str) -> String {
    ["{client_id}", "{refresh_token}", "{uid}"]
        .iter()
        .fold(endpoint.to_owned(), |text, name| text.replace(name, "x"))
}

/// Whether Slack says no in a 200, and not because the token is gone already.
fn slack_refuses(answer: &Answer) -> bool {
    const GONE: [&str; 4] = ["token_revoked", "token_expired", "invalid_auth", "account_inactive"];
    let object = answer.object().unwrap_or_default();
    let error = object.get("error").and_then(Value::as_str).unwrap_or_default();
    object.get("ok") != Some(&Value::Bool(true)) && !GONE.contains(&error)
}

impl Upstream {
    /// Ends these tokens at the service; `false` when it has no way to. `subject` is the person, where the service wants to
    /// be told.
    ///
    /// # Errors
    /// See [`UpstreamError`]; the tokens then end by themselves.
    pub async fn revoke(
        &self,
        tokens: &UpstreamTokens,
        subject: &str,
        now: Timestamp,
    ) -> Result<bool, UpstreamError> {
        let Some(template) = self.metadata(now).await?.revocation_endpoint else { return Ok(false) };
        let refresh = tokens.refresh_token.as_ref().map(mcp_login_core::Secret::expose_secret);
        if self.provider.revocation_style == RevocationStyle::HubspotDelete && refresh.is_none() {
            return Ok(false);
        }
        let endpoint = self.filled_endpoint(&template, refresh.unwrap_or_default(), subject)?;
        let request = self.revocation(endpoint, tokens, subject, now)?;
        let answer = send("revocation_endpoint", request, ANSWER_LIMIT).await?;
        let refused = self.provider.has(Quirk::SlackAnswers) && slack_refuses(&answer);
        match answer.status {
            // A token that is gone already is what was asked for.
            status if (status.is_success() || status == StatusCode::NOT_FOUND) && !refused => Ok(true),
            _ => Err(UpstreamError::refused("revocation_refused")),
        }
    }

    /// What stands in the address is a token or a name: it is encoded, so it can be nothing else.
    fn filled_endpoint(&self, template: &str, refresh: &str, subject: &str) -> Result<Url, UpstreamError> {
        let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
        let filled = template
            .replace("{client_id}", &encode(&self.client_id))
            .replace("{refresh_token}", &encode(refresh))
            .replace("{uid}", &encode(subject));
        check_url(&filled)
            .map_err(|fault| UpstreamError::Misconfigured(format!("revocation_endpoint: {fault}")))
    }

    fn revocation(
        &self,
        endpoint: Url,
        tokens: &UpstreamTokens,
        subject: &str,
        now: Timestamp,
    ) -> Result<RequestBuilder, UpstreamError> {
        let client = self.http.client()?;
        let access = tokens.access_token.expose_secret();
        let (token, hint) = match (&tokens.refresh_token, self.provider.revocation_token) {
            (Some(refresh), RevocationToken::Refresh) => (refresh.expose_secret(), "refresh_token"),
            _ => (access, "access_token"),
        };
        let with_hint = [("token", token), ("token_type_hint", hint)];
        let id = self.client_id.as_str();
        Ok(match self.provider.revocation_style {
            RevocationStyle::Rfc7009 => self.authenticated(client.post(endpoint), &with_hint, now)?,
            RevocationStyle::Rfc7009Basic => {
                client.post(endpoint).header(AUTHORIZATION, self.basic()).form(&with_hint)
            }
            RevocationStyle::JsonBasic => {
                client.post(endpoint).header(AUTHORIZATION, self.basic()).json(&json!({ "token": token }))
            }
            RevocationStyle::BearerPost => {
                client.post(endpoint).bearer_auth(access).header("content-length", "0")
            }
            RevocationStyle::BearerForm => {
                client.post(endpoint).bearer_auth(access).form(&[("token", access)])
            }
            RevocationStyle::GithubDelete => client
                .delete(endpoint)
                .header(AUTHORIZATION, self.basic())
                .json(&json!({ "access_token": access })),
            RevocationStyle::HubspotDelete => client.delete(endpoint),
            RevocationStyle::FacebookDelete => {
                client.delete(self.with_proof(endpoint, &tokens.access_token)).bearer_auth(access)
            }
            RevocationStyle::StripeDeauthorize => client
                .post(endpoint)
                .bearer_auth(self.secret())
                .form(&[("client_id", id), ("stripe_user_id", subject)]),
            RevocationStyle::AccessTokenPost => client.post(endpoint).form(&[("access_token", access)]),
            RevocationStyle::ClientIdPost => {
                client.post(endpoint).form(&[("client_id", id), ("token", access)])
            }
        })
    }
}
