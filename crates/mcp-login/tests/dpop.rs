//! DPoP (RFC 9449): whoever proves a key gets tokens that are of use to nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use axum::routing::any;
use axum::{Json, Router};
use mcp_login::{AuthServer, Caller, Resource, Store};
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, error_of, param};
use mcp_login_testkit::dpop::{DpopAlgorithm, DpopKey, DpopProof};
use mcp_login_testkit::redis_server::RedisServer;
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::Response;
use serde_json::{Value, json};
use tokio::net::TcpListener;

const ALGS: &str = "ES256 EdDSA RS256 PS256";

/// A client with a key.
struct Party {
    server: TestServer,
    client: OAuthClient,
    key: DpopKey,
}

impl Party {
    async fn new() -> Self {
        Self::at(TestServer::start().await).await
    }

    async fn at(server: TestServer) -> Self {
        let client = OAuthClient::register(&server).await;
        Self { server, client, key: DpopKey::default() }
    }

    fn token_proof<'a>(&self, key: &'a DpopKey) -> DpopProof<'a> {
        key.proof("POST", &format!("{}/token", self.server.url), &self.server.clock)
    }

    fn call_proof<'a>(&self, key: &'a DpopKey, token: &str) -> DpopProof<'a> {
        key.proof("POST", &self.server.mcp(), &self.server.clock).of_token(token)
    }

    async fn code(&self) -> String {
        self.client.code(&Browser::new()).await
    }

    async fn log_in(&self) -> Tokens {
        let proof = self.token_proof(&self.key).sign();
        let answer = self.client.proving(&[&proof]).exchange(&self.code().await, &[]).await;
        Tokens::read_as("DPoP", answer).await
    }

    /// Refreshes with the proof of a key, or without.
    async fn refresh(&self, token: &str, key: Option<&DpopKey>, changes: &[(&str, &str)]) -> Response {
        let proof = key.map(|key| self.token_proof(key).sign());
        let proofs: Vec<&str> = proof.iter().map(String::as_str).collect();
        self.client.proving(&proofs).refresh(token, changes).await
    }

    async fn call(&self, token: &str, proof: &str) -> Response {
        self.client.proving(&[proof]).call_as("DPoP", "/mcp", token).await
    }

    async fn works(&self, token: &str, key: &DpopKey) -> bool {
        self.call(token, &self.call_proof(key, token).sign()).await.status() == 200
    }
}

/// Every `WWW-Authenticate`, in order.
fn challenges(response: &Response) -> Vec<String> {
    let values = response.headers().get_all("www-authenticate").iter();
    values.map(|value| value.to_str().unwrap().to_owned()).collect()
}

fn refused(code: &str) -> (u16, String) {
    (400, code.to_owned())
}

/// What is wrong with a proof wherever it is sent, as one for this method and URL is made by `good`.
fn bad_proofs<'a>(good: &DpopProof<'a>, other: &'a DpopKey) -> Vec<(&'static str, String)> {
    let mut private = good.key.jwk();
    private["d"] = "c2VjcmV0".into();
    let now = good.claims["iat"].as_u64().unwrap();
    let bad = |what, proof: DpopProof<'_>| (what, proof.sign());
    let signed = good.sign();
    let (unsigned, _) = signed.rsplit_once('.').unwrap();
    vec![
        ("nothing", String::new()),
        ("no JWT", "proof".into()),
        ("two in one header", format!("{signed}, {signed}")),
        ("no signature", format!("{unsigned}.")),
        ("HS256", good.clone().sign_with_secret()),
        (
            "another signature",
            format!("{unsigned}.{}", good.clone().claim("jti", "x").sign().rsplit_once('.').unwrap().1),
        ),
        bad("none", good.clone().header("alg", "none")),
        bad("another algorithm", good.clone().header("alg", "RS256")),
        bad("another key", good.clone().header("jwk", other.jwk())),
        bad("no key", good.clone().header("jwk", Value::Null)),
        bad("private key", good.clone().header("jwk", private)),
        bad("typ", good.clone().header("typ", "JWT")),
        bad("no typ", good.clone().header("typ", Value::Null)),
        bad("critical", good.clone().header("crit", json!(["exp"]))),
        bad("htm", good.clone().claim("htm", "PUT")),
        bad("no htm", good.clone().claim("htm", Value::Null)),
        bad("htu", good.clone().claim("htu", "https://evil.example/mcp")),
        bad("no htu", good.clone().claim("htu", Value::Null)),
        bad("no jti", good.clone().claim("jti", Value::Null)),
        bad("long jti", good.clone().claim("jti", "j".repeat(257))),
        bad("no iat", good.clone().claim("iat", Value::Null)),
        bad("old", good.clone().claim("iat", now - 300)),
        bad("from the future", good.clone().claim("iat", now + 301)),
        bad("expired", good.clone().claim("exp", now - 60)),
    ]
}

