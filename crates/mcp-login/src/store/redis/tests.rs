#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

#[test]
fn redis_keeps_a_record_longer_than_it_lives() {
    let minute = Duration::from_secs(60);
    assert_eq!(kept_for(NOW.plus(minute), NOW), Some(120_000));
    assert_eq!(kept_for(NOW, NOW), Some(60_000), "just ended");
    assert_eq!(kept_for(Timestamp::from_millis(0), NOW), Some(60_000), "long ended");
    assert_eq!(kept_for(Timestamp::from_millis(u64::MAX), NOW), None);
}

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
fn a_prefix_has_a_limit() {
    let longest = "x".repeat(PREFIX_LIMIT);
    assert!(RedisBackend::open("redis://127.0.0.1/", &longest).is_ok());
    assert!(matches!(
        RedisBackend::open("redis://127.0.0.1/", &format!("{longest}x")),
        Err(StoreError::Open(text)) if text.contains("100 bytes")
    ));
}

#[test]
fn verification_cannot_be_switched_off() {
    let refused = RedisBackend::open("rediss://127.0.0.1/#insecure", "");
    assert!(matches!(refused, Err(StoreError::Open(text)) if text.contains("verified")));
}
