//! An assertion works once, wherever it comes.

use std::sync::Arc;
use std::time::Duration;

use mcp_login::settings::StaticClient;
use mcp_login::{AuthServer, Resource, Store};
use mcp_login_testkit::client::OAuthClient;
use mcp_login_testkit::client_key::{ClientKey, assertion_params};
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};
use tokio::net::TcpListener;

use crate::{bot, refused, tried};

/// A second node of the same server.
async fn second_node(server: &TestServer, store: Store, client: StaticClient) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let auth = AuthServer::builder(&server.url)
        .upstream(server.upstream.oidc())
        .store(store)
        .resource(Resource::new("/mcp"))
        .client(client)
        .clock(Arc::new(server.clock.clone()))
        .build()
        .await
        .unwrap();
    let router = auth.router();
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn once_on_all_nodes(first: Store, second: Store) {
    let key = ClientKey::new("k");
    let options = Options { store: first, static_clients: vec![bot(&key)], ..Options::usual().await };
    let server = Arc::new(TestServer::with(options).await);
    let other = second_node(&server, second, bot(&key)).await;
    let assertion = key.assertion(&server, "bot");
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..20 {
        let url = if n % 2 == 0 { server.url.clone() } else { other.clone() };
        let assertion = assertion.clone();
        racers.spawn(async move {
            let usual = [("grant_type", "refresh_token"), ("refresh_token", "x")];
            let form = [&usual[..], &assertion_params(&assertion)].concat();
            let request = reqwest::Client::new().post(format!("{url}/token")).form(&form);
            request.send().await.unwrap().status().as_u16()
        });
    }
    let mut answers = racers.join_all().await;
    answers.sort_unstable();
    assert_eq!((answers[0], &answers[1..]), (400, &[401; 19][..]), "one got through");
    // It is remembered for as long as it would be good.
    server.clock.advance(Duration::from_secs(119));
    let client = OAuthClient::known_as(&server, "bot");
    assert_eq!(tried(&client, &assertion).await, refused());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_works_once_on_nodes_that_share_memory() {
    let store = Store::open("memory:").await.unwrap();
    once_on_all_nodes(store.clone(), store).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_assertion_works_once_on_nodes_that_share_redis() {
    let redis = RedisServer::start();
    let open = async || Store::open(&redis.url()).await.unwrap();
    once_on_all_nodes(open().await, open().await).await;
}
