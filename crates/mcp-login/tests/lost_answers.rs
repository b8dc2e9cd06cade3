//! A store that writes and then cannot say so: nobody may be logged out by it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use mcp_login::Store;
use mcp_login::core::Timestamp;
use mcp_login::store::backend::{Backend, Cursor, Entry, Key, Page, StoreError, Swap, Version};
use mcp_login::store::memory::MemoryBackend;
use mcp_login_testkit::browser::Browser;
use mcp_login_testkit::client::{OAuthClient, REDIRECT_URI, Tokens, param};
use mcp_login_testkit::server::{Options, TestServer};

/// A real backend on a connection that can break after the next write.
#[derive(Debug, Default)]
struct Breaking {
    backend: MemoryBackend,
    breaks: AtomicBool,
}

impl Breaking {
    fn answer<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        if self.breaks.swap(false, Ordering::SeqCst) {
            Err(StoreError::unavailable("connection reset"))
        } else {
            answer
        }
    }
}

#[async_trait]
impl Backend for Breaking {
    async fn get(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.backend.get(key, now).await
    }

    async fn insert(
        &self,
        key: &Key,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        self.answer(self.backend.insert(key, value, expires_at, now).await)
    }

    async fn swap(
        &self,
        key: &Key,
        expected: Version,
        value: Bytes,
        expires_at: Timestamp,
        now: Timestamp,
    ) -> Result<Swap, StoreError> {
        self.answer(self.backend.swap(key, expected, value, expires_at, now).await)
    }

    async fn take(&self, key: &Key, now: Timestamp) -> Result<Option<Entry>, StoreError> {
        self.answer(self.backend.take(key, now).await)
    }

    async fn delete(&self, key: &Key, now: Timestamp) -> Result<bool, StoreError> {
        self.answer(self.backend.delete(key, now).await)
    }

    async fn list(&self, from: Option<&Cursor>, limit: usize) -> Result<Page, StoreError> {
        self.backend.list(from, limit).await
    }

    async fn restore(&self, key: &Key, entry: &Entry, now: Timestamp) -> Result<bool, StoreError> {
        self.backend.restore(key, entry, now).await
    }

    async fn ping(&self) -> Result<(), StoreError> {
        self.backend.ping().await
    }
}

#[tokio::test]
async fn a_lost_answer_of_the_store_costs_no_login() {
    let backend = Arc::new(Breaking::default());
    let break_next = || backend.breaks.store(true, Ordering::SeqCst);
    let broke = || assert!(!backend.breaks.load(Ordering::SeqCst), "the write happened");
    let store = Store::new(backend.clone());
    let server = TestServer::with(Options { store, ..Options::usual().await }).await;
    let (client, browser) = (OAuthClient::register(&server).await, Browser::new());

    break_next();
    let page = browser.open(&client.authorization_url(&[])).await;
    broke();
    break_next();
    let answered = browser.answer(page, "allow").await;
    broke();
    let callback = browser.follow(answered, &format!("{}/callback", server.url)).await;
    break_next();
    let back = browser.open_from_elsewhere(callback.as_str()).await;
    broke();
    let back = browser.follow(back, REDIRECT_URI).await;
    let code = param(&back, "code").unwrap();
    // The first login of a client writes twice: that it was used, and the tokens; a later one the tokens only.
    break_next();
    Tokens::read(client.exchange(&code, &[]).await).await;
    broke();
    let code = client.code(&browser).await;
    break_next();
    let tokens = Tokens::read(client.exchange(&code, &[]).await).await;
    broke();
    break_next();
    let tokens = Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
    broke();
    assert_eq!(client.call("/mcp", &tokens.access).await.status(), 200);
    Tokens::read(client.refresh(&tokens.refresh, &[]).await).await;
}
