#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::StatusCode;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::net::TcpListener;
use url::Url;

use super::*;

const CALLBACK: &str = "http://127.0.0.1:8080/callback";
const CLIENT: &str = "gateway";
const SECRET: &str = "s3cret:with=odd&characters";
const VERIFIER: &str = "a-verifier-of-forty-three-characters-at-least";

/// A clock that stands still until it is told.
#[derive(Debug, Default)]
struct StoppedClock(AtomicU64);

impl Clock for StoppedClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::SeqCst))
    }
}

impl StoppedClock {
    fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

/// The service on a port of its own, and a browser that follows nothing.
struct Service {
    origin: String,
    clock: Arc<StoppedClock>,
    http: reqwest::Client,
}

impl Service {
    async fn start() -> Self {
        let clock = Arc::new(StoppedClock(AtomicU64::new(1_800_000_000_000)));
        let router = SignIn::new(CLIENT, Secret::new(SECRET), CALLBACK, clock.clone()).router();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .unwrap();
        Self { origin, clock, http }
    }

    async fn authorize(&self, parameters: &[(&str, &str)]) -> reqwest::Response {
        let url = Url::parse_with_params(&format!("{}/authorize", self.origin), parameters).unwrap();
        self.http.get(url).send().await.unwrap()
    }

    async fn post(&self, path: &str, form: &[(&str, &str)]) -> reqwest::Response {
        self.http.post(format!("{}{path}", self.origin)).form(form).send().await.unwrap()
    }

    /// Opens the page and takes its secret out of the form.
    async fn page(&self) -> String {
        let answer = self.authorize(&request()).await;
        assert_eq!(answer.status(), StatusCode::OK);
        let html = answer.text().await.unwrap();
        let (_, rest) = html.split_once(r#"name="request" value=""#).expect("the form has the secret");
        rest.split_once('"').unwrap().0.to_owned()
    }

    async fn code_for(&self, person: &str) -> String {
        let page = self.page().await;
        let answer = self.post("/authorize", &[("request", &page), ("person", person)]).await;
        let answer = sent_back(&answer);
        assert_eq!(value(&answer, "state").as_deref(), Some("state-1"));
        value(&answer, "code").expect("a code")
    }

    async fn redeem(&self, code: &str) -> (StatusCode, Value) {
        answered(self.post("/token", &redemption(code)).await).await
    }

    async fn refresh(&self, token: &str) -> (StatusCode, Value) {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", token),
            ("client_id", CLIENT),
            ("client_secret", SECRET),
        ];
        answered(self.post("/token", &form).await).await
    }

    async fn userinfo(&self, token: &str) -> (StatusCode, Value) {
        let request = self.http.get(format!("{}/userinfo", self.origin)).bearer_auth(token);
        answered(request.send().await.unwrap()).await
    }

    async fn login(&self, person: &str) -> Value {
        let (status, tokens) = self.redeem(&self.code_for(person).await).await;
        assert_eq!(status, StatusCode::OK, "{tokens}");
        tokens
    }
}

async fn answered(response: reqwest::Response) -> (StatusCode, Value) {
    let status = response.status();
    (status, serde_json::from_str(&response.text().await.unwrap()).unwrap_or_default())
}

fn challenge() -> &'static str {
    static CHALLENGE: std::sync::LazyLock<String> =
        std::sync::LazyLock::new(|| URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER)));
    &CHALLENGE
}

fn request() -> Vec<(&'static str, &'static str)> {
    vec![
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", CALLBACK),
        ("state", "state-1"),
        ("code_challenge", challenge()),
        ("code_challenge_method", "S256"),
    ]
}

fn redemption(code: &str) -> Vec<(&'static str, &str)> {
    vec![
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
        ("client_id", CLIENT),
        ("client_secret", SECRET),
    ]
}

/// The pairs with one of them changed, or left out.
fn with<'a>(
    mut pairs: Vec<(&'a str, &'a str)>,
    name: &'a str,
    value: Option<&'a str>,
) -> Vec<(&'a str, &'a str)> {
    pairs.retain(|(other, _)| *other != name);
    pairs.extend(value.map(|value| (name, value)));
    pairs
}

/// What a redirect brings to the callback.
fn sent_back(response: &reqwest::Response) -> Vec<(String, String)> {
    assert_eq!(response.status(), StatusCode::SEE_OTHER);
    let location = Url::parse(response.headers()["location"].to_str().unwrap()).unwrap();
    assert_eq!(&location[..url::Position::AfterPath], CALLBACK);
    location.query_pairs().into_owned().collect()
}

