//! Gzip for playlists: whether a client takes it, and making it (callers keep the result).

use std::io::Write;

use ::http::{HeaderMap, header};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// Whether `Accept-Encoding` allows gzip (RFC 9110 section 12.5.3).
pub fn accepts_gzip(headers: &HeaderMap) -> bool {
    let mut any = None;
    for value in headers.get_all(header::ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let mut parts = item.split(';').map(str::trim);
            let coding = parts.next().unwrap_or_default();
            let refused = parts
                .filter_map(|p| p.strip_prefix("q="))
                .any(|q| q.trim().parse::<f32>().is_ok_and(|q| q <= 0.0));
            if coding.eq_ignore_ascii_case("gzip") {
                return !refused;
            }
            if coding == "*" {
                any = Some(!refused);
            }
        }
    }
    any.unwrap_or(false)
}

/// `bytes` compressed; `None` when that would not make them shorter.
pub fn gzip(bytes: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 2), Compression::default());
    encoder.write_all(bytes).ok()?;
    let packed = encoder.finish().ok()?;
    (packed.len() < bytes.len()).then(|| Bytes::from(packed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(
            header::ACCEPT_ENCODING,
            ::http::HeaderValue::from_static(value),
        )])
    }

    #[test]
    fn encodings_are_weighed() {
        for (value, accepted) in [
            ("gzip, deflate, br", true),
            ("br;q=1.0, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000, *", false),
            ("*", true),
            ("identity", false),
            ("", false),
        ] {
            assert_eq!(accepts_gzip(&headers(value)), accepted, "{value:?}");
        }
        assert!(!accepts_gzip(&HeaderMap::new()));
    }

    #[test]
    fn only_shorter_results_are_kept() {
        assert!(gzip(&[b'a'; 1000]).is_some_and(|packed| packed.len() < 100));
        assert_eq!(gzip(b"x"), None);
    }
}
