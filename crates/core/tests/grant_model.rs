//! The grant under random sequences of operations, beside a model that is written down another way.
//!
//! Whatever the order: a code has one winner, an ended grant gives nothing, no scope widens, and a retry within the
//! window gets the answer that it missed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use mcp_login_core::client::{RedirectPolicy, redirect_uri::check_redirect_uri};
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
    },
    /// One of the refresh tokens given so far, counted from the newest, or a made-up one of the right or wrong lineage.
    Refresh {
        token: Token,
        right_client: bool,
        scope: Option<&'static str>,
    },
    RevokeAccess {
        newest: usize,
    },
    Prune,
    Wait {
        seconds: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum Token {
    Given { from_newest: usize },
    MadeUp { right_lineage: bool },
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
        2 => (mostly(), mostly())
            .prop_map(|(right_verifier, right_client)| Operation::Exchange { right_verifier, right_client }),
        6 => (token, mostly(), scope)
            .prop_map(|(token, right_client, scope)| Operation::Refresh { token, right_client, scope }),
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

fn client(right: bool) -> PresentedClient<'static> {
    PresentedClient { id: if right { "client" } else { "other" }, authenticated: false }
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
    /// Number, scope and end of every access token that has not been revoked, replaced or cleared away.
    access: Vec<(usize, String, u64)>,
    exchanged: bool,
    ended: bool,
}

struct Run {
    grant: Grant,
    model: Model,
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_millis(1_000_000_000 + seconds * 1000)
}

impl Run {
    fn new() -> Self {
        let policy = RedirectPolicy::new(["127.0.0.1"], [""; 0]);
        let issued = CodeIssued {
            login: Login {
                client_id: "client".into(),
                resource: "https://mcp.example.com/mcp".into(),
                scope: scopes(GRANTED),
                user: User::default(),
                claims: sealed(0),
                upstream_tokens: Some(sealed(0)),
                upstream_ended: false,
                confidential: false,
                logged_in_at: at(0),
            },
            code: hash(0, CODE),
            wrapped_key: sealed(0),
            redirect_uri: check_redirect_uri(Some(REDIRECT_URI), &[REDIRECT_URI.to_owned()], &policy)
                .unwrap(),
            code_challenge: CodeChallenge::of(VERIFIER),
            expires_at: at(CODE_TTL),
        };
        Self { grant: Grant::Code(issued), model: Model::default() }
    }

    /// A new pair, as the grant gets it, and in the model.
    fn issue(&mut self, scope: &Scopes) -> Issued {
        let (n, now) = (self.model.pairs + 1, self.model.now);
        self.model.pairs = n;
        self.model.current_until = now + REFRESH_TTL;
        self.model.access.retain(|(_, _, until)| now < *until);
        self.model.access.push((n, scope.to_string(), now + ACCESS_TTL));
        let excess = self.model.access.len().saturating_sub(MAX_ACCESS_TOKENS);
        self.model.access.drain(..excess);
        Issued {
            access: AccessToken {
                hash: hash(1, n),
                wrapped_key: sealed(n),
                scope: scope.clone(),
                expires_at: at(now + ACCESS_TTL),
            },
            refresh: RefreshToken {
                hash: hash(2, n),
                wrapped_key: sealed(n),
                expires_at: at(now + REFRESH_TTL),
            },
        }
    }

    fn end(&mut self) {
        self.grant = Grant::Ended;
        self.model.ended = true;
    }

    fn exchange(&mut self, right_verifier: bool, right_client: bool) {
        let client = client(right_client);
        match std::mem::replace(&mut self.grant, Grant::Ended) {
            Grant::Code(issued) => {
                let verifier = Secret::new(if right_verifier { VERIFIER.to_owned() } else { "x".repeat(43) });
                let presented = PresentedCode {
                    code: hash(0, CODE),
                    client,
                    redirect_uri: Some(REDIRECT_URI),
                    code_verifier: &verifier,
                    resource: None,
                };
                let good = right_verifier && right_client && self.model.now < CODE_TTL;
                assert_eq!(issued.check(&presented, at(self.model.now)).is_ok(), good);
                if good {
                    assert!(!self.model.exchanged, "one winner");
                    self.model.exchanged = true;
                    let tokens = self.issue(&scopes(GRANTED));
                    self.grant = Grant::Active(issued.exchange(hash(3, 0), tokens));
                } else {
                    self.grant = Grant::Code(issued);
                }
            }
            Grant::Active(active) => {
                let error = active.check_code(hash(0, CODE), client);
                assert_eq!(error == GrantError::Replayed, right_client);
                self.grant = Grant::Active(active);
                if right_client {
                    self.end();
                }
            }
            Grant::Ended => {}
        }
    }

    fn refresh(&mut self, token: Token, right_client: bool, asked: Option<&str>) {
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
            client: client(right_client),
            resource: None,
            scope: asked_scopes.as_ref(),
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
        } else if age != Some(0) && !repeats {
            Err(GrantError::Replayed)
        } else if wider {
            Err(GrantError::WiderScope)
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
                let issued = self.issue(&scope);
                active.rotate(issued, sealed(self.model.pairs), Duration::from_secs(WINDOW), at(now));
                self.model.previous_until = Some(now + WINDOW);
                self.grant = Grant::Active(active);
            }
            (step, expected) => panic!("{step:?} and not {expected:?}"),
        }
    }

    fn apply(&mut self, operation: &Operation) {
        match *operation {
            Operation::Exchange { right_verifier, right_client } => {
                self.exchange(right_verifier, right_client);
            }
            Operation::Refresh { token, right_client, scope } => self.refresh(token, right_client, scope),
            Operation::RevokeAccess { newest } => {
                let nth = self.model.access.len().checked_sub(newest + 1);
                if let (Grant::Active(active), Some(nth)) = (&mut self.grant, nth) {
                    let (n, _, _) = self.model.access.remove(nth);
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
            let expected = self.model.access.iter().find(|(held, _, until)| *held == n && now < *until);
            let expected = expected.filter(|_| !self.model.ended).map(|(_, scope, _)| scope.clone());
            assert_eq!(found.map(|token| token.scope.to_string()), expected, "access token {n}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_operations_breaks_a_grant(operations in prop::collection::vec(operation(), 1..120)) {
        let mut run = Run::new();
        // Most sequences should get past the code.
        run.apply(&Operation::Exchange { right_verifier: true, right_client: operations.len() % 10 != 0 });
        for operation in &operations {
            run.apply(operation);
        }
    }
}
