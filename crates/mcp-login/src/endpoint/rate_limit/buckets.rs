//! A bucket for every network, kept as the one moment at which it will be full again (the generic cell rate algorithm).
//!
//! Written here because two things matter that limiters for general use do not have: a hard bound for the number of
//! networks, and a wall clock that may be set back without shutting anybody out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use mcp_login_core::Timestamp;

use super::TooManyRequests;
use crate::settings::RateLimit;

/// The most networks that are remembered: about 3 MiB.
const MAX_NETWORKS: usize = 1 << 16;

const MINUTE: u64 = 60_000_000;

/// Microseconds since the Unix epoch. A limit of thousands a minute needs more than milliseconds.
type Micros = u64;

/// The buckets of one group of endpoints.
#[derive(Debug)]
pub(super) struct Buckets {
    endpoint: &'static str,
    /// How long one request takes to come back.
    interval: u64,
    /// How long an empty bucket takes to fill.
    period: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// When each bucket that is not full will be.
    full_at: HashMap<IpAddr, Micros>,
    swept_at: Micros,
    refused: u64,
    told_at: Micros,
}

impl Buckets {
    pub(super) fn new(endpoint: &'static str, limit: RateLimit) -> Self {
        let interval = (MINUTE / u64::from(limit.per_minute.max(1))).max(1);
        let period = interval * u64::from(limit.burst.max(1));
        Self { endpoint, interval, period, state: Mutex::default() }
    }

    /// Takes one request out of the network's bucket; when it is empty, tells how long until one is back.
    pub(super) fn take(&self, network: IpAddr, now: Timestamp) -> Result<(), TooManyRequests> {
        let now = now.as_millis().saturating_mul(1000);
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.sweep(&mut state, now);
        let held = state.full_at.get(&network).copied();
        let full_at = held.filter(|&at| self.counts(at, now)).unwrap_or(now).saturating_add(self.interval);
        let over = full_at.saturating_sub(now).saturating_sub(self.period);
        if over == 0 {
            state.full_at.insert(network, full_at);
            return Ok(());
        }
        state.tell_refused(self.endpoint, now);
        Err(TooManyRequests { wait: Duration::from_micros(over) })
    }

    /// Whether a bucket still lacks something. One that lacks more than it holds is from before the clock was set back.
    const fn counts(&self, full_at: Micros, now: Micros) -> bool {
        full_at > now && full_at - now <= self.period
    }

    /// Forgets full buckets, once in the time in which all become full; and when there are too many, also those that lack
    /// little, then all. Whoever has so many networks is not held by counting each, and nobody else may suffer for it. Every
    /// sweep of a full table frees an eighth of it, so that its cost is shared by many requests.
    fn sweep(&self, state: &mut State, now: Micros) {
        let is_due = now.abs_diff(state.swept_at) >= self.period;
        let is_crowded = state.full_at.len() >= MAX_NETWORKS;
        if !is_due && !is_crowded {
            return;
        }
        state.swept_at = now;
        state.full_at.retain(|_, &mut at| self.counts(at, now));
        let enough = MAX_NETWORKS - MAX_NETWORKS / 8;
        if is_crowded && state.full_at.len() > enough {
            tracing::warn!(endpoint = self.endpoint, "requests from too many addresses to count them all");
            state.full_at.retain(|_, &mut at| at - now > self.period / 2);
            if state.full_at.len() > enough {
                state.full_at.clear();
            }
        }
        state.full_at.shrink_to(state.full_at.len() * 2);
    }
}

impl State {
    /// One line a minute at most, however many are refused.
    fn tell_refused(&mut self, endpoint: &'static str, now: Micros) {
        self.refused += 1;
        if now.abs_diff(self.told_at) >= MINUTE {
            tracing::warn!(
                endpoint,
                refused = self.refused,
                "an address asks too often; refused with 429 (if it is a proxy, name the header that tells the client's address)"
            );
            self.told_at = now;
            self.refused = 0;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
