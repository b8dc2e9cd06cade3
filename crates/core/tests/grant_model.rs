//! The grant under random sequences of operations, beside a model that is written down another way.
//!
//! Whatever the order: a code has one winner, an ended grant gives nothing, no scope widens, a retry within the
//! window gets the answer that it missed, and nobody gets a token for a key that he has not proved, nor one without a
//! key where there was one.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use mcp_login_core::client::{RedirectPolicy, redirect_uri::check_redirect_uri};
use mcp_login_core::dpop::JwkThumbprint;
use mcp_login_core::grant::{
    AccessToken, Active, CodeIssued, GrantError, Issued, Login, MAX_ACCESS_TOKENS, PresentedClient,
    PresentedCode, PresentedRefreshToken, RefreshStep, RefreshToken, Sealed, SecretHash, User,
};
use mcp_login_core::pkce::CodeChallenge;
use mcp_login_core::{Scopes, Secret, Timestamp};
use proptest::prelude::*;

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const REDIRECT_URI: &str = "http://127.0.0.1:5000/cb";
const GRANTED: &str = "a b c";
const CODE_TTL: u64 = 300;
const ACCESS_TTL: u64 = 3600;
const REFRESH_TTL: u64 = 86_400;
const WINDOW: u64 = 60;
const CODE: usize = 0;

/// What somebody does.
#[derive(Debug, Clone)]
enum Operation {
    Exchange {
        right_verifier: bool,
        right_client: bool,
        key: Key,
    },
    /// One of the refresh tokens given so far, counted from the newest, or a made-up one of the right or wrong lineage.
    Refresh {
        token: Token,
        right_client: bool,
        scope: Option<&'static str>,
        key: Key,
    },
    RevokeAccess {
        newest: usize,
    },
    Prune,
    Wait {
        seconds: u64,
    },
}

/// The key that was proved, by its number.
type Key = Option<u8>;

#[derive(Debug, Clone, Copy)]
enum Token {
    Given { from_newest: usize },
    MadeUp { right_lineage: bool },
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![4 => Just(None), 5 => Just(Some(1)), 1 => Just(Some(2))]
}

fn operation() -> impl Strategy<Value = Operation> {
    let mostly = || prop::bool::weighted(0.9);
    let token = prop_oneof![
        8 => (0_usize..4).prop_map(|from_newest| Token::Given { from_newest }),
        1 => any::<bool>().prop_map(|right_lineage| Token::MadeUp { right_lineage }),
    ];
    let scope = prop_oneof![
        4 => Just(None),
        2 => prop::sample::select(vec!["a", "b c", "a b c", ""]).prop_map(Some),
        1 => prop::sample::select(vec!["d", "a d"]).prop_map(Some),
    ];
    let wait = prop::sample::select(vec![1, 30, 59, 60, 61, 299, 300, 3599, 3600, 50_000, 86_400]);
    prop_oneof![
        2 => (mostly(), mostly(), key()).prop_map(|(right_verifier, right_client, key)| {
            Operation::Exchange { right_verifier, right_client, key }
        }),
        6 => (token, mostly(), scope, key())
            .prop_map(|(token, right_client, scope, key)| Operation::Refresh { token, right_client, scope, key }),
        1 => (0_usize..4).prop_map(|newest| Operation::RevokeAccess { newest }),
        1 => Just(Operation::Prune),
        3 => wait.prop_map(|seconds| Operation::Wait { seconds }),
    ]
}

fn hash(kind: u8, n: usize) -> SecretHash {
    let mut digest = [kind; 32];
    digest[..8].copy_from_slice(&(n as u64).to_be_bytes());
    SecretHash::new(digest)
}

fn thumbprint(key: Key) -> Option<JwkThumbprint> {
    key.map(|n| JwkThumbprint::parse(&URL_SAFE_NO_PAD.encode([n; 32])).unwrap())
}

fn sealed(n: usize) -> Sealed {
    Sealed::new((n as u64).to_be_bytes().to_vec())
}

fn scopes(list: &str) -> Scopes {
    Scopes::parse(list).unwrap()
}

/// The grant under test.
#[derive(Debug)]
enum Grant {
    Code(CodeIssued),
    Active(Active),
    Ended,
}

/// What should be so: plain numbers.
#[derive(Debug, Default)]
struct Model {
    now: u64,
    /// How many pairs were given; the newest refresh token is the current one.
    pairs: usize,
    current_until: u64,
    /// Until when the one before it is answered again.
    previous_until: Option<u64>,
    /// Number, scope, key and end of every access token that has not been revoked, replaced or cleared away.
    access: Vec<(usize, String, Key, u64)>,
    /// The key without which a refresh token is of no use.
    refresh_key: Key,
    /// The key that the newest pair was given for.
    newest_key: Key,
    exchanged: bool,
    /// The first refresh tokens were good without the key that later ones have.
    began_unbound: bool,
    ended: bool,
}

