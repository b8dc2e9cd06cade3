//! `assertion` and `assertion_audience` at `[[mcp]]`: whether the backend gets a signed word on who is calling.

use std::collections::BTreeMap;

use super::McpConfig;
use crate::config::fault::Faults;
use crate::config::raw;

/// The longest audience, in bytes.
const MAX_LENGTH: usize = 512;

/// For whom the assertions are (RFC 7519 §4.1.3): what `assertion_audience` says, else `backend` as it is written, byte for
/// byte, so that both sides can be configured with the same text.
pub(super) fn judge(raw: &raw::Mcp, key: &str, faults: &mut Faults) -> Option<String> {
    if !raw.assertion {
        if raw.assertion_audience.is_some() {
            faults
                .push(format!("{key}.assertion_audience"), "belongs to assertion = true, which is not here");
        }
        return None;
    }
    if raw.command.is_some() {
        let message =
            "a program gets no headers, and nobody but the gateway reaches it: take it out, and write env";
        faults.push(format!("{key}.assertion"), message);
        return None;
    }
    let Some(audience) = &raw.assertion_audience else {
        return match &raw.backend {
            Some(raw::OneOrMany::Many(backends)) if backends.len() > 1 => {
                let message = "is needed with several backends: write what all of them take for themselves";
                faults.push(format!("{key}.assertion_audience"), message);
                None
            }
            Some(raw::OneOrMany::Many(backends)) => backends.first().cloned(),
            Some(raw::OneOrMany::One(backend)) => Some(backend.clone()),
            None => None,
        };
    };
    let valid = (1..=MAX_LENGTH).contains(&audience.len()) && audience.bytes().all(|b| b.is_ascii_graphic());
    if !valid {
        let message =
            "1 to 512 visible characters of ASCII, without spaces: write the backend's own URL or name";
        faults.push(format!("{key}.assertion_audience"), message);
    }
    valid.then(|| audience.clone())
}

/// A subject is unique at its service only, and the audience is what tells the services apart for a backend: with two
/// services behind one audience, `42` of the one would be `42` of the other.
pub(super) fn check_people(servers: &[McpConfig], faults: &mut Faults) {
    let mut seen: BTreeMap<&str, (usize, Option<&str>)> = BTreeMap::new();
    for (n, server) in servers.iter().enumerate() {
        let Some(audience) = server.assertion.as_deref() else { continue };
        let upstream = server.upstream.as_deref();
        let (other, first) = *seen.entry(audience).or_insert((n, upstream));
        if first != upstream {
            let message = format!(
                "is {audience:?} for mcp[{other}] as well, whose people are another service's: the backend would take two \
                 of them for one person; give each its own assertion_audience"
            );
            faults.push(format!("mcp[{n}].assertion_audience"), message);
        }
    }
}
