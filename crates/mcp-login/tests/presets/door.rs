//! A whole server that people sign in to at a service that is played.

use mcp_login::settings::AccessRule;
use mcp_login::upstream::Provider;
use mcp_login_testkit::browser::{Browser, location};
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, param};
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::Response;
use serde_json::{Value, json};
use url::Url;

use crate::run::{CODE, Run};
use crate::shape::shape;

/// A server, a client that has registered, and a browser.
pub(crate) struct Door {
    client: OAuthClient,
    pub(crate) browser: Browser,
    pub(crate) run: Run<'static>,
}

impl Door {
    /// With a preset, changed by hand.
    pub(crate) async fn at(name: &str, access: AccessRule, change: impl FnOnce(&mut Provider)) -> Self {
        let run = Run::new(name, shape(name)).await;
        let sign_in_at = Some(Box::new(run.set_up(change)));
        let server = TestServer::with(Options { access, sign_in_at, ..Options::usual().await }).await;
        let client = OAuthClient::register(&server).await;
        Self { client, browser: Browser::new(), run }
    }

    /// Up to the service: the address that the browser is sent to.
    pub(crate) async fn to_service(&self) -> Url {
        let page = self.browser.open(&self.client.authorization_url(&[])).await;
        let sent = location(&self.browser.answer(page, "allow").await);
        assert_ne!(self.run.services.meant(&sent), sent, "to the service");
        Url::parse(&sent).unwrap()
    }

    /// Plays what the service answers to a code of this login.
    pub(crate) fn play(&self, sent: &Url) {
        let id_token = self.run.shape.id_token.as_ref().map(|_| {
            let mut claims = self.run.claims();
            claims["nonce"] = json!(param(sent, "nonce").unwrap());
            self.run.sign(&claims)
        });
        self.run.play(&self.run.shape.answer, id_token.as_deref());
    }

    /// Where the service sends the browser back to, with a code.
    pub(crate) fn back(&self, sent: &Url) -> Url {
        let mut back = Url::parse(&param(sent, "redirect_uri").unwrap()).unwrap();
        back.query_pairs_mut().extend_pairs([("code", CODE), ("state", &param(sent, "state").unwrap())]);
        for (name, value) in &self.run.shape.callback {
            back.query_pairs_mut().append_pair(name, &self.run.services.moved(value));
        }
        back
    }

    /// The whole way, up to where the client is told how it went.
    pub(crate) async fn log_in(&self) -> Url {
        Url::parse(&location(&self.come_back().await)).unwrap()
    }

    /// The whole way, and what the browser is answered when it comes back.
    pub(crate) async fn come_back(&self) -> Response {
        let sent = self.to_service().await;
        self.play(&sent);
        self.browser.open_from_elsewhere(self.back(&sent).as_str()).await
    }

    /// What the MCP server knows of the person, from the address that the client was told.
    pub(crate) async fn known(&self, told: &Url) -> Value {
        assert!(told.as_str().starts_with(REDIRECT_URI), "{told}");
        let code = param(told, "code").unwrap_or_else(|| panic!("no code in {told}"));
        let tokens = Tokens::read(self.client.exchange(&code, &[]).await).await;
        self.client.call("/mcp", &tokens.access).await.json().await.unwrap()
    }
}
