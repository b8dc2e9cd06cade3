//! Open streams of events: each ends with the token that opened it, and with nothing else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod remote;
mod world;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Method;
use mcp_login::core::Secret;
use mcp_login::settings::{StaticClient, VerificationCache};
use mcp_login::store::watch::Coherence;
use mcp_login::{Resource, Store};
use mcp_login_testkit::client::Tokens;
use mcp_login_testkit::dpop::DpopKey;
use mcp_login_testkit::server::Options;
use remote::Remote;
use serde_json::Value;
use world::{Next, World};

const EVENTS: &str = "text/event-stream";
/// Shorter than the pace at which tokens are judged in any case. The time is tokio's, and stands still meanwhile.
const AT_ONCE: Duration = Duration::from_secs(1);
/// The longest that a token is not judged for.
const SOON: Duration = Duration::from_secs(12);
const HOUR: Duration = Duration::from_secs(60 * 60);
/// How long a call may go on when its token has expired.
const LAST_ANSWER: Duration = Duration::from_secs(5 * 60);

#[tokio::test]
async fn a_revoked_login_ends_its_streams_at_once() {
    let world = World::start().await;
    let (tokens, others) = (world.log_in().await, world.log_in().await);
    let mut get = world.open(Method::GET, EVENTS, &tokens.access).await;
    let mut again = world.open(Method::GET, "Text/Event-Stream; charset=utf-8", &tokens.access).await;
    let mut post = world.open(Method::POST, EVENTS, &tokens.access).await;
    let mut delete = world.open(Method::DELETE, EVENTS, &tokens.access).await;
    let mut of_another = world.open(Method::GET, EVENTS, &others.access).await;
    for stream in [&mut get, &mut again, &mut post, &mut delete, &mut of_another] {
        stream.send("one");
        assert_eq!(stream.next(AT_ONCE).await, Next::Data("one".into()));
        assert_eq!(stream.next(AT_ONCE).await, Next::Nothing);
    }
    world.revoke(&tokens.refresh).await;
    for stream in [&mut get, &mut again, &mut post, &mut delete] {
        stream.send("two");
    }
    for stream in [&mut get, &mut again] {
        assert_eq!(stream.next(AT_ONCE).await, Next::End, "clients open another one and log in");
    }
    for stream in [&mut post, &mut delete] {
        assert_eq!(stream.next(AT_ONCE).await, Next::Broken, "nobody takes half an answer for a whole one");
    }
    assert_eq!(post.next(AT_ONCE).await, Next::End);
    assert!(get.is_cancelled() && post.is_cancelled(), "the server behind learns of it");
    of_another.send("two");
    assert_eq!(of_another.next(AT_ONCE).await, Next::Data("two".into()));
}

#[tokio::test]
async fn a_stream_ends_with_its_own_token_and_not_with_another_of_the_login() {
    let world = World::start().await;
    let first = world.log_in().await;
    let mut of_first = world.open(Method::GET, EVENTS, &first.access).await;
    let mut call_of_first = world.open(Method::POST, EVENTS, &first.access).await;
    let second = Tokens::read(world.client.refresh(&first.refresh, &[]).await).await;
    let mut of_second = world.open(Method::POST, EVENTS, &second.access).await;
    assert_eq!(of_first.next(HOUR / 2).await, Next::Nothing, "a refresh ends nothing");
    world.revoke(&first.access).await;
    assert_eq!(of_first.next(AT_ONCE).await, Next::End);
    assert_eq!(call_of_first.next(AT_ONCE).await, Next::Broken);
    assert_eq!(of_second.next(HOUR / 2).await, Next::Nothing);
    of_second.send("answer");
    assert_eq!(of_second.next(AT_ONCE).await, Next::Data("answer".into()));
    of_second.finish();
    assert_eq!(of_second.next(AT_ONCE).await, Next::End, "as the server behind has ended it");
}

