//! Clients that authenticate with a signed assertion (RFC 7523 §2.2).
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use axum::{Json, Router};
use mcp_login::settings::StaticClient;
use mcp_login::{AuthServer, Resource, Store};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, changed, error_of};
use mcp_login_testkit::client_key::{ClientKey, assertion_params, claims, unsigned};
use mcp_login_testkit::fake_upstream::SigningAlgorithm;
use mcp_login_testkit::redis_server::RedisServer;
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

fn signing(more: Value) -> Value {
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
    let client = OAuthClient::register_as(&server, signing(json!({"jwks": key.jwks()}))).await;
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
    let client = OAuthClient::register_as(&server, signing(json!({"jwks_uri": uri}))).await;
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
        let request = http.post(format!("{}/register", server.url)).json(&signing(more.clone()));
        let answer = error_of(request.send().await.unwrap()).await;
        assert_eq!(answer, (400, "invalid_client_metadata".to_owned()), "{more}");
    }
}

#[tokio::test]
async fn every_algorithm_that_the_metadata_lists_works() {
    let keys = [
        ClientKey::of(SigningAlgorithm::Rs256, "RS256"),
        ClientKey::of(SigningAlgorithm::Es256, "ES256"),
        ClientKey::of(SigningAlgorithm::Ps256, "PS256"),
        ClientKey::of(SigningAlgorithm::EdDsa, "EdDSA"),
    ];
    let jwks = json!({"keys": keys.iter().map(ClientKey::jwk).collect::<Vec<_>>()});
    let server = with_static(StaticClient::new("bot").jwks(jwks).redirect_uris([REDIRECT_URI])).await;
    let client = OAuthClient::known_as(&server, "bot");
    for key in &keys {
        assert_eq!(tried(&client, &key.assertion(&server, "bot")).await, passed(), "{key:?}");
    }
    let url = format!("{}/.well-known/oauth-authorization-server", server.url);
    let metadata: Value = reqwest::get(url).await.unwrap().json().await.unwrap();
    for endpoint in ["token", "revocation"] {
        let methods = metadata[format!("{endpoint}_endpoint_auth_methods_supported")].as_array().unwrap();
        assert!(methods.contains(&json!("private_key_jwt")));
        let listed = &metadata[format!("{endpoint}_endpoint_auth_signing_alg_values_supported")];
        assert_eq!(*listed, json!(["RS256", "ES256", "PS256", "EdDSA"]));
    }
}

#[tokio::test]
async fn assertions_that_prove_nothing() {
    let (key, other) = (ClientKey::new("k"), ClientKey::new("k"));
    let stranger = ClientKey::new("other");
    let server = with_static(bot(&key)).await;
    let client = OAuthClient::known_as(&server, "bot");
    let good = || claims(&server, "bot");
    let with = |name: &str, value: Value| {
        let mut claims = good();
        claims[name] = value;
        claims
    };
    let now = good()["iat"].as_u64().unwrap();
    let signed = |claims: Value| key.sign(&claims);
    let token = format!("{}/token", server.url);
    for aud in [json!(server.url), json!(token), json!([token])] {
        assert_eq!(tried(&client, &signed(with("aud", aud.clone()))).await, passed(), "{aud}");
    }
    let mut tampered = signed(good());
    tampered.insert_str(tampered.rfind('.').unwrap() + 5, "AAAA");
    for (name, assertion) in [
        ("no algorithm", unsigned(&good())),
        ("the public key as a secret", key.sign_with_public_half(&good())),
        ("another key of the same name", other.sign(&good())),
        ("a key that is not there", stranger.sign(&good())),
        ("a changed signature", tampered),
        ("no JWT", "x.y.z".to_owned()),
        ("nothing", String::new()),
        ("an unknown client", key.sign(&claims(&server, "nobody"))),
        ("another audience", signed(with("aud", json!("https://other.example")))),
        ("an audience beside ours", signed(with("aud", json!([server.url, "https://other.example"])))),
        ("no audience", signed(with("aud", json!(null)))),
        ("a foreign iss", signed(with("iss", json!("somebody")))),
        ("a foreign sub", signed(with("sub", json!("somebody")))),
        ("expired", signed(with("exp", json!(now - 60)))),
        ("no end", signed(with("exp", json!(null)))),
        ("a far end", signed(with("exp", json!(now + 3600)))),
        ("from tomorrow", signed(with("nbf", json!(now + 86_400)))),
        ("no jti", signed(with("jti", json!(null)))),
    ] {
        assert_eq!(tried(&client, &assertion).await, refused(), "{name}");
    }
    assert_eq!(tried(&client, &signed(good())).await, passed());
}

