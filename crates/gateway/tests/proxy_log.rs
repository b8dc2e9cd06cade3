//! What an operator reads of a failure.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod proxy_setup;

use std::io::Write;
use std::sync::{Arc, Mutex};

use proxy_setup::{Backend, Setup, values};
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn one_fault_of_a_backend_is_one_line() {
    let lines = Lines::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::INFO).with_ansi(false);
    let _logged = tracing::subscriber::set_default(subscriber.with_writer(lines.clone()).finish());

    let backend = Backend::start().await;
    let (setup, port) = (Setup::to(&backend), backend.port);
    drop(backend);
    let answer = setup.start().await.get("Connection: close").await.rest().await;
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");

    let logged = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert_eq!(logged.lines().count(), 1, "{logged}");
    let id = values(&answer, "x-request-id")[0];
    // What it is called, where it went and why it failed.
    for part in ["WARN", id, &format!("127.0.0.1:{port}"), "refused"] {
        assert!(logged.contains(part), "{part} in {logged}");
    }
}
