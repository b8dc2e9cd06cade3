//! The slots of a Cluster: which a key is in, and what a node says about who owns them.

use redis::Value;

use super::address::Address;

pub(super) const SLOTS: u16 = 16384;

/// The slot of a key. Ours have no hash tag: no `{` is in them.
pub(super) fn slot_of(key: &[u8]) -> u16 {
    crc16(key) % SLOTS
}

/// CRC-16/XMODEM, as the Cluster specification asks.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |mut crc: u16, byte| {
        crc ^= u16::from(*byte) << 8;
        for _ in 0..8 {
            crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
        }
        crc
    })
}

/// What one node says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct View {
    /// Whether it says that the Cluster works. Some services keep that from their users; then all nodes are equal.
    pub(super) works: Option<bool>,
    /// How many elections it knows of; a node that is cut off has missed the last one.
    pub(super) epoch: u64,
    /// First slot, last slot, master.
    pub(super) ranges: Vec<(u16, u16, Address)>,
}

impl View {
    /// The view of the highest rank counts.
    pub(super) fn rank(&self) -> (Option<bool>, u64) {
        (self.works, self.epoch)
    }

    /// From the answers to `CLUSTER INFO` and `CLUSTER SLOTS` of the node on `asked`.
    pub(super) fn read(info: Option<&Value>, slots: &Value, asked: &str) -> Option<Self> {
        let works = info.map(|info| works(&text(info)));
        let info = info.map(text).unwrap_or_default();
        let Value::Array(ranges) = slots else { return None };
        let ranges: Option<Vec<_>> = ranges.iter().map(|range| read_range(range, asked)).collect();
        Some(Self {
            works,
            epoch: field(&info, "cluster_current_epoch").and_then(|epoch| epoch.parse().ok()).unwrap_or(0),
            ranges: ranges?,
        })
    }
}

/// Whether `CLUSTER INFO` says that the Cluster works.
pub(super) fn works(info: &str) -> bool {
    field(info, "cluster_state") == Some("ok")
}

fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    info.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.trim())
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::BulkString(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text.clone(),
        _ => String::new(),
    }
}

/// `[first, last, [host, port, …], replicas …]`
fn read_range(range: &Value, asked: &str) -> Option<(u16, u16, Address)> {
    let Value::Array(range) = range else { return None };
    let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = range.as_slice() else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else { return None };
    let host = text(host);
    // A node that does not know its own address means: where you reached me.
    let host = if matches!(host.as_str(), "" | "?") { asked.to_owned() } else { host };
    let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
    (first <= last && last < SLOTS).then_some(())?;
    Some((first, last, Address { host, port: u16::try_from(*port).ok()? }))
}

#[cfg(test)]
mod tests;
