#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;

fn bulk(text: &str) -> Value {
    Value::BulkString(text.as_bytes().to_vec())
}

fn range(first: i64, last: i64, host: &str, port: i64) -> Value {
    let node =
        |host: &str, port| Value::Array(vec![bulk(host), Value::Int(port), bulk("id"), Value::Array(vec![])]);
    Value::Array(vec![Value::Int(first), Value::Int(last), node(host, port), node("replica", 1)])
}

#[test]
fn slots_are_those_of_the_specification() {
    assert_eq!(crc16(b"123456789"), 0x31c3);
    // CLUSTER KEYSLOT of a Redis 7.
    for (key, slot) in [("", 0), ("foo", 12182), ("mcp-login:grant:1", 13100)] {
        assert_eq!(slot_of(key.as_bytes()), slot, "{key}");
    }
}

#[test]
fn a_view_names_masters_only() {
    let info = bulk("cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_current_epoch:7\r\n");
    let slots = Value::Array(vec![range(0, 100, "10.0.0.1", 7000), range(101, 16383, "", 7001)]);
    let view = View::read(Some(&info), &slots, "asked.example").unwrap();
    let address = |host: &str, port| Address { host: host.to_owned(), port };
    let expected = vec![(0, 100, address("10.0.0.1", 7000)), (101, 16383, address("asked.example", 7001))];
    assert_eq!(view, View { works: Some(true), epoch: 7, ranges: expected });
}

#[test]
fn a_view_without_info_counts_least() {
    let slots = Value::Array(vec![range(0, 16383, "h", 1)]);
    let silent = View::read(None, &slots, "h").unwrap();
    let down =
        View::read(Some(&bulk("cluster_state:fail\r\ncluster_current_epoch:9\r\n")), &slots, "h").unwrap();
    let works =
        View::read(Some(&bulk("cluster_state:ok\r\ncluster_current_epoch:2\r\n")), &slots, "h").unwrap();
    let newer = View { works: Some(true), epoch: 3, ranges: Vec::new() };
    assert!(silent.rank() < down.rank() && down.rank() < works.rank() && works.rank() < newer.rank());
}

#[test]
fn what_is_no_answer_of_a_cluster_is_none() {
    for bad in [
        Value::Nil,
        Value::Array(vec![Value::Int(1)]),
        Value::Array(vec![range(0, 16384, "h", 1)]),
        Value::Array(vec![range(5, 4, "h", 1)]),
        Value::Array(vec![range(0, 1, "h", 70000)]),
    ] {
        assert_eq!(View::read(None, &bad, "h"), None, "{bad:?}");
    }
}
