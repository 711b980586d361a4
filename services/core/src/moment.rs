//! Moments as text. The rules carry moments as milliseconds; messages and records show them.

use crate::conditions::Millis;

/// Writes a moment to the second, in UTC: `2026-01-31T09:05:00Z`.
pub fn rfc3339(moment: Millis) -> String {
    let seconds = moment.div_euclid(1000);
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Length of a moment as [`rfc3339`] writes it.
pub const LENGTH: usize = "2026-01-31T09:05:00Z".len();

/// Reads a moment as [`rfc3339`] writes it, and nothing else.
pub fn parse(text: &str) -> Option<Millis> {
    let part = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let (year, month, day) = (part(0, 4)?, part(5, 7)?, part(8, 10)?);
    let (hour, minute, second) = (part(11, 13)?, part(14, 16)?, part(17, 19)?);
    let moment = (((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000;
    (rfc3339(moment) == text).then_some(moment)
}

/// A date as days since the epoch: the reverse of [`civil`].
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = year - i64::from(month <= 2);
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let shifted_month = (month + 9) % 12;
    let day_of_year = (153 * shifted_month + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Days since the epoch as a date. Counts in years that begin in March, so that the leap day is
/// the last of its year, and in eras of 400 years, which all have the same length.
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_written_in_utc_to_the_second() {
        for (millis, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400_000, "2000-02-29T00:00:00Z"),
            (951_868_799_999, "2000-02-29T23:59:59Z"),
            (1_709_208_000_000, "2024-02-29T12:00:00Z"),
            (1_769_850_300_999, "2026-01-31T09:05:00Z"),
            (4_107_542_400_000, "2100-03-01T00:00:00Z"),
            (-1, "1969-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(millis), text);
        }
    }
    #[test]
    fn what_is_written_can_be_read_and_nothing_else() {
        for moment in [0, 951_782_400_000, 1_709_208_000_000, 1_769_850_300_000, 4_107_542_400_000] {
            assert_eq!(parse(&rfc3339(moment)), Some(moment));
        }
        for other in
            ["", "2026-01-31", "2026-02-30T00:00:00Z", "2026-01-31T09:05:00+00:00", "2026-01-31 09:05:00Z"]
        {
            assert_eq!(parse(other), None, "{other}");
        }
    }
}
