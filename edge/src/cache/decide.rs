//! The cache's policy as pure functions: what an answer's headers allow, and what an entry is good
//! for at a moment. No clock, no lock, no bytes.
//!
//! ```text
//! fetched ──[ Fresh ]── fresh_until ──[ Expired: fetch; usable if that fails ]── usable_until ── Gone
//! ```

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};

use crate::request::Kind;

/// A "not found" is kept this long at most: long enough for a herd, too short for a viewer to
/// notice that the resource has come (what has just been announced is asked for early).
pub const NEGATIVE_MAX: Duration = Duration::from_secs(1);

/// How long a multivariant playlist or stream facts may stand in for a failing origin. They change
/// rarely, and a viewer who joins meanwhile needs them to find the media that is still cached.
const RARELY_CHANGING_USABLE: Duration = Duration::from_secs(30);

/// A live playlist is of use for this many target durations; then its viewers have run dry anyway.
pub const PLAYLIST_USABLE_TARGETS: f64 = 1.5;

/// Without a word from the origin: what it would have said (it always says something).
const fn default_lifetime(kind: Kind) -> Duration {
    match kind {
        Kind::Playlist | Kind::Multivariant | Kind::Info | Kind::Page => Duration::from_secs(1),
        Kind::Media | Kind::Vod => Duration::from_secs(3600),
    }
}

/// How fast a live playlist moves: what the age of an answer with it is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// `EXT-X-TARGETDURATION`.
    pub target: Duration,
    /// After this time the playlist lists more than an answer to delivery directives had to: a part
    /// or a segment more. None for an answer to a plain request.
    pub outdated_after: Option<Duration>,
}

/// An outdated answer is kept this long anyway: long enough for a herd, and no player notices.
const OUTDATED_AFTER_MIN: Duration = Duration::from_secs(1);

/// What may be done with an entry, from the moment it was fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lifetimes {
    /// Served without asking until then.
    pub fresh_for: Duration,
    /// Served when no origin can be asked until then (at least `fresh_for`).
    pub usable_for: Duration,
}

/// What an entry is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Serve it.
    Fresh,
    /// Fetch; serve it only if nobody can be reached.
    Expired,
    /// Fetch; it is of no use.
    Gone,
}

/// What an entry is good for, `age` after it was fetched.
pub fn decide(lifetimes: Lifetimes, age: Duration) -> Decision {
    if age < lifetimes.fresh_for {
        Decision::Fresh
    } else if age < lifetimes.usable_for {
        Decision::Expired
    } else {
        Decision::Gone
    }
}

/// How long an answer may be kept; none when it must not be. `pace` is that of a live media
/// playlist.
///
/// An answer that an origin has held back until it had the part asked for may be kept for long, for
/// whoever asks for that part has seen nothing newer. But video.js 8 does ask for a part that it
/// has already: it must get the present playlist, or it would stand until the old one goes stale.
/// So such an answer stays fresh only until the next part or segment is due.
pub fn lifetimes(
    kind: Kind,
    status: StatusCode,
    headers: &HeaderMap,
    pace: Option<Pace>,
) -> Option<Lifetimes> {
    let said = Directives::of(headers);
    if said.forbidden {
        return None;
    }
    let age = upstream_age(headers);
    let outdated_after = pace.and_then(|pace| pace.outdated_after);
    let asked = said
        .lifetime()
        .unwrap_or(default_lifetime(kind))
        .min(outdated_after.map_or(Duration::MAX, |after| after.max(OUTDATED_AFTER_MIN)))
        .saturating_sub(age);
    match status {
        StatusCode::OK => {
            let usable_for = match kind {
                Kind::Playlist => pace
                    .map_or(asked, |pace| pace.target.mul_f64(PLAYLIST_USABLE_TARGETS))
                    .saturating_sub(age),
                Kind::Multivariant | Kind::Info => RARELY_CHANGING_USABLE,
                // These never change: while we have them they are right.
                Kind::Media | Kind::Vod | Kind::Page => Duration::MAX,
            };
            Some(Lifetimes {
                fresh_for: asked,
                usable_for: usable_for.max(asked),
            })
        }
        StatusCode::NOT_FOUND | StatusCode::GONE => {
            let said = said.lifetime().unwrap_or(NEGATIVE_MAX).min(NEGATIVE_MAX);
            Some(Lifetimes {
                fresh_for: said,
                usable_for: said,
            })
        }
        // A bad request or a failure is one viewer's or one moment's.
        _ => None,
    }
}

/// The `Age` an upstream cache has put on an answer.
pub fn upstream_age(headers: &HeaderMap) -> Duration {
    let text = headers
        .get(header::AGE)
        .and_then(|value| value.to_str().ok());
    Duration::from_secs(
        text.and_then(|text| text.trim().parse::<u32>().ok())
            .unwrap_or(0)
            .into(),
    )
}

