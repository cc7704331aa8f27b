//! Every day of five centuries, and every second of a day, compared with a calendar that is counted day by day.

use super::*;

#[test]
fn every_day_from_1970_to_2470_follows_the_day_before() {
    let mut day = 0;
    for year in 1970..2470u64 {
        let is_leap =
            year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
        for month in 1..=12 {
            let days = match month {
                2 if is_leap => 29,
                2 => 28,
                4 | 6 | 9 | 11 => 30,
                _ => 31,
            };
            for of_month in 1..=days {
                let date = format!("{year}-{month:02}-{of_month:02}");
                assert_eq!(utc_text(day * 86_400), format!("{date} 00:00:00 UTC"));
                assert_eq!(
                    utc_text(day * 86_400 + 86_399),
                    format!("{date} 23:59:59 UTC")
                );
                day += 1;
            }
        }
    }
}

#[test]
fn every_second_of_a_day_follows_the_second_before() {
    let mut second = 0;
    for hour in 0..24 {
        for minute in 0..60 {
            for of_minute in 0..60 {
                let time = format!("1970-01-01 {hour:02}:{minute:02}:{of_minute:02} UTC");
                assert_eq!(utc_text(second), time);
                second += 1;
            }
        }
    }
}
