//! `[store]`.

use crate::{check, one_fault, warnings, with};

#[test]
fn stores() {
    let store = |url: &str| format!("[store]\nurl = {url:?}\n[[mcp]]");
    let with_store = |url: &str| with("[[mcp]]", &store(url));
    for good in [
        "file:/var/lib/x.db",
        "redis://h",
        "rediss://:p@h:1/2",
        "redis+cluster://u:p@h:1,i:2",
        "rediss+cluster://h",
        "redis+sentinel://h:1,i:2/m",
        "rediss+sentinel://u:p@h/m/3?sentinel_password=q",
        "upstash+https://t@h",
        "upstash+http://t%3D%3D@127.0.0.1:8079",
    ] {
        assert!(warnings(&with_store(good)).is_empty());
    }
    assert_eq!(warnings(&with_store("memory:")), ["store.url"]);
    let cluster = with_store("redis+cluster://h").replace("[[mcp]]", "key_prefix = \"{app}:\"\n[[mcp]]");
    assert!(one_fault(&cluster, "store.url").contains("one node"));
    for bad in [
        "",
        "file:",
        "redis://",
        "postgres://h",
        "mcp-login.db",
        "redis+cluster://h/1",
        "redis+sentinel://h:1",
        "upstash+https://h",
        "upstash+https://u:p@h",
        "upstash+http://t@h",
        "https://t@h",
    ] {
        one_fault(&with_store(bad), "store.url");
    }
}

#[test]
fn limits_of_the_store() {
    let limits = |lines: &str| with("[[mcp]]", &format!("[store]\nurl = \"redis://h\"\n{lines}\n[[mcp]]"));
    let seconds = std::time::Duration::from_secs;
    let store = check(&limits("")).unwrap().config.store;
    assert_eq!((store.timeout, store.connect_timeout, store.connections), (seconds(2), seconds(2), 1));
    let store = check(&limits("timeout = \"5s\"\nconnect_timeout = \"1s\"\nconnections = 4"));
    let store = store.unwrap().config.store;
    assert_eq!((store.timeout, store.connect_timeout, store.connections), (seconds(5), seconds(1), 4));
    let options = store.options();
    assert_eq!(
        options,
        mcp_login::store::options::StoreOptions::default()
            .timeout(seconds(5))
            .connect_timeout(seconds(1))
            .connections(4)
    );
    for (key, bad) in [
        ("timeout", "\"0s\""),
        ("timeout", "\"2m\""),
        ("connect_timeout", "\"soon\""),
        ("connections", "0"),
        ("connections", "65"),
        ("connections", "-1"),
        ("connections", "\"2\""),
    ] {
        one_fault(&limits(&format!("{key} = {bad}")), &format!("store.{key}"));
    }
}

#[test]
fn what_is_kept_of_the_store_in_memory() {
    let lines = |lines: &str| with("[[mcp]]", &format!("[store]\n{lines}\n[[mcp]]"));
    let cache = |text: &str| check(&lines(text)).unwrap().config.store.cache;
    let seconds = std::time::Duration::from_secs;
    assert_eq!((cache("").entries, cache("").grace), (10_000, seconds(60)));
    let chosen = cache("cache_entries = 500\noutage_grace = \"5m\"");
    assert_eq!((chosen.entries, chosen.grace), (500, seconds(300)));
    let off = cache("cache_entries = 0\noutage_grace = \"0s\"");
    assert_eq!((off.entries, off.grace), (0, seconds(0)));
    for bad in ["-1", "1_000_001", "\"10\""] {
        one_fault(&lines(&format!("cache_entries = {bad}")), "store.cache_entries");
    }
    for bad in ["\"2h\"", "\"60\"", "60"] {
        one_fault(&lines(&format!("outage_grace = {bad}")), "store.outage_grace");
    }
}
