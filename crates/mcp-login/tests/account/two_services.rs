//! A person of two services, at an issuer that has a path.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use mcp_login::{AuthServer, Caller, Resource, Store};
use mcp_login_testkit::browser::{Browser, location};
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, param};
use mcp_login_testkit::clock::MockClock;
use mcp_login_testkit::fake_upstream::{FakeUpstream, FakeUser};
use mcp_login_testkit::server::TestServer;
use tokio::net::TcpListener;

use super::visitor::{Visitor, connections, value_of, values_of};

/// `/notes` signs in at one service, `/mail` at another; the issuer has a path.
struct Two {
    server: TestServer,
    mail: FakeUpstream,
}

impl Two {
    async fn start() -> Self {
        let (notes, mail) = (FakeUpstream::start().await, FakeUpstream::start().await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/tenant", listener.local_addr().unwrap());
        let clock = MockClock::new();
        for service in [&notes, &mail] {
            let clock = clock.clone();
            service.set_now(move || mcp_login::clock::Clock::now(&clock));
        }
        let auth = AuthServer::builder(&url)
            .upstream_named("notes", notes.oidc().named("Notes"))
            .upstream_named("mail", mail.oidc().named("Mail"))
            .store(Store::open("memory:").await.unwrap())
            .resource(Resource::new("/notes").upstream("notes"))
            .resource(Resource::new("/mail").upstream("mail"))
            .clock(std::sync::Arc::new(clock.clone()))
            .build()
            .await
            .unwrap();
        let of = |path: &str| {
            let who = post(async |caller: Caller| caller.subject().to_owned());
            Router::new().route(&format!("/tenant{path}"), who).route_layer(auth.protect(path).unwrap())
        };
        let app = of("/notes").merge(of("/mail")).merge(auth.router());
        let service = app.into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, service).await });
        Self { server: TestServer { url, clock, upstream: notes }, mail }
    }

    async fn log_in(&self, client: &OAuthClient, path: &str) -> Tokens {
        let resource = format!("{}{path}", self.server.url);
        let url = client.authorization_url(&[("resource", &resource), ("scope", "mcp")]);
        let back = Browser::new().log_in(&url, REDIRECT_URI).await;
        let code = param(&back, "code").unwrap_or_else(|| panic!("{back}"));
        Tokens::read(client.exchange(&code, &[("resource", &resource)]).await).await
    }
}

#[tokio::test]
async fn who_signs_in_at_two_services_has_one_page() {
    let two = Two::start().await;
    let client = OAuthClient::register(&two.server).await;
    two.server.upstream.sign_in_as(FakeUser::new("ada"));
    two.mail.sign_in_as(FakeUser::new("bob"));
    let notes = two.log_in(&client, "/notes").await;
    two.server.clock.advance(Duration::from_secs(1));
    let mail = two.log_in(&client, "/mail").await;
    let visitor = Visitor { server: &two.server, browser: Browser::new() };
    let page = visitor.page().await;
    assert_eq!(values_of(&page, "upstream").collect::<Vec<_>>(), ["notes", "mail"]);
    let origin = "http://127.0.0.1";
    let post = async |path: &str, form: &[(&str, &str)]| {
        let port = two.server.url.parse::<url::Url>().unwrap().port().unwrap();
        visitor.browser.post(&visitor.url(path), &format!("{origin}:{port}"), form).await
    };
    let sign_in = async |upstream: &str, token: &str| {
        let away = post("/sign-in", &[("upstream", upstream), ("form_token", token)]).await;
        let back = visitor.browser.follow(away, &visitor.url("")).await;
        assert_eq!(back.as_str(), visitor.url(""));
    };

    sign_in("notes", "").await;
    let page = visitor.page().await;
    assert_eq!(connections(&page).len(), 1, "of this service only: {page}");
    assert!(page.contains("/notes</bdi>") && !page.contains("/mail</bdi>"));
    assert_eq!(values_of(&page, "upstream").collect::<Vec<_>>(), ["mail"]);
    two.server.clock.advance(Duration::from_secs(60));
    sign_in("mail", value_of(&page, "form_token").unwrap()).await;
    let page = visitor.page().await;
    assert_eq!(connections(&page).len(), 2, "{page}");
    assert_eq!(values_of(&page, "upstream").count(), 0);
    assert_eq!(page.matches("In the name of").count(), 2);

    // The newest is the one of /mail.
    let token = value_of(&page, "form_token").unwrap();
    let form = [("connection", connections(&page)[0].clone()), ("form_token", token.to_owned())];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(location(&post("/disconnect", &form).await), visitor.url(""));
    assert_eq!(client.call("/mail", &mail.access).await.status(), 401);
    assert_eq!(client.call("/notes", &notes.access).await.status(), 200);

    // Each sign-in has its own quarter of an hour.
    two.server.clock.advance(Duration::from_secs(14 * 60));
    let page = visitor.page().await;
    assert_eq!((connections(&page).len(), values_of(&page, "upstream").count()), (0, 1), "{page}");
    assert!(page.contains("Signed in with <bdi>Mail</bdi>"), "{page}");
}
