//! Numbers and dates as playlists spell them.

use std::fmt;

/// Seconds with six decimals: enough to keep every frame duration apart, without an exponent.
pub(crate) struct Seconds(pub f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.6}", self.0)
    }
}

/// Seconds of a constant: as short as it is exact, but always with a fraction.
pub(crate) struct Short(pub f64);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = format!("{:.6}", self.0);
        let text = text.trim_end_matches('0');
        match text.ends_with('.') {
            true => write!(f, "{text}0"),
            false => f.write_str(text),
        }
    }
}

/// Microseconds since 1970 as ISO 8601 in UTC with milliseconds (EXT-X-PROGRAM-DATE-TIME).
pub(crate) struct DateTime(pub i64);

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Rounded to the milliseconds shown.
        let millis = i128::from(self.0).saturating_add(500).div_euclid(1000);
        let date = time::OffsetDateTime::from_unix_timestamp_nanos(millis * 1_000_000)
            .unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        write!(
            f,
            "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
            date.year(),
            u8::from(date.month()),
            date.day(),
            date.hour(),
            date.minute(),
            date.second(),
            date.millisecond()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_seconds_read_as_the_format_wants() {
        assert_eq!(
            DateTime(1_793_620_800_123_499).to_string(),
            "2026-11-02T12:00:00.123Z"
        );
        assert_eq!(DateTime(999_999).to_string(), "1970-01-01T00:00:01.000Z");
        assert_eq!(Seconds(2.0).to_string(), "2.000000");
        assert_eq!(Short(0.5005).to_string(), "0.5005");
        assert_eq!(Short(6.0).to_string(), "6.0");
    }
}