struct Run {
    grant: Grant,
    model: Model,
    /// Whether the client authenticates.
    authenticated: bool,
    /// The key that the code is for.
    code_key: Key,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + seconds * 1000)
}

impl Run {
    fn new(authenticated: bool, code_key: Key) -> Self {
        let policy = RedirectPolicy::new(["127.0.0.1"], [""; 0]);
        let issued = CodeIssued {
            login: Login {
                client_id: "client".into(),
                resource: "https://mcp.example.com/mcp".into(),
                scope: scopes(GRANTED),
                user: User::default(),
                realm: None,
                claims: sealed(0),
                upstream_tokens: Some(sealed(0)),
                upstream_ended: false,
                confidential: authenticated,
                logged_in_at: at(0),
            },
            code: hash(0, CODE),
            wrapped_key: sealed(0),
            redirect_uri: check_redirect_uri(Some(REDIRECT_URI), &[REDIRECT_URI.to_owned()], &policy)
                .unwrap(),
            code_challenge: CodeChallenge::of(VERIFIER),
            dpop_jkt: thumbprint(code_key),
            expires_at: at(CODE_TTL),
        };
        Self { grant: Grant::Code(issued), model: Model::default(), authenticated, code_key }
    }

    fn client(&self, right: bool) -> PresentedClient<'static> {
        PresentedClient { id: if right { "client" } else { "other" }, authenticated: self.authenticated }
    }

    /// What is wrong with this key for something that is bound to that one.
    fn key_error(bound: Key, key: Key) -> Option<GrantError> {
        match (bound, key) {
            (Some(_), None) => Some(GrantError::ProofMissing),
            (Some(bound), Some(key)) if bound != key => Some(GrantError::OtherKey),
            _ => None,
        }
    }

    /// A new pair, as the grant gets it, and in the model.
    fn issue(&mut self, scope: &Scopes, key: Key) -> Issued {
        let (n, now) = (self.model.pairs + 1, self.model.now);
        self.model.pairs = n;
        self.model.current_until = now + REFRESH_TTL;
        self.model.access.retain(|(_, _, _, until)| now < *until);
        self.model.access.push((n, scope.to_string(), key, now + ACCESS_TTL));
        self.model.newest_key = key;
        if !self.authenticated && self.model.refresh_key.is_none() {
            self.model.began_unbound = n > 1 && key.is_some();
            self.model.refresh_key = key;
        }
        let refresh_jkt = thumbprint(key).filter(|_| !self.authenticated);
        let excess = self.model.access.len().saturating_sub(MAX_ACCESS_TOKENS);
        self.model.access.drain(..excess);
        Issued {
            access: AccessToken {
                hash: hash(1, n),
                wrapped_key: sealed(n),
                scope: scope.clone(),
                expires_at: at(now + ACCESS_TTL),
                jkt: thumbprint(key),
            },
            refresh: RefreshToken {
                hash: hash(2, n),
                wrapped_key: sealed(n),
                expires_at: at(now + REFRESH_TTL),
                jkt: refresh_jkt,
            },
        }
    }

    fn end(&mut self) {
        self.grant = Grant::Ended;
        self.model.ended = true;
    }

    fn exchange(&mut self, right_verifier: bool, right_client: bool, key: Key) {
        let client = self.client(right_client);
        let right_key = Self::key_error(self.code_key, key).is_none();
        match std::mem::replace(&mut self.grant, Grant::Ended) {
            Grant::Code(issued) => {
                let verifier = Secret::new(if right_verifier { VERIFIER.to_owned() } else { "x".repeat(43) });
                let presented = PresentedCode {
                    code: hash(0, CODE),
                    client,
                    redirect_uri: Some(REDIRECT_URI),
                    code_verifier: &verifier,
                    resource: None,
                    jkt: thumbprint(key),
                };
                let good = right_verifier && right_client && right_key && self.model.now < CODE_TTL;
                assert_eq!(issued.check(&presented, at(self.model.now)).is_ok(), good);
                if good {
                    assert!(!self.model.exchanged, "one winner");
                    self.model.exchanged = true;
                    let tokens = self.issue(&scopes(GRANTED), key);
                    self.grant = Grant::Active(issued.exchange(hash(3, 0), tokens));
                } else {
                    self.grant = Grant::Code(issued);
                }
            }
            Grant::Active(active) => {
                let error = active.check_code(hash(0, CODE), client, thumbprint(key));
                assert_eq!(error == GrantError::Replayed, right_client && right_key);
                self.grant = Grant::Active(active);
                if right_client && right_key {
                    self.end();
                }
            }
            Grant::Ended => {}
        }
    }

    fn refresh(&mut self, token: Token, right_client: bool, asked: Option<&str>, key: Key) {
        let Grant::Active(mut active) = std::mem::replace(&mut self.grant, Grant::Ended) else {
            assert!(self.model.ended || !self.model.exchanged);
            return;
        };
        let now = self.model.now;
        let (presented_hash, lineage, age) = match token {
            Token::Given { from_newest } => {
                let age = from_newest.min(self.model.pairs - 1);
                (hash(2, self.model.pairs - age), hash(3, 0), Some(age))
            }
            Token::MadeUp { right_lineage } => (hash(9, 9), hash(3, usize::from(!right_lineage)), None),
        };
        let known = age.is_some() || lineage == hash(3, 0);
        let asked_scopes = asked.map(scopes);
        let presented = PresentedRefreshToken {
            hash: presented_hash,
            lineage,
            client: self.client(right_client),
            resource: None,
            scope: asked_scopes.as_ref(),
            jkt: thumbprint(key),
        };
        let step = active.check_refresh(&presented, at(now));
        let granted = scopes(GRANTED);
        let wider = asked_scopes.as_ref().is_some_and(|asked| !granted.covers(asked));
        let repeats = age == Some(1) && self.model.previous_until.is_some_and(|until| now < until);
        let expected = if !known {
            Err(GrantError::Unknown)
        } else if !right_client {
            Err(GrantError::OtherClient)
        } else if now >= self.model.current_until {
            Err(GrantError::Unknown)
        } else if let Some(error) = Self::key_error(self.model.refresh_key, key) {
            // One that was good without a key, and comes without the one that somebody has since bound it to.
            Err(if age != Some(0) && self.model.began_unbound { GrantError::Replayed } else { error })
        } else if age != Some(0) && !repeats {
            Err(GrantError::Replayed)
        } else if wider {
            Err(GrantError::WiderScope)
        } else if age == Some(1) && self.model.newest_key != key {
            Err(GrantError::OtherKey)
        } else {
            Ok(())
        };
        match (step, expected) {
            (Err(error), Err(expected)) => {
                assert_eq!(error, expected);
                self.grant = Grant::Active(active);
                if error == GrantError::Replayed {
                    self.end();
                }
            }
            (Ok(RefreshStep::Repeat { successor }), Ok(())) => {
                assert!(repeats);
                assert_eq!(*successor, sealed(self.model.pairs), "the answer that was missed");
                self.grant = Grant::Active(active);
            }
            (Ok(RefreshStep::Rotate { scope, .. }), Ok(())) => {
                assert_eq!(age, Some(0));
                assert!(granted.covers(&scope), "no wider than granted");
                let issued = self.issue(&scope, key);
                active.rotate(issued, sealed(self.model.pairs), Duration::from_secs(WINDOW), at(now));
                self.model.previous_until = Some(now + WINDOW);
                self.grant = Grant::Active(active);
            }
            (step, expected) => panic!("{step:?} and not {expected:?}"),
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Exchange { right_verifier, right_client, key } => {
                self.exchange(right_verifier, right_client, key);
            }
            Operation::Refresh { token, right_client, scope, key } => {
                self.refresh(token, right_client, scope, key);
            }
            Operation::RevokeAccess { newest } => {
                let nth = self.model.access.len().checked_sub(newest + 1);
                if let (Grant::Active(active), Some(nth)) = (&mut self.grant, nth) {
                    let (n, ..) = self.model.access.remove(nth);
                    active.revoke_access_token(hash(1, n));
                }
            }
            Operation::Prune => {
                if let Grant::Active(active) = &mut self.grant {
                    active.prune(at(self.model.now));
                }
            }
            Operation::Wait { seconds } => self.model.now += seconds,
        }
        self.check();
    }

    /// Every access token that was ever given is good exactly when the model says so.
    fn check(&self) {
        let now = self.model.now;
        for n in 1..=self.model.pairs {
            let found = match &self.grant {
                Grant::Active(active) => active.access_token(hash(1, n), at(now)),
                Grant::Code(_) | Grant::Ended => None,
            };
            let expected = self.model.access.iter().find(|(held, _, _, until)| *held == n && now < *until);
            let expected = expected
                .filter(|_| !self.model.ended)
                .map(|(_, scope, key, _)| (scope.clone(), thumbprint(*key)));
            let found = found.map(|token| (token.scope.to_string(), token.jkt));
            assert_eq!(found, expected, "access token {n}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_operations_breaks_a_grant(
        operations in prop::collection::vec(operation(), 1..120),
        authenticated in any::<bool>(),
        code_key in key(),
        first_key in key(),
    ) {
        let mut run = Run::new(authenticated, code_key);
        // Most sequences should get past the code.
        let right_client = operations.len() % 10 != 0;
        run.apply(&Operation::Exchange { right_verifier: true, right_client, key: code_key.or(first_key) });
        for operation in &operations {
            run.apply(operation);
        }
    }
}
