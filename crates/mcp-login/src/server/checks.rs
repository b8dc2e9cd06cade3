//! What is wrong with what was said: each check names the configuration key.

use std::net::IpAddr;

use mcp_login_core::client::DocumentHosts;
use mcp_login_core::scope::Scopes;
use url::{Host, Url};

use crate::resource::Resource;
use crate::settings::{AccessRule, ResourceList, ResourceSettings};
use crate::upstream::{Upstream, choose, is_name};

/// Scheme, host, port and perhaps a path; https but for this computer, since everything else would send codes and
/// tokens in the open (OAuth 2.1 §1.5).
pub(super) fn check_public_url(public_url: &str) -> Result<Url, String> {
    let fault = |what: &str| Err(format!("public_url: {what}"));
    let Ok(url) = Url::parse(public_url) else { return fault("is not a URL") };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(ip)) => IpAddr::from(ip).is_loopback(),
        Some(Host::Ipv6(ip)) => IpAddr::from(ip).is_loopback(),
        None => return fault("has no host"),
    };
    match url.scheme() {
        "https" => {}
        "http" if loopback => {}
        _ => return fault("has to be https (http only for localhost)"),
    }
    if url.query().is_some()
        || url.fragment().is_some()
        || !url.username().is_empty()
        || url.password().is_some()
    {
        return fault("has scheme, host, port and path only");
    }
    if !is_plain_path(url.path()) || url.path().starts_with("/.well-known") {
        return fault("its path has letters, digits and - . _ ~ / only, and is not /.well-known");
    }
    if url.as_str().trim_end_matches('/') != public_url {
        return fault("has to be written plainly: lower-case host, no default port, no slash at the end");
    }
    Ok(url)
}

/// Whether a path means itself to every router.
fn is_plain_path(path: &str) -> bool {
    path.bytes().all(|b| b.is_ascii_alphanumeric() || b"/-._~@".contains(&b))
}

/// `upstream.KEY` of the one without a name, `upstreams.NAME.KEY` of the others.
pub(super) fn check_upstreams(
    upstreams: &[(String, Upstream)],
    resources: &[Resource],
    faults: &mut Vec<String>,
) {
    let names: Vec<String> = upstreams.iter().map(|(name, _)| name.clone()).collect();
    for (n, (name, upstream)) in upstreams.iter().enumerate() {
        let section = if name.is_empty() { "upstream".to_owned() } else { format!("upstreams.{name}") };
        if !name.is_empty() && !is_name(name) {
            faults.push(format!("{section}: a name has 1 to 32 lower-case letters, digits, - and _"));
        }
        if names.iter().take(n).any(|other| other == name) {
            faults.push(format!("{section}: is there twice"));
        }
        let wrong = upstream.validate().err().unwrap_or_default();
        faults.extend(wrong.into_iter().map(|(key, fault)| format!("{section}.{key}: {fault}")));
    }
    for (n, resource) in resources.iter().enumerate().filter(|_| !names.is_empty()) {
        let wanted = resource.upstream.as_deref();
        if choose(&names, wanted).is_none() {
            let there: Vec<_> = names.iter().filter(|name| !name.is_empty()).map(String::as_str).collect();
            let what = wanted.map_or_else(|| "is missing".to_owned(), |name| format!("{name:?} is none"));
            faults.push(format!("mcp[{n}].upstream: {what}; the upstreams are {}", there.join(", ")));
        }
    }
}

/// What stands in the address that the browser brings can be written by whoever sits at it, unless the service signs it.
pub(super) fn check_access(access: &AccessRule, upstreams: &[(String, Upstream)], faults: &mut Vec<String>) {
    for claim in access.claims.keys() {
        let name = claim.strip_prefix('/').and_then(|path| path.split('/').next()).unwrap_or(claim);
        if upstreams.iter().any(|(_, upstream)| upstream.keeps_unsigned(name)) {
            faults.push(format!(
                "access.claims.{claim}: comes with the browser, unsigned; anybody could say they have it"
            ));
        }
    }
}

pub(super) fn check_document_hosts(hosts: &[String], faults: &mut Vec<String>) -> DocumentHosts {
    let mut checked = DocumentHosts::default();
    for (n, host) in hosts.iter().enumerate() {
        if let Err(error) = checked.insert(host) {
            faults.push(format!("clients.metadata_document_hosts[{n}]: {error}"));
        }
    }
    checked
}

pub(super) fn check_resources(
    public_url: &str,
    resources: &[Resource],
    faults: &mut Vec<String>,
) -> ResourceList {
    let mut checked = Vec::new();
    for (n, resource) in resources.iter().enumerate() {
        let path = &resource.path;
        let url = format!("{public_url}{path}");
        let itself = Url::parse(&format!("http://localhost{path}")).is_ok_and(|parsed| parsed.path() == path);
        if !path.starts_with('/') || path.ends_with('/') || !itself || !is_plain_path(path) {
            faults.push(format!("mcp[{n}].path: has to be a plain path such as /mcp"));
        }
        if resources.iter().take(n).any(|other| other.path == *path) {
            faults.push(format!("mcp[{n}].path: another server has it"));
        }
        let Some(scopes) = resource.parsed_scopes() else {
            faults.push(format!("mcp[{n}].scopes: holds something that is no scope (RFC 6749 section 3.3)"));
            continue;
        };
        let mut fault = |fault: String| faults.push(format!("mcp[{n}].{fault}"));
        let supported = scopes.clone().union(resource.parsed_tool_scopes(&mut fault).all());
        // As it is kept with each login.
        if Scopes::parse(&supported.to_string()).is_err() {
            fault("tool_scopes: with `scopes` at most 64 scopes, of 4096 bytes together".to_owned());
        }
        resource.check_descriptions(&supported, &mut fault);
        let (scope_descriptions, name) = (resource.scope_descriptions.clone(), resource.name.clone());
        checked.push(ResourceSettings { url, scopes, supported, scope_descriptions, name });
    }
    ResourceList(checked)
}
