//! `[tokens]`: how long things live.

use std::time::Duration;

pub use mcp_login::settings::Lifetimes;

use crate::config::duration::{parse, show};
use crate::config::fault::Faults;
use crate::config::raw;

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);

pub(super) fn judge(raw: raw::Tokens, faults: &mut Faults) -> Option<Lifetimes> {
    let mut read = |written: Option<String>, key: &str, default: Duration, least: Duration| {
        let duration = match written {
            None => Some(default),
            Some(written) => parse(&written).filter(|duration| *duration >= least),
        };
        if duration.is_none() {
            faults.push(key, "not a duration above zero: write \"60s\", \"10m\", \"24h\" or \"30d\"");
        }
        duration
    };
    let least = Duration::from_secs(1);
    let session = read(raw.session_ttl, "tokens.session_ttl", 10 * MINUTE, least);
    let code = read(raw.code_ttl, "tokens.code_ttl", 5 * MINUTE, least);
    let access = read(raw.access_ttl, "tokens.access_ttl", HOUR, least);
    let refresh = read(raw.refresh_ttl, "tokens.refresh_ttl", 30 * 24 * HOUR, least);
    let window = read(raw.refresh_retry_window, "tokens.refresh_retry_window", MINUTE, Duration::ZERO);

    if session.is_some_and(|session| session > HOUR) {
        faults.push("tokens.session_ttl", "at most \"1h\": an unfinished login should not wait longer");
    }
    if code.is_some_and(|code| code > 10 * MINUTE) {
        faults.push("tokens.code_ttl", "at most \"10m\" (RFC 6749 §4.1.2)");
    }
    if let (Some(access), Some(window)) = (access, window)
        && access <= window
    {
        let message = format!("must be longer than refresh_retry_window, which is {}", show(window));
        faults.push("tokens.access_ttl", message);
    }
    if let (Some(access), Some(refresh)) = (access, refresh)
        && refresh < access
    {
        faults.push(
            "tokens.refresh_ttl",
            format!("must not be shorter than access_ttl, which is {}", show(access)),
        );
    }
    if access.is_some_and(|access| access <= 5 * MINUTE) {
        let message = "at most 300 seconds: some clients (Claude Code) then refresh before every request; \"10m\" or more is calmer";
        faults.warn("tokens.access_ttl", message);
    }
    Some(Lifetimes {
        session: session?,
        code: code?,
        access: access?,
        refresh: refresh?,
        refresh_retry_window: window?,
    })
}
