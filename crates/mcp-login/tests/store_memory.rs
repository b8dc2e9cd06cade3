//! The store in memory keeps the contract of every store.

use std::sync::Arc;

use mcp_login::store::{backend::Backend, conformance, memory::MemoryBackend};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms() {
    conformance::run(async || Arc::new(MemoryBackend::new()) as Arc<dyn Backend>).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn conforms_with_one_store_for_all() {
    let backend: Arc<dyn Backend> = Arc::new(MemoryBackend::new());
    conformance::run(async || Arc::clone(&backend)).await;
}
