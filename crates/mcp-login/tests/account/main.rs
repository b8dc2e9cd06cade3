//! The page on which a person sees and ends what is connected in their name.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod two_services;
mod visitor;

use std::path::Path;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use mcp_login::Store;
use mcp_login::settings::{AccessRule, RateLimit, RateLimits};
use mcp_login_testkit::browser::{Browser, location};
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, param};
use mcp_login_testkit::fake_upstream::{FakeUpstream, FakeUser};
use mcp_login_testkit::server::{Options, TestServer};
use reqwest::Response;
use serde_json::{Value, json};

use visitor::{Visitor, connections, value_of, values_of};

/// How soon the service hears of the end.
const SOON: Duration = Duration::from_secs(5);

async fn refused(answer: Response) {
    assert_eq!(answer.status(), 403);
    assert_page_headers(&answer);
    let page = answer.text().await.unwrap();
    assert!(page.contains("Nothing was changed") && page.contains("/account\">Your connections"), "{page}");
}

fn assert_page_headers(answer: &Response) {
    let header = |name: &str| answer.headers()[name].to_str().unwrap();
    assert!(header("content-security-policy").contains("frame-ancestors 'none'"));
    assert_eq!((header("cache-control"), header("x-frame-options")), ("no-store", "DENY"));
    assert!(answer.headers().get("access-control-allow-origin").is_none());
}

async fn status_of(client: &OAuthClient, tokens: &Tokens) -> u16 {
    client.call("/mcp", &tokens.access).await.status().as_u16()
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < SOON, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_person_sees_their_own_connections_the_newest_first() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    client.log_in(&Browser::new()).await;
    server.clock.advance(Duration::from_secs(60));
    let named = json!({"client_name": "Newer <b>", "redirect_uris": [REDIRECT_URI]});
    let newer = OAuthClient::register_as(&server, named).await;
    newer.log_in(&Browser::new()).await;
    server.upstream.sign_in_as(FakeUser::new("bob"));
    let bobs = json!({"client_name": "Bobs", "redirect_uris": [REDIRECT_URI]});
    OAuthClient::register_as(&server, bobs).await.log_in(&Browser::new()).await;

    server.upstream.sign_in_as(FakeUser::new("alice"));
    let page = Visitor::signed_in(&server).await.page().await;
    assert_eq!(connections(&page).len(), 2, "{page}");
    let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text} in {page}"));
    assert!(at("Newer &#60;b&#62;") < at("<bdi>Test</bdi>"), "{page}");
    assert!(!page.contains("Bobs"));
    for fact in ["15 January 2027, 08:00 UTC", "08:01 UTC", "mcp:write", &server.mcp(), "Unverified"] {
        at(fact);
    }
}

#[tokio::test]
async fn who_has_not_signed_in_sees_nothing_but_where_to() {
    let server = TestServer::start().await;
    OAuthClient::register(&server).await.log_in(&Browser::new()).await;
    let visitor = Visitor::new(&server);
    let answer = visitor.browser.open(&visitor.url("")).await;
    assert_eq!(answer.status(), 200);
    assert_page_headers(&answer);
    let page = answer.text().await.unwrap();
    assert_eq!(values_of(&page, "upstream").count(), 1);
    assert!(page.contains("Sign in to see which programs") && connections(&page).is_empty(), "{page}");
    assert!(visitor.browser.cookies().is_empty());
    let empty = TestServer::start().await;
    let page = Visitor::signed_in(&empty).await.page().await;
    assert!(page.contains("No program is connected in your name."), "{page}");
}

#[tokio::test]
async fn disconnecting_ends_the_login_at_once_on_every_node() {
    let store = Store::open("memory:").await.unwrap();
    let options = async || Options { store: store.clone(), ..Options::usual().await };
    let server = TestServer::with(options().await).await;
    let client = OAuthClient::register(&server).await;
    let elsewhere = client.through(&server.start_node(options().await).await);
    let ended = client.log_in(&Browser::new()).await;
    server.clock.advance(Duration::from_secs(1));
    let kept = client.log_in(&Browser::new()).await;
    assert_eq!((status_of(&elsewhere, &ended).await, status_of(&elsewhere, &kept).await), (200, 200));
    let visitor = Visitor::signed_in(&server).await;
    let listed = connections(&visitor.page().await);
    assert_eq!(listed.len(), 2);
    visitor.disconnect(&listed[1]).await;
    assert_eq!((status_of(&client, &ended).await, status_of(&elsewhere, &ended).await), (401, 401));
    assert_eq!(client.refresh(&ended.refresh, &[]).await.status(), 400);
    assert_eq!(status_of(&elsewhere, &kept).await, 200, "the other one is not disturbed");
    assert_eq!(connections(&visitor.page().await), listed[..1]);
    visitor.disconnect(&listed[1]).await;
    assert_eq!(connections(&visitor.page().await), listed[..1], "twice is once");
}

