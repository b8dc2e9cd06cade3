//! Assertions of who is calling: what they say, who can check them, and what becomes of their keys.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod nodes;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mcp_login::clock::Clock;
use mcp_login::core::dpop::JwkThumbprint;
use mcp_login::core::scope::Scopes;
use mcp_login::resource::{AssertionError, CallerIdentity};
use mcp_login::store::backend::{Backend, Key};
use mcp_login::store::copy::Target;
use mcp_login_testkit::clock::MockClock;
use serde_json::json;

use nodes::{AUDIENCE, Assertion, ISSUER, Node, Records, caller, json_of, zoe};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

/// Longer than a list is shown without asking the store.
const LATER: Duration = Duration::from_secs(3);

#[tokio::test]
async fn an_assertion_says_who_calls_and_checks_with_the_published_key() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Node::start(records.store(), &clock).await;
    let (assertion, now) = (node.sign().await, clock.now().as_secs());
    let jti = assertion.claims["jti"].as_str().unwrap().to_owned();
    assert_eq!(
        assertion.claims,
        json!({
            "iss": ISSUER, "sub": "user-1", "aud": AUDIENCE, "iat": now, "exp": now + 60, "jti": jti,
            "client_id": "client-1", "scope": "mcp mcp:write", "email": "zoe@example.com", "email_verified": true,
            "preferred_username": "zoë", "name": "Zoë \"Z\"",
        })
    );
    assert_ne!(node.sign().await.claims["jti"], jti.as_str());
    assert_eq!(
        assertion.header,
        json!({"alg": "ES256", "kid": assertion.kid(), "typ": "mcp-login-assertion+jwt"})
    );

    let answer = node.get("/.well-known/jwks.json").await;
    assert_eq!(
        answer.headers()["cache-control"],
        "no-cache",
        "a new key is asked for because it is not known"
    );
    assert_eq!(answer.headers()["content-type"], "application/json");
    let keys = json_of(answer).await["keys"].as_array().unwrap().clone();
    assert!(assertion.checks_with(&keys));
    let [key] = keys.as_slice() else { panic!("one key: {keys:?}") };
    let names: BTreeSet<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, BTreeSet::from(["alg", "crv", "kid", "kty", "use", "x", "y"]), "and no private half");
    let thumbprint = JwkThumbprint::of(key.as_object().unwrap()).unwrap();
    assert_eq!(assertion.kid(), thumbprint.to_string());
}

#[tokio::test]
async fn what_is_not_known_is_not_said() {
    let node = Node::start(Arc::new(Records::default()).store(), &MockClock::new()).await;
    let program = CallerIdentity { subject: "client:bot".into(), ..CallerIdentity::default() };
    let claims = Assertion::read(&node.try_sign(&caller(program)).await.unwrap()).claims;
    for name in ["email", "email_verified", "preferred_username", "name"] {
        assert!(claims.get(name).is_none(), "{name}");
    }
}

#[tokio::test]
async fn an_assertion_is_no_longer_than_servers_read() {
    let node = Node::start(Arc::new(Records::default()).store(), &MockClock::new()).await;
    let of = |client_id: usize| {
        let scopes = (0..60).map(|n| format!("{n:060}")).collect::<Vec<_>>().join(" ");
        caller(CallerIdentity {
            subject: "user-1".into(),
            client_id: "c".repeat(client_id),
            scopes: Scopes::parse(&scopes).unwrap(),
            ..CallerIdentity::default()
        })
    };
    assert!(node.try_sign(&of(1_500)).await.unwrap().len() <= 8 * 1024);
    assert_eq!(node.try_sign(&of(2_500)).await, Err(AssertionError::TooLong));
}

#[tokio::test]
async fn each_node_shows_the_keys_of_all() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let one = Node::start(records.store(), &clock).await;
    let other = Node::start(records.store(), &clock).await;
    let (by_one, by_other) = (one.sign().await, other.sign().await);
    assert_ne!(by_one.kid(), by_other.kid(), "each has its own");
    for node in [&one, &other] {
        let keys = node.keys().await;
        assert!(by_one.checks_with(&keys) && by_other.checks_with(&keys));
        assert_eq!(keys.len(), 2);
    }
    // One that comes later is seen as soon as the list is read again.
    let third = Node::start(records.store(), &clock).await;
    third.prepare().await.unwrap();
    let by_third = third.sign().await;
    assert!(by_third.checks_with(&third.keys().await));
    clock.advance(LATER);
    assert!(by_third.checks_with(&one.keys().await));
}

