//! Whether a backend is the gateway itself.

use std::net::{IpAddr, SocketAddr};

use url::{Host, Url};

use super::PublicUrl;

/// The key that says the backend is the gateway itself.
pub(super) fn is_own(
    backend: &Url,
    listen: Option<SocketAddr>,
    public_url: Option<&PublicUrl>,
) -> Option<&'static str> {
    if listen.is_some_and(|listen| is_listener(backend, listen)) {
        Some("listen")
    } else if public_url.is_some_and(|public_url| is_public(backend, public_url)) {
        Some("public_url")
    } else {
        None
    }
}

fn is_listener(backend: &Url, listen: SocketAddr) -> bool {
    if backend.port_or_known_default() != Some(listen.port()) {
        return false;
    }
    let is_near = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    // The unspecified address is all of this machine's; of those, the ones of the loopback interface are known.
    let is_here = |ip: IpAddr| {
        let (ip, listen) = (ip.to_canonical(), listen.ip().to_canonical());
        ip == listen
            || (listen.is_unspecified() && ip.is_loopback())
            || (ip.is_unspecified() && is_near(listen))
    };
    match backend.host() {
        Some(Host::Ipv4(ip)) => is_here(ip.into()),
        Some(Host::Ipv6(ip)) => is_here(ip.into()),
        Some(Host::Domain(name)) => {
            let listen = listen.ip().to_canonical();
            (name == "localhost" || name.ends_with(".localhost")) && is_near(listen)
        }
        None => false,
    }
}

/// A public URL with a path shares its host with others, which may be backends.
fn is_public(backend: &Url, public_url: &PublicUrl) -> bool {
    let Ok(public) = public_url.as_str().parse::<Url>() else { return false };
    let below = backend.path().strip_prefix(public_url.path());
    backend.host() == public.host()
        && backend.port_or_known_default() == public.port_or_known_default()
        && below.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
