//! A login at the fake upstream without a server of ours between: what a test of [`Upstream`] alone needs.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login::core::{Secret, Timestamp};
use mcp_login::upstream::{Exchange, Login, Upstream, UpstreamError};
use sha2::{Digest, Sha256};
use url::Url;

use super::key::random;
use super::{Callback, FakeUpstream};

/// A login whose browser has come back: everything [`Exchange`] needs. Change a field to spoil it.
#[derive(Debug)]
pub struct StartedLogin {
    /// The redirect URI.
    pub redirect_uri: Url,
    /// What was sent as `state`.
    pub state: Secret,
    /// What was sent as `nonce`.
    pub nonce: Secret,
    /// What belongs to the challenge.
    pub code_verifier: Secret,
    /// What the browser brought.
    pub callback: Callback,
}

impl FakeUpstream {
    /// The first half: authorization URL, the user's approval, back to the callback.
    pub async fn start_login(
        &self,
        upstream: &Upstream,
        now: Timestamp,
    ) -> Result<StartedLogin, UpstreamError> {
        let redirect_uri = Url::parse("https://mcp.example.com/callback").expect("a URL");
        let (state, nonce) = (Secret::new(random("state")), Secret::new(random("nonce")));
        let code_verifier = Secret::new(random("verifier-verifier-verifier"));
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(code_verifier.expose_secret().as_bytes()));
        let url = upstream.authorization_url(&redirect_uri, &state, &nonce, &challenge, now).await?;
        let callback = self.authorize(&url).await;
        Ok(StartedLogin { redirect_uri, state, nonce, code_verifier, callback })
    }

    /// Both halves.
    pub async fn login(&self, upstream: &Upstream, now: Timestamp) -> Result<Login, UpstreamError> {
        self.start_login(upstream, now).await?.finish(upstream, now).await
    }
}

impl StartedLogin {
    /// The second half: the code for tokens.
    pub async fn finish(&self, upstream: &Upstream, now: Timestamp) -> Result<Login, UpstreamError> {
        let code = Secret::new(self.callback.code.clone().unwrap_or_default());
        let exchange = Exchange {
            code: &code,
            iss: self.callback.iss.as_deref(),
            callback: mcp_login::upstream::Callback::default(),
            redirect_uri: &self.redirect_uri,
            code_verifier: &self.code_verifier,
            nonce: &self.nonce,
            now,
        };
        upstream.exchange(exchange).await
    }
}
