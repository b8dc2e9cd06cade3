//! [`FakeUpstream`]: a real OAuth and OIDC server on a free port of 127.0.0.1, strict about what it gets and able to do
//! almost everything wrong.
#![allow(clippy::expect_used, clippy::missing_panics_doc)]

mod endpoint;
mod fault;
pub(crate) mod key;
mod login;
mod state;
mod token;

use std::thread::JoinHandle;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use mcp_login::core::Timestamp;
use mcp_login::upstream::{Upstream, presets};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use url::Url;

pub use fault::Fault;
pub use key::SigningAlgorithm;
pub use login::StartedLogin;
pub use state::{FakeUser, SeenRequest};

use state::{Shared, State};

/// The server. It runs on a thread of its own, so that a test may stop or block its own runtime, and ends when this is
/// dropped, with every request it left hanging.
///
/// It insists on: the one client (Basic or form, not both), PKCE with S256 really verified, the same redirect URI twice,
/// codes that work once (a second use ends the tokens), refresh tokens that work once (a second use ends the login), a
/// nonce with `openid`, no parameter twice.
#[derive(Debug)]
pub struct FakeUpstream {
    state: Shared,
    issuer: String,
    client_id: String,
    client_secret: String,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// What the browser brings back.
#[derive(Debug, Clone)]
pub struct Callback {
    /// The whole URL.
    pub url: Url,
    /// `code`.
    pub code: Option<String>,
    /// `state`.
    pub state: Option<String>,
    /// `iss` (RFC 9207).
    pub iss: Option<String>,
    /// `error`.
    pub error: Option<String>,
}

impl FakeUpstream {
    /// Signs with ES256.
    pub async fn start() -> Self {
        Self::start_signing(SigningAlgorithm::Es256).await
    }