#[tokio::test]
async fn a_whole_login_with_every_algorithm() {
    let mut party = Party::new().await;
    for algorithm in [DpopAlgorithm::Es256, DpopAlgorithm::EdDsa, DpopAlgorithm::Rs256, DpopAlgorithm::Ps256]
    {
        party.key = DpopKey::new(algorithm);
        let tokens = party.log_in().await;
        let proof = party.call_proof(&party.key, &tokens.access).sign();
        let answer = party.call(&tokens.access, &proof).await;
        assert_eq!(answer.status(), 200, "{algorithm:?}");
        let answer: Value = answer.json().await.unwrap();
        assert!(answer["upstream_token"].is_string(), "{answer}");
        let refreshed = party.refresh(&tokens.refresh, Some(&party.key), &[]).await;
        let refreshed = Tokens::read_as("DPoP", refreshed).await;
        assert!(party.works(&refreshed.access, &party.key).await, "{algorithm:?}");
    }
}

#[tokio::test]
async fn the_documents_say_so() {
    let server = TestServer::start().await;
    for path in ["oauth-authorization-server", "oauth-protected-resource/mcp"] {
        let document: Value =
            reqwest::get(format!("{}/.well-known/{path}", server.url)).await.unwrap().json().await.unwrap();
        assert_eq!(
            document["dpop_signing_alg_values_supported"],
            json!(["ES256", "EdDSA", "RS256", "PS256"])
        );
    }
}

#[tokio::test]
async fn a_bad_proof_gets_no_token_and_spends_no_code() {
    let party = Party::new().await;
    let (code, other) = (party.code().await, DpopKey::default());
    let good = party.token_proof(&party.key);
    let mut bad = bad_proofs(&good, &other);
    bad.push(("for another endpoint", good.clone().claim("htu", party.server.mcp()).sign()));
    for (what, proof) in bad {
        let answer = party.client.proving(&[&proof]).exchange(&code, &[]).await;
        assert_eq!(error_of(answer).await, refused("invalid_dpop_proof"), "{what}");
    }
    let (one, two) = (good.clone().sign(), good.clone().claim("jti", "two").sign());
    let twice = party.client.proving(&[&one, &two]).exchange(&code, &[]).await;
    assert_eq!(error_of(twice).await, refused("invalid_dpop_proof"));
    let same_again = format!("{}/token?x#y", party.server.url.to_uppercase());
    let spelled = good.claim("htu", same_again.replace("HTTP", "Http")).sign();
    Tokens::read_as("DPoP", party.client.proving(&[&spelled]).exchange(&code, &[]).await).await;
}

#[tokio::test]
async fn a_bad_proof_opens_no_door() {
    let party = Party::new().await;
    let (tokens, other) = (party.log_in().await, DpopKey::default());
    let good = party.call_proof(&party.key, &tokens.access);
    let mut bad = bad_proofs(&good, &other);
    bad.push(("no ath", good.clone().claim("ath", Value::Null).sign()));
    bad.push(("for another token", good.clone().of_token(&tokens.refresh).sign()));
    bad.push(("for another server", good.clone().claim("htu", format!("{}/lazy", party.server.url)).sign()));
    for (what, proof) in bad {
        let answer = party.call(&tokens.access, &proof).await;
        assert_eq!(answer.status(), 401, "{what}");
        assert_eq!(error_of(answer).await.1, "invalid_dpop_proof", "{what}");
    }
    let (one, two) = (good.clone().sign(), good.clone().claim("jti", "two").sign());
    for proofs in [vec![], vec![one.as_str(), two.as_str()]] {
        let answer = party.client.proving(&proofs).call_as("DPoP", "/mcp", &tokens.access).await;
        assert_eq!(error_of(answer).await, (401, "invalid_dpop_proof".to_owned()), "{} proofs", proofs.len());
    }
    assert_eq!(party.call(&tokens.access, &one).await.status(), 200, "nothing of this has used it up");
    assert_eq!(error_of(party.call(&tokens.access, &one).await).await.1, "invalid_dpop_proof", "a replay");
    let iat = good.claims["iat"].as_u64().unwrap();
    let in_time = good.claim("iat", iat - 299).sign();
    assert_eq!(party.call(&tokens.access, &in_time).await.status(), 401, "the same jti");
}

