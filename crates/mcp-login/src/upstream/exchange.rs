//! The way back: a code becomes a [`Login`], a refresh token new tokens.

use mcp_login_core::{Secret, Timestamp};
use serde_json::{Map, Value};
use url::Url;

use super::callback::Callback;
use super::error::UpstreamError;
use super::id_token::Expected;
use super::identity::{Identity, Sources, point};
use super::metadata::{Metadata, check_url};
use super::provider::Kind;
use super::quirk::{Pkce, Quirk};
use super::service::Upstream;
use super::token::{Purpose, UpstreamTokens};

/// What came back in the callback, and what was kept for it.
#[derive(Debug, Clone, Copy)]
pub struct Exchange<'a> {
    /// The `code` parameter.
    pub code: &'a Secret,
    /// The `iss` parameter, when there was one (RFC 9207).
    pub iss: Option<&'a str>,
    /// All that the browser brought back: some services sign it, or say more in it.
    pub callback: Callback<'a>,
    /// The `callback` of [`Upstream::authorization_url`]; sent as it is.
    pub redirect_uri: &'a Url,
    /// Belongs to the `code_challenge` (RFC 7636 §4.1).
    pub code_verifier: &'a Secret,
    /// The one of [`Upstream::authorization_url`].
    pub nonce: &'a Secret,
    /// The time that lifetimes are counted from and the id token is held against.
    pub now: Timestamp,
}

/// A finished login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// What the service gave.
    pub tokens: UpstreamTokens,
    /// Who it is.
    pub identity: Identity,
}

impl Upstream {
    /// Exchanges the code (RFC 6749 §4.1.3) and finds out who signed in. The code is sent once, never again.
    ///
    /// # Errors
    /// See [`UpstreamError`]; whatever it is, the code is used up.
    pub async fn exchange(&self, exchange: Exchange<'_>) -> Result<Login, UpstreamError> {
        let metadata = self.metadata(exchange.now).await?;
        self.check_iss(exchange.iss, &metadata)?;
        self.check_signature(exchange.callback)?;
        let answer = self.redeem(&metadata, &exchange).await?;
        let Some(pointed) = self.pointed(&answer) else {
            return Err(UpstreamError::Untrusted("the token answer holds nothing at its token_pointer"));
        };
        let tokens = UpstreamTokens::from_answer(pointed, &self.provider, exchange.now)?;
        let mut sources = Sources {
            token: answer,
            callback: exchange.callback.kept(&self.provider.keep_callback),
            name: exchange.callback.name_of_user().filter(|_| self.provider.has(Quirk::FormPostCallback)),
            ..Sources::default()
        };
        if self.provider.kind == Kind::Oidc {
            let expected = Expected {
                provider: &self.provider,
                client_id: &self.client_id,
                nonce: exchange.nonce,
                access_token: &tokens.access_token,
                now: exchange.now,
            };
            let Some(id_token) = sources.token.get("id_token").and_then(Value::as_str) else {
                return Err(UpstreamError::Untrusted("the token answer holds no id_token"));
            };
            let Some(jwks_uri) = &metadata.jwks_uri else {
                return Err(UpstreamError::Misconfigured("jwks_uri: is not set".to_owned()));
            };
            sources.id_token = self.verify_id_token(id_token, jwks_uri, &expected).await?;
        }
        if let Some(endpoint) = metadata.userinfo_endpoint {
            sources.userinfo = self.fetch_userinfo(endpoint, &tokens.access_token).await?;
        }
        if let Some(endpoint) = &self.provider.email_endpoint {
            let endpoint = check_url(endpoint)
                .map_err(|fault| UpstreamError::Misconfigured(format!("email_endpoint: {fault}")))?;
            sources.email = self.fetch_email(endpoint, &tokens.access_token).await?;
        }
        sources.lists = self.fetch_lists(&tokens.access_token).await?;
        Ok(Login { identity: sources.into_identity(&self.provider)?, tokens })
    }

