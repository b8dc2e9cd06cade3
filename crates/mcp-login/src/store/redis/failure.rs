//! What kept a command from being answered, and what that says about whether it has happened.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::address::Address;
use crate::store::backend::StoreError;

#[derive(Debug)]
pub(super) enum Failure {
    /// Nothing has happened, and it may work in a moment: no connection, a failover, a server that loads its data.
    NotNow(String),
    /// Nothing has happened, and this server is not what it was: a replica now, or one that wants a login.
    Stale(String),
    /// Another node of the Cluster owns the slot from now on.
    Moved { slot: u16, to: Address },
    /// Another node of the Cluster has, or gets, this key.
    Ask(Address),
    /// The script has to be sent along.
    NoScript,
    /// Redis refuses the command; nothing has happened.
    Refused(String),
    /// The answer is lost: the command has happened, or has not.
    Lost(String),
}

impl Failure {
    /// Whether the connection on which this came is of no more use.
    pub(super) fn ends_connection(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::Stale(_))
    }

    /// Whether another server may be the right one by now.
    pub(super) fn asks_for_news(&self) -> bool {
        matches!(self, Self::NotNow(_) | Self::Stale(_) | Self::Lost(_))
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::NotNow(text) | Self::Stale(text) | Self::Refused(text) | Self::Lost(text) => text,
            Self::Moved { .. } | Self::Ask(_) => {
                "Redis sends it to another node; a Cluster's URL is redis+cluster://HOST:PORT,HOST:PORT"
            }
            Self::NoScript => "Redis does not keep the scripts it is sent",
        }
    }
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        Self::unavailable(failure.text().to_owned())
    }
}

/// `asked` is the host that answered: in redirections an empty host is the same.
pub(super) fn judge(error: &RedisError, asked: &str) -> Failure {
    let text = safe(error);
    let ErrorKind::Server(kind) = error.kind() else {
        return match error.code() {
            Some("NOAUTH" | "WRONGPASS") => Failure::Stale(text),
            // Said before anything is done: a running script, too few replicas, a disk that is full.
            Some(_) => Failure::Refused(text),
            None => Failure::Lost(text),
        };
    };
    let redirect = || error.redirect_node().and_then(|(to, slot)| Some((Address::parse(to, asked)?, slot)));
    match kind {
        ServerErrorKind::Moved => match redirect() {
            Some((to, slot)) => Failure::Moved { slot, to },
            None => Failure::NotNow(text),
        },
        ServerErrorKind::Ask => redirect().map_or(Failure::NotNow(text), |(to, _)| Failure::Ask(to)),
        ServerErrorKind::TryAgain
        | ServerErrorKind::ClusterDown
        | ServerErrorKind::MasterDown
        | ServerErrorKind::BusyLoading => Failure::NotNow(text),
        ServerErrorKind::ReadOnly => Failure::Stale(text),
        ServerErrorKind::NoScript => Failure::NoScript,
        // Redis 6 puts what a script's command met into an error of the script; the first write is its only one.
        _ if text.contains("READONLY") => Failure::Stale(text),
        _ => Failure::Refused(text),
    }
}

/// Redis repeats the arguments of a command that it does not know: keys and records, which are not for the log.
fn safe(error: &RedisError) -> String {
    error.to_string().split(", with args").next().unwrap_or_default().to_owned()
}
