#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::store::redis::address::Target;

fn word_of(port: &str, epoch: &str, flags: &str) -> Option<Word> {
    let fields = ["name", "m", "ip", "10.0.0.1", "port", port, "flags", flags, "config-epoch", epoch];
    read_word(&Value::Array(fields.map(|field| Value::BulkString(field.as_bytes().to_vec())).to_vec()))
}

#[test]
fn the_word_counts_of_who_knows_of_the_most_failovers_and_leads_none() {
    let old = word_of("1", "6", "master").unwrap();
    let leads = word_of("1", "7", "master,failover_in_progress").unwrap();
    let new = word_of("2", "7", "master").unwrap();
    assert!(old.rank() < leads.rank() && leads.rank() < new.rank());
    assert!(word_of("port", "7", "master").is_none() && word_of("1", "", "master").is_none());
    assert!(read_word(&Value::Nil).is_none());
}

#[test]
fn another_master_and_another_failover_are_told() {
    let Ok(Target::Sentinel { sentinels, entry, master, access }) = Target::parse("redis+sentinel://h:1/m")
    else {
        panic!("sentinels")
    };
    let sentinel = Sentinel::new(&sentinels, &entry, master, access, &StoreOptions::default());
    let asked = std::time::Instant::now();
    // The same master after two failovers is not what it was.
    for (port, epoch, changes) in [("1", "1", 1), ("1", "1", 1), ("2", "2", 2), ("2", "4", 3), ("1", "4", 4)]
    {
        sentinel.follow(word_of(port, epoch, "master").unwrap(), asked);
        let masters = sentinel.news.masters();
        let ports: Vec<_> = masters.nodes.iter().map(|node| node.address.port.to_string()).collect();
        assert_eq!((masters.changes, ports), (changes, vec![port.to_owned()]));
        assert!(matches!(masters.known, Known::At(at) if at == asked));
    }
}