#[tokio::test]
async fn what_listens_ends_when_its_token_does_by_the_clock() {
    let world = World::start().await;
    let tokens = world.log_in().await;
    let mut early = world.open(Method::GET, EVENTS, &tokens.access).await;
    world.server.clock.advance(HOUR.checked_sub(SOON).unwrap());
    let mut late = world.subscribe(&tokens.access).await;
    for stream in [&mut early, &mut late] {
        assert_eq!(stream.next(2 * HOUR).await, Next::Nothing, "tokio's time is not the clock's");
    }
    world.server.clock.advance(SOON);
    assert_eq!(early.next(SOON).await, Next::End);
    assert_eq!(late.next(SOON).await, Next::Broken);
}

#[tokio::test]
async fn a_call_is_answered_also_when_its_token_has_expired_meanwhile() {
    let (telling_nothing, _) = with_a_store_that_tells_nothing().await;
    for world in [World::start().await, telling_nothing] {
        let tokens = world.log_in().await;
        let mut answered = world.open(Method::POST, EVENTS, &tokens.access).await;
        let mut endless = world.open(Method::POST, EVENTS, &tokens.access).await;
        world.server.clock.advance(HOUR);
        assert_eq!(endless.next(HOUR).await, Next::Nothing, "only the clock ends it");
        Tokens::read(world.client.refresh(&tokens.refresh, &[]).await).await;
        assert_eq!(endless.next(HOUR).await, Next::Nothing, "the old token has left the login");
        answered.send("answer");
        assert_eq!(answered.next(AT_ONCE).await, Next::Data("answer".into()));
        answered.finish();
        assert_eq!(answered.next(AT_ONCE).await, Next::End);
        world.server.clock.advance(LAST_ANSWER.checked_sub(SOON).unwrap());
        assert_eq!(endless.next(HOUR).await, Next::Nothing);
        world.server.clock.advance(SOON);
        assert_eq!(endless.next(SOON).await, Next::Broken, "it is given no more time");
    }
}

#[tokio::test]
async fn a_call_breaks_off_when_its_login_ends_after_its_token() {
    let world = World::start().await;
    let tokens = world.log_in().await;
    let mut call = world.open(Method::POST, EVENTS, &tokens.access).await;
    world.server.clock.advance(HOUR);
    assert_eq!(call.next(HOUR).await, Next::Nothing);
    world.revoke(&tokens.refresh).await;
    assert_eq!(call.next(AT_ONCE).await, Next::Broken);
}