#[tokio::test]
async fn a_token_is_good_with_its_key_only_and_never_by_itself() {
    let party = Party::new().await;
    let (bound, other) = (party.log_in().await.access, DpopKey::default());
    let bearer = party.client.log_in(&Browser::new()).await.access;
    let is_refused = async |answer: Response| {
        assert_eq!(answer.status(), 401);
        assert_eq!(error_of(answer).await.1, "invalid_token");
    };
    assert!(!party.works(&bound, &other).await);
    is_refused(party.call(&bound, &party.call_proof(&other, &bound).sign()).await).await;
    is_refused(party.client.call("/mcp", &bound).await).await;
    let proof = party.call_proof(&party.key, &bound).sign();
    is_refused(party.client.proving(&[&proof]).call("/mcp", &bound).await).await;
    is_refused(party.call(&bearer, &party.call_proof(&party.key, &bearer).sign()).await).await;
    assert_eq!(party.client.call("/mcp", &bearer).await.status(), 200);
    let unneeded = party.call_proof(&party.key, &bearer).sign();
    let answer = party.client.proving(&[&unneeded]).call("/mcp", &bearer).await;
    assert_eq!(answer.status(), 200, "a bearer token is one, whatever comes with it");
    party.server.clock.advance(Duration::from_secs(3600));
    is_refused(party.call(&bound, &party.call_proof(&party.key, &bound).sign()).await).await;
}

#[tokio::test]
async fn clients_that_use_no_dpop_see_no_more_than_before() {
    let party = Party::new().await;
    let token = party.log_in().await.access;
    let metadata = format!("{}/.well-known/oauth-protected-resource/mcp", party.server.url);
    let login = format!("resource_metadata=\"{metadata}\", scope=\"mcp mcp:write\"");
    let error = |code: &str, description: &str| {
        format!("{login}, error=\"{code}\", error_description=\"{description}\"")
    };
    let description = "the access token is unknown, expired, revoked or for another server";
    let invalid_token = error("invalid_token", description);

    let as_bearer = party.client.call("/mcp", &token).await;
    assert_eq!(challenges(&as_bearer), [format!("Bearer {invalid_token}")]);
    let unknown = party.call("unknown", &party.call_proof(&party.key, "unknown").sign()).await;
    let dpop = format!("DPoP {invalid_token}, algs=\"{ALGS}\"");
    assert_eq!(challenges(&unknown), [format!("Bearer {invalid_token}"), dpop]);
    let missing = party.client.call_as("DPoP", "/mcp", &token).await;
    let told = error("invalid_dpop_proof", "the DPoP header with the proof is missing");
    assert_eq!(challenges(&missing), [format!("Bearer {login}"), format!("DPoP {told}, algs=\"{ALGS}\"")]);
    let http = reqwest::Client::new();
    let anonymous = http.post(party.server.mcp()).header("dpop", "proof").send().await.unwrap();
    assert_eq!(challenges(&anonymous), [format!("Bearer {login}"), format!("DPoP {login}, algs=\"{ALGS}\"")]);

    let proof = party.token_proof(&party.key).sign();
    let narrow = party.client.proving(&[&proof]).exchange(&narrow_code(&party).await, &[]).await;
    let narrow = Tokens::read_as("DPoP", narrow).await.access;
    let lacking = party.call(&narrow, &party.call_proof(&party.key, &narrow).sign()).await;
    assert_eq!(lacking.status(), 403);
    assert!(challenges(&lacking).iter().all(|told| told.contains("error=\"insufficient_scope\"")));
    assert_eq!(challenges(&lacking).len(), 2);
}

