//! Each thing that can go wrong in a login, and the kind of error it becomes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use mcp_login::clock::{Clock, SystemClock};
use mcp_login::core::{Secret, Timestamp};
use mcp_login::upstream::{Upstream, UpstreamError, preset};
use mcp_login_testkit::fake_upstream::{FakeUpstream, Fault, SigningAlgorithm};

fn now() -> Timestamp {
    SystemClock.now()
}

/// The error of a login with this fault, after a look at everything that could leak from it.
async fn error_of(fake: &FakeUpstream, upstream: &Upstream, fault: Fault) -> UpstreamError {
    fake.clear();
    fake.set(fault.clone());
    let error = match fake.login(upstream, now()).await {
        Err(error) => error,
        Ok(login) => panic!("{fault:?} went through: {login:?}"),
    };
    assert_silent(fake, &error);
    error
}

/// Neither the text, nor `Debug`, nor any cause shows a secret or what an answer said.
fn assert_silent(fake: &FakeUpstream, error: &UpstreamError) {
    let mut shown = format!("{error} {error:?} {error:#?}");
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        shown = format!("{shown} {inner} {inner:?}");
        cause = inner.source();
    }
    let mut secrets = fake.issued_secrets();
    secrets.push(fake.client_secret().to_owned());
    secrets.extend(["the fake upstream says no", "said with 200", "something is wrong"].map(str::to_owned));
    for request in fake.seen_token().iter().chain(&fake.seen_authorize()) {
        for name in ["code_verifier", "state", "nonce", "code_challenge"] {
            secrets.extend(request.get(name).map(str::to_owned));
        }
    }
    for secret in secrets {
        assert!(!shown.contains(&secret), "{secret:?} is in {shown}");
    }
}

#[tokio::test]
async fn an_id_token_that_does_not_hold_is_untrusted() {
    for algorithm in [SigningAlgorithm::Es256, SigningAlgorithm::Rs256] {
        let fake = FakeUpstream::start_signing(algorithm).await;
        let upstream = fake.oidc();
        fake.login(&upstream, now()).await.expect("without a fault it goes through");
        for (fault, because) in [
            (Fault::AlgNone, "not signed in a known way"),
            (Fault::Hs256, "algorithm that is not allowed"),
            (Fault::UnknownKid, "key the service does not publish"),
            (Fault::WrongKey, "signature"),
            (Fault::WrongIssuer, "another issuer"),
            (Fault::WrongAudience, "another client"),
            (Fault::TwoAudiences, "azp"),
            (Fault::ExpiredIdToken, "expired"),
            (Fault::FutureIdToken, "future"),
            (Fault::WrongNonce, "nonce"),
            (Fault::NoNonce, "nonce"),
            (Fault::WrongAtHash, "at_hash"),
            (Fault::NoIdToken, "no id_token"),
            (Fault::OtherSubject, "somebody else"),
        ] {
            let error = error_of(&fake, &upstream, fault.clone()).await;
            assert!(matches!(error, UpstreamError::Untrusted(_)), "{fault:?}: {error}");
            assert!(error.to_string().contains(because), "{fault:?}: {error}");
        }
    }
}

#[tokio::test]
async fn the_time_that_counts_is_the_one_handed_in() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    let then = Timestamp::from_millis(1_000_000_000_000);
    fake.set_now(move || then);
    fake.login(&upstream, then).await.expect("both clocks agree on 2001");
    let late = then.plus(Duration::from_secs(3600 + 30));
    let started = fake.start_login(&upstream, then).await.unwrap();
    let error = started.finish(&upstream, late).await.unwrap_err();
    assert!(error.to_string().contains("expired"), "{error}");
    let real = fake.login(&upstream, now()).await.unwrap_err();
    assert!(real.to_string().contains("expired"), "{real}");
}

#[tokio::test]
async fn an_unknown_kid_fetches_the_keys_once() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    fake.login(&upstream, now()).await.unwrap();
    assert_eq!(fake.key_fetches(), 1);
    fake.set(Fault::RotatedKey);
    fake.login(&upstream, now()).await.expect("the new key is found");
    assert_eq!(fake.key_fetches(), 2);
    fake.clear();
    for _ in 0..5 {
        error_of(&fake, &upstream, Fault::UnknownKid).await;
    }
    assert_eq!(fake.key_fetches(), 2, "made-up key ids do not become requests");
}

#[tokio::test]
async fn the_callbacks_iss_counts() {
    let fake = FakeUpstream::start().await;
    for (upstream, fault) in
        [(fake.oidc(), Fault::WrongIss), (fake.oidc(), Fault::NoIss), (fake.github(), Fault::WrongIss)]
    {
        let before = fake.exchanges();
        let error = error_of(&fake, &upstream, fault.clone()).await;
        assert!(matches!(error, UpstreamError::Untrusted(_)), "{fault:?}: {error}");
        assert_eq!(fake.exchanges(), before, "the code must not be sent anywhere");
    }
    fake.clear();
    fake.set(Fault::NoIss);
    fake.login(&fake.github(), now()).await.expect("GitHub does not promise iss");
    fake.clear();
    let unknown = fake.login(&fake.oauth2(), now()).await.unwrap_err();
    assert!(unknown.to_string().starts_with("issuer: "), "{unknown}");
}

