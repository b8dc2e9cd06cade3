//! A person logs in: the whole road, and every way to leave it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use mcp_login::settings::AccessRule;
use mcp_login_testkit::browser::{Browser, location, read_page};
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, STATE, Tokens, param};
use mcp_login_testkit::fake_upstream::{FakeUser, Fault};
use mcp_login_testkit::server::{Options, TestServer};
use serde_json::{Value, json};
use url::Url;

#[tokio::test]
async fn a_person_logs_in_and_calls_a_tool() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let tokens = client.log_in(&browser).await;
    let answer: Value = client.call("/mcp", &tokens.access).await.json().await.unwrap();
    assert_eq!(answer["client_id"], client.id());
    assert_eq!(answer["resource"], server.mcp());
    assert_eq!(answer["scope"], "mcp mcp:write");
    assert!(answer["subject"].as_str().is_some_and(|subject| !subject.is_empty()));
    assert_eq!(answer["claims"]["sub"], answer["subject"]);
    assert!(server.upstream.accepts(answer["upstream_token"].as_str().unwrap()));
}

#[tokio::test]
async fn the_answer_to_the_client_names_the_issuer_and_returns_the_state() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let back = browser.log_in(&client.authorization_url(&[]), REDIRECT_URI).await;
    assert_eq!(param(&back, "state").as_deref(), Some(STATE));
    assert_eq!(param(&back, "iss").as_deref(), Some(server.url.as_str()));
    assert!(param(&back, "error").is_none());
}

#[tokio::test]
async fn the_upstream_gets_our_own_pkce_state_and_nonce_and_no_resource() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    client.log_in(&browser).await;
    let [seen] = &server.upstream.seen_authorize()[..] else { panic!("one request") };
    let url = Url::parse(&client.authorization_url(&[])).unwrap();
    for name in ["state", "code_challenge", "client_id", "redirect_uri"] {
        let (ours, clients) = (seen.get(name).unwrap(), param(&url, name).unwrap());
        assert_ne!(ours, clients, "{name}");
    }
    assert!(seen.get("nonce").is_some());
    assert_eq!(seen.get("code_challenge_method"), Some("S256"));
    assert_eq!(seen.get("resource"), None);
    assert_eq!(seen.get("redirect_uri"), Some(format!("{}/callback", server.url).as_str()));
}

#[tokio::test]
async fn the_page_states_the_facts_and_is_not_to_be_framed_or_kept() {
    let server = TestServer::start().await;
    let metadata = json!({"client_name": "<script>alert(1)</script>", "redirect_uris": [REDIRECT_URI]});
    let (client, browser) = (OAuthClient::register_as(&server, metadata).await, Browser::new());
    let page = browser.open(&client.authorization_url(&[])).await;
    assert_eq!(page.status(), 200);
    let header = |name: &str| page.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("cache-control"), "no-store");
    assert_eq!(header("x-frame-options"), "DENY");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert_eq!(header("referrer-policy"), "same-origin");
    let policy = header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(
        policy.contains("http://127.0.0.1:49152"),
        "the client's address ends the form's chain: {policy}"
    );
    assert!(!page.headers().contains_key("access-control-allow-origin"));
    let cookie = header("set-cookie");
    assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Lax"), "{cookie}");
    let html = page.text().await.unwrap();
    assert!(!html.contains("<script>"), "{html}");
    for fact in ["127.0.0.1", &server.mcp(), "mcp:write"] {
        assert!(html.contains(fact), "{fact}");
    }
}

