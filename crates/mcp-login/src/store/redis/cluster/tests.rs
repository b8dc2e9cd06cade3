#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::store::redis::address::Target;

fn address(port: u16) -> Address {
    Address { host: "h".to_owned(), port }
}

fn cluster() -> Cluster {
    let Ok(Target::Cluster { seeds, access }) = Target::parse("redis+cluster://h:1") else {
        panic!("a Cluster")
    };
    Cluster::new(&seeds, access, &StoreOptions::default())
}

/// Two masters; the second has the slots from this one on.
fn view(works: Option<bool>, epoch: u64, second: u16) -> View {
    View { works, epoch, ranges: vec![(0, second - 1, address(1)), (second, SLOTS - 1, address(2))] }
}

/// How many changes were told, and to which masters.
fn told(cluster: &Cluster) -> (u64, Vec<u16>) {
    let masters = cluster.news.masters();
    (masters.changes, masters.nodes.iter().map(|node| node.address.port).collect())
}

#[test]
fn what_is_new_is_told_and_what_is_not_is_no_change() {
    let (cluster, asked) = (cluster(), std::time::Instant::now());
    for (view, changes) in [
        (view(Some(true), 1, 100), 1),
        (view(Some(true), 1, 100), 1),
        (view(Some(true), 1, 101), 2),
        // The same owners again, but in between there may have been others.
        (view(Some(true), 2, 101), 3),
        (view(Some(true), 2, 101), 3),
    ] {
        cluster.install(&view, asked);
        assert_eq!(told(&cluster), (changes, vec![1, 2]), "{view:?}");
    }
    cluster.install(&View { ranges: vec![(0, SLOTS - 1, address(3))], ..view(None, 2, 1) }, asked);
    assert_eq!(told(&cluster), (4, vec![3]));
}

#[test]
fn a_cluster_that_is_down_knows_no_masters() {
    let (cluster, asked) = (cluster(), std::time::Instant::now());
    let known = |works| {
        cluster.install(&view(works, 1, 100), asked);
        matches!(cluster.news.masters().known, Known::At(at) if at == asked)
    };
    assert!(known(Some(true)));
    assert!(!known(Some(false)));
    assert!(known(None), "some services do not say");
}

#[test]
fn a_redirection_is_told_once() {
    let (cluster, asked) = (cluster(), std::time::Instant::now());
    cluster.install(&view(Some(true), 1, 100), asked);
    for _ in 0..2 {
        cluster.moved(5, &address(2));
        assert_eq!(told(&cluster), (2, vec![1, 2]));
    }
    for _ in 0..2 {
        cluster.importing(&address(2));
        assert_eq!(told(&cluster), (2, vec![1, 2]), "it is followed already");
    }
    for _ in 0..2 {
        cluster.importing(&address(9));
        assert_eq!(told(&cluster), (3, vec![1, 2, 9]));
    }
    // It has no slots, and is followed all the same, until nobody was sent there for a while.
    cluster.install(&view(Some(true), 1, 100), asked);
    assert_eq!(told(&cluster), (4, vec![1, 2, 9]), "slot 5 is where it was");
    cluster.install(&view(Some(true), 1, 100), asked);
    assert_eq!(told(&cluster), (4, vec![1, 2, 9]));
    cluster.write(|map| *map.importing.get_mut(&address(9)).unwrap() -= IMPORTING);
    cluster.install(&view(Some(true), 1, 100), asked);
    assert_eq!(told(&cluster), (5, vec![1, 2]));
}
