//! `[store]`: where grants are kept.

use std::time::Duration;

use mcp_login::core::Secret;
use mcp_login::settings::VerificationCache;
use mcp_login::store::backend::StoreError;
use mcp_login::store::options::StoreOptions;
use mcp_login::store::redis::RedisBackend;
use mcp_login::store::upstash::UpstashBackend;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::Context;
use crate::config::duration::parse;
use crate::config::fault::Faults;
use crate::config::secret;

/// Where grants are kept.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// `memory:`, `file:PATH`, one of `redis://…`, `redis+cluster://…` and `redis+sentinel://…`, each with `rediss` for
    /// TLS, or `upstash+https://…`; it may hold passwords and a token.
    pub url: Secret,
    /// What every key begins with, on Redis and Upstash.
    pub key_prefix: String,
    /// How long one call may take, on Redis and Upstash.
    pub timeout: Duration,
    /// How long one attempt to connect may take, on Redis and Upstash.
    pub connect_timeout: Duration,
    /// How many connections to each server, on Redis.
    pub connections: usize,
    /// What is kept in memory of what is in it.
    pub cache: VerificationCache,
}

impl StoreConfig {
    /// As the library wants them.
    #[must_use]
    pub fn options(&self) -> StoreOptions {
        StoreOptions::default()
            .key_prefix(&self.key_prefix)
            .timeout(self.timeout)
            .connect_timeout(self.connect_timeout)
            .connections(self.connections)
    }
}

const DEFAULT_URL: &str = "file:mcp-login.db";
const DEFAULT_PREFIX: &str = "mcp-login:";
const KEY: &str = "store.url";
/// Four gigabytes.
const MAX_ENTRIES: usize = 1_000_000;
const MAX_GRACE: Duration = Duration::from_secs(60 * 60);
/// How the variables of hosted Upstash stores are called; both of a pair are needed to use one.
const UPSTASH: [(&str, &str); 2] =
    [("KV_REST_API_URL", "KV_REST_API_TOKEN"), ("UPSTASH_REDIS_REST_URL", "UPSTASH_REDIS_REST_TOKEN")];

pub(in crate::config) fn judge(
    raw: crate::config::raw::Store,
    context: &Context<'_>,
    faults: &mut Faults,
) -> Option<StoreConfig> {
    let key_prefix = raw.key_prefix.unwrap_or_else(|| DEFAULT_PREFIX.to_owned());
    if key_prefix.len() > 64
        || !key_prefix.bytes().all(|b| b.is_ascii_alphanumeric() || b":_-{}.".contains(&b))
    {
        faults.push("store.key_prefix", "at most 64 of the characters A-Z a-z 0-9 : _ - . { }");
    }
    let timeout = limit(raw.timeout, "store.timeout", faults);
    let connect_timeout = limit(raw.connect_timeout, "store.connect_timeout", faults);
    let connections = connections(raw.connections, faults);
    let cache = cache(raw.cache_entries, raw.outage_grace, faults);
    let url = match raw.url {
        Some(url) => secret::fetch(url, context.places, KEY, faults).map(|url| (KEY.to_owned(), url)),
        None if faults.concerns(KEY) => None,
        None => Some(from_environment(context, faults)?),
    };
    let (key, url) = url?;
    let config = StoreConfig { url, key_prefix, timeout, connect_timeout, connections, cache };
    if let Err(message) = check(&config) {
        faults.push(key, message);
        return None;
    }
    if config.url.expose_secret() == "memory:" {
        faults.warn(key, "everybody has to log in again after a restart");
    }
    Some(config)
}

/// The default stands in for a faulty one, so that what else is wrong is said as well.
fn limit(written: Option<String>, key: &str, faults: &mut Faults) -> Duration {
    let Some(written) = written else { return StoreOptions::DEFAULT_TIMEOUT };
    parse(&written).filter(|limit| StoreOptions::TIMEOUT_RANGE.contains(limit)).unwrap_or_else(|| {
        faults.push(key, "not a duration from \"1s\" to \"60s\"");
        StoreOptions::DEFAULT_TIMEOUT
    })
}