#[tokio::test]
async fn no_means_no() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let page = browser.open(&client.authorization_url(&[])).await;
    let (action, token) = read_page(page).await;
    let answer = [("consent_token", token.as_str()), ("decision", "deny")];
    let back = Url::parse(&location(&browser.post(&action, &server.url, &answer).await)).unwrap();
    assert!(back.as_str().starts_with(REDIRECT_URI));
    assert_eq!(param(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(param(&back, "state").as_deref(), Some(STATE));
    assert_eq!(param(&back, "iss").as_deref(), Some(server.url.as_str()));
    // And it stays no.
    let yes = [("consent_token", token.as_str()), ("decision", "allow")];
    assert_eq!(browser.post(&action, &server.url, &yes).await.status(), 403);
    assert!(server.upstream.seen_authorize().is_empty());
}

#[tokio::test]
async fn the_page_is_answered_by_its_own_form_in_its_own_browser_once() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let (action, token) = read_page(browser.open(&client.authorization_url(&[])).await).await;
    let (_, other) = read_page(browser.open(&client.authorization_url(&[])).await).await;
    let allow = |token: &str| [("consent_token", token.to_owned()), ("decision", "allow".to_owned())];
    let post = async |browser: &Browser, origin: &str, token: &str| {
        let form = allow(token);
        let form: Vec<(&str, &str)> = form.iter().map(|(name, value)| (*name, value.as_str())).collect();
        browser.post(&action, origin, &form).await.status().as_u16()
    };
    let stranger = Browser::new();
    assert_eq!(post(&stranger, &server.url, &token).await, 403, "no cookie");
    stranger.open(&client.authorization_url(&[])).await;
    assert_eq!(post(&stranger, &server.url, &token).await, 403, "another browser's cookie");
    assert_eq!(post(&browser, "https://evil.example", &token).await, 403, "another site's form");
    assert_eq!(post(&browser, "null", &token).await, 403, "a form that hides where it is from");
    assert_eq!(post(&browser, &server.url, "").await, 403, "no token");
    assert_eq!(post(&browser, &server.url, "mlf_x").await, 403, "no token of ours");
    let changed = format!("{}A", &token[..token.len() - 1]);
    let changed = if changed == token { format!("{}B", &token[..token.len() - 1]) } else { changed };
    assert_eq!(post(&browser, &server.url, &changed).await, 403, "a changed token");
    assert_eq!(post(&browser, &server.url, &token).await, 303);
    assert_eq!(post(&browser, &server.url, &token).await, 403, "twice");
    assert_eq!(post(&browser, &server.url, &other).await, 303, "another login beside it");
    server.clock.advance(Duration::from_secs(600));
    let (_, late) = read_page(browser.open(&client.authorization_url(&[])).await).await;
    server.clock.advance(Duration::from_secs(600));
    assert_eq!(post(&browser, &server.url, &late).await, 403, "too late");
}

/// A login up to the upstream's redirect to our callback.
async fn callback(server: &TestServer, browser: &Browser) -> String {
    let client = OAuthClient::register(server).await;
    let page = browser.open(&client.authorization_url(&[])).await;
    let answered = browser.answer(page, "allow").await;
    let callback = format!("{}/callback", server.url);
    browser.follow(answered, &callback).await.into()
}

#[tokio::test]
async fn the_session_cookie_is_not_there_before_consent() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let page = browser.open(&client.authorization_url(&[])).await;
    let names = |browser: &Browser| browser.cookies().into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(&browser).len(), 1);
    assert!(names(&browser)[0].starts_with("mcp-login-consent-"), "{:?}", names(&browser));
    browser.answer(page, "allow").await;
    assert_eq!(names(&browser).len(), 1);
    assert!(names(&browser)[0].starts_with("mcp-login-session-"), "{:?}", names(&browser));
}

#[tokio::test]
async fn the_callback_is_taken_in_the_browser_that_consented_once() {
    let server = TestServer::start().await;
    let browser = Browser::new();
    let url = callback(&server, &browser).await;
    let stranger = Browser::new();
    let other = callback(&server, &stranger).await;
    assert_eq!(Browser::new().open_from_elsewhere(&url).await.status(), 400, "no cookie");
    assert_eq!(stranger.open_from_elsewhere(&url).await.status(), 400, "another browser's cookie");
    let done = browser.open_from_elsewhere(&url).await;
    assert_eq!(done.status(), 303);
    assert!(location(&done).starts_with(REDIRECT_URI));
    assert_eq!(browser.open_from_elsewhere(&url).await.status(), 400, "twice");
    assert_eq!(server.upstream.exchanges(), 1);
    assert_eq!(stranger.open_from_elsewhere(&other).await.status(), 303, "the other login was not disturbed");
}

