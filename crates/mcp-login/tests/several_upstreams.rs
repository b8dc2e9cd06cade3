//! Two services, one for each MCP server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::net::SocketAddr;

use axum::Router;
use axum::routing::post;
use mcp_login::{AuthServer, Caller, Resource, Store};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, error_of};
use mcp_login_testkit::clock::MockClock;
use mcp_login_testkit::fake_upstream::{FakeUpstream, FakeUser};
use mcp_login_testkit::server::{Options, TestServer};
use tokio::net::TcpListener;

/// `/notes` signs in at one service, `/mail` at another; each tells who calls.
struct Two {
    server: TestServer,
    mail: FakeUpstream,
    client: OAuthClient,
}

impl Two {
    async fn start() -> Self {
        let (notes, mail) = (FakeUpstream::start().await, FakeUpstream::start().await);
        notes.sign_in_as(FakeUser::new("ada"));
        mail.sign_in_as(FakeUser::new("bob"));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let auth = AuthServer::builder(&url)
            .upstream_named("notes", notes.oidc())
            .upstream_named("mail", mail.oidc())
            .store(Store::open("memory:").await.unwrap())
            .resource(Resource::new("/notes").upstream("notes"))
            .resource(Resource::new("/mail").upstream("mail"))
            .build()
            .await
            .unwrap();
        let tell = async |caller: Caller| {
            format!("{} {}", caller.subject(), caller.upstream_token().await.unwrap().expose_secret())
        };
        let of = |path: &str| Router::new().route(path, post(tell)).route_layer(auth.protect(path).unwrap());
        let app = of("/notes").merge(of("/mail")).merge(auth.router());
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        let server = TestServer { url, clock: MockClock::new(), upstream: notes };
        let client = OAuthClient::register(&server).await;
        Self { server, mail, client }
    }

    fn url(&self, path: &str) -> String {
        let resource = format!("{}{path}", self.server.url);
        self.client.authorization_url(&[("resource", &resource), ("scope", "mcp")])
    }

    async fn log_in(&self, browser: &Browser, path: &str) -> Tokens {
        let back = browser.log_in(&self.url(path), REDIRECT_URI).await;
        let code = mcp_login_testkit::client::param(&back, "code").unwrap_or_else(|| panic!("{back}"));
        let resource = format!("{}{path}", self.server.url);
        Tokens::read(self.client.exchange(&code, &[("resource", &resource)]).await).await
    }

    async fn told(&self, path: &str, tokens: &Tokens) -> (String, String) {
        let told = self.client.call(path, &tokens.access).await.text().await.unwrap();
        let (subject, token) = told.split_once(' ').unwrap();
        (subject.to_owned(), token.to_owned())
    }
}

#[tokio::test]
async fn each_server_has_the_people_and_the_tokens_of_its_service() {
    let two = Two::start().await;
    let browser = Browser::new();
    let (notes, mail) = (two.log_in(&browser, "/notes").await, two.log_in(&browser, "/mail").await);
    let ((ada, of_notes), (bob, of_mail)) =
        (two.told("/notes", &notes).await, two.told("/mail", &mail).await);
    assert_ne!(ada, bob);
    assert!(two.server.upstream.accepts(&of_notes) && !two.mail.accepts(&of_notes));
    assert!(two.mail.accepts(&of_mail) && !two.server.upstream.accepts(&of_mail));
    for (path, tokens) in [("/mail", &notes), ("/notes", &mail)] {
        assert_eq!(two.client.call(path, &tokens.access).await.status(), 401, "a token is for one server");
    }
}

/// RFC 9700 §4.4: a code of one service must not be taken for one of the other.
#[tokio::test]
async fn an_answer_of_one_service_is_none_of_the_other() {
    let two = Two::start().await;
    let browser = Browser::new();
    let page = browser.open(&two.url("/notes")).await;
    let answered = browser.answer(page, "allow").await;
    let back = browser.follow(answered, &format!("{}/callback/notes", two.server.url)).await;
    for wrong in ["/callback/mail", "/callback", "/callback/none"] {
        let moved = back.as_str().replace("/callback/notes", wrong);
        let refused = browser.open_from_elsewhere(&moved).await;
        assert_eq!(refused.status(), 400, "{wrong}");
    }
    assert_eq!(
        browser.open_from_elsewhere(back.as_str()).await.status(),
        303,
        "and where it belongs it is good"
    );
}

#[tokio::test]
async fn which_service_is_meant_has_to_be_said() {
    let upstream = FakeUpstream::start().await;
    let builder = || AuthServer::builder("https://mcp.example.com").upstream_named("a", upstream.oidc());
    assert_eq!(builder().resource(Resource::new("/mcp")).faults(), Vec::<String>::new(), "the only one");
    let two = || builder().upstream_named("b", upstream.oidc());
    let faults = two().resource(Resource::new("/mcp")).faults();
    assert_eq!(faults, ["mcp[0].upstream: is missing; the upstreams are a, b"]);
    let faults = two().resource(Resource::new("/mcp").upstream("c")).faults();
    assert_eq!(faults, ["mcp[0].upstream: \"c\" is none; the upstreams are a, b"]);
    assert_eq!(
        two().upstream(upstream.oidc()).resource(Resource::new("/mcp")).faults(),
        Vec::<String>::new()
    );
    let twice = builder().upstream_named("a", upstream.oidc()).resource(Resource::new("/mcp").upstream("a"));
    assert_eq!(twice.faults(), ["upstreams.a: is there twice"]);
    let odd = builder().upstream_named("A/b", upstream.oidc()).resource(Resource::new("/mcp").upstream("a"));
    assert_eq!(odd.faults().len(), 1);
}

/// Where another service has taken the place of the one that people signed in to, it must get nothing of theirs.
#[tokio::test]
async fn a_login_of_the_service_that_was_there_before_ends() {
    let store = Store::open("memory:").await.unwrap();
    let options = async || Options { store: store.clone(), ..Options::usual().await };
    let server = TestServer::with(options().await).await;
    let client = OAuthClient::register(&server).await;
    let (kept, refreshed) = (client.log_in(&Browser::new()).await, client.log_in(&Browser::new()).await);
    let same = Some(Box::new(server.upstream.oidc()));
    let same = server.start_node(Options { sign_in_at: same, ..options().await }).await;
    let again = client.through(&same).refresh(&refreshed.refresh, &[]).await;
    assert_eq!(again.status(), 200, "the same service elsewhere");
    let refreshed = Tokens::read(again).await;

    let other = FakeUpstream::start().await;
    let sign_in_at = Some(Box::new(other.oidc()));
    let client = client.through(&server.start_node(Options { sign_in_at, ..options().await }).await);
    let refused = error_of(client.refresh(&refreshed.refresh, &[]).await).await;
    assert_eq!(refused, (400, "invalid_grant".to_owned()));
    assert_eq!(client.call("/mcp", &kept.access).await.status(), 401, "its people are others");
    assert_eq!(other.refreshes(), 0);
}