    /// Signs with the given algorithm.
    #[allow(clippy::unused_async, reason = "callers should not notice that a thread is all it takes")]
    pub async fn start_signing(algorithm: SigningAlgorithm) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a listener");
        let issuer = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Shared::new(State::new(issuer.clone(), algorithm));
        let (client_id, client_secret) = {
            let state = state.lock();
            (state.client_id.clone(), state.client_secret.clone())
        };
        let (stop, stopped) = oneshot::channel::<()>();
        let router = router(state.clone());
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! {
                    _ = axum::serve(listener, router) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { state, issuer, client_id, client_secret, stop: Some(stop), thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The one client.
    #[must_use]
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// Its secret.
    #[must_use]
    pub fn client_secret(&self) -> &str {
        &self.client_secret
    }

    /// Signs whatever it is told, as what calls itself `typ`, with the key that it publishes.
    #[must_use]
    pub fn sign(&self, typ: &str, claims: &serde_json::Value) -> String {
        self.state.lock().key.sign_as(typ, "key-1", claims)
    }

    /// An upstream that finds everything by discovery.
    #[must_use]
    pub fn oidc(&self) -> Upstream {
        presets::oidc(&self.issuer, &self.client_id, self.client_secret.as_str())
    }

    /// The `github` preset with its endpoints here.
    #[must_use]
    pub fn github(&self) -> Upstream {
        presets::github(&self.client_id, self.client_secret.as_str())
            .issuer(&self.issuer)
            .authorization_endpoint(format!("{}/authorize", self.issuer))
            .token_endpoint(format!("{}/token", self.issuer))
            .userinfo_endpoint(format!("{}/user", self.issuer))
            .email_endpoint(format!("{}/user/emails", self.issuer))
    }

    /// Plain OAuth 2 with the endpoints given by hand and no issuer.
    #[must_use]
    pub fn oauth2(&self) -> Upstream {
        let at = |path: &str| format!("{}{path}", self.issuer);
        presets::oauth2(
            at("/authorize"),
            at("/token"),
            at("/userinfo"),
            &self.client_id,
            self.client_secret.as_str(),
        )
    }

    /// Does this wrong from now on, with whatever else is set.
    pub fn set(&self, fault: Fault) {
        self.state.lock().faults.push(fault);
    }

    /// Does everything right again.
    pub fn clear(&self) {
        self.state.lock().faults.clear();
    }

    /// Who signs in from now on. Without this it is `alice`; `login_hint` in the request picks `alice` or `bob` or
    /// whoever signed in before.
    pub fn sign_in_as(&self, user: FakeUser) {
        let mut state = self.state.lock();
        state.users.retain(|known| known.login != user.login);
        state.users.push(user.clone());
        state.user = user;
    }

    /// The life of access tokens; an hour unless set.
    pub fn set_access_ttl(&self, ttl: Duration) {
        self.state.lock().access_ttl = ttl;
    }

    /// Where `iat`, `exp` and the end of access tokens come from; the system's clock unless set.
    pub fn set_now(&self, now: impl Fn() -> Timestamp + Send + Sync + 'static) {
        self.state.lock().now = std::sync::Arc::new(now);
    }

    /// Takes the client for a public one, without a secret.
    pub fn set_public_client(&self) {
        self.state.lock().public_client = true;
    }

    /// No longer insists on PKCE.
    pub fn allow_no_pkce(&self) {
        self.state.lock().pkce = false;
    }

    /// Ends every access and refresh token, as a user does who takes the permission back.
    pub fn revoke_everything(&self) {
        for family in &mut self.state.lock().families {
            family.alive = false;
        }
    }

    /// Ends every access token; refresh tokens stay good.
    pub fn expire_access_tokens(&self) {
        self.state.lock().access_tokens.clear();
    }

    /// How many refresh requests came in, answered or not.
    #[must_use]
    pub fn refreshes(&self) -> usize {
        self.count("refresh_token")
    }

    /// How many code exchanges came in, answered or not.
    #[must_use]
    pub fn exchanges(&self) -> usize {
        self.count("authorization_code")
    }

    fn count(&self, grant_type: &str) -> usize {
        let state = self.state.lock();
        state.seen_token.iter().filter(|request| request.get("grant_type") == Some(grant_type)).count()
    }

    /// How often discovery was fetched.
    #[must_use]
    pub fn discoveries(&self) -> usize {
        self.state.lock().discoveries
    }

    /// How often the keys were fetched.
    #[must_use]
    pub fn key_fetches(&self) -> usize {
        self.state.lock().key_fetches
    }

    /// The authorization requests.
    #[must_use]
    pub fn seen_authorize(&self) -> Vec<SeenRequest> {
        self.state.lock().seen_authorize.clone()
    }

    /// The token requests.
    #[must_use]
    pub fn seen_token(&self) -> Vec<SeenRequest> {
        self.state.lock().seen_token.clone()
    }

    /// The userinfo requests.
    #[must_use]
    pub fn seen_revocations(&self) -> Vec<SeenRequest> {
        self.state.lock().seen_revocations.clone()
    }

    /// The requests for userinfo, in order.
    #[must_use]
    pub fn seen_userinfo(&self) -> Vec<SeenRequest> {
        self.state.lock().seen_userinfo.clone()
    }

    /// Every code and token that was ever given out, for tests that look for leaks.
    #[must_use]
    pub fn issued_secrets(&self) -> Vec<String> {
        self.state.lock().issued.clone()
    }

    /// Whether this access token is good for the API now.
    #[must_use]
    pub fn accepts(&self, access_token: &str) -> bool {
        self.state.lock().bearer(Some(&format!("Bearer {access_token}"))).is_some()
    }

    /// Does what the browser does: opens the authorization URL and stops at the redirect.
    pub async fn authorize(&self, url: &Url) -> Callback {
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        let response = client.get(url.clone()).send().await.expect("an answer");
        let Some(location) = response.headers().get("location").cloned() else {
            let (status, body) = (response.status(), response.text().await.unwrap_or_default());
            unreachable!("the fake upstream did not redirect: {status} {body}");
        };
        let url = Url::parse(location.to_str().expect("text")).expect("a URL");
        let get =
            |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        Callback { code: get("code"), state: get("state"), iss: get("iss"), error: get("error"), url }
    }
}

impl Drop for FakeUpstream {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn router(state: Shared) -> Router {
    Router::new()
        .route("/.well-known/openid-configuration", get(endpoint::discovery))
        .route("/jwks", get(endpoint::jwks))
        .route("/authorize", get(endpoint::authorize))
        .route("/token", post(token::token))
        .route("/revoke", post(token::revoke))
        .route("/userinfo", get(endpoint::userinfo))
        .route("/user", get(endpoint::github_user))
        .route("/user/emails", get(endpoint::github_emails))
        .with_state(state)
}