#[tokio::test]
async fn a_callback_that_belongs_to_no_login_is_refused() {
    let server = TestServer::start().await;
    let browser = Browser::new();
    let url = Url::parse(&callback(&server, &browser).await).unwrap();
    let with = |name: &str, value: &str| {
        let mut changed = url.clone();
        let pairs: Vec<(String, String)> =
            url.query_pairs().into_owned().filter(|(held, _)| held != name).collect();
        changed.query_pairs_mut().clear().extend_pairs(&pairs);
        if !value.is_empty() {
            changed.query_pairs_mut().append_pair(name, value);
        }
        changed.to_string()
    };
    let state = param(&url, "state").unwrap();
    for bad in [
        with("state", ""),
        with("state", "mls_unknown"),
        with("state", &state.replace("mls_", "mlc_")),
        with(
            "state",
            &format!("{}{}", &state[..state.len() - 1], if state.ends_with('A') { "B" } else { "A" }),
        ),
        format!("{url}&state={state}"),
    ] {
        assert_eq!(browser.open_from_elsewhere(&bad).await.status(), 400, "{bad}");
    }
    server.clock.advance(Duration::from_secs(601));
    assert_eq!(browser.open_from_elsewhere(url.as_str()).await.status(), 400, "too late");
    assert_eq!(server.upstream.exchanges(), 0);
}

#[tokio::test]
async fn an_issuer_that_is_not_the_upstream_is_refused() {
    let server = TestServer::start().await;
    let browser = Browser::new();
    let url = callback(&server, &browser).await;
    let mixed_up = Url::parse(&url).unwrap();
    let pairs: Vec<(String, String)> =
        mixed_up.query_pairs().into_owned().filter(|(name, _)| name != "iss").collect();
    let mut mixed_up = mixed_up;
    mixed_up.query_pairs_mut().clear().extend_pairs(&pairs).append_pair("iss", "https://evil.example");
    assert_eq!(browser.open_from_elsewhere(mixed_up.as_str()).await.status(), 400);
    assert_eq!(server.upstream.exchanges(), 0, "the code is not sent anywhere");
    let mut refusal = Url::parse(&callback(&server, &browser).await).unwrap();
    let state = param(&refusal, "state").unwrap();
    let pairs = [("state", state.as_str()), ("error", "access_denied"), ("iss", "https://evil.example")];
    refusal.query_pairs_mut().clear().extend_pairs(pairs);
    assert_eq!(
        browser.open_from_elsewhere(refusal.as_str()).await.status(),
        400,
        "nor is a refusal believed"
    );
}

/// What the client is told when the upstream does this.
async fn refusal(fault: Fault) -> String {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    server.upstream.set(fault);
    let back = browser.log_in(&client.authorization_url(&[]), REDIRECT_URI).await;
    assert_eq!(param(&back, "state").as_deref(), Some(STATE));
    assert_eq!(param(&back, "iss").as_deref(), Some(server.url.as_str()));
    assert!(param(&back, "code").is_none());
    param(&back, "error").unwrap()
}

#[tokio::test]
async fn what_goes_wrong_at_the_upstream_is_told_to_the_client_without_details() {
    assert_eq!(refusal(Fault::AccessDenied).await, "access_denied");
    assert_eq!(refusal(Fault::TokenStatus(500)).await, "temporarily_unavailable");
    assert_eq!(refusal(Fault::TokenError("invalid_grant")).await, "server_error");
}

#[tokio::test]
async fn an_identity_that_cannot_be_trusted_is_no_login() {
    let server = TestServer::start().await;
    server.upstream.set(Fault::WrongNonce);
    let browser = Browser::new();
    let url = callback(&server, &browser).await;
    let refused = browser.open_from_elsewhere(&url).await;
    assert_eq!(refused.status(), 400);
    assert!(refused.headers().get("location").is_none());
}

#[tokio::test]
async fn only_those_who_may_log_in_do() {
    let contact = Some("the help desk".into());
    let access = AccessRule { emails: vec!["alice@example.com".into()], contact, ..AccessRule::default() };
    let server = TestServer::with(Options { access, ..Options::usual().await }).await;
    let client = OAuthClient::register(&server).await;
    server.upstream.sign_in_as(FakeUser::new("alice"));
    let back = Browser::new().log_in(&client.authorization_url(&[]), REDIRECT_URI).await;
    assert!(param(&back, "code").is_some(), "{back}");
    server.upstream.sign_in_as(FakeUser::new("bob"));
    let browser = Browser::new();
    let page = browser.open(&client.authorization_url(&[])).await;
    let answered = browser.answer(page, "allow").await;
    let back = browser.follow(answered, &format!("{}/callback", server.url)).await;
    let refused = browser.open_from_elsewhere(back.as_str()).await;
    assert_eq!(refused.status(), 403);
    let html = refused.text().await.unwrap();
    assert!(html.contains("bob@example.com") && html.contains("Ask the help desk,"), "{html}");
    // The way back tells the client.
    let back = html.split("href=\"").nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&");
    let back = url::Url::parse(&back).unwrap();
    assert!(back.as_str().starts_with(REDIRECT_URI), "{back}");
    assert_eq!(param(&back, "error").as_deref(), Some("access_denied"));
    assert_eq!(param(&back, "iss").as_deref(), Some(server.url.as_str()));
}

