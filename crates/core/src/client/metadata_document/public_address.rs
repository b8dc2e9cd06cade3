//! [`is_public_address`]: whether an address is somewhere on the internet, and not something around this machine.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is not a public IPv4 address, with the bits of its prefix: the IANA special-purpose registry (RFC 6890),
/// multicast and what is reserved.
const NOT_PUBLIC_V4: [(Ipv4Addr, u32); 15] = [
    (Ipv4Addr::UNSPECIFIED, 8),           // this network
    (Ipv4Addr::new(10, 0, 0, 0), 8),      // private
    (Ipv4Addr::new(100, 64, 0, 0), 10),   // carrier-grade NAT
    (Ipv4Addr::new(127, 0, 0, 0), 8),     // loopback
    (Ipv4Addr::new(169, 254, 0, 0), 16),  // link-local, and the metadata services of clouds
    (Ipv4Addr::new(172, 16, 0, 0), 12),   // private
    (Ipv4Addr::new(192, 0, 0, 0), 24),    // protocol assignments
    (Ipv4Addr::new(192, 0, 2, 0), 24),    // documentation
    (Ipv4Addr::new(192, 88, 99, 0), 24),  // 6to4 relays
    (Ipv4Addr::new(192, 168, 0, 0), 16),  // private
    (Ipv4Addr::new(198, 18, 0, 0), 15),   // benchmarking
    (Ipv4Addr::new(198, 51, 100, 0), 24), // documentation
    (Ipv4Addr::new(203, 0, 113, 0), 24),  // documentation
    (Ipv4Addr::new(224, 0, 0, 0), 4),     // multicast
    (Ipv4Addr::new(240, 0, 0, 0), 4),     // reserved, and broadcast
];

/// What is not public of the IPv6 addresses that are given out at all ([`GLOBAL_UNICAST`]). Addresses that carry an IPv4
/// address are refused whole: where they come out is for their gateway to say.
const NOT_PUBLIC_V6: [(Ipv6Addr, u32); 5] = [
    (Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0), 23), // protocol assignments: Teredo, benchmarking, ORCHID
    (Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0), 32), // documentation
    (Ipv6Addr::new(0x2002, 0, 0, 0, 0, 0, 0, 0), 16), // 6to4
    (Ipv6Addr::new(0x3ffe, 0, 0, 0, 0, 0, 0, 0), 16), // 6bone, given back
    (Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0), 20), // documentation
];

/// All that is given out for the internet (RFC 4291 §2.4); loopback, link-local, site-local, unique local, multicast,
/// mapped and compatible IPv4 and NAT64 are outside.
const GLOBAL_UNICAST: (Ipv6Addr, u32) = (Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3);

/// Whether an address that a stranger made us connect to is out on the internet (draft §6.5).
#[must_use]
pub fn is_public_address(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4.iter().any(|net| is_in_v4(address, *net)),
        IpAddr::V6(address) => {
            is_in_v6(address, GLOBAL_UNICAST) && !NOT_PUBLIC_V6.iter().any(|net| is_in_v6(address, *net))
        }
    }
}

const fn is_in_v4(address: Ipv4Addr, (net, bits): (Ipv4Addr, u32)) -> bool {
    (address.to_bits() ^ net.to_bits()) >> (32 - bits) == 0
}