    /// The answer to the code.
    async fn redeem(
        &self,
        metadata: &Metadata,
        exchange: &Exchange<'_>,
    ) -> Result<Map<String, Value>, UpstreamError> {
        let mut members = vec![
            ("grant_type", "authorization_code"),
            ("code", exchange.code.expose_secret()),
            ("redirect_uri", exchange.redirect_uri.as_str()),
        ];
        if self.provider.pkce == Pkce::S256 {
            members.push(("code_verifier", exchange.code_verifier.expose_secret()));
        }
        members
            .extend(self.provider.token_params.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        let (endpoint, now) = (metadata.token_endpoint.clone(), exchange.now);
        let answer = self.call_token_endpoint(endpoint.clone(), &members, Purpose::Exchange, now).await?;
        if self.provider.has(Quirk::Facebook) {
            self.long_lived(endpoint, &answer, now).await
        } else {
            Ok(answer)
        }
    }

    /// The part of an answer where the tokens are. What stands beside it is somebody else's: Slack's bot, for one.
    fn pointed<'a>(&self, answer: &'a Map<String, Value>) -> Option<&'a Map<String, Value>> {
        match &self.provider.token_pointer {
            Some(pointer) => point(answer, pointer)?.as_object(),
            None => Some(answer),
        }
    }

    /// Gets new tokens (RFC 6749 §6). What the answer leaves out, the refresh token and the scope, stays as it was in
    /// `old`. Sent once: whether to try again is the caller's decision, for the service may have rotated already.
    ///
    /// # Errors
    /// See [`UpstreamError`] and its [`ends_grant`](UpstreamError::ends_grant). Without a refresh token in `old` the
    /// answer is [`Refused`](UpstreamError::Refused) with `no_refresh_token`, without a call.
    pub async fn refresh(
        &self,
        old: &UpstreamTokens,
        now: Timestamp,
    ) -> Result<UpstreamTokens, UpstreamError> {
        let Some(refresh_token) = &old.refresh_token else {
            return Err(UpstreamError::refused("no_refresh_token"));
        };
        let metadata = self.metadata(now).await?;
        let endpoint = metadata.refresh_endpoint.unwrap_or(metadata.token_endpoint);
        let mut members =
            vec![("grant_type", "refresh_token"), ("refresh_token", refresh_token.expose_secret())];
        let scopes = self.provider.requested_scopes().join(" ");
        if self.provider.scope_on_refresh {
            members.push(("scope", &scopes));
        }
        let answer = self.call_token_endpoint(endpoint, &members, Purpose::Refresh, now).await?;
        // Slack's answer to a refresh is flat.
        let pointed = self.pointed(&answer).unwrap_or(&answer);
        let mut tokens = UpstreamTokens::from_answer(pointed, &self.provider, now)?;
        tokens.refresh_token.get_or_insert_with(|| refresh_token.clone());
        tokens.scope = tokens.scope.or_else(|| old.scope.clone());
        Ok(tokens)
    }

    /// Whether a callback is this service's answer, be it a code or an error (RFC 9207 §2.4).
    ///
    /// # Errors
    /// [`Untrusted`](UpstreamError::Untrusted) when its `iss` is another's or is missing, and what finding that out met.
    pub async fn check_callback(&self, iss: Option<&str>, now: Timestamp) -> Result<(), UpstreamError> {
        self.check_iss(iss, &self.metadata(now).await?)
    }

    /// RFC 9207 §2.4: the defence against a code of one service being sent to another.
    fn check_iss(&self, iss: Option<&str>, metadata: &Metadata) -> Result<(), UpstreamError> {
        match iss {
            Some(iss) if self.provider.is_issuer(iss) => Ok(()),
            Some(_) if self.provider.issuer.is_none() => Err(UpstreamError::Misconfigured(
                "issuer: the service names itself in the callback (iss); set the issuer it should be held against"
                    .to_owned(),
            )),
            Some(_) => Err(UpstreamError::Untrusted("the callback's iss is not the issuer the login was started at")),
            None if metadata.iss_parameter => {
                Err(UpstreamError::Untrusted("the callback has no iss, which this service promises to send"))
            }
            None => Ok(()),
        }
    }
}