#[tokio::test]
async fn an_earlier_yes_stands_in_for_the_page_only_where_it_may() {
    const SITE: &str = "https://client.example/callback";
    let server = TestServer::start().await;
    let metadata = json!({"redirect_uris": [SITE, REDIRECT_URI]});
    let (client, browser) = (OAuthClient::register_as(&server, metadata).await, Browser::new());
    let site = client.authorization_url(&[("redirect_uri", SITE), ("scope", "mcp")]);
    let shows_page = async |url: &str| browser.open(url).await.status() == 200;
    browser.log_in(&site, SITE).await;
    assert!(!shows_page(&site).await, "the same again");
    assert_eq!(browser.open_from_elsewhere(&site).await.status(), 200, "not what another site has started");
    assert!(
        shows_page(&client.authorization_url(&[("redirect_uri", SITE), ("scope", "mcp mcp:write")])).await
    );
    assert!(shows_page(&format!("{site}&prompt=consent")).await);
    let other = OAuthClient::register_as(&server, json!({"redirect_uris": [SITE]})).await;
    assert!(
        shows_page(&other.authorization_url(&[("redirect_uri", SITE), ("scope", "mcp")])).await,
        "another client"
    );
    assert_eq!(Browser::new().open(&site).await.status(), 200, "another browser");
    let loopback = client.authorization_url(&[]);
    browser.log_in(&loopback, REDIRECT_URI).await;
    assert!(shows_page(&loopback).await, "any program can listen on loopback");
}

#[tokio::test]
async fn pages_that_a_new_browser_opens_at_once_can_all_be_answered() {
    let server = TestServer::start().await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let first = browser.open(&client.authorization_url(&[])).await;
    let second = browser.open(&client.authorization_url(&[])).await;
    for page in [first, second] {
        let answered = browser.answer(page, "allow").await;
        assert!(browser.follow(answered, REDIRECT_URI).await.query().unwrap().contains("code="));
    }
}

#[tokio::test]
async fn an_approval_is_remembered_once_somebody_has_signed_in() {
    const SITE: &str = "https://client.example/callback";
    let server = TestServer::start().await;
    let metadata = json!({"redirect_uris": [SITE]});
    let (client, browser) = (OAuthClient::register_as(&server, metadata).await, Browser::new());
    let site = client.authorization_url(&[("redirect_uri", SITE)]);
    let page = browser.open(&site).await;
    assert_eq!(browser.answer(page, "allow").await.status(), 303);
    assert_eq!(browser.open(&site).await.status(), 200, "nobody came back from the upstream");
}

#[tokio::test]
async fn two_logins_of_one_browser_do_not_disturb_each_other() {
    let server = TestServer::start().await;
    let browser = Browser::new();
    let (first, second) = (callback(&server, &browser).await, callback(&server, &browser).await);
    assert_eq!(browser.open_from_elsewhere(&second).await.status(), 303);
    assert_eq!(browser.open_from_elsewhere(&first).await.status(), 303);
}

#[tokio::test]
async fn stale_upstream_tokens_are_refreshed_once() {
    let server = TestServer::start().await;
    server.upstream.set_access_ttl(Duration::from_secs(1800));
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());
    let Tokens { access, .. } = client.log_in(&browser).await;
    let token = async || {
        let answer: Value = client.call("/mcp", &access).await.json().await.unwrap();
        answer["upstream_token"].clone()
    };
    let first = token().await;
    assert_eq!(token().await, first);
    server.clock.advance(Duration::from_secs(1800));
    let calls: Vec<_> = (0..10).map(|_| token()).collect();
    let mut seen = Vec::new();
    for call in calls {
        seen.push(call.await);
    }
    assert!(seen.iter().all(|token| *token == seen[0] && *token != first), "{seen:?}");
    assert_eq!(server.upstream.refreshes(), 1);
    assert!(server.upstream.accepts(seen[0].as_str().unwrap()));
}