#[tokio::test]
async fn a_form_has_to_come_from_the_page_of_this_session() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let (visitor, other) = (Visitor::signed_in(&server).await, Visitor::signed_in(&server).await);
    let page = visitor.page().await;
    let (id, token) = (&connections(&page)[0], value_of(&page, "form_token").unwrap());
    let others = other.page().await;
    let foreign = value_of(&others, "form_token").unwrap();
    assert_ne!(token, foreign);
    for path in ["/disconnect", "/sign-out", "/sign-in"] {
        let form = [("connection", id.as_str()), ("upstream", "")];
        refused(visitor.post(path, &form).await).await;
        let with = |token| [&form[..], &[("form_token", token)]].concat();
        refused(visitor.post(path, &with(foreign)).await).await;
        refused(visitor.post(path, &[with(token), vec![("form_token", token)]].concat()).await).await;
        for origin in ["https://evil.example", "null"] {
            refused(visitor.browser.post(&visitor.url(path), origin, &with(token)).await).await;
        }
        if path != "/sign-in" {
            refused(Visitor::new(&server).post(path, &with(token)).await).await;
        }
    }
    assert_eq!(status_of(&client, &tokens).await, 200);
    assert_eq!(connections(&visitor.page().await).len(), 1, "and nobody was signed out");
    assert_eq!(visitor.browser.open(&visitor.url("/disconnect")).await.status(), 405);
}

#[tokio::test]
async fn nobody_ends_what_is_not_theirs() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let alices = client.log_in(&Browser::new()).await;
    let id = connections(&Visitor::signed_in(&server).await.page().await)[0].clone();
    server.upstream.sign_in_as(FakeUser::new("bob"));
    let bob = Visitor::signed_in(&server).await;
    for id in [id.as_str(), &id.to_uppercase(), "0", ""] {
        bob.disconnect(id).await;
    }
    assert_eq!(status_of(&client, &alices).await, 200);
}

#[tokio::test]
async fn a_session_ends_after_a_quarter_of_an_hour_and_when_its_person_signs_out() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let visitor = Visitor::signed_in(&server).await;
    let page = visitor.page().await;
    let (id, token) = (connections(&page)[0].clone(), value_of(&page, "form_token").unwrap());
    server.clock.advance(Duration::from_millis(15 * 60 * 1000 - 1));
    assert_eq!(connections(&visitor.page().await).len(), 1);
    server.clock.advance(Duration::from_millis(1));
    assert_eq!(connections(&visitor.page().await).len(), 0);
    refused(visitor.post("/disconnect", &[("connection", &id), ("form_token", token)]).await).await;
    assert_eq!(status_of(&client, &tokens).await, 200);

    visitor.sign_in("").await;
    let cookie = visitor.browser.cookies();
    assert_eq!(connections(&visitor.page().await).len(), 1);
    let answer = visitor.press("/sign-out", "", "").await;
    assert_eq!(location(&answer), visitor.url(""));
    assert!(visitor.browser.cookies().is_empty());
    let (name, value) = &cookie[0];
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(visitor.url(""));
    let kept = request.header("cookie", format!("{name}={value}")).send().await.unwrap();
    assert_eq!(connections(&kept.text().await.unwrap()).len(), 0, "the cookie is of no use any more");
    assert_eq!(status_of(&client, &tokens).await, 200, "signing out here ends no connection");
}

