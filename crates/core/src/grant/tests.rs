#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;

use super::*;
use crate::client::{RedirectPolicy, redirect_uri::check_redirect_uri};
use crate::pkce::CodeChallenge;
use crate::secret::Secret;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT: &str = "http://127.0.0.1:5000/cb";
const WINDOW: Duration = Duration::from_secs(60);
const ACCESS_TTL: Duration = Duration::from_secs(3600);
const REFRESH_TTL: Duration = Duration::from_secs(86_400);

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000 + seconds * 1000)
}

fn hash(of: u8) -> SecretHash {
    SecretHash::new([of; 32])
}

fn sealed(of: u8) -> Sealed {
    Sealed::new(vec![of])
}

fn client(id: &str) -> PresentedClient<'_> {
    PresentedClient { id, authenticated: false }
}

fn issued(n: u8, now: Timestamp) -> Issued {
    let scope = Scopes::parse("a b").unwrap();
    Issued {
        access: AccessToken {
            hash: hash(100 + n),
            wrapped_key: sealed(n),
            scope,
            expires_at: now.plus(ACCESS_TTL),
            jkt: None,
        },
        refresh: RefreshToken {
            hash: hash(n),
            wrapped_key: sealed(n),
            expires_at: now.plus(REFRESH_TTL),
            jkt: None,
        },
    }
}

/// A key, by its number; 0 is none.
fn key(n: u8) -> Option<JwkThumbprint> {
    use base64::Engine;
    let text = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode([240 + n; 32]);
    (n > 0).then(|| JwkThumbprint::parse(&text).unwrap())
}

/// What a client gets with the proof of this key.
fn issued_for(n: u8, client: PresentedClient<'_>, proved: u8, now: Timestamp) -> Issued {
    let mut issued = issued(n, now);
    issued.access.jkt = key(proved);
    issued.refresh.jkt = key(proved).filter(|_| !client.authenticated);
    issued
}

fn code_issued() -> CodeIssued {
    let policy = RedirectPolicy::new(["127.0.0.1"], [""; 0]);
    CodeIssued {
        login: Login {
            client_id: "client".into(),
            resource: "https://mcp.example.com/mcp".into(),
            scope: Scopes::parse("a b").unwrap(),
            user: User::default(),
            realm: None,
            claims: sealed(0),
            upstream_tokens: Some(sealed(0)),
            upstream_ended: false,
            confidential: false,
            logged_in_at: at(0),
        },
        code: hash(200),
        wrapped_key: sealed(0),
        redirect_uri: check_redirect_uri(Some(REDIRECT), &[REDIRECT.to_owned()], &policy).unwrap(),
        code_challenge: CodeChallenge::of(VERIFIER),
        dpop_jkt: None,
        expires_at: at(300),
    }
}

/// The client has to authenticate.
fn code_issued_to_confidential() -> CodeIssued {
    let mut issued = code_issued();
    issued.login.confidential = true;
    issued
}

fn active() -> Active {
    code_issued().exchange(hash(99), issued(1, at(0)))
}

fn presented(n: u8) -> PresentedRefreshToken<'static> {
    PresentedRefreshToken {
        hash: hash(n),
        lineage: hash(99),
        client: client("client"),
        resource: None,
        scope: None,
        jkt: None,
    }
}

#[test]
fn a_code_is_bound_to_all_that_it_was_given_for() {
    let verifier = Secret::new(VERIFIER);
    let other_verifier = Secret::new(VERIFIER.to_lowercase());
    let good = || PresentedCode {
        code: hash(200),
        client: client("client"),
        redirect_uri: Some(REDIRECT),
        code_verifier: &verifier,
        resource: Some("https://mcp.example.com/mcp"),
        jkt: None,
    };
    let check = |presented: PresentedCode<'_>| code_issued().check(&presented, at(0));
    assert_eq!(check(good()), Ok(()));
    assert_eq!(check(PresentedCode { redirect_uri: None, resource: None, ..good() }), Ok(()));
    assert_eq!(check(PresentedCode { code: hash(201), ..good() }), Err(GrantError::Unknown));
    assert_eq!(check(PresentedCode { client: client("other"), ..good() }), Err(GrantError::OtherClient));
    let other_port = Some("http://127.0.0.1:5001/cb");
    assert_eq!(
        check(PresentedCode { redirect_uri: other_port, ..good() }),
        Err(GrantError::OtherRedirectUri)
    );
    assert_eq!(
        check(PresentedCode { code_verifier: &other_verifier, ..good() }),
        Err(GrantError::WrongVerifier)
    );
    assert_eq!(
        check(PresentedCode { code_verifier: &Secret::default(), ..good() }),
        Err(GrantError::WrongVerifier)
    );
    assert_eq!(
        check(PresentedCode { resource: Some("https://mcp.example.com/other"), ..good() }),
        Err(GrantError::OtherResource)
    );
    assert_eq!(code_issued().check(&good(), at(299)), Ok(()));
    assert_eq!(code_issued().check(&good(), at(300)), Err(GrantError::Unknown));
}