async fn narrow_code(party: &Party) -> String {
    let url = party.client.authorization_url(&[("scope", "mcp")]);
    param(&Browser::new().log_in(&url, REDIRECT_URI).await, "code").unwrap()
}

#[tokio::test]
async fn a_proof_without_a_token_is_nobodys() {
    let party = Party::new().await;
    let list = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
    let ask = async |proof: &str| {
        let request = reqwest::Client::new().post(format!("{}/lazy", party.server.url));
        let request = request.header("content-type", "application/json").header("dpop", proof).body(list);
        request.send().await.unwrap()
    };
    let answer: Value = ask(&party.token_proof(&party.key).sign()).await.json().await.unwrap();
    assert_eq!(answer["caller"], Value::Null);
    assert_eq!(ask("whatever").await.status(), 200);
}

#[tokio::test]
async fn the_url_is_the_public_one_with_the_path_that_was_asked_for() {
    let whoami = async |caller: Caller| caller.subject().to_owned();
    let server = TestServer::around(Options::usual().await, |auth| {
        let below = Router::new().route("/", any(whoami)).route("/{*path}", any(whoami));
        Router::new().nest("/mcp", below).layer(auth.protect("/mcp").unwrap())
    })
    .await;
    let party = Party::at(server).await;
    let (token, mcp) = (party.log_in().await.access, party.server.mcp());
    let ask = async |asked: &str, made_for: &str, host: Option<&str>| {
        let proof = party.key.proof("GET", made_for, &party.server.clock).of_token(&token).sign();
        let mut request = reqwest::Client::new().get(format!("{mcp}{asked}")).header("dpop", proof);
        if let Some(host) = host {
            request = request.header("host", host).header("x-forwarded-host", host);
        }
        request.header("authorization", format!("DPoP {token}")).send().await.unwrap().status().as_u16()
    };
    assert_eq!(ask("", &mcp, None).await, 200);
    assert_eq!(ask("?q=1", &mcp, None).await, 200);
    assert_eq!(ask("/a~b/c?q=1", &format!("{mcp}/a%7eb/c"), None).await, 200);
    assert_eq!(ask("/a", &mcp, None).await, 401);
    assert_eq!(ask("", &format!("{mcp}/a"), None).await, 401);
    assert_eq!(ask("", &mcp, Some("evil.example")).await, 200, "no header moves a URL of ours");
    assert_eq!(ask("", "http://evil.example/mcp", Some("evil.example")).await, 401);
}

#[tokio::test]
async fn the_refresh_token_of_a_public_client_stays_with_its_key() {
    let party = Party::new().await;
    let (first, other) = (party.log_in().await, DpopKey::default());
    for key in [None, Some(&other)] {
        let answer = party.refresh(&first.refresh, key, &[]).await;
        assert_eq!(error_of(answer).await, refused("invalid_grant"));
    }
    let second = party.refresh(&first.refresh, Some(&party.key), &[]).await;
    let second = Tokens::read_as("DPoP", second).await;
    // The answer was lost: whoever has the key gets it again.
    let again = Tokens::read_as("DPoP", party.refresh(&first.refresh, Some(&party.key), &[]).await).await;
    assert_eq!(again, second);
    party.server.clock.advance(Duration::from_secs(61));
    for token in [&first.refresh, &second.refresh] {
        for key in [None, Some(&other)] {
            let answer = party.refresh(token, key, &[]).await;
            assert_eq!(error_of(answer).await, refused("invalid_grant"));
        }
    }
    assert!(party.works(&second.access, &party.key).await, "nobody without the key has ended anything");
    assert_eq!(
        error_of(party.refresh(&first.refresh, Some(&party.key), &[]).await).await,
        refused("invalid_grant")
    );
    assert!(!party.works(&second.access, &party.key).await, "its holder has");
}

