//! Formats Unix time as a calendar date and time of day.

use std::time::Duration;

const DAY_SECONDS: u64 = 86_400;

/// `2026-11-21 06:28:12.345`, UTC.
pub fn timecode(unix: Duration) -> String {
    let (year, month, day) = date(unix.as_secs() / DAY_SECONDS);
    let seconds = unix.as_secs() % DAY_SECONDS;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}.{:03}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60,
        unix.subsec_millis()
    )
}

/// The Gregorian date of a day since 1970-01-01, counted in 400-year eras that start in March.
fn date(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days() {
        for (unix, text) in [
            (0, "1970-01-01 00:00:00.000"),
            (951_782_399, "2000-02-28 23:59:59.000"),
            (951_782_400, "2000-02-29 00:00:00.000"),
            (1_709_251_200, "2024-03-01 00:00:00.000"),
            (4_102_444_800, "2100-01-01 00:00:00.000"),
        ] {
            assert_eq!(timecode(Duration::from_secs(unix)), text);
        }
        assert!(timecode(Duration::from_millis(1_700_000_000_123)).ends_with(".123"));
    }
}
