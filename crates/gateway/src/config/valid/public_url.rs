//! `public_url`: the issuer (RFC 8414 §2), compared byte for byte by clients.

use std::fmt;

use super::mcp::check_path;
use super::{authority, check_http_url, is_loopback};
use crate::config::fault::Faults;

/// Scheme, host, maybe port, maybe path; no slash at the end. The bytes are those of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    written: String,
    https: bool,
}

impl PublicUrl {
    /// Judges what was written.
    pub(in crate::config) fn judge(written: Option<String>, faults: &mut Faults) -> Option<Self> {
        let Some(written) = written else {
            faults.missing(
                KEY,
                "the URL under which clients reach this server, such as \"https://mcp.example.com\"",
            );
            return None;
        };
        match check(&written) {
            Ok(url) => Some(url),
            Err(message) => {
                faults.push(KEY, message);
                None
            }
        }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.written
    }

    /// `https` or `http`.
    #[must_use]
    pub const fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }

    /// Host, and port where one was written.
    #[must_use]
    pub fn authority(&self) -> &str {
        authority(&self.written)
    }

    /// The path: empty, or beginning with a slash.
    #[must_use]
    pub fn path(&self) -> &str {
        let rest = self.written.split_once("://").map_or("", |(_, rest)| rest);
        rest.find('/').map_or("", |at| &rest[at..])
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.written)
    }
}

const KEY: &str = "public_url";

fn check(written: &str) -> Result<PublicUrl, String> {
    let url = check_http_url(written)?;
    if url.query().is_some() {
        return Err("holds a query: take out ? and what follows".to_owned());
    }
    let https = url.scheme() == "https";
    let plain = !https && !is_loopback(&url);
    if plain || written.ends_with('/') {
        let wrong = if plain { "http is for loopback hosts only" } else { "ends with a slash" };
        let rest = written.split_once("://").map_or("", |(_, rest)| rest).trim_end_matches('/');
        let scheme = if plain { "https" } else { url.scheme() };
        return Err(format!("{wrong}: write \"{scheme}://{rest}\""));
    }
    // What clients make of it when they parse and print it again; they compare it byte for byte.
    let normal = url.as_str().trim_end_matches('/');
    if normal != written {
        return Err(format!("not in its normal form: write {normal:?}"));
    }
    let public = PublicUrl { written: written.to_owned(), https };
    if !public.path().is_empty() {
        check_path(public.path()).map_err(|message| format!("its path: {message}"))?;
        if public.path().starts_with("/.well-known") {
            return Err("its path is /.well-known, which is the server's own".to_owned());
        }
    }
    Ok(public)
}
