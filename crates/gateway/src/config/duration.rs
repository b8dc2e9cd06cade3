//! Durations as people write them: `"60s"`, `"10m"`, `"24h"`, `"30d"`.

use std::time::Duration;

/// The longest duration that is accepted: ten years.
const MAX: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Reads one whole number with one unit.
#[must_use]
pub fn parse(text: &str) -> Option<Duration> {
    let (number, seconds) = match text.as_bytes().last()? {
        b's' => (&text[..text.len() - 1], 1),
        b'm' => (&text[..text.len() - 1], 60),
        b'h' => (&text[..text.len() - 1], 60 * 60),
        b'd' => (&text[..text.len() - 1], 24 * 60 * 60),
        _ => return None,
    };
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let seconds = number.parse::<u64>().ok()?.checked_mul(seconds)?;
    Some(Duration::from_secs(seconds)).filter(|duration| *duration <= MAX)
}

/// The shortest way to write it.
#[must_use]
pub fn show(duration: Duration) -> String {
    let seconds = duration.as_secs();
    for (unit, length) in [("d", 24 * 60 * 60), ("h", 60 * 60), ("m", 60)] {
        if seconds > 0 && seconds.is_multiple_of(length) {
            return format!("{}{unit}", seconds / length);
        }
    }
    format!("{seconds}s")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_and_one_unit() {
        for (text, seconds) in [("0s", 0), ("60s", 60), ("10m", 600), ("24h", 86_400), ("30d", 2_592_000)] {
            assert_eq!(parse(text), Some(Duration::from_secs(seconds)), "{text}");
        }
        for bad in [
            "",
            "s",
            "10",
            "10 m",
            "-1s",
            "+1s",
            "1.5h",
            "1h30m",
            "10ms",
            "10M",
            "99999999999999999999s",
            "3651d",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn shown_as_written() {
        for text in ["0s", "61s", "10m", "25h", "30d"] {
            assert_eq!(parse(text).map(show).as_deref(), Some(text));
        }
    }
}
