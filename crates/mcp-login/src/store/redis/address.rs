//! From a URL to the places where Redis is.
//!
//! No text of an error holds any part of the URL, nor of what the redis crate says about it.

use std::fmt;

use percent_encoding::percent_decode_str;
use redis::io::tcp::TcpSettings;
use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo, RedisConnectionInfo};

use crate::store::backend::StoreError;

/// The most hosts of a URL: they are all asked at once.
const HOST_LIMIT: usize = 16;

const CLUSTER_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Where one server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// `HOST:PORT` as Redis writes it in redirections; an empty host is `asked`, the one that says so.
    pub(super) fn parse(text: &str, asked: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let host = if matches!(host, "" | "?") { asked } else { host };
        Some(Self { host: host.to_owned(), port: port.parse().ok()? })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How a server is entered: with TLS or without, as whom, into which database.
#[derive(Clone)]
pub(super) struct Access {
    tls: bool,
    settings: RedisConnectionInfo,
}

impl Access {
    pub(super) fn to(&self, address: &Address) -> Result<ConnectionInfo, redis::RedisError> {
        let (host, port) = (address.host.clone(), address.port);
        let address = if self.tls {
            ConnectionAddr::TcpTls { host, port, insecure: false, tls_params: None }
        } else {
            ConnectionAddr::Tcp(host, port)
        };
        let info = address.into_connection_info()?.set_redis_settings(self.settings.clone());
        Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
    }

    pub(super) fn is_tls(&self) -> bool {
        self.tls
    }
}

/// What a URL names.
pub(super) enum Target {
    One { address: Address, access: Access },
    Cluster { seeds: Vec<Address>, access: Access },
    Sentinel { sentinels: Vec<Address>, entry: Access, master: String, access: Access },
}

const FORMS: &str = "it is redis://[USER:PASSWORD@]HOST[:PORT][/DB], \
    redis+cluster://[USER:PASSWORD@]HOST:PORT,HOST:PORT or \
    redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/MASTER[/DB][?sentinel_user=…&sentinel_password=…], with \
    rediss in the place of redis for TLS, and special characters of passwords percent-encoded";

fn unreadable() -> StoreError {
    StoreError::Open(format!("the store's Redis URL cannot be read; {FORMS}"))
}

fn always_verified() -> StoreError {
    StoreError::Open(
        "the store's Redis URL ends in #insecure, but certificates are always verified; remove it, and name the \
         certificate authority in SSL_CERT_FILE if it is your own"
            .to_owned(),
    )
}

impl Target {
    pub(super) fn parse(url: &str) -> Result<Self, StoreError> {
        let scheme = url.split(':').next().unwrap_or_default().to_ascii_lowercase();
        match scheme.as_str() {
            "redis" | "rediss" => one(url),
            "redis+cluster" | "rediss+cluster" => cluster(&Parts::split(url)?),
            "redis+sentinel" | "rediss+sentinel" => sentinel(&Parts::split(url)?),
            _ => Err(unreadable()),
        }
    }
}

fn one(url: &str) -> Result<Target, StoreError> {
    let info: ConnectionInfo = url.into_connection_info().map_err(|_| unreadable())?;
    let settings = info.redis_settings().clone();
    let (host, port, tls) = match info.addr() {
        ConnectionAddr::Tcp(host, port) => (host, port, false),
        ConnectionAddr::TcpTls { insecure: true, .. } => return Err(always_verified()),
        ConnectionAddr::TcpTls { host, port, .. } => (host, port, true),
        _ => return Err(unreadable()),
    };
    let address = Address { host: host.clone(), port: *port };
    Ok(Target::One { address, access: Access { tls, settings } })
}

fn cluster(parts: &Parts<'_>) -> Result<Target, StoreError> {
    if !matches!(parts.path, "" | "/" | "/0") {
        return Err(StoreError::Open(
            "a Redis Cluster has no databases: nothing belongs behind its hosts".to_owned(),
        ));
    }
    if !parts.query.is_empty() {
        return Err(unreadable());
    }
    Ok(Target::Cluster { seeds: parts.hosts(CLUSTER_PORT)?, access: parts.access(0)? })
}

fn sentinel(parts: &Parts<'_>) -> Result<Target, StoreError> {
    let path = parts.path.strip_prefix('/').unwrap_or_default();
    let (master, database) = path.split_once('/').unwrap_or((path, "0"));
    let master = decode(master)?;
    if master.is_empty() {
        return Err(StoreError::Open(
            "the store's Redis URL lacks the name of the master behind the sentinels: \
             redis+sentinel://HOST:PORT,HOST:PORT/MASTER"
                .to_owned(),
        ));
    }
    let database = if database.is_empty() { 0 } else { database.parse().map_err(|_| unreadable())? };
    let mut settings = RedisConnectionInfo::default();
    for pair in parts.query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(unreadable)?;
        let value = decode(value)?;
        settings = match name {
            "sentinel_user" => settings.set_username(value),
            "sentinel_password" => settings.set_password(value),
            _ => return Err(unreadable()),
        };
    }
    let entry = Access { tls: parts.tls, settings };
    Ok(Target::Sentinel {
        sentinels: parts.hosts(SENTINEL_PORT)?,
        entry,
        master,
        access: parts.access(database)?,
    })
}

/// `SCHEME://USER@HOSTS PATH?QUERY`, still encoded. The `url` crate reads no lists of hosts.
struct Parts<'a> {
    tls: bool,
    user: Option<&'a str>,
    hosts: &'a str,
    path: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn split(url: &'a str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.split_once("://").ok_or_else(unreadable)?;
        if let Some((_, fragment)) = rest.split_once('#') {
            return Err(if fragment == "insecure" { always_verified() } else { unreadable() });
        }
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user), hosts),
            None => (None, authority),
        };
        let tls = scheme.to_ascii_lowercase().starts_with("rediss");
        Ok(Self { tls, user, hosts, path, query })
    }

    fn access(&self, database: i64) -> Result<Access, StoreError> {
        let mut settings = RedisConnectionInfo::default().set_db(database);
        if let Some(user) = self.user {
            let (name, password) = user.split_once(':').ok_or_else(unreadable)?;
            if !name.is_empty() {
                settings = settings.set_username(decode(name)?);
            }
            settings = settings.set_password(decode(password)?);
        }
        Ok(Access { tls: self.tls, settings })
    }

    fn hosts(&self, default_port: u16) -> Result<Vec<Address>, StoreError> {
        let hosts: Option<Vec<_>> = self.hosts.split(',').map(|host| read_host(host, default_port)).collect();
        let hosts = hosts.ok_or_else(unreadable)?;
        if hosts.len() > HOST_LIMIT {
            return Err(StoreError::Open(format!(
                "the store's Redis URL names more than {HOST_LIMIT} hosts"
            )));
        }
        Ok(hosts)
    }
}

fn read_host(text: &str, default_port: u16) -> Option<Address> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok().filter(|port| *port != 0)?),
        _ => (text, default_port),
    };
    let host = match url::Host::parse(host).ok()? {
        url::Host::Domain(name) => name,
        url::Host::Ipv4(address) => address.to_string(),
        url::Host::Ipv6(address) => address.to_string(),
    };
    Some(Address { host, port })
}

fn decode(text: &str) -> Result<String, StoreError> {
    percent_decode_str(text).decode_utf8().map(Into::into).map_err(|_| unreadable())
}

#[cfg(test)]
mod tests;
