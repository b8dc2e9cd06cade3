//! Clients that authenticate with a signed assertion (RFC 7523 §2.2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod assertion;
mod document;
mod key_set;
mod once;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Json, Router};
use mcp_login::settings::StaticClient;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, changed, error_of};
use mcp_login_testkit::client_key::{ClientKey, assertion_params};
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What the client's site answers, whatever it is asked for.
type Answer = Arc<Mutex<(StatusCode, Value)>>;

/// A client's web site that counts what it is asked.
#[derive(Debug, Clone)]
struct Site {
    host: String,
    answer: Answer,
    requests: Arc<AtomicUsize>,
}

impl Site {
    async fn start(says: Value) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let site =
            Self { host, answer: Arc::new(Mutex::new((StatusCode::OK, says))), requests: Arc::default() };
        let answering = site.clone();
        let app = Router::new().fallback(move || async move {
            answering.requests.fetch_add(1, Ordering::SeqCst);
            let (status, body) = answering.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
            (status, Json(body)).into_response()
        });
        tokio::spawn(async move { axum::serve(listener, app).await });
        site
    }

    fn says(&self, body: Value) {
        *self.answer.lock().unwrap() = (StatusCode::OK, body);
    }

    fn is_down(&self) {
        self.answer.lock().unwrap().0 = StatusCode::BAD_GATEWAY;
    }

    fn is_up(&self) {
        self.answer.lock().unwrap().0 = StatusCode::OK;
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.host)
    }
}

async fn with_static(client: StaticClient) -> TestServer {
    let options = Options { static_clients: vec![client], ..Options::usual().await };
    TestServer::with(options).await
}

fn bot(key: &ClientKey) -> StaticClient {
    StaticClient::new("bot").jwks(key.jwks()).redirect_uris([REDIRECT_URI])
}

fn signing(more: &Value) -> Value {
    let mut metadata =
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "private_key_jwt"});
    metadata.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    metadata
}

/// What comes of a refresh with a token that nobody has: a client that has authenticated gets as far as the token.
async fn tried(client: &OAuthClient, assertion: &str) -> (u16, String) {
    let params = assertion_params(assertion);
    error_of(client.refresh("mlr_nothing", &[&params[..], &[("client_id", "")]].concat()).await).await
}

fn passed() -> (u16, String) {
    (400, "invalid_grant".to_owned())
}

fn refused() -> (u16, String) {
    (401, "invalid_client".to_owned())
}

fn unavailable() -> (u16, String) {
    (503, "temporarily_unavailable".to_owned())
}

/// From login to revocation, each request with an assertion of its own.
async fn comes_through(server: &TestServer, client: &OAuthClient, key: &ClientKey) {
    let code = client.code(&Browser::new()).await;
    assert_eq!(error_of(client.exchange(&code, &[]).await).await, refused(), "without an assertion");
    let fresh = || key.assertion(server, client.id());
    let first = fresh();
    let tokens = Tokens::read(client.exchange(&code, &assertion_params(&first)).await).await;
    let none = error_of(client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(none, refused(), "nobody can leave it out");
    let again = error_of(client.refresh(&tokens.refresh, &assertion_params(&first)).await).await;
    assert_eq!(again, refused(), "an assertion works once");
    let without_id = fresh();
    let changes = [&assertion_params(&without_id)[..], &[("client_id", "")]].concat();
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &changes).await).await;
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 200);
    let revoke = [("token", tokens.refresh.as_str()), ("client_id", client.id())];
    assert_eq!(error_of(client.form("/revoke", &revoke).await).await, refused());
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 200);
    let last = fresh();
    let revoked = client.form("/revoke", &changed(&revoke, &assertion_params(&last))).await;
    assert_eq!(revoked.status(), 200);
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 401);
}

#[tokio::test]
async fn a_client_that_the_operator_has_set_up_signs() {
    let key = ClientKey::new("k");
    let server = with_static(bot(&key)).await;
    comes_through(&server, &OAuthClient::known_as(&server, "bot"), &key).await;
}

#[tokio::test]
async fn the_operator_may_name_where_the_keys_are() {
    let key = ClientKey::new("k");
    let site = Site::start(key.jwks()).await;
    let uri = site.url("/jwks.json").parse().unwrap();
    let server = with_static(StaticClient::new("bot").jwks_uri(uri).redirect_uris([REDIRECT_URI])).await;
    comes_through(&server, &OAuthClient::known_as(&server, "bot"), &key).await;
    assert_eq!(site.requests(), 1);
}

#[tokio::test]
async fn a_client_registers_its_keys() {
    let key = ClientKey::new("k");
    let server = TestServer::start().await;
    let client = OAuthClient::register_as(&server, signing(&json!({"jwks": key.jwks()}))).await;
    assert_eq!(client.registered["token_endpoint_auth_method"], "private_key_jwt");
    assert_eq!(client.registered["jwks"], key.jwks());
    assert_eq!(client.registered["client_secret"], Value::Null);
    comes_through(&server, &client, &key).await;
}

#[tokio::test]
async fn a_client_registers_where_its_keys_are() {
    let key = ClientKey::new("k");
    let site = Site::start(key.jwks()).await;
    let hosts = vec![site.host.clone()];
    let server = TestServer::with(Options { metadata_document_hosts: hosts, ..Options::usual().await }).await;
    let uri = site.url("/jwks.json");
    let client = OAuthClient::register_as(&server, signing(&json!({"jwks_uri": uri}))).await;
    assert_eq!(client.registered["jwks_uri"], uri);
    comes_through(&server, &client, &key).await;
    assert_eq!(site.requests(), 1);
}

#[tokio::test]
async fn keys_that_cannot_work_are_not_registered() {
    let server = TestServer::start().await;
    let jwks = ClientKey::new("k").jwks();
    let unusable = json!({"keys": [{"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"}]});
    for more in [
        json!({}),
        json!({"jwks": jwks, "jwks_uri": "https://client.example/jwks"}),
        json!({"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}}),
        json!({"jwks": unusable}),
        json!({"jwks_uri": "http://127.0.0.1/jwks"}),
    ] {
        let http = reqwest::Client::new();
        let request = http.post(format!("{}/register", server.url)).json(&signing(&more));
        let answer = error_of(request.send().await.unwrap()).await;
        assert_eq!(answer, (400, "invalid_client_metadata".to_owned()), "{more}");
    }
}