fn connections(written: Option<i64>, faults: &mut Faults) -> usize {
    let Some(written) = written else { return 1 };
    let range = 1..=StoreOptions::MAX_CONNECTIONS;
    usize::try_from(written).ok().filter(|connections| range.contains(connections)).unwrap_or_else(|| {
        faults.push("store.connections", format!("not a number from 1 to {}", range.end()));
        1
    })
}

/// The default stands in for a faulty one, so that what else is wrong is said as well.
fn cache(entries: Option<i64>, grace: Option<String>, faults: &mut Faults) -> VerificationCache {
    let mut cache = VerificationCache::default();
    if let Some(entries) = entries {
        match usize::try_from(entries).ok().filter(|entries| *entries <= MAX_ENTRIES) {
            Some(entries) => cache.entries = entries,
            None => faults.push("store.cache_entries", format!("not a number from 0 to {MAX_ENTRIES}")),
        }
    }
    if let Some(grace) = grace {
        match parse(&grace).filter(|grace| *grace <= MAX_GRACE) {
            Some(grace) => cache.grace = grace,
            None => faults.push("store.outage_grace", "not a duration from \"0s\" to \"1h\""),
        }
    }
    cache
}

/// What hosting platforms set, when the file names no store.
fn from_environment(context: &Context<'_>, faults: &mut Faults) -> Option<(String, Secret)> {
    let environment = context.places.environment;
    let given = |name: &str| environment.get(name).filter(|value| !value.is_empty());
    if let Some(url) = given("REDIS_URL") {
        return Some(("REDIS_URL".to_owned(), Secret::new(url.as_str())));
    }
    for (url, token) in UPSTASH {
        match (given(url), given(token)) {
            (Some(at), Some(with)) => return upstash(url, at, with, faults),
            (Some(_), None) => {
                faults.push(token, format!("required: {url} is set, and this is the token for it"));
                return None;
            }
            (None, Some(_)) => {
                faults.push(url, format!("required: {token} is set, and this is where it is for"));
                return None;
            }
            (None, None) => {}
        }
    }
    Some((KEY.to_owned(), Secret::new(DEFAULT_URL)))
}

/// One URL of two variables.
fn upstash(name: &str, url: &str, token: &str, faults: &mut Faults) -> Option<(String, Secret)> {
    let Some((scheme, host)) = url.trim().split_once("://").filter(|(_, host)| !host.contains('@')) else {
        faults.push(name, "not the REST URL of Upstash, https://HOST");
        return None;
    };
    let token = utf8_percent_encode(token.trim(), NON_ALPHANUMERIC);
    Some((name.to_owned(), Secret::new(format!("upstash+{scheme}://{token}@{host}"))))
}

/// Never shows the URL: it may hold a password.
fn check(config: &StoreConfig) -> Result<(), String> {
    const KINDS: &str = "write \"file:PATH\", \"memory:\", \"redis://HOST:PORT\", \"redis+cluster://HOST:PORT,HOST:PORT\" \
        \"redis+sentinel://HOST:PORT,HOST:PORT/MASTER\" or \"upstash+https://TOKEN@HOST\"";
    let url = config.url.expose_secret();
    let Some((scheme, rest)) = url.split_once(':') else {
        return Err(format!("not a store: {KINDS}"));
    };
    // Neither connects to anything yet.
    let opened = match scheme {
        "memory" if rest.is_empty() => Ok(()),
        "memory" => return Err("nothing belongs behind \"memory:\"".to_owned()),
        "file" if rest.is_empty() || rest.contains('\0') => {
            return Err("a path belongs behind \"file:\"".to_owned());
        }
        "file" => Ok(()),
        "redis" | "rediss" | "redis+cluster" | "rediss+cluster" | "redis+sentinel" | "rediss+sentinel" => {
            RedisBackend::open_with(url, &config.options()).map(drop)
        }
        "upstash+https" | "upstash+http" => UpstashBackend::open_with(url, &config.options()).map(drop),
        _ => return Err(format!("not a store that is known: {KINDS}")),
    };
    opened.map_err(|error| match error {
        StoreError::Open(what) => what,
        other => other.to_string(),
    })
}
