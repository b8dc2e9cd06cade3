//! What the fake upstream remembers.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mcp_login::clock::{Clock, SystemClock};
use mcp_login::core::Timestamp;
use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::key::{Key, SigningAlgorithm, random};

/// Somebody with an account at the fake upstream.
#[derive(Debug, Clone, PartialEq)]
pub struct FakeUser {
    /// The `sub` of OIDC.
    pub sub: String,
    /// The numeric id of the GitHub-like API.
    pub id: u64,
    /// Also what `login_hint` picks a user by.
    pub login: String,
    /// For display.
    pub name: String,
    /// The address.
    pub email: String,
    /// Its `email_verified`, as it goes out.
    pub email_verified: Value,
    /// More claims, in the id token and in userinfo.
    pub claims: Map<String, Value>,
}

impl FakeUser {
    /// `login`, with everything else made from it.
    #[must_use]
    pub fn new(login: &str) -> Self {
        Self {
            sub: format!("sub-of-{login}"),
            id: login.bytes().fold(7, |id, byte| id * 31 % 1_000_003 + u64::from(byte)),
            login: login.to_owned(),
            name: format!("{login} Example"),
            email: format!("{login}@example.com"),
            email_verified: Value::Bool(true),
            claims: Map::new(),
        }
    }

    /// One more claim.
    #[must_use]
    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims.insert(name.to_owned(), value);
        self
    }

    pub(super) fn oidc_claims(&self) -> Map<String, Value> {
        let mut claims = self.claims.clone();
        for (name, value) in [
            ("sub", json!(self.sub)),
            ("name", json!(self.name)),
            ("preferred_username", json!(self.login)),
            ("email", json!(self.email)),
            ("email_verified", self.email_verified.clone()),
        ] {
            claims.insert(name.to_owned(), value);
        }
        claims
    }
}

/// A request that came in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeenRequest {
    /// Query or form, in order, doubles included.
    pub params: Vec<(String, String)>,
    /// `Accept`.
    pub accept: Option<String>,
    /// `User-Agent`.
    pub user_agent: Option<String>,
    /// `Authorization`.
    pub authorization: Option<String>,
}

impl SeenRequest {
    /// The first parameter of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

pub(super) struct Code {
    pub(super) user: FakeUser,
    pub(super) redirect_uri: String,
    pub(super) challenge: Option<String>,
    pub(super) nonce: Option<String>,
    pub(super) scope: String,
    /// What it was exchanged for.
    pub(super) family: Option<usize>,
}

/// One login and all tokens that came of it.
pub(super) struct Family {
    pub(super) user: FakeUser,
    pub(super) scope: String,
    pub(super) alive: bool,
}

pub(super) struct AccessToken {
    pub(super) family: usize,
    pub(super) expires_at: Timestamp,
}

pub(super) struct RefreshToken {
    pub(super) family: usize,
    pub(super) used: bool,
}

pub(super) struct State {
    pub(super) issuer: String,
    pub(super) client_id: String,
    pub(super) client_secret: String,
    pub(super) public_client: bool,
    pub(super) pkce: bool,
    pub(super) now: Arc<dyn Fn() -> Timestamp + Send + Sync>,
    pub(super) access_ttl: Duration,
    pub(super) faults: Vec<Fault>,
    pub(super) user: FakeUser,
    pub(super) users: Vec<FakeUser>,
    pub(super) codes: HashMap<String, Code>,
    pub(super) families: Vec<Family>,
    pub(super) access_tokens: HashMap<String, AccessToken>,
    pub(super) refresh_tokens: HashMap<String, RefreshToken>,
    pub(super) issued: Vec<String>,
    pub(super) seen_authorize: Vec<SeenRequest>,
    pub(super) seen_token: Vec<SeenRequest>,
    pub(super) seen_userinfo: Vec<SeenRequest>,
    pub(super) seen_revocations: Vec<SeenRequest>,
    pub(super) discoveries: usize,
    pub(super) key_fetches: usize,
    pub(super) key: Key,
    /// For [`Fault::RotatedKey`]; [`Fault::UnknownKid`] and [`Fault::WrongKey`] use it without publishing.
    pub(super) next_key: Key,
}

impl State {
    pub(super) fn new(issuer: String, algorithm: SigningAlgorithm) -> Self {
        Self {
            issuer,
            client_id: "fake-client".to_owned(),
            // Characters that Basic has to encode and a form has to escape.
            client_secret: random("fake-secret:+%/"),
            public_client: false,
            pkce: true,
            now: Arc::new(|| SystemClock.now()),
            access_ttl: Duration::from_secs(3600),
            faults: Vec::new(),
            user: FakeUser::new("alice"),
            users: vec![FakeUser::new("alice"), FakeUser::new("bob")],
            codes: HashMap::new(),
            families: Vec::new(),
            access_tokens: HashMap::new(),
            refresh_tokens: HashMap::new(),
            issued: Vec::new(),
            seen_authorize: Vec::new(),
            seen_token: Vec::new(),
            seen_userinfo: Vec::new(),
            seen_revocations: Vec::new(),
            discoveries: 0,
            key_fetches: 0,
            key: Key::generate(algorithm),
            next_key: Key::generate(algorithm),
        }
    }

    pub(super) fn has(&self, fault: &Fault) -> bool {
        self.faults.contains(fault)
    }

    /// What `pick` makes of the first fault it knows.
    pub(super) fn find<T>(&self, pick: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.faults.iter().find_map(pick)
    }

    pub(super) fn now(&self) -> Timestamp {
        (self.now)()
    }

    /// A new secret, remembered for the leak tests.
    pub(super) fn issue(&mut self, kind: &str) -> String {
        let secret = random(kind);
        self.issued.push(secret.clone());
        secret
    }

    pub(super) fn kill(&mut self, family: usize) {
        self.families[family].alive = false;
    }

    /// The user of a live access token.
    pub(super) fn bearer(&self, authorization: Option<&str>) -> Option<&FakeUser> {
        let token = self.access_tokens.get(authorization?.strip_prefix("Bearer ")?)?;
        let family = &self.families[token.family];
        (family.alive && !token.expires_at.has_passed(self.now())).then_some(&family.user)
    }
}

/// Shared between the server and the test.
#[derive(Clone)]
pub(super) struct Shared(Arc<Mutex<State>>);

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(state)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("faults", &self.lock().faults).finish_non_exhaustive()
    }
}