#[tokio::test]
async fn a_login_may_begin_to_use_dpop() {
    let party = Party::new().await;
    let first = party.client.log_in(&Browser::new()).await;
    let bound = Tokens::read_as("DPoP", party.refresh(&first.refresh, Some(&party.key), &[]).await).await;
    assert!(party.works(&bound.access, &party.key).await);
    assert_eq!(party.client.call("/mcp", &first.access).await.status(), 200, "a bearer token stays one");
    assert_eq!(error_of(party.refresh(&bound.refresh, None, &[]).await).await, refused("invalid_grant"));
    let again = Tokens::read_as("DPoP", party.refresh(&first.refresh, Some(&party.key), &[]).await).await;
    assert_eq!(again, bound);
    Tokens::read_as("DPoP", party.refresh(&bound.refresh, Some(&party.key), &[]).await).await;
}

/// A copy of a refresh token from before there was a key: its owner cannot know that somebody has bound the login to a key
/// of theirs, and finds the thief out by coming without one.
#[tokio::test]
async fn a_thief_cannot_hide_behind_a_key_of_his_own() {
    for later in [Duration::from_secs(1), Duration::from_secs(1800)] {
        let party = Party::new().await;
        let first = party.client.log_in(&Browser::new()).await;
        let thief = party.refresh(&first.refresh, Some(&DpopKey::default()), &[]).await;
        let stolen = Tokens::read_as("DPoP", thief).await;
        party.server.clock.advance(later);
        let owner = party.refresh(&first.refresh, None, &[]).await;
        assert_eq!(error_of(owner).await, refused("invalid_grant"));
        let status = party.client.form("/revoke", &[("token", "x"), ("client_id", party.client.id())]).await;
        assert_eq!(status.status(), 200);
        let again = party.refresh(&stolen.refresh, Some(&party.key), &[]).await;
        assert_eq!(error_of(again).await, refused("invalid_grant"));
        assert!(!party.works(&stolen.access, &party.key).await, "the login has ended");
    }
}

/// What is refused anyway leaves nothing in the store: the same proof is still good for the right request.
#[tokio::test]
async fn a_request_that_is_refused_does_not_use_its_proof_up() {
    let party = Party::new().await;
    let (code, proof) = (party.code().await, party.token_proof(&party.key).sign());
    let client = party.client.proving(&[&proof]);
    for changes in [[("code", "mlc_made_up")], [("code_verifier", "x")]] {
        assert_eq!(error_of(client.exchange(&code, &changes).await).await, refused("invalid_grant"));
    }
    assert_eq!(error_of(client.refresh("mlr_made_up", &[]).await).await, refused("invalid_grant"));
    let tokens = Tokens::read_as("DPoP", client.exchange(&code, &[]).await).await;
    assert!(party.works(&tokens.access, &party.key).await);
    let again = client.refresh(&tokens.refresh, &[]).await;
    assert_eq!(error_of(again).await, refused("invalid_dpop_proof"));
}

#[tokio::test]
async fn a_client_that_authenticates_may_change_its_key() {
    let server = TestServer::start().await;
    let metadata =
        json!({"redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": "client_secret_post"});
    let client = OAuthClient::register_as(&server, metadata).await;
    let secret = client.registered["client_secret"].as_str().unwrap().to_owned();
    let party = Party { server, client, key: DpopKey::default() };
    let (secret, other) = ([("client_secret", secret.as_str())], DpopKey::default());
    let proof = party.token_proof(&party.key).sign();
    let first = party.client.proving(&[&proof]).exchange(&party.code().await, &secret).await;
    let first = Tokens::read_as("DPoP", first).await;
    assert!(party.works(&first.access, &party.key).await && !party.works(&first.access, &other).await);
    let second = Tokens::read_as("DPoP", party.refresh(&first.refresh, Some(&other), &secret).await).await;
    assert!(party.works(&second.access, &other).await && !party.works(&second.access, &party.key).await);
    let answer = party.refresh(&first.refresh, Some(&party.key), &secret).await;
    assert_eq!(error_of(answer).await, refused("invalid_grant"), "its answer is for the other key");
    let third = Tokens::read_as("Bearer", party.refresh(&second.refresh, None, &secret).await).await;
    assert_eq!(party.client.call("/mcp", &third.access).await.status(), 200);
}