#[test]
fn a_spent_code_ends_the_grant_for_its_own_client_only() {
    assert_eq!(active().check_code(hash(200), client("client"), None), GrantError::Replayed);
    assert_eq!(active().check_code(hash(200), client("other"), None), GrantError::OtherClient);
    assert_eq!(active().check_code(hash(201), client("client"), None), GrantError::Unknown);
}

#[test]
fn the_current_refresh_token_rotates() {
    let grant = active();
    let RefreshStep::Rotate { scope, .. } = grant.check_refresh(&presented(1), at(10)).unwrap() else {
        panic!()
    };
    assert_eq!(scope.to_string(), "a b");
}

#[test]
fn a_lost_answer_is_repeated_until_the_window_closes() {
    let mut grant = active();
    grant.rotate(issued(2, at(10)), sealed(7), WINDOW, at(10));
    let repeat = RefreshStep::Repeat { successor: &sealed(7) };
    assert_eq!(grant.check_refresh(&presented(1), at(69)), Ok(repeat));
    assert_eq!(grant.check_refresh(&presented(1), at(70)), Err(GrantError::Replayed));
}

#[test]
fn a_lost_answer_is_repeated_until_its_successor_is_used() {
    let mut grant = active();
    grant.rotate(issued(2, at(10)), sealed(7), WINDOW, at(10));
    grant.rotate(issued(3, at(11)), sealed(8), WINDOW, at(11));
    assert_eq!(grant.check_refresh(&presented(1), at(12)), Err(GrantError::Replayed));
    assert!(matches!(grant.check_refresh(&presented(2), at(12)), Ok(RefreshStep::Repeat { .. })));
    assert!(matches!(grant.check_refresh(&presented(3), at(12)), Ok(RefreshStep::Rotate { .. })));
}

#[test]
fn a_made_up_refresh_token_does_nothing() {
    let made_up = PresentedRefreshToken { lineage: hash(98), ..presented(55) };
    assert_eq!(active().check_refresh(&made_up, at(1)), Err(GrantError::Unknown));
    assert!(!active().has_refresh_token(hash(55), hash(98)));
}

#[test]
fn a_refresh_token_is_bound_to_client_resource_and_scope() {
    let grant = active();
    let narrow = Scopes::parse("b").unwrap();
    let wide = Scopes::parse("b c").unwrap();
    let check = |presented: PresentedRefreshToken<'_>| grant.check_refresh(&presented, at(1)).map(|_| ());
    assert_eq!(
        check(PresentedRefreshToken { client: client("other"), ..presented(1) }),
        Err(GrantError::OtherClient)
    );
    assert_eq!(
        check(PresentedRefreshToken { resource: Some("https://mcp.example.com/other"), ..presented(1) }),
        Err(GrantError::OtherResource)
    );
    assert_eq!(
        check(PresentedRefreshToken { scope: Some(&wide), ..presented(1) }),
        Err(GrantError::WiderScope)
    );
    assert_eq!(check(PresentedRefreshToken { scope: Some(&narrow), ..presented(1) }), Ok(()));
    assert_eq!(grant.check_refresh(&presented(1), at(86_400)).unwrap_err(), GrantError::Unknown);
}

#[test]
fn no_refresh_once_the_upstream_has_ended_the_login() {
    let mut grant = active();
    grant.login.upstream_ended = true;
    assert_eq!(grant.check_refresh(&presented(1), at(1)).unwrap_err(), GrantError::UpstreamEnded);
}

#[test]
fn access_tokens_end_by_time_and_by_number() {
    let mut grant = active();
    assert!(grant.access_token(hash(101), at(3599)).is_some());
    assert!(grant.access_token(hash(101), at(3600)).is_none());
    assert!(grant.access_token(hash(102), at(0)).is_none());
    for n in 2..=50 {
        grant.rotate(issued(n, at(1)), sealed(n), WINDOW, at(1));
    }
    assert!(grant.access_token(hash(100 + 50), at(2)).is_some());
    assert!(grant.access_token(hash(100 + 19), at(2)).is_some());
    assert!(grant.access_token(hash(100 + 18), at(2)).is_none(), "{MAX_ACCESS_TOKENS} newest are kept");
}