/// Whoever tries learns neither which clients there are nor which keys.
#[tokio::test]
async fn one_answer_for_everything_about_the_signature() {
    let key = ClientKey::new("k");
    let server = with_static(bot(&key)).await;
    let client = OAuthClient::known_as(&server, "bot");
    let registered = OAuthClient::register(&server).await;
    let mut descriptions = Vec::new();
    for assertion in [
        ClientKey::new("k").assertion(&server, "bot"),
        ClientKey::new("x").assertion(&server, "bot"),
        key.assertion(&server, "nobody"),
        key.assertion(&server, registered.id()),
        unsigned(&claims(&server, "bot")),
    ] {
        let params = assertion_params(&assertion);
        let response = client.refresh("x", &[&params[..], &[("client_id", "")]].concat()).await;
        let answer: Value = response.json().await.unwrap();
        descriptions.push(answer["error_description"].as_str().unwrap().to_owned());
    }
    descriptions.dedup();
    assert_eq!(descriptions.len(), 1, "{descriptions:?}");
}

#[tokio::test]
async fn one_method_at_a_time() {
    let key = ClientKey::new("k");
    let server = with_static(bot(&key)).await;
    let client = OAuthClient::known_as(&server, "bot");
    let assertion = key.assertion(&server, "bot");
    let params = assertion_params(&assertion);
    let with_secret = [&params[..], &[("client_secret", "0123456789abcdef")]].concat();
    let refused_request = (400, "invalid_request".to_owned());
    assert_eq!(error_of(client.refresh("x", &with_secret).await).await, refused_request);
    let form = [&params[..], &[("grant_type", "refresh_token"), ("refresh_token", "x")]].concat();
    let basic = reqwest::Client::new().post(format!("{}/token", server.url)).basic_auth("bot", Some("x"));
    assert_eq!(error_of(basic.form(&form).send().await.unwrap()).await, refused_request);
    let other_id = [&params[..], &[("client_id", "other")]].concat();
    assert_eq!(error_of(client.refresh("x", &other_id).await).await, refused());
    for kind in ["", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer"] {
        let changes = [("client_assertion_type", kind), params[1]];
        assert_eq!(error_of(client.refresh("x", &changes).await).await, refused(), "{kind}");
    }
    // None of this has used it up.
    assert_eq!(tried(&client, &assertion).await, passed());
}

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

/// A registered client whose keys are at this site.
async fn registered_at(site: &Site) -> (TestServer, OAuthClient) {
    let hosts = vec![site.host.clone()];
    let server = TestServer::with(Options { metadata_document_hosts: hosts, ..Options::usual().await }).await;
    let client =
        OAuthClient::register_as(&server, signing(json!({"jwks_uri": site.url("/jwks.json")}))).await;
    (server, client)
}

#[tokio::test]
async fn a_new_key_is_found_but_not_asked_for_at_will() {
    let (old, new, newest) = (ClientKey::new("1"), ClientKey::new("2"), ClientKey::new("3"));
    let site = Site::start(old.jwks()).await;
    let (server, client) = registered_at(&site).await;
    let comes = async |key: &ClientKey| tried(&client, &key.assertion(&server, client.id())).await;
    assert_eq!(comes(&old).await, passed());
    site.says(new.jwks());
    assert_eq!(comes(&new).await, passed());
    assert_eq!(site.requests(), 2);
    assert_eq!(comes(&old).await, refused(), "the old key is gone");
    site.says(newest.jwks());
    server.clock.advance(Duration::from_secs(29));
    assert_eq!(comes(&newest).await, refused());
    assert_eq!(site.requests(), 2, "anybody can make up a key");
    server.clock.advance(Duration::from_secs(1));
    assert_eq!(comes(&newest).await, passed());
    assert_eq!(site.requests(), 3);
}

