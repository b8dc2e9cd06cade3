//! Refreshing: what is kept, what is told apart, and that a rotated token is not sent twice.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use mcp_login::clock::{Clock, SystemClock};
use mcp_login::core::Timestamp;
use mcp_login::upstream::{UpstreamError, UpstreamTokens};
use mcp_login_testkit::fake_upstream::{FakeUpstream, Fault};

fn now() -> Timestamp {
    SystemClock.now()
}

#[tokio::test]
async fn a_refresh_gives_a_new_pair() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    let old = fake.login(&upstream, now()).await.unwrap().tokens;
    let at = now();
    let new = upstream.refresh(&old, at).await.unwrap();
    assert_ne!(new.access_token, old.access_token);
    assert_ne!(new.refresh_token, old.refresh_token);
    assert_eq!(new.scope, old.scope);
    assert_eq!(new.expires_at, Some(at.plus(Duration::from_secs(3600))));
    assert!(fake.accepts(new.access_token.expose_secret()));
    assert_eq!(fake.refreshes(), 1);
}

#[tokio::test]
async fn a_replayed_token_is_refused_for_good() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    let old = fake.login(&upstream, now()).await.unwrap().tokens;
    let new = upstream.refresh(&old, now()).await.unwrap();
    let error = upstream.refresh(&old, now()).await.unwrap_err();
    assert!(error.ends_grant(), "{error}");
    let error = upstream.refresh(&new, now()).await.unwrap_err();
    assert!(error.ends_grant(), "the fake ends the family: {error}");
}

#[tokio::test]
async fn what_the_answer_leaves_out_stays() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    let old = fake.login(&upstream, now()).await.unwrap().tokens;
    fake.set(Fault::OmitRefreshToken);
    let new = upstream.refresh(&old, now()).await.unwrap();
    assert_ne!(new.access_token, old.access_token);
    assert_eq!(new.refresh_token, old.refresh_token);
    assert_eq!(new.scope, old.scope);
    assert!(new.scope.is_some());
    upstream.refresh(&new, now()).await.expect("the old one is still good there");
}

#[tokio::test]
async fn an_outage_keeps_the_grant_and_is_asked_once() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc().timeout(Duration::from_millis(400));
    let old = fake.login(&upstream, now()).await.unwrap().tokens;
    let faults = [
        Fault::TokenStatus(500),
        Fault::TokenRateLimited(3),
        Fault::TokenHang,
        Fault::TokenClose,
        Fault::TokenStatus(403),
        Fault::TokenUnauthorized,
        Fault::HugeBody,
    ];
    for (sent, fault) in faults.into_iter().enumerate() {
        if fault == Fault::HugeBody {
            // Here the token was used; the rest of the loop left it alone.
            assert_eq!(fake.refreshes(), sent);
        }
        fake.clear();
        fake.set(fault.clone());
        let error = upstream.refresh(&old, now()).await.unwrap_err();
        assert!(!error.ends_grant(), "{fault:?}: {error}");
        assert_eq!(fake.refreshes(), sent + 1, "{fault:?} was sent again");
        let shown = format!("{error} {error:?}");
        assert!(fake.issued_secrets().iter().all(|secret| !shown.contains(secret)), "{shown}");
    }
}

#[tokio::test]
async fn without_a_refresh_token_nothing_is_sent() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    fake.set(Fault::NoRefreshToken);
    let tokens = fake.login(&upstream, now()).await.unwrap().tokens;
    let error = upstream.refresh(&tokens, now()).await.unwrap_err();
    assert!(error.ends_grant() && matches!(error, UpstreamError::Refused { .. }), "{error}");
    assert_eq!(fake.refreshes(), 0);
}

#[tokio::test]
async fn tokens_survive_being_stored() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    fake.set_access_ttl(Duration::from_secs(10));
    let start = now();
    let tokens = fake.login(&upstream, start).await.unwrap().tokens;
    let stored = serde_json::to_vec(&tokens).unwrap();
    let back: UpstreamTokens = serde_json::from_slice(&stored).unwrap();
    assert!(!back.is_stale(start.plus(Duration::from_millis(8999))));
    assert!(back.is_stale(start.plus(Duration::from_secs(9))));
    upstream.refresh(&back, start).await.unwrap();
}
