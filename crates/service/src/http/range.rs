//! `Range` requests on a body of known length (RFC 9110 section 14).

use ::http::{HeaderMap, HeaderValue, header};

/// What a request asks for of `length` bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Range {
    /// Everything: no range, or one that a server may ignore (several ranges, other units).
    Full,
    /// Bytes `start..end`.
    Part {
        /// First byte.
        start: u64,
        /// One past the last byte.
        end: u64,
    },
    /// Outside of the body: 416.
    Unsatisfiable,
}

impl Range {
    /// Reads `Range`, honouring `If-Range` against `etag`.
    pub fn of(headers: &HeaderMap, length: u64, etag: Option<&HeaderValue>) -> Self {
        let Some(range) = headers.get(header::RANGE) else {
            return Self::Full;
        };
        if let Some(condition) = headers.get(header::IF_RANGE) {
            // Section 13.1.5 demands a strong comparison.
            let same =
                etag.is_some_and(|tag| tag == condition && tag.as_bytes().starts_with(b"\""));
            if !same {
                return Self::Full;
            }
        }
        range
            .to_str()
            .ok()
            .and_then(|text| Self::parse(text, length))
            .unwrap_or(Self::Full)
    }

    fn parse(text: &str, length: u64) -> Option<Self> {
        let (first, last) = text.strip_prefix("bytes=")?.trim().split_once('-')?;
        let number = |text: &str| {
            (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
                .then(|| text.parse::<u64>().unwrap_or(u64::MAX))
        };
        let (start, end) = match (number(first), number(last)) {
            (Some(first), Some(last)) if last < first => return None,
            (Some(first), Some(last)) => (first, last.saturating_add(1).min(length)),
            (Some(first), None) if last.is_empty() => (first, length),
            (None, Some(suffix)) if first.is_empty() => (length.saturating_sub(suffix), length),
            _ => return None,
        };
        Some(if start >= end {
            Self::Unsatisfiable
        } else {
            Self::Part { start, end }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &'static str, length: u64) -> Range {
        let headers = HeaderMap::from_iter([(header::RANGE, HeaderValue::from_static(value))]);
        Range::of(&headers, length, None)
    }

    #[test]
    fn ranges_are_cut_to_the_body() {
        assert_eq!(of("bytes=0-9", 100), Range::Part { start: 0, end: 10 });
        assert_eq!(
            of("bytes=90-", 100),
            Range::Part {
                start: 90,
                end: 100
            }
        );
        assert_eq!(
            of("bytes=-5", 100),
            Range::Part {
                start: 95,
                end: 100
            }
        );
        assert_eq!(of("bytes=-500", 100), Range::Part { start: 0, end: 100 });
        assert_eq!(
            of("bytes=10-18446744073709551615", 100),
            Range::Part {
                start: 10,
                end: 100
            }
        );
        assert_eq!(of("bytes=100-", 100), Range::Unsatisfiable);
        assert_eq!(of("bytes=-0", 100), Range::Unsatisfiable);
        assert_eq!(of("bytes=0-0", 0), Range::Unsatisfiable);
    }

    #[test]
    fn what_we_do_not_speak_is_ignored() {
        for value in [
            "bytes=5-1",
            "bytes=0-1,5-6",
            "lines=1-2",
            "bytes=",
            "bytes=-",
            "bytes=a-b",
        ] {
            assert_eq!(of(value, 100), Range::Full, "{value}");
        }
    }

    #[test]
    fn if_range_guards_against_mixing_versions() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::from_static("bytes=1-2"));
        headers.insert(header::IF_RANGE, HeaderValue::from_static("\"a\""));
        let (same, other) = (
            HeaderValue::from_static("\"a\""),
            HeaderValue::from_static("\"b\""),
        );
        assert_eq!(
            Range::of(&headers, 9, Some(&same)),
            Range::Part { start: 1, end: 3 }
        );
        assert_eq!(Range::of(&headers, 9, Some(&other)), Range::Full);
        assert_eq!(Range::of(&headers, 9, None), Range::Full);
    }
}
