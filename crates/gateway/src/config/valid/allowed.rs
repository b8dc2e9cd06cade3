//! `allowed_hosts` and `allowed_origins`: who may be meant, and whose pages may ask.
//!
//! What nobody has said follows from `public_url`. One on this computer is asked by programs of this computer; one on the
//! internet is found by anybody, often by a proxy that has another name for it.

use std::collections::BTreeSet;

use url::{Host, Url};

use super::{PublicUrl, each};
use crate::config::fault::Faults;
use crate::rebinding::{Hosts, Origins, is_loopback};

/// Stands for all.
const ANY: &str = "*";

pub(super) fn hosts(
    written: Option<Vec<String>>,
    public_url: Option<&PublicUrl>,
    faults: &mut Faults,
) -> Hosts {
    let public: Option<Url> = public_url.and_then(|url| url.as_str().parse().ok());
    let written = match written {
        None if public.as_ref().is_some_and(is_loopback) => Vec::new(),
        None => return Hosts::Any,
        Some(written) if written.iter().any(|host| host == ANY) => return Hosts::Any,
        Some(written) => written,
    };
    let mut listed: BTreeSet<String> = each(written, "allowed_hosts", faults, host).into_iter().collect();
    listed.extend(public.as_ref().and_then(Url::host_str).map(|host| without_root(host).to_owned()));
    Hosts::These(listed)
}

/// A name may end with the dot of the root, and is compared without it.
fn without_root(name: &str) -> &str {
    name.strip_suffix('.').unwrap_or(name)
}

fn host(written: &str) -> Result<String, String> {
    let names_more =
        written.contains(['/', '*', '@']) || (written.contains(':') && !written.starts_with('['));
    Host::parse(without_root(written)).ok().filter(|_| !names_more).map(|host| host.to_string()).ok_or_else(
        || "not a host: write its name alone, such as \"mcp.internal\", without port and path".into(),
    )
}

pub(super) fn origins(
    written: Option<Vec<String>>,
    public_url: Option<&PublicUrl>,
    faults: &mut Faults,
) -> Origins {
    let public: Option<Url> = public_url.and_then(|url| url.as_str().parse().ok());
    let loopback = public.as_ref().is_some_and(is_loopback);
    let written = match written {
        None if loopback => Vec::new(),
        None => return Origins::Any,
        Some(written) if written.iter().any(|origin| origin == ANY) => return Origins::Any,
        Some(written) => written,
    };
    let mut listed: BTreeSet<String> = each(written, "allowed_origins", faults, origin).into_iter().collect();
    listed.extend(public.map(|url| url.origin().ascii_serialization()));
    Origins::These { listed, loopback }
}

/// RFC 6454 §6.2.
fn origin(written: &str) -> Result<String, String> {
    if written == "null" {
        return Ok(written.to_owned());
    }
    let message = "not an origin: write \"https://app.example.com\", with its port if it has one and no path";
    let url: Url = written.parse().map_err(|_| message)?;
    let is_alone = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
    let is_one = matches!(url.scheme(), "http" | "https") && is_alone && !written.contains(['@', '*']);
    if is_one { Ok(url.origin().ascii_serialization()) } else { Err(message.to_owned()) }
}