#[tokio::test]
async fn many_first_calls_list_one_key() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Arc::new(Node::start(records.store(), &clock).await);
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let node = Arc::clone(&node);
            tokio::spawn(async move { node.sign().await.kid() })
        })
        .collect();
    let mut kids = BTreeSet::new();
    for call in calls {
        kids.insert(call.await.unwrap());
    }
    assert_eq!(kids.len(), 1);
    assert_eq!(records.writes.load(Ordering::SeqCst), 1);
}

/// The next key is on the list for a quarter of an hour before it signs, and the one before it until what it has signed has
/// ended.
#[tokio::test]
async fn a_key_is_followed_by_another_after_a_day() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Node::start(records.store(), &clock).await;
    let first = node.sign().await.kid();
    for _ in 0..23 {
        clock.advance(HOUR);
        assert_eq!(node.sign().await.kid(), first);
        assert_eq!(node.kids().await, std::slice::from_ref(&first));
    }
    clock.advance(HOUR);
    assert_eq!(node.sign().await.kid(), first);
    let both = node.kids().await;
    assert_eq!(both.len(), 2, "the next one is listed");
    clock.advance(14 * MINUTE + 59 * SECOND);
    let last = node.sign().await;
    assert_eq!(last.kid(), first, "and does not sign yet");
    clock.advance(SECOND);
    let next = node.sign().await;
    assert!(next.kid() != first && both.contains(&next.kid()));
    clock.advance(MINUTE);
    let keys = node.keys().await;
    assert!(last.checks_with(&keys) && next.checks_with(&keys));
    // It is not renewed, and ends by its time.
    for _ in 0..3 {
        clock.advance(HOUR);
        assert_eq!(node.sign().await.kid(), next.kid());
    }
    clock.advance(LATER);
    assert_eq!(node.kids().await, [next.kid()]);
}

#[tokio::test]
async fn the_key_of_a_process_that_has_gone_ends_by_its_date() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let (gone, stays) =
        (Node::start(records.store(), &clock).await, Node::start(records.store(), &clock).await);
    let (last, lives) = (gone.sign().await, stays.sign().await.kid());
    drop(gone);
    clock.advance(2 * HOUR);
    stays.sign().await;
    assert!(last.checks_with(&stays.keys().await));
    clock.advance(HOUR);
    stays.sign().await;
    assert_eq!(stays.kids().await, [lives]);
}

/// Nobody called for a while: those who knew the key know it still.
#[tokio::test]
async fn a_key_that_rested_goes_on_within_its_day() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Node::start(records.store(), &clock).await;
    let first = node.sign().await.kid();
    clock.advance(20 * HOUR);
    assert!(node.kids().await.is_empty());
    let again = node.sign().await;
    assert_eq!(again.kid(), first);
    assert!(again.checks_with(&node.keys().await), "and is listed again");
    clock.advance(20 * HOUR);
    let next = node.sign().await;
    assert_ne!(next.kid(), first, "its day is over");
    assert!(next.checks_with(&node.keys().await));
}

#[tokio::test]
async fn without_a_listed_key_nothing_is_signed() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Node::start(records.store(), &clock).await;
    records.set_away(true);
    assert_eq!(node.prepare().await, Err(AssertionError::Unavailable));
    assert_eq!(node.try_sign(&zoe()).await, Err(AssertionError::Unavailable));
    let answer = node.get("/.well-known/jwks.json").await;
    assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));

    // It has the key, and its answer is lost.
    records.set_away(false);
    records.loses_answers.store(true, Ordering::SeqCst);
    assert_eq!(node.try_sign(&zoe()).await, Err(AssertionError::Unavailable));
    let listed = node.kids().await;
    assert_eq!(listed.len(), 1);
    records.loses_answers.store(false, Ordering::SeqCst);
    assert_eq!(node.sign().await.kid(), listed[0], "the same key, not one for each attempt");
    assert_eq!(node.kids().await, listed);
}