#[tokio::test]
async fn what_comes_back_belongs_to_the_browser_that_went_and_to_where_it_went_from() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    client.log_in(&Browser::new()).await;
    let (visitor, thief) = (Visitor::new(&server), Visitor::new(&server));
    let back = visitor.go_to_service("").await;
    assert_eq!(thief.browser.open_from_elsewhere(&back).await.status(), 400);
    thief.go_to_service("").await;
    assert_eq!(thief.browser.open_from_elsewhere(&back).await.status(), 400, "nor with a cookie of its own");
    assert!(connections(&thief.page().await).is_empty());
    assert_eq!(visitor.browser.open_from_elsewhere(&back).await.status(), 303);
    assert_eq!(visitor.browser.open_from_elsewhere(&back).await.status(), 400, "once");

    // A login's way back makes no account session, whatever page is open beside it.
    let browser = Browser::new();
    let login = browser.answer(browser.open(&client.authorization_url(&[])).await, "allow").await;
    let login = browser.follow(login, &format!("{}/callback", server.url)).await;
    let beside = Visitor { server: &server, browser };
    let account = beside.go_to_service("").await;
    let state = |url: &str| param(&url.parse().unwrap(), "state").unwrap();
    let mixed = login.as_str().replace(&state(login.as_str()), &state(&account));
    // The code of one with the state of the other: our PKCE and nonce are of the other, too.
    let answer = beside.browser.open_from_elsewhere(&mixed).await;
    assert_eq!(answer.status(), 400, "{:?}", answer.headers());
    assert!(beside.browser.cookies().iter().all(|(name, _)| name != "mcp-login-account"));
    let answer = beside.browser.open_from_elsewhere(login.as_str()).await;
    assert!(location(&answer).contains("code="), "and the login goes on");
}

#[tokio::test]
async fn a_login_beside_the_page_is_not_disturbed() {
    let server = TestServer::start().await;
    let client = OAuthClient::register(&server).await;
    let visitor = Visitor::new(&server);
    let login = visitor.browser.open(&client.authorization_url(&[])).await;
    let back = visitor.go_to_service("").await;
    let answered = visitor.browser.answer(login, "allow").await;
    assert_eq!(visitor.browser.open_from_elsewhere(&back).await.status(), 303);
    let back = visitor.browser.follow(answered, REDIRECT_URI).await;
    let tokens = Tokens::read(client.exchange(&param(&back, "code").unwrap(), &[]).await).await;
    assert_eq!(status_of(&client, &tokens).await, 200);
    assert_eq!(connections(&visitor.page().await).len(), 1);
    Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
}

