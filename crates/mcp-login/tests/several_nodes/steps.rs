//! A balancer sends each step of a login to another node.

use mcp_login::Store;
use mcp_login_testkit::browser::{Browser, location, read_page};
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, error_of, param};
use mcp_login_testkit::server::{Options, TestServer};
use url::Url;

use crate::nodes::{ALL, Kind, Redis};
use crate::{SOON, until};

/// Three nodes: the addresses that lead to each alone, and one client at each.
struct Three {
    issuer: TestServer,
    urls: [String; 3],
    clients: [OAuthClient; 3],
    _redis: Redis,
}

impl Three {
    async fn start(kind: Kind) -> Self {
        let redis = Redis::start(kind);
        let options = async || {
            let store = Store::open(&redis.url()).await.unwrap();
            Options { store, ..Options::usual().await }
        };
        let issuer = TestServer::with(options().await).await;
        let (second, third) =
            (issuer.start_node(options().await).await, issuer.start_node(options().await).await);
        let client = OAuthClient::register(&issuer).await;
        let clients = [client.clone(), client.through(&second), client.through(&third)];
        let urls = [issuer.url.clone(), second, third];
        Self { issuer, urls, clients, _redis: redis }
    }

    /// Leads an address of the service to one of its nodes.
    fn at(&self, node: usize, address: &str) -> String {
        assert!(address.starts_with(&self.issuer.url), "{address}");
        address.replacen(&self.issuer.url, &self.urls[node], 1)
    }

    /// The page at one node, the answer to it at another, the way back at a third.
    async fn code(&self, [authorize, consent, callback]: [usize; 3]) -> String {
        let (browser, resource) = (Browser::new(), self.issuer.mcp());
        let url = self.clients[authorize].authorization_url(&[("resource", &resource)]);
        let (action, token) = read_page(browser.open(&url).await).await;
        let origin = Url::parse(&self.issuer.url).unwrap().origin().ascii_serialization();
        let form = [("consent_token", token.as_str()), ("decision", "allow")];
        let answered = browser.post(&self.at(consent, &action), &origin, &form).await;
        let back = browser.follow(answered, &format!("{}/callback", self.issuer.url)).await;
        let done = browser.open_from_elsewhere(&self.at(callback, back.as_str())).await;
        let back = location(&done);
        assert!(back.starts_with(REDIRECT_URI), "{back}");
        param(&Url::parse(&back).unwrap(), "code").unwrap()
    }

    async fn exchange(&self, node: usize, code: &str) -> reqwest::Response {
        self.clients[node].exchange(code, &[("resource", &self.issuer.mcp())]).await
    }

    async fn call(&self, node: usize, tokens: &Tokens) -> u16 {
        self.clients[node].call("/mcp", &tokens.access).await.status().as_u16()
    }

    async fn refresh(&self, node: usize, tokens: &Tokens) -> Tokens {
        Tokens::read(self.clients[node].refresh(&tokens.refresh, &[]).await).await
    }

    async fn assert_refused_everywhere(&self, tokens: &Tokens) {
        for node in 0..3 {
            until(SOON, "what has ended", async || self.call(node, tokens).await == 401).await;
            let refreshed = self.clients[node].refresh(&tokens.refresh, &[]).await;
            assert_eq!(error_of(refreshed).await, (400, "invalid_grant".to_owned()));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_a_login_may_be_at_another_node() {
    for kind in ALL {
        let three = Three::start(kind).await;
        // In three rounds each step is once at each node.
        for shift in 0..3 {
            let node = |n: usize| (n + shift) % 3;
            let code = three.code([node(0), node(1), node(2)]).await;
            let first = Tokens::read(three.exchange(node(0), &code).await).await;
            assert_eq!(three.call(node(1), &first).await, 200);
            let second = three.refresh(node(2), &first).await;
            for n in 0..3 {
                assert_eq!(three.call(n, &second).await, 200);
            }
            let third = three.refresh(node(1), &second).await;
            assert_eq!(three.call(node(2), &third).await, 200);
            let form = [("token", third.refresh.as_str()), ("client_id", three.clients[0].id())];
            assert_eq!(three.clients[node(0)].form("/revoke", &form).await.status(), 200);
            for tokens in [&third, &second, &first] {
                three.assert_refused_everywhere(tokens).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_twice_ends_the_login_whichever_node_it_comes_to() {
    for kind in ALL {
        let three = Three::start(kind).await;
        for shift in 0..3 {
            let node = |n: usize| (n + shift) % 3;
            let code = three.code([node(1), node(2), node(0)]).await;
            let tokens = Tokens::read(three.exchange(node(0), &code).await).await;
            assert_eq!(three.call(node(2), &tokens).await, 200);
            let again = error_of(three.exchange(node(1), &code).await).await;
            assert_eq!(again, (400, "invalid_grant".to_owned()));
            three.assert_refused_everywhere(&tokens).await;
        }
    }
}