#[tokio::test]
async fn keys_that_cannot_be_fetched_are_nobodys_fault() {
    let key = ClientKey::new("k");
    let site = Site::start(key.jwks()).await;
    let (server, client) = registered_at(&site).await;
    let comes = async |key: &ClientKey| tried(&client, &key.assertion(&server, client.id())).await;
    site.is_down();
    let assertion = key.assertion(&server, client.id());
    let away = client.refresh("x", &assertion_params(&assertion)).await;
    assert_eq!(away.headers()["retry-after"], "60");
    assert_eq!(error_of(away).await, unavailable());
    site.is_up();
    assert_eq!(comes(&key).await, unavailable(), "a failure is remembered");
    assert_eq!(site.requests(), 1);
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(tried(&client, &assertion).await, passed(), "it was not used up");
    // What was known stands in for a day; what is not known stays open.
    site.is_down();
    server.clock.advance(Duration::from_secs(7200));
    assert_eq!(comes(&key).await, passed());
    assert_eq!(comes(&ClientKey::new("new")).await, unavailable());
    assert_eq!(comes(&ClientKey::new("new")).await, unavailable(), "asked again or not");
    assert_eq!(comes(&key).await, passed());
    server.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(comes(&key).await, unavailable(), "a day is over");
    // Something else than keys is an answer.
    site.says(json!({"error": "no keys here"}));
    server.clock.advance(Duration::from_secs(60));
    assert_eq!(comes(&key).await, refused());
}

/// The listener counts what comes; the operator's own word leads there, a stranger's does not.
#[tokio::test]
async fn nobody_makes_us_fetch_keys_from_private_addresses() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    tokio::spawn(async move {
        while listener.accept().await.is_ok() {
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let uri = format!("https://127.0.0.1:{port}/jwks.json");
    let server =
        with_static(StaticClient::new("bot").jwks_uri(uri.parse().unwrap()).redirect_uris([REDIRECT_URI]))
            .await;
    let key = ClientKey::new("k");
    for host in ["127.0.0.1", "localhost", "[::1]", "169.254.169.254"] {
        let uri = format!("https://{host}:{port}/jwks.json");
        let client = OAuthClient::register_as(&server, signing(json!({"jwks_uri": uri}))).await;
        assert_eq!(tried(&client, &key.assertion(&server, client.id())).await, unavailable(), "{host}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    let bot = OAuthClient::known_as(&server, "bot");
    assert_eq!(tried(&bot, &key.assertion(&server, "bot")).await, unavailable());
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

/// A client that describes itself, with its keys at the same site.
async fn described(methods: Value) -> (Site, TestServer, OAuthClient, ClientKey) {
    let key = ClientKey::new("k");
    let site = Site::start(json!({})).await;
    let client_id = site.url("/client.json");
    // Members of a key set and of a client's metadata do not get in each other's way.
    site.says(json!({
        "client_id": client_id, "client_name": "Described", "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_methods_supported": methods,
        "jwks_uri": site.url("/jwks.json"), "keys": [key.jwk()],
    }));
    let hosts = vec![site.host.clone()];
    let server = TestServer::with(Options { metadata_document_hosts: hosts, ..Options::usual().await }).await;
    let client = OAuthClient::known_as(&server, &client_id);
    (site, server, client, key)
}

#[tokio::test]
async fn a_document_that_only_signs_cannot_be_talked_down() {
    let (site, server, client, key) = described(json!(["private_key_jwt"])).await;
    comes_through(&server, &client, &key).await;
    assert_eq!(site.requests(), 2);
    // Also not once nobody here knows the document any more.
    let code = client.code(&Browser::new()).await;
    site.is_down();
    server.clock.advance(Duration::from_secs(200));
    assert_eq!(error_of(client.exchange(&code, &[]).await).await, refused());
    let secret = client.exchange(&code, &[("client_secret", "0123456789abcdef")]).await;
    assert_eq!(error_of(secret).await, refused());
}

/// As ChatGPT publishes it.
#[tokio::test]
async fn a_document_that_lists_both_may_do_either() {
    let (site, server, client, key) = described(json!(["none", "private_key_jwt"])).await;
    let tokens = client.log_in(&Browser::new()).await;
    assert_eq!(site.requests(), 1, "no keys are needed");
    let assertion = key.assertion(&server, client.id());
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &assertion_params(&assertion)).await).await;
    let wrong = ClientKey::new("k").assertion(&server, client.id());
    let wrong = client.refresh(&tokens.refresh, &assertion_params(&wrong)).await;
    assert_eq!(error_of(wrong).await, refused(), "what is presented has to hold");
    Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
}

#[tokio::test]
async fn a_document_that_cannot_be_fetched_is_nobodys_fault_either() {
    let (site, server, client, key) = described(json!(["none", "private_key_jwt"])).await;
    site.is_down();
    assert_eq!(tried(&client, &key.assertion(&server, client.id())).await, unavailable());
    let stale = key.sign(&json!({"iss": client.id(), "sub": client.id(), "aud": "https://x.example"}));
    assert_eq!(tried(&client, &stale).await, refused());
    assert_eq!(site.requests(), 1, "nothing is fetched for what cannot hold");
}