#[tokio::test]
async fn who_may_no_longer_log_in_can_still_end_what_they_have() {
    let store = Store::open("memory:").await.unwrap();
    let server = TestServer::with(Options { store: store.clone(), ..Options::usual().await }).await;
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let access = AccessRule { subjects: vec!["somebody else".to_owned()], ..AccessRule::default() };
    let options = Options { store, access, ..Options::usual().await };
    let node = server.start_node(options).await;
    let visitor = Visitor::signed_in(&server).await;
    let through = |path: &str| format!("{node}/account{path}");
    let page = visitor.browser.open(&through("")).await.text().await.unwrap();
    let form = [
        ("connection", connections(&page)[0].clone()),
        ("form_token", value_of(&page, "form_token").unwrap().to_owned()),
    ];
    let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
    assert_eq!(visitor.browser.post(&through("/disconnect"), &server.url, &form).await.status(), 303);
    assert_eq!(status_of(&client, &tokens).await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_services_tokens_of_the_visit_are_not_kept() {
    let server = TestServer::start().await;
    Visitor::signed_in(&server).await;
    until("the tokens are not revoked", || server.upstream.seen_revocations().len() == 1).await;

    // With a login here they are left: many services would end the login's, too.
    let client = OAuthClient::register(&server).await;
    let tokens = client.log_in(&Browser::new()).await;
    let told: Value = client.call("/mcp", &tokens.access).await.json().await.unwrap();
    Visitor::signed_in(&server).await;
    server.upstream.sign_in_as(FakeUser::new("bob"));
    Visitor::signed_in(&server).await;
    until("bob's are not revoked", || server.upstream.seen_revocations().len() == 2).await;
    assert!(server.upstream.accepts(told["upstream_token"].as_str().unwrap()));
}

#[tokio::test]
async fn a_service_or_a_store_that_is_away_is_a_page() {
    let mut server = TestServer::start().await;
    let visitor = Visitor::new(&server);
    let back = visitor.go_to_service("").await;
    let Visitor { browser, .. } = visitor;
    let cancelled = back.replace("code=", "error=access_denied&was=");
    server.upstream = FakeUpstream::start().await;
    let answer = browser.open_from_elsewhere(&back).await;
    assert_eq!(answer.status(), 503);
    assert_page_headers(&answer);
    let page = answer.text().await.unwrap();
    assert!(page.contains("You are not signed in") && page.contains("Your connections</a>"), "{page}");
    assert_eq!(browser.open_from_elsewhere(&cancelled).await.status(), 400, "it was used");

    let server = TestServer::start().await;
    let visitor = Visitor::new(&server);
    let back = visitor.go_to_service("").await.replace("code=", "error=access_denied&was=");
    assert_eq!(location(&visitor.browser.open_from_elsewhere(&back).await), visitor.url(""), "and back");

    // A port where nobody is.
    let store = Store::open("redis://127.0.0.1:1").await.unwrap();
    let server = TestServer::with(Options { store, ..Options::usual().await }).await;
    let request =
        reqwest::Client::builder().no_proxy().build().unwrap().get(format!("{}/account", server.url));
    let cookie = format!("mcp-login-account={}", "A".repeat(43));
    let answer = request.header("cookie", cookie).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.headers().contains_key("retry-after"));
    assert_page_headers(&answer);
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_told_to_wait() {
    let limit = RateLimit { burst: 3, per_minute: 1 };
    let rate_limits = RateLimits { authorize: Some(limit), ..RateLimits::OFF };
    let header = axum::http::HeaderName::from_static("x-forwarded-for");
    let options = Options { rate_limits, client_address_header: Some(header), ..Options::usual().await };
    let server = TestServer::with(options).await;
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let ask = async || {
        let request = http.get(format!("{}/account", server.url)).header("x-forwarded-for", "203.0.113.9");
        request.send().await.unwrap().status().as_u16()
    };
    let asked = [ask().await, ask().await, ask().await, ask().await];
    assert_eq!(asked, [200, 200, 200, 429]);
}

/// Nothing of what a thief of the store finds opens the page.
#[tokio::test]
async fn the_store_holds_nothing_that_opens_the_page() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    let store = Store::open(&format!("file:{}", path.display())).await.unwrap();
    let server = TestServer::with(Options { store: store.clone(), ..Options::usual().await }).await;
    let visitor = Visitor::signed_in(&server).await;
    let page = visitor.page().await;
    let cookie = visitor.browser.cookies()[0].1.clone();
    let survey = store.survey(mcp_login::clock::Clock::now(&server.clock), |_| ()).await.unwrap();
    assert_eq!((survey.kinds["account"].records, survey.damaged), (1, 0));
    assert!(!survey.kinds.contains_key("grant"), "nothing is left of the way there");
    let mut secrets = server.upstream.issued_secrets();
    secrets.extend([cookie, value_of(&page, "form_token").unwrap().to_owned()]);
    assert_eq!(found_in(&path, &secrets), Vec::<&String>::new());
    assert!(!found_in(&path, &["account:".to_owned()]).is_empty(), "the file is what is looked at");
}

fn found_in<'a>(path: &Path, secrets: &'a [String]) -> Vec<&'a String> {
    let stored = std::fs::read(path).unwrap();
    let is_there = |secret: &&String| stored.windows(secret.len()).any(|part| part == secret.as_bytes());
    secrets.iter().filter(is_there).collect()
}

#[tokio::test]
async fn the_cookie_is_the_browsers_alone_and_new_with_each_sign_in() {
    let server = TestServer::start().await;
    let visitor = Visitor::new(&server);
    let back = visitor.go_to_service("").await;
    let answer = visitor.browser.open_from_elsewhere(&back).await;
    let set: Vec<&str> =
        answer.headers().get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap()).collect();
    let account = set.iter().find(|cookie| cookie.starts_with("mcp-login-account=")).unwrap();
    for attribute in ["; Path=/", "; HttpOnly", "; SameSite=Lax", "; Max-Age=900"] {
        assert!(account.contains(attribute), "{account}");
    }
    let planted = visitor.browser.cookies();
    visitor.sign_in("").await;
    assert_ne!(visitor.browser.cookies(), planted);
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(visitor.url(""));
    let held = request.header("cookie", format!("{}={}", planted[0].0, planted[0].1)).send().await.unwrap();
    assert!(held.text().await.unwrap().contains("Sign in to see"), "the one before is over");
}