#[test]
fn what_has_ended_is_dropped_when_the_grant_is_written() {
    let mut grant = active();
    grant.rotate(issued(2, at(10)), sealed(77), WINDOW, at(10));
    let text = |grant: &Active| serde_json::to_string(grant).unwrap();
    let (first_access, successor) = (String::from(hash(101)), format!("{:?}", String::from(sealed(77))));
    assert!(text(&grant).contains(&first_access) && text(&grant).contains(&successor));
    grant.prune(at(70));
    assert!(text(&grant).contains(&first_access) && !text(&grant).contains(&successor));
    grant.prune(at(3600));
    assert!(!text(&grant).contains(&first_access));
    assert_eq!(grant.check_refresh(&presented(1), at(3600)), Err(GrantError::Replayed), "and is still known");
}

#[test]
fn a_grant_lives_as_long_as_its_last_token() {
    let mut grant = active();
    assert_eq!(grant.expires_at(), at(86_400));
    grant.rotate(issued(2, at(100)), sealed(2), WINDOW, at(100));
    assert_eq!(grant.expires_at(), at(86_500));
}

#[test]
fn a_record_is_read_back_as_it_was() {
    let text = serde_json::to_string(&Grant::Active(Box::new(active()))).unwrap();
    let Grant::Active(read) = serde_json::from_str(&text).unwrap() else { panic!() };
    assert!(read.access_token(hash(101), at(0)).is_some());
    assert_eq!(serde_json::to_string(&Grant::Active(read)).unwrap(), text);
    assert!(!text.contains("jkt"), "bearer tokens take no more room than before");
    let bound = CodeIssued { dpop_jkt: key(1), ..code_issued() };
    let mut bound = bound.exchange(hash(99), issued_for(1, client("client"), 1, at(0)));
    bound.rotate(issued_for(2, client("client"), 1, at(1)), sealed(7), WINDOW, at(1));
    let text = serde_json::to_string(&bound).unwrap();
    assert_eq!(
        text.matches(&key(1).unwrap().to_string()).count(),
        5,
        "code, two access tokens, refresh, answer"
    );
    assert_eq!(serde_json::to_string(&serde_json::from_str::<Active>(&text).unwrap()).unwrap(), text);
}

#[test]
fn a_client_that_authenticates_has_to() {
    let mut issued = code_issued();
    issued.login.confidential = true;
    let verifier = Secret::new(VERIFIER);
    let by = |authenticated| PresentedCode {
        code: hash(200),
        client: PresentedClient { id: "client", authenticated },
        redirect_uri: None,
        code_verifier: &verifier,
        resource: None,
        jkt: None,
    };
    assert_eq!(issued.check(&by(false), at(0)), Err(GrantError::NotAuthenticated));
    assert_eq!(issued.check(&by(true), at(0)), Ok(()));
    let active = issued.exchange(hash(99), super::tests::issued(1, at(0)));
    assert_eq!(active.check_refresh(&presented(1), at(1)), Err(GrantError::NotAuthenticated));
    assert_eq!(active.check_code(hash(200), client("client"), None), GrantError::NotAuthenticated);
    let proved = PresentedClient { id: "client", authenticated: true };
    assert!(active.check_refresh(&PresentedRefreshToken { client: proved, ..presented(1) }, at(1)).is_ok());
}

#[test]
fn a_grant_without_refresh_token_ends_with_its_access_token() {
    let grant = Active::without_refresh_token(code_issued().login, issued(1, at(0)).access);
    assert_eq!(grant.expires_at(), at(3600));
    assert!(grant.access_token(hash(101), at(3599)).is_some());
    assert_eq!(grant.check_refresh(&presented(1), at(1)), Err(GrantError::Unknown));
    assert_eq!(grant.check_code(hash(200), client("client"), None), GrantError::Unknown);
    assert!(!grant.has_refresh_token(hash(1), hash(99)));
}

#[test]
fn a_code_for_a_key_is_exchanged_and_replayed_with_it_only() {
    let verifier = Secret::new(VERIFIER);
    let with_key = |jkt| PresentedCode {
        code: hash(200),
        client: client("client"),
        redirect_uri: None,
        code_verifier: &verifier,
        resource: None,
        jkt,
    };
    assert_eq!(code_issued().check(&with_key(key(1)), at(0)), Ok(()), "what is not bound takes any key");
    let bound = || CodeIssued { dpop_jkt: key(1), ..code_issued() };
    assert_eq!(bound().check(&with_key(key(1)), at(0)), Ok(()));
    assert_eq!(bound().check(&with_key(None), at(0)), Err(GrantError::ProofMissing));
    assert_eq!(bound().check(&with_key(key(2)), at(0)), Err(GrantError::OtherKey));
    let active = bound().exchange(hash(99), issued_for(1, client("client"), 1, at(0)));
    let replay = |n| active.check_code(hash(200), client("client"), key(n));
    assert_eq!(
        [replay(0), replay(2), replay(1)],
        [GrantError::ProofMissing, GrantError::OtherKey, GrantError::Replayed]
    );
}

