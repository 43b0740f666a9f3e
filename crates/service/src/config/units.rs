//! Quantities as people write them ("500ms", "2GiB", "5800k") to numbers, and back.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Why a quantity cannot be read; names the text and the accepted forms.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot read {text:?} as {what}: write a number and a unit, such as {example}")]
pub struct UnitError {
    text: String,
    what: &'static str,
    example: &'static str,
}

/// A span of time: `"500ms"`, `"2s"`, `"1.5s"`, `"2m"`, `"1h"`, `"7d"`; `"0"` needs no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(pub std::time::Duration);

/// A number of bytes: `"64k"` = `"64KiB"`, `"512MiB"`, `"2GiB"` count in 1024s, `"2GB"` in 1000s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(pub u64);

/// Bits per second: `"5800k"`, `"16M"`, `"1G"` count in 1000s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Bitrate(pub u64);

const TIME_UNITS: &[(&str, u128)] = &[
    ("us", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];
const BYTE_UNITS: &[(&str, u128)] = &[
    ("B", 1),
    ("k", 1 << 10),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
    ("T", 1 << 40),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
];
const BIT_UNITS: &[(&str, u128)] = &[
    ("k", 1_000),
    ("M", 1_000_000),
    ("G", 1_000_000_000),
    ("bps", 1),
    ("kbps", 1_000),
];

/// `text` in the smallest unit, exactly (decimals allowed as long as they come out whole).
fn parse(text: &str, units: &[(&str, u128)]) -> Option<u128> {
    let text = text.trim();
    let split = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(split)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() || fraction.len() > 9 {
        return None;
    }
    let whole: u128 = whole.parse().ok()?;
    if unit.is_empty() {
        return (whole == 0 && fraction.is_empty()).then_some(0);
    }
    let scale = units.iter().find(|(name, _)| *name == unit.trim_start())?.1;
    let mut value = whole.checked_mul(scale)?;
    if !fraction.is_empty() {
        let tens = 10u128.pow(u32::try_from(fraction.len()).ok()?);
        let part = fraction.parse::<u128>().ok()?.checked_mul(scale)?;
        value = value.checked_add(part / tens)?;
    }
    Some(value)
}

/// The largest unit of `units` that divides `value`.
fn write(f: &mut fmt::Formatter<'_>, value: u128, units: &[(&str, u128)]) -> fmt::Result {
    if value == 0 {
        return f.write_str("0");
    }
    let unit = units
        .iter()
        .filter(|(_, scale)| value.is_multiple_of(*scale));
    match unit.max_by_key(|(_, scale)| *scale) {
        Some((name, scale)) => write!(f, "{}{name}", value / scale),
        None => write!(f, "{value}"),
    }
}

impl Duration {
    /// From whole milliseconds.
    pub const fn from_millis(ms: u64) -> Self {
        Self(std::time::Duration::from_millis(ms))
    }

    /// From whole seconds.
    pub const fn from_secs(s: u64) -> Self {
        Self(std::time::Duration::from_secs(s))
    }

    /// As the standard library's type.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl ByteSize {
    /// From whole mebibytes.
    pub const fn from_mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// As a number of bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// As a number of bytes that can index memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl Bitrate {
    /// From whole kilobits per second.
    pub const fn from_kbps(kbps: u64) -> Self {
        Self(kbps * 1_000)
    }

    /// As bits per second.
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl FromStr for Duration {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, TIME_UNITS)
            .and_then(|nanos| u64::try_from(nanos).ok())
            .map(|nanos| Self(std::time::Duration::from_nanos(nanos)))
            .ok_or_else(|| UnitError {
                text: text.to_owned(),
                what: "a duration",
                example: "\"500ms\", \"2s\", \"2m\" or \"1h\"",
            })
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, BYTE_UNITS)
            .and_then(|v| u64::try_from(v).ok())
            .map(Self)
            .ok_or_else(|| UnitError {
                text: text.to_owned(),
                what: "a size",
                example: "\"64k\", \"512MiB\" or \"2GiB\"",
            })
    }
}

impl FromStr for Bitrate {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        parse(text, BIT_UNITS)
            .and_then(|v| u64::try_from(v).ok())
            .map(Self)
            .ok_or_else(|| UnitError {
                text: text.to_owned(),
                what: "a bit rate",
                example: "\"5800k\" or \"16M\" (bits per second)",
            })
    }
}

impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_nanos() {
            // Below a microsecond nothing here makes sense; round rather than invent a unit.
            nanos if nanos % 1_000 != 0 => write(f, nanos - nanos % 1_000, TIME_UNITS),
            nanos => write(f, nanos, TIME_UNITS),
        }
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(
            f,
            self.0.into(),
            &[
                ("B", 1),
                ("KiB", 1 << 10),
                ("MiB", 1 << 20),
                ("GiB", 1 << 30),
            ],
        )
    }
}

impl fmt::Display for Bitrate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write(
            f,
            self.0.into(),
            &[
                ("bps", 1),
                ("k", 1_000),
                ("M", 1_000_000),
                ("G", 1_000_000_000),
            ],
        )
    }
}

struct Visitor<T>(&'static str, std::marker::PhantomData<T>);

impl<T: FromStr<Err = UnitError>> de::Visitor<'_> for Visitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a string with number and unit, such as {}", self.0)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

macro_rules! as_string {
    ($name:ident, $example:literal) => {
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                deserializer.deserialize_str(Visitor($example, std::marker::PhantomData))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
    };
}

as_string!(Duration, "\"2s\"");
as_string!(ByteSize, "\"512MiB\"");
as_string!(Bitrate, "\"5800k\"");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_alike() {
        for (text, ms) in [
            ("500ms", 500),
            ("2s", 2_000),
            ("1.5s", 1_500),
            ("2m", 120_000),
            ("1h", 3_600_000),
        ] {
            assert_eq!(
                text.parse::<Duration>().unwrap(),
                Duration::from_millis(ms),
                "{text}"
            );
        }
        assert_eq!(Duration::from_millis(1_500).to_string(), "1500ms");
        assert_eq!(Duration::from_secs(120).to_string(), "2m");
        assert_eq!(Duration::from_secs(0).to_string(), "0");
    }

    #[test]
    fn sizes_and_rates_read_and_print_alike() {
        assert_eq!("2GiB".parse::<ByteSize>().unwrap().get(), 2 << 30);
        assert_eq!("64k".parse::<ByteSize>().unwrap().to_string(), "64KiB");
        assert_eq!("1MB".parse::<ByteSize>().unwrap().get(), 1_000_000);
        assert_eq!("5800k".parse::<Bitrate>().unwrap().get(), 5_800_000);
        assert_eq!("16M".parse::<Bitrate>().unwrap().to_string(), "16M");
    }

    #[test]
    fn nonsense_is_refused_with_the_accepted_forms() {
        for text in [
            "",
            "2",
            "s",
            "-2s",
            "2 parsecs",
            "1e9s",
            "99999999999999999999999h",
            ".5s",
        ] {
            let error = text.parse::<Duration>().expect_err(text).to_string();
            assert!(error.contains("\"500ms\""), "{error}");
        }
    }
}
