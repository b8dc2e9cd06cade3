#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn address(host: &str, port: u16) -> Address {
    Address { host: host.to_owned(), port }
}

/// Host, port, TLS, user, password, database.
fn seen(access: &Access, to: &Address) -> (ConnectionAddr, Option<String>, Option<String>, i64) {
    let info = access.to(to).unwrap();
    let redis = info.redis_settings();
    let [user, password] = [redis.username(), redis.password()].map(|text| text.map(str::to_owned));
    (info.addr().clone(), user, password, redis.db())
}

#[test]
fn a_cluster_is_its_hosts() {
    let url = "redis+cluster://alice:p%40ss%2C1@a.example:7000,10.0.0.2,[::1]:7002";
    let Ok(Target::Cluster { seeds, access }) = Target::parse(url) else { panic!("it is a Cluster") };
    assert_eq!(seeds, [address("a.example", 7000), address("10.0.0.2", 6379), address("::1", 7002)]);
    let (to, user, password, database) = seen(&access, &seeds[0]);
    assert_eq!(to, ConnectionAddr::Tcp("a.example".to_owned(), 7000));
    assert_eq!((user.as_deref(), password.as_deref(), database), (Some("alice"), Some("p@ss,1"), 0));
}

#[test]
fn sentinels_have_a_login_of_their_own() {
    let url = "rediss+sentinel://:secret@s1:1,s2/my%20master/3?sentinel_user=bob&sentinel_password=a%26b%3D";
    let Ok(Target::Sentinel { sentinels, entry, master, access }) = Target::parse(url) else {
        panic!("these are sentinels")
    };
    assert_eq!(sentinels, [address("s1", 1), address("s2", 26379)]);
    assert_eq!(master, "my master");
    let (to, user, password, database) = seen(&entry, &sentinels[0]);
    assert!(matches!(to, ConnectionAddr::TcpTls { insecure: false, .. }), "{to:?}");
    assert_eq!((user.as_deref(), password.as_deref(), database), (Some("bob"), Some("a&b="), 0));
    let (to, user, password, database) = seen(&access, &address("m", 2));
    assert!(matches!(to, ConnectionAddr::TcpTls { insecure: false, .. }), "{to:?}");
    assert_eq!((user, password.as_deref(), database), (None, Some("secret"), 3));
}

#[test]
fn the_login_of_the_servers_is_not_given_to_sentinels() {
    let url = "redis+sentinel://alice:secret@s/m";
    let Ok(Target::Sentinel { entry, .. }) = Target::parse(url) else { panic!("these are sentinels") };
    let (_, user, password, _) = seen(&entry, &address("s", 1));
    assert_eq!((user, password), (None, None));
}

#[test]
fn redirections_name_addresses() {
    assert_eq!(Address::parse("10.0.0.1:7000", "asked"), Some(address("10.0.0.1", 7000)));
    assert_eq!(Address::parse(":7000", "asked"), Some(address("asked", 7000)));
    assert_eq!(Address::parse("?:7000", "asked"), Some(address("asked", 7000)));
    assert_eq!(Address::parse("::1:7000", "asked"), Some(address("::1", 7000)));
    assert_eq!(Address::parse("nonsense", "asked"), None);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let many = format!("redis+cluster://{}", ["h"; HOST_LIMIT + 1].join(","));
    for url in [
        "redis+cluster://",
        "redis+cluster://,",
        "redis+cluster://h:0",
        "redis+cluster://user@h",
        "redis+cluster://h/2",
        "redis+cluster://h?a=b",
        "redis+cluster://h#x",
        "redis+cluster://:%ff@h",
        "redis+sentinel://h",
        "redis+sentinel://h/",
        "redis+sentinel://h/m/x",
        "redis+sentinel://h/m?password=x",
        "redis+unix:///run/redis.sock",
        "rediss+cluster://h#insecure",
        &many,
    ] {
        assert!(matches!(Target::parse(url), Err(StoreError::Open(_))), "{url}");
    }
}
