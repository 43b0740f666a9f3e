//! `Cache-Control` values, written in one place (RFC 9111 section 5.2, RFC 8246, RFC 5861).

use std::fmt::Write as _;

use ::http::HeaderValue;

/// How long an answer may be kept, and by whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CacheControl {
    max_age_s: u32,
    shared_max_age_s: Option<u32>,
    immutable: bool,
    stale_if_error_s: Option<u32>,
    no_store: bool,
}

impl CacheControl {
    /// A year, the customary "for ever" (RFC 9111 section 1.2.2 only asks for 2^31 at most).
    const FOREVER_S: u32 = 31_536_000;

    /// Fresh for `seconds` everywhere.
    pub const fn max_age(seconds: u32) -> Self {
        Self {
            max_age_s: seconds,
            shared_max_age_s: None,
            immutable: false,
            stale_if_error_s: None,
            no_store: false,
        }
    }

    /// For URLs whose bytes never change.
    pub const fn immutable() -> Self {
        let mut value = Self::max_age(Self::FOREVER_S);
        value.immutable = true;
        value
    }

    /// Kept nowhere.
    pub const fn no_store() -> Self {
        let mut value = Self::max_age(0);
        value.no_store = true;
        value
    }

    /// Shared caches may keep it for `seconds` whatever browsers do.
    pub const fn shared(mut self, seconds: u32) -> Self {
        self.shared_max_age_s = Some(seconds);
        self
    }

    /// How much longer a cache may serve it when the origin fails; 0 forbids it.
    pub const fn stale_if_error(mut self, seconds: u32) -> Self {
        self.stale_if_error_s = Some(seconds);
        self
    }

    /// As a header value.
    pub fn to_header(self) -> HeaderValue {
        if self.no_store {
            return HeaderValue::from_static("no-store");
        }
        let mut text = format!("public, max-age={}", self.max_age_s);
        if let Some(seconds) = self.shared_max_age_s {
            let _ = write!(text, ", s-maxage={seconds}");
        }
        if let Some(seconds) = self.stale_if_error_s {
            let _ = write!(text, ", stale-if-error={seconds}");
        }
        if self.immutable {
            text.push_str(", immutable");
        }
        HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("no-store"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_read_as_the_specs_write_them() {
        assert_eq!(
            CacheControl::immutable().to_header(),
            "public, max-age=31536000, immutable"
        );
        let playlist = CacheControl::max_age(1)
            .shared(2)
            .stale_if_error(0)
            .to_header();
        assert_eq!(playlist, "public, max-age=1, s-maxage=2, stale-if-error=0");
        assert_eq!(CacheControl::no_store().to_header(), "no-store");
    }
}
