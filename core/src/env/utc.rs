//! Formats seconds since 1970 as a readable date.

/// A time as text, `2026-01-31 09:05:00 UTC`. `seconds`: since 1970-01-01.
///
/// Counts whole eras of 400 years, each 146,097 days long, in years that begin in March, so that a leap day is
/// the last day of its year.
pub(crate) fn utc_text(seconds: u64) -> String {
    const DAYS_FROM_MARCH_OF_YEAR_0_TO_1970: u64 = 719_468;
    const DAYS_OF_ERA: u64 = 146_097;
    let (day, second) = (seconds / 86_400, seconds % 86_400);
    let day = day + DAYS_FROM_MARCH_OF_YEAR_0_TO_1970;
    let (era, day) = (day / DAYS_OF_ERA, day % DAYS_OF_ERA);
    let leap_days = day / 1_460 + day / 146_096 - day / 36_524;
    let year = (day - leap_days) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // From March, the months' lengths repeat in groups of five that have 153 days.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (year, month) = match month {
        0..=9 => (era * 400 + year, month + 3),
        _ => (era * 400 + year + 1, month - 9),
    };
    debug_assert!(
        (1..=12).contains(&month) && (1..=31).contains(&day),
        "a day of the calendar"
    );
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (1_000_000_000, "2001-09-09 01:46:40 UTC"),
            (1_709_251_199, "2024-02-29 23:59:59 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (4_107_542_399, "2100-02-28 23:59:59 UTC"),
        ] {
            assert_eq!(utc_text(seconds), text);
        }
    }
}

#[cfg(test)]
mod edges;
