//! Sizes as people write them: `"32MiB"`, `"1GiB"`, or bytes without a unit.

/// The largest size that is accepted: one pebibyte.
const MAX: u64 = 1 << 50;

/// Reads one whole number of bytes, or of one unit, in bytes. The error says what to write instead.
pub fn parse(text: &str) -> Result<u64, String> {
    let unit = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(unit);
    let bytes: u64 = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        // Some mean 1000, some 1024; so nobody has to guess.
        "k" | "K" | "kB" | "KB" | "M" | "MB" | "G" | "GB" => {
            return Err(format!("{unit:?} is not a unit here: write \"KiB\", \"MiB\" or \"GiB\""));
        }
        _ => return Err(wanted()),
    };
    let size = number.parse::<u64>().ok().and_then(|number| number.checked_mul(bytes));
    size.filter(|size| *size <= MAX).ok_or_else(wanted)
}

fn wanted() -> String {
    "not a size: write \"512KiB\", \"32MiB\", \"1GiB\" or a number of bytes in quotes".to_owned()
}

/// The shortest way to write it.
#[must_use]
pub fn show(size: u64) -> String {
    for (unit, bytes) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if size > 0 && size.is_multiple_of(bytes) {
            return format!("{}{unit}", size / bytes);
        }
    }
    format!("{size}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_and_perhaps_a_unit() {
        for (text, size) in
            [("0", 0), ("17", 17), ("17B", 17), ("512KiB", 524_288), ("32MiB", 33_554_432), ("1GiB", 1 << 30)]
        {
            assert_eq!(parse(text), Ok(size), "{text}");
        }
        for bad in [
            "",
            "MiB",
            "1 MiB",
            "-1",
            "+1",
            "1.5MiB",
            "1mib",
            "1MiBs",
            "1MiB1",
            "0x10",
            "1_000",
            "\u{661}MiB",
            "99999999999999999999",
            "18446744073709551615MiB",
            "2097152GiB",
        ] {
            assert_eq!(parse(bad), Err(wanted()), "{bad}");
        }
        assert!(parse("32MB").is_err_and(|message| message.contains("\"MiB\"")));
    }

    #[test]
    fn shown_as_written() {
        for text in ["0", "1025", "512KiB", "33MiB", "4GiB"] {
            assert_eq!(parse(text).map(show).as_deref(), Ok(text));
        }
    }
}
