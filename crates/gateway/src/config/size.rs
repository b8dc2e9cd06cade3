//! Sizes of memory as people write them: `"64KiB"`, `"512MiB"`, `"2GiB"`.

/// Reads one whole number with one unit, in bytes.
#[must_use]
pub fn parse(text: &str) -> Option<u64> {
    let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
    let (number, unit) = units.into_iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, unit)))?;
    if number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    number.parse::<u64>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_and_one_unit() {
        for (text, bytes) in
            [("0KiB", 0), ("64KiB", 65_536), ("512MiB", 536_870_912), ("2GiB", 2_147_483_648)]
        {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for bad in [
            "",
            "MiB",
            "512",
            "512 MiB",
            "512MB",
            "512M",
            "512mib",
            "-1MiB",
            "1.5GiB",
            "18446744073709551615KiB",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