/// The parts of `Cache-Control` that speak to a shared cache (RFC 9111 section 5.2.2).
#[derive(Debug, Clone, Copy, Default)]
struct Directives {
    forbidden: bool,
    max_age: Option<Duration>,
    shared_max_age: Option<Duration>,
}

impl Directives {
    fn of(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        for value in headers.get_all(header::CACHE_CONTROL) {
            for item in value.to_str().unwrap_or_default().split(',') {
                let (name, value) = item.trim().split_once('=').unwrap_or((item.trim(), ""));
                let seconds = || {
                    let number = value.trim().trim_matches('"').parse::<u64>().ok()?;
                    // A year is for ever; larger numbers would only overflow sums.
                    Some(Duration::from_secs(number.min(31_536_000)))
                };
                match name.to_ascii_lowercase().as_str() {
                    "no-store" | "private" | "no-cache" => found.forbidden = true,
                    "max-age" => found.max_age = seconds(),
                    "s-maxage" => found.shared_max_age = seconds(),
                    _ => {}
                }
            }
        }
        found
    }

    fn lifetime(&self) -> Option<Duration> {
        self.shared_max_age.or(self.max_age)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn said(value: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::CACHE_CONTROL, HeaderValue::from_static(value))])
    }

    fn of(kind: Kind, status: u16, value: &'static str) -> Option<Lifetimes> {
        let pace = Pace {
            target: Duration::from_secs(2),
            outdated_after: None,
        };
        let status = StatusCode::from_u16(status).unwrap();
        lifetimes(kind, status, &said(value), Some(pace))
    }

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn lifetimes_are_what_the_origin_says() {
        assert_eq!(
            of(Kind::Playlist, 200, "max-age=1").unwrap().fresh_for,
            s(1)
        );
        assert_eq!(
            of(Kind::Playlist, 200, "max-age=1, s-maxage=12")
                .unwrap()
                .fresh_for,
            s(12)
        );
        assert_eq!(
            of(Kind::Media, 200, "public, max-age=31536000, immutable")
                .unwrap()
                .fresh_for,
            s(31_536_000)
        );
        assert_eq!(of(Kind::Media, 200, "").unwrap().fresh_for, s(3600));
        for forbidden in ["no-store", "private, max-age=5", "No-Cache"] {
            assert_eq!(of(Kind::Media, 200, forbidden), None, "{forbidden}");
        }
    }

    #[test]
    fn a_404_is_kept_a_second_at_most_and_failures_not_at_all() {
        assert_eq!(of(Kind::Media, 404, "max-age=60").unwrap().fresh_for, s(1));
        assert_eq!(of(Kind::Media, 404, "").unwrap().usable_for, s(1));
        for status in [400, 403, 416, 500, 502, 503] {
            assert_eq!(of(Kind::Media, status, "max-age=60"), None, "{status}");
        }
    }

    #[test]
    fn media_outlives_its_origin_and_live_playlists_do_not() {
        let forever = of(Kind::Media, 200, "max-age=1").unwrap();
        assert_eq!(decide(forever, s(100_000)), Decision::Expired);
        let playlist = of(Kind::Playlist, 200, "max-age=1").unwrap();
        assert_eq!(
            decide(playlist, Duration::from_millis(999)),
            Decision::Fresh
        );
        assert_eq!(decide(playlist, s(1)), Decision::Expired);
        assert_eq!(
            decide(playlist, s(3)),
            Decision::Gone,
            "1.5 target durations of 2 s"
        );
    }

    #[test]
    fn a_waited_for_playlist_is_fresh_until_the_next_part_is_due() {
        let fresh_for = |value, outdated_after| {
            let pace = Pace {
                target: s(4),
                outdated_after,
            };
            let kept = lifetimes(Kind::Playlist, StatusCode::OK, &said(value), Some(pace));
            kept.unwrap().fresh_for
        };
        let waited = "public, max-age=1, s-maxage=24";
        assert_eq!(fresh_for(waited, None), s(24), "a plain one, as it says");
        assert_eq!(fresh_for(waited, Some(s(4))), s(4), "by whole segments");
        let part = Some(Duration::from_millis(1500));
        assert_eq!(fresh_for(waited, part), Duration::from_millis(1500));
        let short_part = Some(Duration::from_millis(200));
        assert_eq!(fresh_for(waited, short_part), s(1), "a herd's time");
        assert_eq!(fresh_for("max-age=1, s-maxage=2", Some(s(4))), s(2));
    }

    #[test]
    fn an_upstream_age_counts() {
        let mut headers = said("max-age=10");
        headers.insert(header::AGE, HeaderValue::from_static("4"));
        let kept = lifetimes(Kind::Info, StatusCode::OK, &headers, None).unwrap();
        assert_eq!(kept.fresh_for, s(6));
    }
}
