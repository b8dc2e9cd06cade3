//! `backend` at `[[mcp]]`: where a protected server is, once or several times.

use std::time::Duration;

use axum::http::uri::PathAndQuery;

use super::{check_http_url, limits};
use crate::config::duration::parse;
use crate::config::fault::Faults;
use crate::config::raw;
use crate::proxy::{HealthChecks, MAX_BACKENDS};

const SECOND: Duration = Duration::from_secs(1);
const MAX_INTERVAL: Duration = Duration::from_secs(60 * 60);
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// Where a protected server is: an http or https URL without userinfo, query and fragment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendUrl(url::Url);

impl BackendUrl {
    /// The URL.
    #[must_use]
    pub const fn as_url(&self) -> &url::Url {
        &self.0
    }
}

/// A server at an address, or the same one at several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendConfig {
    /// Its addresses, at least one, no two the same, each with its key.
    pub urls: Vec<BackendUrl>,
    /// How they are asked whether they are well.
    pub health: Option<HealthChecks>,
    /// The largest request body, in bytes, where it is not that of `[limits]`.
    pub max_body: Option<u64>,
}

pub(super) fn judge(raw: &raw::Mcp, key: &str, faults: &mut Faults) -> Option<BackendConfig> {
    let max_body =
        raw.max_body.as_deref().map(|written| limits::body(written, &format!("{key}.max_body"), faults));
    let health = health(raw, key, faults);
    let urls = urls(raw.backend.as_ref(), &format!("{key}.backend"), faults)?;
    if urls.len() == 1 && health.is_some() {
        faults.warn(
            format!("{key}.health_path"),
            "does nothing with one backend: there is no other to turn to",
        );
    }
    Some(BackendConfig { urls, health, max_body: max_body.flatten() })
}

/// The key of one of them.
pub(super) fn key_of(key: &str, at: usize, count: usize) -> String {
    if count == 1 { key.to_owned() } else { format!("{key}[{at}]") }
}

fn urls(written: Option<&raw::OneOrMany>, key: &str, faults: &mut Faults) -> Option<Vec<BackendUrl>> {
    let written = match written {
        None => {
            faults.missing(
                key,
                "the URL of the MCP server, such as \"http://127.0.0.1:3000/mcp\"; or command for a program",
            );
            return None;
        }
        Some(raw::OneOrMany::One(one)) => std::slice::from_ref(one),
        Some(raw::OneOrMany::Many(many)) => many.as_slice(),
    };
    if written.is_empty() || written.len() > MAX_BACKENDS {
        faults.push(key, format!("from one URL to {MAX_BACKENDS} of them"));
        return None;
    }
    let mut urls: Vec<Option<BackendUrl>> = Vec::new();
    for (at, text) in written.iter().enumerate() {
        let judged = match url(text) {
            Ok(url) if urls.iter().flatten().any(|other| *other == url) => {
                Err("stands here twice: a list has each backend once")
            }
            judged => judged,
        };
        urls.push(judged.map_err(|message| faults.push(key_of(key, at, written.len()), message)).ok());
    }
    urls.into_iter().collect()
}

fn url(written: &str) -> Result<BackendUrl, &'static str> {
    let url = check_http_url(written)?;
    if url.query().is_some() {
        return Err("holds a query: send what it says in `headers` instead");
    }
    Ok(BackendUrl(url))
}

fn health(raw: &raw::Mcp, key: &str, faults: &mut Faults) -> Option<HealthChecks> {
    let mut time = |written: Option<&String>, name: &str, default: Duration, most: Duration, shown: &str| {
        let Some(text) = written else { return Some(default) };
        let key = format!("{key}.{name}");
        if raw.health_path.is_none() {
            faults.push(&key, "belongs to health_path, which is not here");
        }
        let time = parse(text).filter(|time| (SECOND..=most).contains(time));
        if time.is_none() {
            faults.push(key, format!("not a duration from \"1s\" to \"{shown}\""));
        }
        time
    };
    let (interval, timeout) = (HealthChecks::DEFAULT_INTERVAL, HealthChecks::DEFAULT_TIMEOUT);
    let interval = time(raw.health_interval.as_ref(), "health_interval", interval, MAX_INTERVAL, "1h");
    let timeout = time(raw.health_timeout.as_ref(), "health_timeout", timeout, MAX_TIMEOUT, "1m");
    let path = raw.health_path.clone()?;
    let is_path = path.starts_with('/') && !path.contains('#') && path.parse::<PathAndQuery>().is_ok();
    if !is_path {
        faults.push(format!("{key}.health_path"), "not a path: write \"/healthz\"");
    }
    Some(HealthChecks { path, interval: interval?, timeout: timeout? })
}
