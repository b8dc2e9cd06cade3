#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

#[test]
fn debug_shows_where_but_not_who() {
    let backend = RedisBackend::open("redis://user:hunter2@redis.example:6380/1", "mcp-login:").unwrap();
    let shown = format!("{backend:?}");
    assert!(shown.contains("redis.example:6380"), "{shown}");
    assert!(!shown.contains("user") && !shown.contains("hunter2"), "{shown}");
    for url in [
        "redis+cluster://user:hunter2@a.example:1,b.example:2",
        "redis+sentinel://user:hunter2@a.example:1,b.example:2/m?sentinel_password=hunter2",
    ] {
        let shown = format!("{:?}", RedisBackend::open(url, "mcp-login:").unwrap());
        assert!(shown.contains("a.example:1,b.example:2"), "{shown}");
        assert!(!shown.contains("user") && !shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn on_a_cluster_the_records_spread() {
    let refused = RedisBackend::open("redis+cluster://a:1", "{app}:");
    assert!(matches!(refused, Err(StoreError::Open(text)) if text.contains("one node")));
    assert!(RedisBackend::open("redis://a:1/", "{app}:").is_ok());
}

#[test]
fn verification_cannot_be_switched_off() {
    let refused = RedisBackend::open("rediss://127.0.0.1/#insecure", "");
    assert!(matches!(refused, Err(StoreError::Open(text)) if text.contains("verified")));
}