#[tokio::test]
async fn an_outage_is_unavailable() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc().timeout(Duration::from_millis(400));
    for fault in [
        Fault::TokenStatus(500),
        Fault::TokenStatus(503),
        Fault::TokenHang,
        Fault::TokenClose,
        Fault::TokenAnswerLost,
        Fault::TokenError("temporarily_unavailable"),
        Fault::UserinfoStatus(502),
    ] {
        let error = error_of(&fake, &upstream, fault.clone()).await;
        assert!(matches!(error, UpstreamError::Unavailable { retry_after: None, .. }), "{fault:?}: {error}");
        assert!(!error.ends_grant());
    }
    let wait = |error| match error {
        UpstreamError::Unavailable { retry_after, .. } => retry_after,
        other => panic!("{other}"),
    };
    let error = error_of(&fake, &upstream, Fault::TokenRateLimited(7)).await;
    assert_eq!(wait(error), Some(Duration::from_secs(7)));
    let error = error_of(&fake, &upstream, Fault::TokenRateLimited(1_000_000)).await;
    assert_eq!(wait(error), Some(Duration::from_secs(3600)), "capped");
}

#[tokio::test]
async fn nobody_there_is_unavailable() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.github();
    let started = fake.start_login(&upstream, now()).await.unwrap();
    drop(fake);
    let error = started.finish(&upstream, now()).await.unwrap_err();
    assert!(matches!(error, UpstreamError::Unavailable { .. }), "{error}");
    assert!(std::error::Error::source(&error).is_some(), "the cause is there for the log");
}

#[tokio::test]
async fn a_refusal_carries_the_services_word() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.github();
    for (fault, word) in [
        (Fault::TokenError("invalid_grant"), "invalid_grant"),
        (Fault::ErrorIn200("bad_verification_code"), "bad_verification_code"),
        (Fault::TokenError("Tok3n-in-the-wrong-place"), "unrecognized_error"),
        (Fault::TokenStatus(400), "unrecognized_error"),
    ] {
        match error_of(&fake, &upstream, fault.clone()).await {
            UpstreamError::Refused { error } => assert_eq!(error, word),
            other => panic!("{fault:?}: {other}"),
        }
    }
}

#[tokio::test]
async fn a_mistake_of_the_operator_names_the_key() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.github();
    for (fault, key) in [
        (Fault::ErrorIn200("incorrect_client_credentials"), "client_secret: "),
        (Fault::TokenUnauthorized, "client_secret: "),
        (Fault::ErrorIn200("redirect_uri_mismatch"), "client_id: "),
        (Fault::TokenStatus(404), "token_endpoint: "),
        (Fault::UserinfoStatus(403), "userinfo_endpoint: "),
    ] {
        let error = error_of(&fake, &upstream, fault.clone()).await;
        assert!(matches!(error, UpstreamError::Misconfigured(_)), "{fault:?}: {error}");
        assert!(error.to_string().starts_with(key), "{fault:?}: {error}");
    }
    fake.clear();
    let mut provider = preset("oidc").unwrap().with_issuer(fake.issuer());
    provider.display_name = "Test".to_owned();
    let wrong = Upstream::new(provider, fake.client_id(), Some("not the secret".into()));
    let error = fake.login(&wrong, now()).await.unwrap_err();
    assert!(error.to_string().starts_with("client_secret: "), "{error}");
    assert!(!format!("{error:?}").contains("not the secret"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let fake = FakeUpstream::start().await;
    let trap = FakeUpstream::start().await;
    let upstream = fake.github();
    let error = error_of(&fake, &upstream, Fault::TokenRedirect(format!("{}/token", trap.issuer()))).await;
    assert!(error.to_string().starts_with("token_endpoint: "), "{error}");
    assert_eq!(trap.seen_token(), [], "code and secret went to another host");
}

#[tokio::test]
async fn an_answer_without_a_token_or_without_an_end_is_untrusted() {
    let fake = FakeUpstream::start().await;
    for fault in [Fault::NoAccessToken, Fault::HugeBody, Fault::TokenStatus(200)] {
        let error = error_of(&fake, &fake.github(), fault.clone()).await;
        assert!(matches!(error, UpstreamError::Untrusted(_)), "{fault:?}: {error}");
    }
}

#[tokio::test]
async fn denied_at_the_service_comes_back_as_an_error() {
    let fake = FakeUpstream::start().await;
    fake.set(Fault::AccessDenied);
    let started = fake.start_login(&fake.oidc(), now()).await.unwrap();
    assert_eq!(started.callback.error.as_deref(), Some("access_denied"));
    assert_eq!(started.callback.code, None);
    assert_eq!(started.callback.state.as_deref(), Some(started.state.expose_secret()));
}

#[tokio::test]
async fn a_code_belongs_to_its_login() {
    let fake = FakeUpstream::start().await;
    let upstream = fake.oidc();
    let refused = |result: Result<_, UpstreamError>| match result {
        Err(UpstreamError::Refused { error }) => assert_eq!(error, "invalid_grant"),
        other => panic!("{other:?}"),
    };
    let mut other_verifier = fake.start_login(&upstream, now()).await.unwrap();
    other_verifier.code_verifier = Secret::from("x".repeat(43));
    refused(other_verifier.finish(&upstream, now()).await);
    let mut other_redirect = fake.start_login(&upstream, now()).await.unwrap();
    other_redirect.redirect_uri = "https://mcp.example.com/callback/".parse().unwrap();
    refused(other_redirect.finish(&upstream, now()).await);
    let twice = fake.start_login(&upstream, now()).await.unwrap();
    let login = twice.finish(&upstream, now()).await.unwrap();
    refused(twice.finish(&upstream, now()).await);
    assert!(!fake.accepts(login.tokens.access_token.expose_secret()), "the fake is strict about replay");
    let mut other_nonce = fake.start_login(&upstream, now()).await.unwrap();
    other_nonce.nonce = Secret::from("of another login");
    assert!(matches!(other_nonce.finish(&upstream, now()).await, Err(UpstreamError::Untrusted(_))));
}
