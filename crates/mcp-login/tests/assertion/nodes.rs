//! Nodes that sign, a store that can go away, and whoever checks.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use axum::body::{Body, to_bytes};
use axum::http::{Request, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use mcp_login::core::scope::Scopes;
use mcp_login::core::{Secret, Timestamp};
use mcp_login::resource::{AssertionError, Caller, CallerIdentity, UpstreamTokenError, UpstreamTokenSource};
use mcp_login::store::backend::{Backend, Cursor, Entry, Key, Page, StoreError, Swap, Version};
use mcp_login::store::memory::MemoryBackend;
use mcp_login::{AuthServer, Resource, Store, presets};
use mcp_login_testkit::clock::MockClock;
use serde_json::Value;
use tower::ServiceExt;

pub(crate) const ISSUER: &str = "https://mcp.example.com";
pub(crate) const AUDIENCE: &str = "http://127.0.0.1:3000/mcp";

/// A store that can be away, or lose its answers, and counts what is asked of it.
#[derive(Debug, Default)]
pub(crate) struct Records {
    memory: MemoryBackend,
    pub(crate) away: AtomicBool,
    pub(crate) loses_answers: AtomicBool,
    /// Whether every record has less than a head, as a stranger's may, until it is deleted.
    pub(crate) damaged: AtomicBool,
    pub(crate) writes: AtomicUsize,
    pub(crate) reads: AtomicUsize,
}

impl Records {
    pub(crate) fn store(self: &Arc<Self>) -> Store {
        Store::new(Arc::clone(self) as Arc<dyn Backend>)
    }

    pub(crate) fn set_away(&self, away: bool) {
        self.away.store(away, Ordering::SeqCst);
    }

    async fn reach(&self) -> Result<(), StoreError> {
        // As long as a network takes: others come in between.
        tokio::task::yield_now().await;
        if self.away.load(Ordering::SeqCst) { Err(StoreError::unavailable("away")) } else { Ok(()) }
    }

    fn check(&self) -> Result<(), StoreError> {
        let damaged = self.damaged.load(Ordering::SeqCst);
        if damaged { Err(StoreError::Damaged("it is shorter than its head")) } else { Ok(()) }
    }

    fn answer<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        self.writes.fetch_add(1, Ordering::SeqCst);
        if self.loses_answers.load(Ordering::SeqCst) { Err(StoreError::unavailable("lost")) } else { answer }
    }
}

#[async_trait]
impl Backend for Records {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        self.reach().await?;
        self.check()?;
        self.memory.get(key, now).await
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.reach().await?;
        self.check()?;
        self.answer(self.memory.insert(key, value, end, now).await)
    }

    async fn swap(
        &self,
        key: &Key,
        expected: Version,
        value: Bytes,
        end: Timestamp,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        self.reach().await?;
        self.check()?;
        self.answer(self.memory.swap(key, expected, value, end, now).await)
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.memory.take(key, now).await
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        self.damaged.store(false, Ordering::SeqCst);
        self.memory.delete(key, now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.reach().await
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.memory.list(from, limit).await
    }

    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        self.memory.restore(key, entry, now).await
    }
}

/// One process.
pub(crate) struct Node(AuthServer);

impl Node {
    pub(crate) async fn start(store: Store, clock: &MockClock) -> Self {
        Self::start_at(ISSUER, store, clock).await
    }

    pub(crate) async fn start_at(issuer: &str, store: Store, clock: &MockClock) -> Self {
        let builder = AuthServer::builder(issuer)
            .upstream(presets::github("id", "secret"))
            .store(store)
            .resource(Resource::new("/mcp"))
            .clock(Arc::new(clock.clone()));
        Self(builder.build().await.unwrap())
    }

    pub(crate) async fn prepare(&self) -> Result<(), AssertionError> {
        self.0.assertions().prepare().await
    }

    pub(crate) async fn try_sign(&self, caller: &Caller) -> Result<String, AssertionError> {
        let signed = self.0.assertions().sign(caller, AUDIENCE).await;
        // What is done beside the request is done then: there is one thread, and the store waits for nothing.
        for _ in 0..16 {
            tokio::task::yield_now().await;
        }
        signed.map(|assertion| assertion.expose_secret().to_owned())
    }

    /// An assertion of Zoë.
    pub(crate) async fn sign(&self) -> Assertion {
        Assertion::read(&self.try_sign(&zoe()).await.unwrap())
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Body> {
        self.0.router().oneshot(Request::get(path).body(Body::empty()).unwrap()).await.unwrap()
    }

    pub(crate) async fn keys(&self) -> Vec<Value> {
        let answer = self.get("/.well-known/jwks.json").await;
        assert_eq!(answer.status(), 200);
        json_of(answer).await["keys"].as_array().unwrap().clone()
    }

    pub(crate) async fn kids(&self) -> Vec<String> {
        self.keys().await.iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
    }
}

pub(crate) async fn json_of(answer: Response<Body>) -> Value {
    serde_json::from_slice(&to_bytes(answer.into_body(), 1 << 20).await.unwrap()).unwrap()
}

/// An assertion, taken apart.
#[derive(Debug)]
pub(crate) struct Assertion {
    signed: String,
    signature: Vec<u8>,
    pub(crate) header: Value,
    pub(crate) claims: Value,
}

impl Assertion {
    pub(crate) fn read(text: &str) -> Self {
        let (signed, signature) = text.rsplit_once('.').unwrap();
        let (header, claims) = signed.split_once('.').unwrap();
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
        let json = |part: &str| serde_json::from_slice(&decode(part)).unwrap();
        Self {
            header: json(header),
            claims: json(claims),
            signed: signed.to_owned(),
            signature: decode(signature),
        }
    }

    pub(crate) fn kid(&self) -> String {
        self.header["kid"].as_str().unwrap().to_owned()
    }

    /// Whether one of these keys has this name and made the signature.
    pub(crate) fn checks_with(&self, keys: &[Value]) -> bool {
        keys.iter().filter(|key| key["kid"] == self.header["kid"]).any(|key| {
            let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str().unwrap()).unwrap();
            let point = [vec![4], coordinate("x"), coordinate("y")].concat();
            let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point);
            key.verify(self.signed.as_bytes(), &self.signature).is_ok()
        })
    }
}

struct NoTokens;

#[async_trait]
impl UpstreamTokenSource for NoTokens {
    async fn upstream_token(&self) -> Result<Secret, UpstreamTokenError> {
        Err(UpstreamTokenError::NoAccount)
    }
}

pub(crate) fn caller(identity: CallerIdentity) -> Caller {
    Caller::new(identity, Arc::new(NoTokens))
}

pub(crate) fn zoe() -> Caller {
    caller(CallerIdentity {
        subject: "user-1".to_owned(),
        email: Some("zoe@example.com".to_owned()),
        name: Some("Zoë \"Z\"".to_owned()),
        preferred_username: Some("zoë".to_owned()),
        client_id: "client-1".to_owned(),
        scopes: Scopes::parse("mcp mcp:write").unwrap(),
        ..CallerIdentity::default()
    })
}