#[test]
fn the_refresh_token_of_a_public_client_is_bound_to_its_key() {
    let public = client("client");
    let mut grant = code_issued().exchange(hash(99), issued_for(1, public, 1, at(0)));
    let with_key = |token, n| PresentedRefreshToken { jkt: key(n), ..presented(token) };
    assert_eq!(grant.check_refresh(&with_key(1, 0), at(1)), Err(GrantError::ProofMissing));
    assert_eq!(grant.check_refresh(&with_key(1, 2), at(1)), Err(GrantError::OtherKey));
    assert!(matches!(grant.check_refresh(&with_key(1, 1), at(1)), Ok(RefreshStep::Rotate { .. })));
    // A caller that forgets the key does not unbind the family.
    grant.rotate(issued(2, at(10)), sealed(7), WINDOW, at(10));
    assert_eq!(grant.check_refresh(&with_key(2, 0), at(11)), Err(GrantError::ProofMissing));
    // Without the key an old token ends nothing.
    assert_eq!(grant.check_refresh(&with_key(1, 2), at(99)), Err(GrantError::OtherKey));
    assert_eq!(grant.check_refresh(&with_key(1, 1), at(99)), Err(GrantError::Replayed));
}

#[test]
fn a_refresh_may_begin_to_use_a_key() {
    let mut grant = active();
    grant.rotate(issued_for(2, client("client"), 1, at(10)), sealed(7), WINDOW, at(10));
    let check = |token, n| {
        grant.check_refresh(&PresentedRefreshToken { jkt: key(n), ..presented(token) }, at(11)).map(|_| ())
    };
    assert_eq!([check(2, 1), check(1, 1)], [Ok(()); 2], "the retry, too");
    assert_eq!([check(2, 0), check(2, 2)], [Err(GrantError::ProofMissing), Err(GrantError::OtherKey)]);
    // The first was good without a key: whoever has it and not the key has lost it to whoever has.
    assert_eq!([check(1, 0), check(1, 2)], [Err(GrantError::Replayed); 2]);
}

#[test]
fn a_client_that_authenticates_may_change_its_key_but_not_that_of_an_answer() {
    let proved = PresentedClient { id: "client", authenticated: true };
    let mut grant = code_issued_to_confidential().exchange(hash(99), issued_for(1, proved, 1, at(0)));
    assert_eq!(grant.access_token(hash(101), at(1)).unwrap().jkt, key(1));
    assert_eq!(grant.access_token(hash(101), at(1)).unwrap().token_type(), "DPoP");
    grant.rotate(issued_for(2, proved, 2, at(10)), sealed(7), WINDOW, at(10));
    let check = |token, n| {
        let presented = PresentedRefreshToken { client: proved, jkt: key(n), ..presented(token) };
        grant.check_refresh(&presented, at(11)).map(|_| ())
    };
    assert_eq!([check(2, 0), check(2, 1), check(2, 2)], [Ok(()); 3]);
    assert_eq!(
        [check(1, 2), check(1, 1), check(1, 0)],
        [Ok(()), Err(GrantError::OtherKey), Err(GrantError::OtherKey)]
    );
}

#[test]
fn only_a_login_that_asks_for_authentication_leaves_refresh_tokens_unbound() {
    assert_eq!(code_issued().login.refresh_token_jkt(key(1)), key(1));
    assert_eq!(code_issued_to_confidential().login.refresh_token_jkt(key(1)), None);
}

#[test]
fn a_thief_who_binds_a_login_to_his_key_is_found_out() {
    let mut grant = active();
    // Stolen, and refreshed with a proof; its owner comes much later, without one.
    grant.rotate(issued_for(2, client("client"), 1, at(10)), sealed(7), WINDOW, at(10));
    grant.rotate(issued_for(3, client("client"), 1, at(1000)), sealed(8), WINDOW, at(1000));
    assert_eq!(grant.check_refresh(&presented(1), at(2000)), Err(GrantError::Replayed));
    // Of a login that was bound from the beginning, a copy without the key is nothing.
    let mut bound = code_issued().exchange(hash(99), issued_for(1, client("client"), 1, at(0)));
    bound.rotate(issued_for(2, client("client"), 1, at(10)), sealed(7), WINDOW, at(10));
    assert_eq!(bound.check_refresh(&presented(1), at(2000)), Err(GrantError::ProofMissing));
}
