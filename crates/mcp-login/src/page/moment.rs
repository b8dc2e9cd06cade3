//! When something was, for people: in UTC, to the minute.

use std::fmt;

use mcp_login_core::Timestamp;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// Days of 400 years: after so many the calendar repeats itself.
const ERA: u64 = 146_097;
/// From 1 March of the year 0 to 1 January 1970, in days.
const EPOCH: u64 = 719_468;

/// A minute of the Gregorian calendar, in UTC. `Display` writes it as RFC 3339 does, without seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    year: u64,
    /// From 0.
    month: u64,
    day: u64,
    hour: u64,
    minute: u64,
}

impl From<Timestamp> for Moment {
    fn from(at: Timestamp) -> Self {
        let minutes = at.as_secs() / 60;
        let (days, minute_of_day) = (minutes / 1440 + EPOCH, minutes % 1440);
        // Years that begin in March: the leap day is their last.
        let (era, day_of_era) = (days / ERA, days % ERA);
        let leap_days = day_of_era / 1460 + day_of_era / (ERA - 1);
        let year_of_era = (day_of_era + day_of_era / 36_524 - leap_days) / 365;
        let day_of_year = day_of_era + year_of_era / 100 - year_of_era / 4 - 365 * year_of_era;
        // Five months have 153 days, whichever five of these.
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let year = 400 * era + year_of_era + u64::from(from_march >= 10);
        Self { year, month: (from_march + 2) % 12, day, hour: minute_of_day / 60, minute: minute_of_day % 60 }
    }
}

impl Moment {
    /// `15 January 2027, 08:00 UTC`
    #[must_use]
    pub fn in_words(&self) -> String {
        let month = usize::try_from(self.month).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"");
        format!("{} {month} {}, {:02}:{:02} UTC", self.day, self.year, self.hour, self.minute)
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute } = self;
        write!(f, "{year:04}-{:02}-{day:02}T{hour:02}:{minute:02}Z", month + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> String {
        Moment::from(Timestamp::from_millis(secs * 1000)).to_string()
    }

    /// As `date -u -d @N` has them.
    #[test]
    fn known_moments() {
        for (secs, text) in [
            (0, "1970-01-01T00:00Z"),
            (59, "1970-01-01T00:00Z"),
            (951_782_399, "2000-02-28T23:59Z"),
            (951_782_400, "2000-02-29T00:00Z"),
            (951_868_800, "2000-03-01T00:00Z"),
            (1_709_251_199, "2024-02-29T23:59Z"),
            (1_800_000_000, "2027-01-15T08:00Z"),
            (4_107_542_399, "2100-02-28T23:59Z"),
            (4_107_542_400, "2100-03-01T00:00Z"),
            (253_402_300_799, "9999-12-31T23:59Z"),
        ] {
            assert_eq!(at(secs), text);
        }
        let moment = Moment::from(Timestamp::from_millis(1_800_000_000_000));
        assert_eq!(moment.in_words(), "15 January 2027, 08:00 UTC");
    }

    /// Day by day through 800 years, beside a calendar that only counts.
    #[test]
    fn every_day_follows_the_one_before() {
        let (mut year, mut month, mut day) = (1970_u64, 1_u64, 1_u64);
        for n in 0..2 * ERA {
            assert_eq!(at(n * 86_400), format!("{year:04}-{month:02}-{day:02}T00:00Z"));
            let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
            let length = match month {
                2 => 28 + u64::from(leap),
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            day += 1;
            if day > length {
                (day, month) = (1, month + 1);
            }
            if month > 12 {
                (month, year) = (1, year + 1);
            }
        }
    }

    #[test]
    fn the_end_of_time_has_a_date() {
        assert!(Moment::from(Timestamp::from_millis(u64::MAX)).in_words().ends_with("UTC"));
    }
}