#[tokio::test]
async fn a_code_may_be_for_one_key() {
    let party = Party::new().await;
    let (jkt, other) = (party.key.thumbprint(), DpopKey::default());
    let back = async |jkt: &str| {
        let url = party.client.authorization_url(&[("dpop_jkt", jkt)]);
        Browser::new().log_in(&url, REDIRECT_URI).await
    };
    let code = param(&back(&jkt).await, "code").unwrap();
    let exchange = async |key: Option<&DpopKey>| {
        let proof = key.map(|key| party.token_proof(key).sign());
        let proofs: Vec<&str> = proof.iter().map(String::as_str).collect();
        party.client.proving(&proofs).exchange(&code, &[]).await
    };
    for key in [None, Some(&other)] {
        assert_eq!(error_of(exchange(key).await).await, refused("invalid_grant"));
    }
    let tokens = Tokens::read_as("DPoP", exchange(Some(&party.key)).await).await;
    for key in [None, Some(&other)] {
        assert_eq!(error_of(exchange(key).await).await, refused("invalid_grant"));
    }
    assert!(party.works(&tokens.access, &party.key).await, "whoever has no key cannot end the login, either");
    assert_eq!(error_of(exchange(Some(&party.key)).await).await, refused("invalid_grant"));
    assert!(!party.works(&tokens.access, &party.key).await);
    for bad in ["short", &format!("{jkt}A"), &format!("{jkt}=")] {
        assert_eq!(param(&back(bad).await, "error").as_deref(), Some("invalid_request"), "{bad}");
    }
}

/// A second node of this server: the same store and public URL, another address.
async fn second_node(server: &TestServer, store: Store) -> String {
    let auth = AuthServer::builder(&server.url)
        .upstream(server.upstream.oidc())
        .store(store)
        .resource(Resource::new("/mcp").scopes(["mcp", "mcp:write"]))
        .clock(Arc::new(server.clock.clone()))
        .build()
        .await
        .unwrap();
    let mcp = Router::new().route("/mcp", any(async || Json("reached")));
    let app = mcp.route_layer(auth.protect("/mcp").unwrap()).merge(auth.router());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await });
    url
}

async fn replay(store: Store) {
    let options = Options { store: store.clone(), ..Options::usual().await };
    let party = Party::at(TestServer::with(options).await).await;
    let other_node = party.client.through(&second_node(&party.server, store).await);
    let tokens = party.log_in().await;

    let proof = party.call_proof(&party.key, &tokens.access).sign();
    let elsewhere = other_node.proving(&[&proof]).call_as("DPoP", "/mcp", &tokens.access).await;
    assert_eq!(elsewhere.status(), 200);
    let again = party.call(&tokens.access, &proof).await;
    assert_eq!(error_of(again).await, (401, "invalid_dpop_proof".to_owned()));

    let proof = party.token_proof(&party.key).sign();
    Tokens::read_as("DPoP", party.client.proving(&[&proof]).refresh(&tokens.refresh, &[]).await).await;
    let again = other_node.proving(&[&proof]).refresh(&tokens.refresh, &[]).await;
    assert_eq!(error_of(again).await, refused("invalid_dpop_proof"));

    // Of any number at once one gets through.
    let proof = party.call_proof(&party.key, &tokens.access).sign();
    let mut racers = tokio::task::JoinSet::new();
    for n in 0..20 {
        let client = if n % 2 == 0 { &party.client } else { &other_node };
        let (client, token) = (client.proving(&[&proof]), tokens.access.clone());
        racers.spawn(async move { client.call_as("DPoP", "/mcp", &token).await.status().as_u16() });
    }
    let mut answers = racers.join_all().await;
    answers.sort_unstable();
    assert_eq!((answers[0], &answers[1..]), (200, &[401; 19][..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_good_once_on_all_nodes_in_memory() {
    replay(Store::open("memory:").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_good_once_on_all_nodes_in_redis() {
    let redis = RedisServer::start();
    replay(Store::open(&redis.url()).await.unwrap()).await;
}

#[tokio::test]
async fn two_keys_may_choose_the_same_identifier() {
    let mut party = Party::new().await;
    for _ in 0..2 {
        party.key = DpopKey::default();
        let token = party.log_in().await.access;
        let proof = party.call_proof(&party.key, &token).claim("jti", "1").sign();
        assert_eq!(party.call(&token, &proof).await.status(), 200);
        assert_eq!(party.call(&token, &proof).await.status(), 401);
    }
}