#[tokio::test]
async fn a_listed_key_goes_on_in_an_outage_until_its_end() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Node::start(records.store(), &clock).await;
    let first = node.sign().await;
    assert_eq!(node.kids().await, [first.kid()]);
    records.set_away(true);
    // A minute for the assertion, and one for clocks that are ahead.
    clock.advance(2 * HOUR + 57 * MINUTE + 59 * SECOND);
    let last = node.sign().await;
    assert_eq!(last.kid(), first.kid());
    clock.advance(MINUTE);
    assert!(last.checks_with(&node.keys().await), "the last list stands in");
    assert_eq!(node.try_sign(&zoe()).await, Err(AssertionError::Unavailable));
    clock.advance(MINUTE + SECOND);
    assert_eq!(node.get("/.well-known/jwks.json").await.status(), 503, "nobody knows");
    records.set_away(false);
    let back = node.sign().await;
    assert_eq!(back.kid(), first.kid());
    assert!(back.checks_with(&node.keys().await));
}

#[tokio::test]
async fn a_list_that_was_lost_is_written_again() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Node::start(records.store(), &clock).await;
    node.sign().await;
    assert!(records.delete(&Key::new("jwks", "assertions"), clock.now()).await.unwrap());
    clock.advance(LATER);
    assert!(node.kids().await.is_empty());
    let assertion = node.sign().await;
    assert!(assertion.checks_with(&node.keys().await));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_written_anew() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Node::start(records.store(), &clock).await;
    records.damaged.store(true, Ordering::SeqCst);
    assert!(node.keys().await.is_empty(), "and no error that lasts");
    assert!(node.sign().await.checks_with(&node.keys().await));
}

/// A list of 256 keys, and one process after the other that makes one and fails.
#[tokio::test]
async fn processes_that_fail_push_no_living_one_off_the_list() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let lives = Node::start(records.store(), &clock).await;
    let mut last = lives.sign().await;
    for n in 0..270 {
        clock.advance(10 * SECOND);
        if n % 6 == 0 {
            last = lives.sign().await;
        }
        Node::start(records.store(), &clock).await.prepare().await.unwrap();
    }
    // Whoever else reads the list: it would say so itself, if it was asked.
    let keys = Node::start(records.store(), &clock).await.keys().await;
    assert_eq!(keys.len(), 256);
    assert!(last.checks_with(&keys));
}

/// The clock of a computer may be wrong for a while.
#[tokio::test]
async fn a_clock_that_is_set_back_does_not_freeze_the_list() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Node::start(records.store(), &clock).await;
    clock.advance(HOUR);
    assert!(node.keys().await.is_empty());
    clock.set_back(HOUR);
    let other = Node::start(records.store(), &clock).await.sign().await;
    assert!(other.checks_with(&node.keys().await));
}

#[tokio::test]
async fn the_list_is_read_once_for_all_who_ask() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let node = Arc::new(Node::start(records.store(), &clock).await);
    let ask_at_once = async || {
        let asking: Vec<_> = (0..20)
            .map(|_| {
                let node = Arc::clone(&node);
                tokio::spawn(async move { node.kids().await })
            })
            .collect();
        for asked in asking {
            asked.await.unwrap();
        }
        records.reads.load(Ordering::SeqCst)
    };
    assert_eq!(ask_at_once().await, 1);
    assert_eq!(ask_at_once().await, 1, "a moment later it is the same");
    clock.advance(LATER);
    assert_eq!(ask_at_once().await, 2);
}

#[tokio::test]
async fn the_list_moves_with_the_store_and_is_counted() {
    let (from, to, clock) = (Arc::new(Records::default()), Arc::new(Records::default()), MockClock::new());
    let assertion = Node::start(from.store(), &clock).await.sign().await;
    let survey = from.store().survey(clock.now(), |_| {}).await.unwrap();
    assert_eq!((survey.kinds["jwks"].records, survey.damaged, survey.foreign), (1, 0, 0));
    from.store().copy_to(&to.store(), Target::Empty, || clock.now(), |_| {}).await.unwrap();
    assert!(assertion.checks_with(&Node::start(to.store(), &clock).await.keys().await));
}

#[tokio::test]
async fn the_keys_are_at_the_issuer_and_at_the_root() {
    let (records, clock) = (Arc::new(Records::default()), MockClock::new());
    let issuer = "https://example.com/login";
    let node = Node::start_at(issuer, records.store(), &clock).await;
    let assertion = node.sign().await;
    assert_eq!(assertion.claims["iss"], issuer);
    for path in ["/login/.well-known/jwks.json", "/.well-known/jwks.json"] {
        let answer = node.get(path).await;
        assert_eq!(answer.status(), 200, "{path}");
        let keys = json_of(answer).await["keys"].as_array().unwrap().clone();
        assert!(assertion.checks_with(&keys), "{path}");
    }
}