fn value(pairs: &[(String, String)], name: &str) -> Option<String> {
    pairs.iter().find(|(other, _)| other == name).map(|(_, value)| value.clone())
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("{key} is missing in {value}"))
}

#[tokio::test]
async fn a_person_signs_in() {
    let service = Service::start().await;
    let tokens = service.login("demo-ada").await;
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 3600);
    assert_eq!(tokens["scope"], "profile email");
    let (status, ada) = service.userinfo(text(&tokens, "access_token")).await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(ada["sub"], "demo-ada");
    assert_eq!(ada["name"], "Ada Lovelace");
    assert_eq!(ada["email"], "ada@example.com");
    assert_eq!(ada["email_verified"], true);

    let tokens = service.login("demo-alan").await;
    let (_, alan) = service.userinfo(text(&tokens, "access_token")).await;
    assert_eq!(alan["sub"], "demo-alan");
    assert_eq!(alan["email"], "alan@example.com");
}

#[tokio::test]
async fn the_page_shows_both_people_and_lets_in_its_own_styles_only() {
    let service = Service::start().await;
    let answer = service.authorize(&request()).await;
    let policy = answer.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert_eq!(answer.headers()["cache-control"], "no-store");
    assert_eq!(answer.headers()["x-frame-options"], "DENY");
    let html = answer.text().await.unwrap();
    for fact in ["Ada Lovelace", "ada@example.com", "Alan Turing", "alan@example.com", "there is no password"]
    {
        assert!(html.contains(fact), "{fact} is missing");
    }
    let styles: Vec<&str> =
        html.split("<style>").skip(1).map(|rest| rest.split_once("</style>").unwrap().0).collect();
    assert_eq!(styles.len(), 2);
    for style in styles {
        assert!(policy.contains(&mcp_login::page::style_hash_of(style)), "{policy}");
    }
    assert!(policy.starts_with("default-src 'none'; "), "{policy}");
    assert!(!policy.contains("form-action"), "it would stop the redirects that follow: {policy}");
    assert!(!html.contains("<script") && !html.contains(" style="));
}

