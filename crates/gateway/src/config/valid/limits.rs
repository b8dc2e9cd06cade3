//! `[limits]`: how much there may be of everything, and how long it may take.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::config::duration::{parse, show};
use crate::config::fault::Faults;
use crate::config::{raw, size};
use crate::descriptors::Half;
use crate::proxy::{AtOnce, DEFAULT_MAX_BODY, Timeouts};
use crate::serve::Limits;

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// More than a process may have descriptors on most systems.
const MAX_COUNT: usize = 1_000_000;
const BODY: RangeInclusive<u64> = 1024..=64 << 30;

/// How much there may be of everything, and how long it may take.
#[derive(Debug, Clone, Copy)]
pub struct LimitsConfig {
    /// What the listener allows.
    pub listener: Limits,
    /// How long backends, and requests on their way to one, may take.
    pub timeouts: Timeouts,
    /// Requests at once for each MCP server.
    pub at_once: AtOnce,
    /// The largest request body for a backend, in bytes, where its server says nothing else.
    pub max_body: u64,
}

/// Of so many servers `at_addresses`, to which each request has a connection of its own.
pub(super) fn judge(raw: raw::Limits, at_addresses: usize, faults: &mut Faults) -> Option<LimitsConfig> {
    let (listener, timeouts) = (Limits::default(), Timeouts::default());
    let max_body = match &raw.max_body {
        None => Some(DEFAULT_MAX_BODY),
        Some(written) => body(written, "limits.max_body", faults),
    };
    let requests = Half::of_this_process().requests(at_addresses);
    let at_once = at_once(raw.max_requests, raw.max_requests_per_user, requests, faults);
    let connections = count(raw.connections, "connections", listener.connections, faults);
    let mut time = |written: Option<String>, name: &str, default: Duration, most: Duration| {
        let time = written.map_or(Some(default), |text| parse(&text).filter(|t| (SECOND..=most).contains(t)));
        if time.is_none() {
            let message = format!("not a duration from \"1s\" to \"{}\"", show(most));
            faults.push(format!("limits.{name}"), message);
        }
        time
    };
    let header_read = time(raw.header_timeout, "header_timeout", listener.header_read, 5 * MINUTE);
    let idle = time(raw.idle_timeout, "idle_timeout", listener.idle, DAY);
    let write = time(raw.write_timeout, "write_timeout", listener.write, HOUR);
    let drain = time(raw.drain_timeout, "drain_timeout", listener.drain, HOUR);
    let connect = time(raw.connect_timeout, "connect_timeout", timeouts.connect, 5 * MINUTE);
    let response = time(raw.response_timeout, "response_timeout", timeouts.response, DAY);
    let body_idle = time(raw.body_idle_timeout, "body_idle_timeout", timeouts.body_idle, HOUR);
    let body = time(raw.body_timeout, "body_timeout", timeouts.body, DAY);
    if let (Some(body_idle), Some(body)) = (body_idle, body)
        && body_idle > body
    {
        let message = format!("longer than body_timeout, which is \"{}\"", show(body));
        faults.push("limits.body_idle_timeout", message);
    }
    let drain = drain?;
    Some(LimitsConfig {
        listener: Limits {
            header_read: header_read?,
            idle: idle?,
            write: write?,
            goodbye: listener.goodbye.min(drain),
            drain,
            connections: connections?,
        },
        timeouts: Timeouts {
            connect: connect?,
            response: response?,
            body_idle: body_idle?,
            body: body?,
            ..timeouts
        },
        at_once: at_once?,
        max_body: max_body?,
    })
}

/// The size of a request body.
pub(super) fn body(written: &str, key: &str, faults: &mut Faults) -> Option<u64> {
    let (least, most) = (size::show(*BODY.start()), size::show(*BODY.end()));
    let out_of_bounds = || format!("not a size from \"{least}\" to \"{most}\"");
    match size::parse(written)
        .and_then(|size| Some(size).filter(|size| BODY.contains(size)).ok_or_else(out_of_bounds))
    {
        Ok(size) => Some(size),
        Err(message) => {
            faults.push(key, message);
            None
        }
    }
}

fn at_once(
    requests: Option<i64>,
    of_user: Option<i64>,
    default: usize,
    faults: &mut Faults,
) -> Option<AtOnce> {
    // Where nobody has said anything, one user leaves something to the others. Who allows fewer in all need not say that one
    // user has no more.
    let of_all = if requests.is_none() { Some(default / 2) } else { None };
    let requests = count(requests, "max_requests", default, faults);
    let of_all = of_all.or(requests).unwrap_or(default).min(AtOnce::DEFAULT_PER_USER);
    let of_user = count(of_user, "max_requests_per_user", of_all, faults);
    let at_once = AtOnce { requests: requests?, requests_per_user: of_user? };
    if at_once.requests_per_user > at_once.requests {
        let message = format!("more than max_requests, which is {}", at_once.requests);
        faults.push("limits.max_requests_per_user", message);
    }
    Some(at_once)
}

fn count(written: Option<i64>, name: &str, default: usize, faults: &mut Faults) -> Option<usize> {
    let Some(written) = written else { return Some(default) };
    let count = usize::try_from(written).ok().filter(|count| (1..=MAX_COUNT).contains(count));
    if count.is_none() {
        faults.push(format!("limits.{name}"), format!("not a number from 1 to {MAX_COUNT}"));
    }
    count
}