const fn is_in_v6(address: Ipv6Addr, (net, bits): (Ipv6Addr, u32)) -> bool {
    (address.to_bits() ^ net.to_bits()) >> (128 - bits) == 0
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// First and last of each range, and the neighbours that are public again.
    #[test]
    fn ipv4() {
        for (what, inside, outside) in [
            ("this network, unspecified", vec!["0.0.0.0", "0.255.255.255"], vec!["1.0.0.0"]),
            ("private 10/8", vec!["10.0.0.0", "10.255.255.255"], vec!["9.255.255.255", "11.0.0.0"]),
            ("CGNAT", vec!["100.64.0.0", "100.127.255.255"], vec!["100.63.255.255", "100.128.0.0"]),
            (
                "loopback",
                vec!["127.0.0.0", "127.0.0.1", "127.255.255.255"],
                vec!["126.255.255.255", "128.0.0.0"],
            ),
            ("link-local", vec!["169.254.0.0", "169.254.169.254"], vec!["169.253.255.255", "169.255.0.0"]),
            ("private 172.16/12", vec!["172.16.0.0", "172.31.255.255"], vec!["172.15.255.255", "172.32.0.0"]),
            ("protocol assignments", vec!["192.0.0.0", "192.0.0.170"], vec!["192.0.1.0", "191.255.255.255"]),
            ("documentation 1", vec!["192.0.2.0", "192.0.2.255"], vec!["192.0.3.0"]),
            ("6to4 relay", vec!["192.88.99.1"], vec!["192.88.98.255", "192.88.100.0"]),
            (
                "private 192.168/16",
                vec!["192.168.0.0", "192.168.255.255"],
                vec!["192.167.255.255", "192.169.0.0"],
            ),
            ("benchmarking", vec!["198.18.0.0", "198.19.255.255"], vec!["198.17.255.255", "198.20.0.0"]),
            (
                "documentation 2",
                vec!["198.51.100.0", "198.51.100.255"],
                vec!["198.51.99.255", "198.51.101.0"],
            ),
            ("documentation 3", vec!["203.0.113.0", "203.0.113.255"], vec!["203.0.112.255", "203.0.114.0"]),
            ("multicast", vec!["224.0.0.0", "239.255.255.255"], vec!["223.255.255.255"]),
            ("reserved", vec!["240.0.0.0", "255.255.255.254"], vec![]),
            ("broadcast", vec!["255.255.255.255"], vec![]),
            ("the internet", vec![], vec!["160.79.104.10", "8.8.8.8", "1.1.1.1"]),
        ] {
            check(what, &inside, &outside);
        }
    }

    #[test]
    fn ipv6() {
        for (what, inside, outside) in [
            ("unspecified", vec!["::"], vec![]),
            ("loopback", vec!["::1"], vec![]),
            ("IPv4-compatible", vec!["::8.8.8.8", "::127.0.0.1"], vec![]),
            ("IPv4-mapped", vec!["::ffff:8.8.8.8", "::ffff:127.0.0.1", "::ffff:169.254.169.254"], vec![]),
            ("IPv4-translated", vec!["::ffff:0:8.8.8.8"], vec![]),
            ("NAT64", vec!["64:ff9b::8.8.8.8", "64:ff9b::10.0.0.1"], vec![]),
            ("NAT64, local", vec!["64:ff9b:1::8.8.8.8", "64:ff9b:1:ffff::1"], vec![]),
            ("discard", vec!["100::1"], vec![]),
            ("Teredo", vec!["2001::1", "2001:0:ffff::1"], vec![]),
            ("benchmarking", vec!["2001:2::1"], vec![]),
            ("ORCHIDv2", vec!["2001:20::1"], vec![]),
            ("protocol assignments", vec!["2001:1ff:ffff::1"], vec!["2001:200::1"]),
            ("documentation", vec!["2001:db8::1", "2001:db8:ffff::1"], vec!["2001:db7::1", "2001:db9::1"]),
            ("6to4", vec!["2002::1", "2002:7f00:1::1", "2002:ffff::1"], vec!["2003::1"]),
            ("6bone", vec!["3ffe::1"], vec!["3ffd::1"]),
            ("documentation 2", vec!["3fff::1", "3fff:fff::1"], vec!["3fff:1000::1"]),
            ("segment routing", vec!["5f00::1"], vec![]),
            ("not given out", vec!["1fff::1", "4000::1", "e000::1"], vec!["2000::1"]),
            ("unique local", vec!["fc00::1", "fd00:ec2::254", "fdff::1"], vec![]),
            ("link-local", vec!["fe80::1", "febf::1"], vec![]),
            ("site-local", vec!["fec0::1", "feff::1"], vec![]),
            ("multicast", vec!["ff00::1", "ff02::1", "ff0e::1"], vec![]),
            ("the internet", vec![], vec!["2606:4700:4700::1111", "2a00:1450:4001::1"]),
        ] {
            check(what, &inside, &outside);
        }
    }

    fn check(what: &str, inside: &[&str], outside: &[&str]) {
        for address in inside {
            assert!(!is_public_address(address.parse().unwrap()), "{what}: {address} is not public");
        }
        for address in outside {
            assert!(is_public_address(address.parse().unwrap()), "beside {what}: {address} is public");
        }
    }
}
