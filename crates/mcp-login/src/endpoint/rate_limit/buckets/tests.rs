//! The arithmetic, and the bound.

use std::net::Ipv4Addr;

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

fn ip(n: u32) -> IpAddr {
    Ipv4Addr::from_bits(n).into()
}

fn after(millis: u64) -> Timestamp {
    NOW.plus(Duration::from_millis(millis))
}

fn buckets(burst: u32, per_minute: u32) -> Buckets {
    Buckets::new("test", RateLimit { burst, per_minute })
}

fn known(buckets: &Buckets) -> usize {
    buckets.state.lock().unwrap().full_at.len()
}

fn wait(buckets: &Buckets, now: Timestamp) -> Option<Duration> {
    buckets.take(ip(1), now).err().map(|refused| refused.wait)
}

#[test]
fn a_burst_is_let_in_and_then_the_rate() {
    let buckets = buckets(3, 60);
    for _ in 0..3 {
        assert_eq!(wait(&buckets, NOW), None);
    }
    assert_eq!(wait(&buckets, NOW), Some(Duration::from_secs(1)));
    assert_eq!(wait(&buckets, after(400)), Some(Duration::from_millis(600)), "being refused costs nothing");
    assert_eq!(buckets.take(ip(2), NOW), Ok(()), "somebody else");
    assert_eq!(wait(&buckets, after(1000)), None);
    assert_eq!(wait(&buckets, after(1000)), Some(Duration::from_secs(1)));
    let served = (0..1000).filter(|n| wait(&buckets, after(1000 + n * 60)).is_none()).count();
    assert_eq!(served, 59, "59.94 seconds at one a second");
    let rested = after(3_600_000);
    assert_eq!((0..10).filter(|_| wait(&buckets, rested).is_none()).count(), 3, "never more than the burst");
}

#[test]
fn a_clock_that_is_set_back_shuts_nobody_out() {
    let buckets = buckets(2, 60);
    while wait(&buckets, after(3_600_000)).is_none() {}
    assert_eq!(wait(&buckets, NOW), None);
    assert_eq!(wait(&buckets, NOW), None);
    assert_eq!(wait(&buckets, NOW), Some(Duration::from_secs(1)));
}

#[test]
fn fast_and_slow_limits_are_exact() {
    let fast = buckets(1, 120_000);
    assert_eq!(wait(&fast, NOW), None);
    assert_eq!(wait(&fast, NOW), Some(Duration::from_micros(500)));
    let slow = buckets(1, 1);
    assert_eq!(wait(&slow, NOW), None);
    assert_eq!(wait(&slow, after(59_999)), Some(Duration::from_millis(1)));
    assert_eq!(wait(&slow, after(60_000)), None);
    let largest = buckets(u32::MAX, 1);
    assert_eq!(wait(&largest, NOW), None);
}

#[test]
fn full_buckets_are_forgotten() {
    let buckets = buckets(2, 60);
    for n in 0..1000 {
        buckets.take(ip(n), NOW).unwrap();
    }
    assert_eq!(known(&buckets), 1000);
    buckets.take(ip(5000), after(2000)).unwrap();
    assert_eq!(known(&buckets), 1);
    assert!(buckets.state.lock().unwrap().full_at.capacity() < 100, "the memory is given back");
}

#[test]
fn the_number_of_networks_is_bounded_and_the_worst_are_kept() {
    let buckets = buckets(4, 60);
    while wait(&buckets, NOW).is_none() {}
    for n in 0..u32::try_from(MAX_NETWORKS * 3).unwrap() {
        assert_eq!(buckets.take(ip(100 + n), NOW), Ok(()));
        assert!(known(&buckets) <= MAX_NETWORKS);
    }
    assert!(wait(&buckets, NOW).is_some(), "others do not wash away who has asked too often");
}

#[test]
fn a_table_full_of_the_worst_is_bounded_too() {
    let buckets = buckets(1, 60);
    for n in 0..u32::try_from(MAX_NETWORKS * 2).unwrap() {
        assert_eq!(buckets.take(ip(n), NOW), Ok(()));
        assert!(known(&buckets) <= MAX_NETWORKS);
    }
}
