//! Whose request it is, as far as an address tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap, HeaderName};

/// The network that a request comes from: an IPv4 address, or the /64 of an IPv6 address.
///
/// By the trusted header, if there is one and it holds an address; else by the peer. A peer on loopback or in a private
/// network tells nothing: almost every server that is reached from outside stands behind a TLS proxy there, and limiting the
/// proxy would limit everybody as one.
pub(super) fn client_network(
    headers: &HeaderMap,
    extensions: &Extensions,
    trusted: Option<&HeaderName>,
) -> Option<IpAddr> {
    if let Some(told) = trusted.and_then(|name| last_address(headers, name)) {
        return Some(network(told));
    }
    let ConnectInfo(peer) = extensions.get::<ConnectInfo<SocketAddr>>()?;
    let peer = peer.ip().to_canonical();
    (!is_local(peer)).then(|| network(peer))
}

/// The last address of the last header line of this name: what stands before it may have been sent by the client.
fn last_address(headers: &HeaderMap, name: &HeaderName) -> Option<IpAddr> {
    let line = headers.get_all(name).iter().next_back()?.to_str().ok()?;
    let last = line.rsplit(',').next()?.trim();
    let bare = last.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(last);
    let address = bare.parse().or_else(|_| last.parse::<SocketAddr>().map(|socket| socket.ip()));
    address.ok().map(|address: IpAddr| address.to_canonical())
}

fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
    }
}

/// Loopback, private (RFC 1918, RFC 4193), link-local, and the shared space of RFC 6598, which hosting platforms use inside.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(ip) => {
            ip.is_loopback() || ip.is_private() || ip.is_link_local() || ip.is_unspecified() || is_shared(ip)
        }
        IpAddr::V6(ip) => {
            ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_unspecified()
        }
    }
}

fn is_shared(ip: Ipv4Addr) -> bool {
    let [first, second, ..] = ip.octets();
    first == 100 && second & 0b1100_0000 == 64
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const HEADER: HeaderName = HeaderName::from_static("x-forwarded-for");

    fn seen(peer: Option<&str>, lines: &[&str], trusted: bool) -> Option<String> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(HEADER, line.parse().unwrap());
        }
        let mut extensions = Extensions::new();
        if let Some(peer) = peer {
            extensions.insert(ConnectInfo(SocketAddr::new(peer.parse().unwrap(), 49152)));
        }
        let name = HEADER;
        let trusted = trusted.then_some(&name);
        client_network(&headers, &extensions, trusted).map(|network| network.to_string())
    }

    #[test]
    fn a_public_peer_is_the_client() {
        for (peer, network) in [
            ("203.0.113.7", "203.0.113.7"),
            ("::ffff:203.0.113.7", "203.0.113.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"),
            ("100.128.0.1", "100.128.0.1"),
        ] {
            assert_eq!(seen(Some(peer), &[], false).as_deref(), Some(network));
            assert_eq!(seen(Some(peer), &["198.51.100.1"], false).as_deref(), Some(network), "not trusted");
            assert_eq!(seen(Some(peer), &[], true).as_deref(), Some(network), "the header is missing");
        }
    }

    #[test]
    fn a_local_peer_tells_nothing() {
        for peer in ["127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.1.1", "100.64.0.1"]
            .into_iter()
            .chain(["fd00::1", "fe80::1", "::ffff:127.0.0.1"])
        {
            assert_eq!(seen(Some(peer), &["198.51.100.1"], false), None, "{peer}");
            assert_eq!(seen(Some(peer), &[], true), None, "{peer}");
        }
        assert_eq!(seen(None, &[], false), None);
    }

    #[test]
    fn the_last_address_of_the_trusted_header_is_the_client() {
        for (lines, network) in [
            (&["198.51.100.1"][..], "198.51.100.1"),
            (&["6.6.6.6, 198.51.100.1"], "198.51.100.1"),
            (&["6.6.6.6", "7.7.7.7,198.51.100.1 "], "198.51.100.1"),
            (&["198.51.100.1:4711"], "198.51.100.1"),
            (&["2001:db8::1:2:3:4"], "2001:db8::"),
            (&["[2001:db8::1]:443"], "2001:db8::"),
            (&["[2001:db8::1]"], "2001:db8::"),
            (&["10.0.0.1"], "10.0.0.1"),
        ] {
            assert_eq!(seen(Some("127.0.0.1"), lines, true).as_deref(), Some(network), "{lines:?}");
            assert_eq!(seen(None, lines, true).as_deref(), Some(network), "{lines:?}");
        }
        for nonsense in ["unknown", "", "198.51.100.1,", "198.51.100.1, x"] {
            assert_eq!(seen(Some("203.0.113.7"), &[nonsense], true).as_deref(), Some("203.0.113.7"));
        }
    }
}