/// In the HTTP+SSE transport.
#[tokio::test]
async fn a_stream_that_is_a_session_lasts_as_long_as_its_login() {
    let resources = vec![Resource::new("/old").scopes(["mcp", "mcp:write"]).session_query("sessionId")];
    let world = World::at("/old", Options { resources, ..Options::usual().await }).await;
    let tokens = world.log_in().await;
    let mut revoked = world.open(Method::GET, EVENTS, &tokens.access).await;
    world.server.clock.advance(HOUR);
    let tokens = Tokens::read(world.client.refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(revoked.next(HOUR).await, Next::Nothing, "the token has expired and left the login");
    revoked.send("answer");
    assert_eq!(revoked.next(AT_ONCE).await, Next::Data("answer".into()));
    world.revoke(&tokens.refresh).await;
    assert_eq!(revoked.next(AT_ONCE).await, Next::End);

    let mut forgotten = world.open(Method::GET, EVENTS, &world.log_in().await.access).await;
    world.server.clock.advance(31 * 24 * HOUR);
    assert_eq!(forgotten.next(SOON).await, Next::End, "the login has expired, too");
}

/// Its login is gone when its token has expired.
#[tokio::test]
async fn a_call_of_a_client_that_acts_for_itself_is_answered_too() {
    const SECRET: &str = "a secret of a robot that nobody can guess";
    let robot = StaticClient::new("robot").secret(Secret::from(SECRET)).grant_types(["client_credentials"]);
    let options = Options { static_clients: vec![robot], ..Options::usual().await };
    let (world, _) = with_a_store_that_tells_nothing_and(options).await;
    let form = [("grant_type", "client_credentials"), ("client_id", "robot"), ("client_secret", SECRET)];
    let mut calls = Vec::new();
    for _ in 0..2 {
        let answer: Value = world.client.form("/token", &form).await.json().await.unwrap();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        calls.push((world.open(Method::POST, EVENTS, &token).await, token));
    }
    let [(ended, token), (call, _)] = &mut calls[..] else { panic!("two calls") };
    let revoked = [("token", token.as_str()), ("client_id", "robot"), ("client_secret", SECRET)];
    assert_eq!(world.client.form("/revoke", &revoked).await.status(), 200);
    assert_eq!(ended.next(SOON).await, Next::Broken, "it has not expired");
    world.server.clock.advance(HOUR);
    assert_eq!(call.next(HOUR).await, Next::Nothing);
    world.server.clock.advance(LAST_ANSWER);
    assert_eq!(call.next(SOON).await, Next::Broken);
}

#[tokio::test]
async fn what_is_revoked_before_the_answer_begins_ends_it() {
    let world = World::start().await;
    for method in [Method::GET, Method::POST] {
        let tokens = world.log_in().await;
        let mut stream = world.open_after(method, &tokens.access, world.revoke(&tokens.refresh)).await;
        stream.send("one");
        assert!(matches!(stream.next(AT_ONCE).await, Next::End | Next::Broken));
    }
}

#[tokio::test]
async fn other_answers_are_left_alone() {
    let world = World::start().await;
    let tokens = world.log_in().await;
    let mut answer = world.open(Method::POST, "application/json", &tokens.access).await;
    world.revoke(&tokens.refresh).await;
    answer.send("{");
    assert_eq!(answer.next(AT_ONCE).await, Next::Data("{".into()));
    answer.finish();
    assert_eq!(answer.next(AT_ONCE).await, Next::End);
}

#[tokio::test]
async fn the_server_behind_is_asked_for_no_more_than_the_client_reads() {
    let world = World::start().await;
    let tokens = world.log_in().await;
    let mut stream = world.open(Method::GET, EVENTS, &tokens.access).await;
    for event in ["one", "two"] {
        stream.send(event);
    }
    assert_eq!(stream.asked.load(Ordering::SeqCst), 0);
    stream.next(AT_ONCE).await;
    assert_eq!(stream.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stream_of_a_bound_token_needs_no_second_proof() {
    let world = World::start().await;
    let key = DpopKey::default();
    let proof = |method: &str, path: &str| {
        key.proof(method, &format!("{}{path}", world.server.url), &world.server.clock)
    };
    let proving = |path: &str| world.client.proving(&[&proof("POST", path).sign()]);
    let code = world.client.code(&mcp_login_testkit::browser::Browser::new()).await;
    let tokens = Tokens::read_as("DPoP", proving("/token").exchange(&code, &[]).await).await;
    let proved = proof("GET", "/mcp").of_token(&tokens.access).sign();
    let request = axum::http::Request::get("/mcp")
        .header("authorization", format!("DPoP {}", tokens.access))
        .header("dpop", proved)
        .body(Body::empty());
    let mut stream = world.send(request.unwrap(), EVENTS, async {}).await;
    assert_eq!(stream.next(HOUR / 2).await, Next::Nothing);
    let refreshed = Tokens::read_as("DPoP", proving("/token").refresh(&tokens.refresh, &[]).await).await;
    assert_eq!(stream.next(HOUR / 2).await, Next::Nothing);
    world.revoke(&refreshed.refresh).await;
    assert_eq!(stream.next(AT_ONCE).await, Next::End);
}

/// Each look reads the store: nothing is told, nothing kept.
async fn with_a_store_that_tells_nothing() -> (World, Arc<Remote>) {
    with_a_store_that_tells_nothing_and(Options::usual().await).await
}

async fn with_a_store_that_tells_nothing_and(options: Options) -> (World, Arc<Remote>) {
    let remote = Remote::new(Coherence::None);
    let verification_cache = VerificationCache { entries: 0, ..VerificationCache::default() };
    let store = Store::new(remote.clone());
    let world = World::with(Options { store, verification_cache, ..options }).await;
    (world, remote)
}

#[tokio::test]
async fn where_nothing_is_told_the_store_is_asked_every_few_seconds() {
    let (world, remote) = with_a_store_that_tells_nothing().await;
    let tokens = world.log_in().await;
    let mut stream = world.open(Method::GET, EVENTS, &tokens.access).await;
    assert_eq!(stream.next(AT_ONCE).await, Next::Nothing);
    let before = remote.reads();
    assert_eq!(stream.next(HOUR / 2).await, Next::Nothing);
    let reads = remote.reads() - before;
    assert!((149..=226).contains(&reads), "{reads} reads in half an hour");
    world.revoke(&tokens.refresh).await;
    assert_eq!(stream.next(SOON).await, Next::End);
}

#[tokio::test]
async fn an_outage_ends_no_stream_but_the_end_of_its_token_does() {
    let (world, remote) = with_a_store_that_tells_nothing().await;
    let (revoked, expired) = (world.log_in().await, world.log_in().await);
    let mut of_revoked = world.open(Method::POST, EVENTS, &revoked.access).await;
    let mut of_expired = world.open(Method::GET, EVENTS, &expired.access).await;
    let mut call_of_expired = world.open(Method::POST, EVENTS, &expired.access).await;
    remote.is_away(true);
    world.server.clock.advance(HOUR / 2);
    for stream in [&mut of_revoked, &mut of_expired] {
        assert_eq!(stream.next(HOUR / 2).await, Next::Nothing);
        stream.send("one");
        assert_eq!(stream.next(AT_ONCE).await, Next::Data("one".into()));
    }
    remote.is_away(false);
    world.revoke(&revoked.refresh).await;
    assert_eq!(of_revoked.next(SOON).await, Next::Broken, "it is asked again");
    remote.is_away(true);
    world.server.clock.advance(HOUR / 2);
    assert_eq!(of_expired.next(SOON).await, Next::End, "nobody has to be asked");
    assert_eq!(call_of_expired.next(HOUR).await, Next::Nothing, "nobody knows of its login");
    world.server.clock.advance(LAST_ANSWER);
    assert_eq!(call_of_expired.next(SOON).await, Next::Broken);
}

/// Changes are told by the test.
async fn with_a_store_that_tells() -> (World, Arc<Remote>) {
    let remote = Remote::new(Coherence::Pushed);
    let world = World::with(Options { store: Store::new(remote.clone()), ..Options::usual().await }).await;
    remote.watcher().confirmed(Instant::now());
    (world, remote)
}

#[tokio::test]
async fn when_anything_may_have_changed_every_stream_is_looked_at() {
    let (world, remote) = with_a_store_that_tells().await;
    let (ended, kept) = (world.log_in().await, world.log_in().await);
    let mut of_ended = world.open(Method::GET, EVENTS, &ended.access).await;
    let mut of_kept = world.open(Method::GET, EVENTS, &kept.access).await;
    let options = Options { store: Store::new(remote.clone()), ..Options::usual().await };
    let elsewhere = world.client.through(&world.server.start_node(options).await);
    let form = [("token", ended.refresh.as_str()), ("client_id", elsewhere.id())];
    assert_eq!(elsewhere.form("/revoke", &form).await.status(), 200);
    assert_eq!(of_ended.next(AT_ONCE).await, Next::Nothing, "nobody has told");
    remote.watcher().all_changed();
    assert_eq!(of_ended.next(AT_ONCE).await, Next::End);
    assert_eq!(of_kept.next(AT_ONCE).await, Next::Nothing);
}

/// The change is told; the answer to the question that follows is lost.
#[tokio::test]
async fn a_change_that_nobody_could_look_at_is_looked_at_later() {
    let (world, remote) = with_a_store_that_tells().await;
    let tokens = world.log_in().await;
    let mut stream = world.open(Method::GET, EVENTS, &tokens.access).await;
    world.revoke(&tokens.refresh).await;
    remote.is_away(true);
    assert_eq!(stream.next(HOUR / 2).await, Next::Nothing);
    remote.is_away(false);
    assert_eq!(stream.next(SOON).await, Next::End);
}