#[tokio::test]
async fn nobody_is_sent_to_an_unchecked_address() {
    let service = Service::start().await;
    for (name, wrong) in [
        ("client_id", Some("somebody-else")),
        ("client_id", None),
        ("redirect_uri", Some("http://127.0.0.1:8080/callback/")),
        ("redirect_uri", Some("http://127.0.0.1:8080/callback?x=1")),
        ("redirect_uri", Some("http://127.0.0.1:9999/callback")),
        ("redirect_uri", Some("https://evil.example/")),
        ("redirect_uri", None),
    ] {
        let answer = service.authorize(&with(request(), name, wrong)).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{name} {wrong:?}");
        assert!(answer.headers().get("location").is_none());
        assert!(answer.headers().contains_key("content-security-policy"));
    }
    let mut twice = request();
    twice.push(("state", "another"));
    assert_eq!(service.authorize(&twice).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_else_is_wrong_is_told_to_the_client() {
    let service = Service::start().await;
    let long = "s".repeat(2049);
    for (name, wrong, error) in [
        ("response_type", Some("token"), "unsupported_response_type"),
        ("response_type", None, "invalid_request"),
        ("code_challenge", None, "invalid_request"),
        ("code_challenge", Some("short"), "invalid_request"),
        ("code_challenge_method", None, "invalid_request"),
        ("code_challenge_method", Some("plain"), "invalid_request"),
        ("state", None, "invalid_request"),
        ("state", Some(&long), "invalid_request"),
        ("scope", Some("profile admin"), "invalid_scope"),
    ] {
        let answer = sent_back(&service.authorize(&with(request(), name, wrong)).await);
        assert_eq!(value(&answer, "error").as_deref(), Some(error), "{name} {wrong:?}");
        let state = if name == "state" { None } else { Some("state-1") };
        assert_eq!(value(&answer, "state").as_deref(), state, "{name} {wrong:?}");
        assert_eq!(value(&answer, "code"), None);
    }
}

#[tokio::test]
async fn a_page_is_answered_once_and_in_time() {
    let service = Service::start().await;
    let page = service.page().await;
    let form = [("request", page.as_str()), ("person", "demo-ada")];
    assert_eq!(service.post("/authorize", &form).await.status(), StatusCode::SEE_OTHER);
    assert_eq!(service.post("/authorize", &form).await.status(), StatusCode::BAD_REQUEST);

    let page = service.page().await;
    service.clock.advance(Duration::from_secs(601));
    let form = [("request", page.as_str()), ("person", "demo-ada")];
    assert_eq!(service.post("/authorize", &form).await.status(), StatusCode::BAD_REQUEST);

    let forged = [("request", "forged"), ("person", "demo-ada")];
    assert_eq!(service.post("/authorize", &forged).await.status(), StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn cancel_is_access_denied() {
    let service = Service::start().await;
    for nobody in ["", "demo-grace"] {
        let page = service.page().await;
        let answer = service.post("/authorize", &[("request", &page), ("person", nobody)]).await;
        let answer = sent_back(&answer);
        assert_eq!(value(&answer, "error").as_deref(), Some("access_denied"));
        assert_eq!(value(&answer, "state").as_deref(), Some("state-1"));
    }
}

#[tokio::test]
async fn a_code_needs_everything_it_was_given_for() {
    let service = Service::start().await;
    let other = "another-verifier-of-forty-three-characters-or-more";
    for (name, wrong, error) in [
        ("code", Some("no-such-code"), "invalid_grant"),
        ("code", None, "invalid_request"),
        ("code_verifier", Some(other), "invalid_grant"),
        ("code_verifier", None, "invalid_request"),
        ("redirect_uri", Some("http://127.0.0.1:8080/other"), "invalid_grant"),
        ("redirect_uri", None, "invalid_grant"),
        ("grant_type", Some("password"), "unsupported_grant_type"),
        ("grant_type", None, "invalid_request"),
    ] {
        let code = service.code_for("demo-ada").await;
        let (status, answer) =
            answered(service.post("/token", &with(redemption(&code), name, wrong)).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{name} {wrong:?}");
        assert_eq!(answer["error"], error, "{name} {wrong:?}");
        assert!(answer.get("access_token").is_none());
    }
}

#[tokio::test]
async fn a_short_verifier_is_refused_even_when_it_matches() {
    let service = Service::start().await;
    let short = "short";
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(short));
    let answer =
        service.authorize(&with(request(), "code_challenge", Some(&challenge))).await.text().await.unwrap();
    let page =
        answer.split_once(r#"name="request" value=""#).unwrap().1.split_once('"').unwrap().0.to_owned();
    let answer = service.post("/authorize", &[("request", &page), ("person", "demo-ada")]).await;
    let code = value(&sent_back(&answer), "code").unwrap();
    let form = with(redemption(&code), "code_verifier", Some(short));
    let (status, answer) = answered(service.post("/token", &form).await).await;
    assert_eq!((status, text(&answer, "error")), (StatusCode::BAD_REQUEST, "invalid_grant"));
}

#[tokio::test]
async fn a_wrong_verifier_spends_the_code() {
    let service = Service::start().await;
    let code = service.code_for("demo-ada").await;
    let wrong = "another-verifier-of-forty-three-characters-or-more";
    let form = with(redemption(&code), "code_verifier", Some(wrong));
    service.post("/token", &form).await;
    let (status, answer) = service.redeem(&code).await;
    assert_eq!((status, text(&answer, "error")), (StatusCode::BAD_REQUEST, "invalid_grant"));
}

#[tokio::test]
async fn the_client_must_be_the_one_that_is_known() {
    let service = Service::start().await;
    for (name, wrong) in [
        ("client_secret", Some("wrong")),
        ("client_secret", None),
        ("client_id", Some("somebody-else")),
        ("client_id", None),
    ] {
        let code = service.code_for("demo-ada").await;
        let answer = service.post("/token", &with(redemption(&code), name, wrong)).await;
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with("Basic"));
        let (status, answer) = answered(answer).await;
        assert_eq!(
            (status, text(&answer, "error")),
            (StatusCode::UNAUTHORIZED, "invalid_client"),
            "{name} {wrong:?}"
        );
        // The code is not spent by somebody who could not name himself.
        assert_eq!(service.redeem(&code).await.0, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_client_may_use_http_basic() {
    let service = Service::start().await;
    let encoded: String = url::form_urlencoded::byte_serialize(SECRET.as_bytes()).collect();
    let send = async |secret: &str, form: Vec<(&str, &str)>| {
        let basic = format!("Basic {}", STANDARD.encode(format!("{CLIENT}:{secret}")));
        let request =
            service.http.post(format!("{}/token", service.origin)).header("authorization", basic).form(&form);
        answered(request.send().await.unwrap()).await
    };
    let code = service.code_for("demo-ada").await;
    let form = with(with(redemption(&code), "client_secret", None), "client_id", None);
    assert_eq!(send("wrong", form.clone()).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(
        send(&encoded, redemption(&code)).await.1["error"],
        "invalid_request",
        "not in two ways at once"
    );
    assert_eq!(send(&encoded, form).await.0, StatusCode::OK);
}

#[tokio::test]
async fn a_code_is_good_once_and_for_a_minute() {
    let service = Service::start().await;
    let code = service.code_for("demo-ada").await;
    let (_, tokens) = service.redeem(&code).await;
    let (status, answer) = service.redeem(&code).await;
    assert_eq!((status, text(&answer, "error")), (StatusCode::BAD_REQUEST, "invalid_grant"));
    // RFC 6749 §4.1.2: what the first use gave ends.
    assert_eq!(service.userinfo(text(&tokens, "access_token")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(service.refresh(text(&tokens, "refresh_token")).await.1["error"], "invalid_grant");

    let code = service.code_for("demo-ada").await;
    service.clock.advance(Duration::from_secs(60));
    assert_eq!(service.redeem(&code).await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn a_refresh_token_rotates_and_a_replay_ends_the_login() {
    let service = Service::start().await;
    let first = service.login("demo-ada").await;
    let bystander = service.login("demo-alan").await;
    let (status, second) = service.refresh(text(&first, "refresh_token")).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(first["refresh_token"], second["refresh_token"]);
    assert_ne!(first["access_token"], second["access_token"]);
    assert_eq!(service.userinfo(text(&second, "access_token")).await.1["sub"], "demo-ada");

    assert_eq!(service.refresh(text(&first, "refresh_token")).await.1["error"], "invalid_grant");
    assert_eq!(service.refresh(text(&second, "refresh_token")).await.1["error"], "invalid_grant");
    assert_eq!(service.userinfo(text(&second, "access_token")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(service.userinfo(text(&bystander, "access_token")).await.0, StatusCode::OK);
    assert_eq!(service.refresh("no-such-token").await.1["error"], "invalid_grant");
}

#[tokio::test]
async fn an_access_token_is_good_for_an_hour() {
    let service = Service::start().await;
    let tokens = service.login("demo-ada").await;
    service.clock.advance(Duration::from_secs(3599));
    assert_eq!(service.userinfo(text(&tokens, "access_token")).await.0, StatusCode::OK);
    service.clock.advance(Duration::from_secs(1));
    assert_eq!(service.userinfo(text(&tokens, "access_token")).await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(service.refresh(text(&tokens, "refresh_token")).await.0, StatusCode::OK);

    let naked = service.http.get(format!("{}/userinfo", service.origin)).send().await.unwrap();
    assert_eq!(naked.status(), StatusCode::UNAUTHORIZED);
    assert!(naked.headers()["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
}

#[tokio::test]
async fn a_scope_gives_what_it_says() {
    let service = Service::start().await;
    let page = service.authorize(&with(request(), "scope", Some("profile"))).await.text().await.unwrap();
    let page = page.split_once(r#"name="request" value=""#).unwrap().1.split_once('"').unwrap().0.to_owned();
    let answer = service.post("/authorize", &[("request", &page), ("person", "demo-ada")]).await;
    let (_, tokens) = service.redeem(&value(&sent_back(&answer), "code").unwrap()).await;
    assert_eq!(tokens["scope"], "profile");
    let (_, ada) = service.userinfo(text(&tokens, "access_token")).await;
    assert_eq!(ada["preferred_username"], "ada");
    assert!(ada.get("email").is_none(), "{ada}");
}

#[tokio::test]
async fn a_large_form_is_refused_and_the_secret_is_not_shown() {
    let service = Service::start().await;
    let large = "x".repeat(MAX_FORM_BYTES);
    let answer = service.post("/token", &redemption(&large)).await;
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let lost = service.http.get(&service.origin).send().await.unwrap();
    assert_eq!(lost.status(), StatusCode::NOT_FOUND);

    let shown = format!("{:?}", SignIn::new(CLIENT, Secret::new(SECRET), CALLBACK, service.clock.clone()));
    assert!(!shown.contains(SECRET), "{shown}");
}
