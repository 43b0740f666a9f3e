//! One rendition as HTTP serves it: an immutable snapshot with its playlist texts, each rendered
//! and packed once.
//!
//! Thousands may ask for the same playlist in the same millisecond; the first makes the text, all
//! share it. A view is replaced by the next part, so its texts are never out of date.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hls::{Delivery, MediaSnapshot, reload::Skip, render_media};
use service::http::{CacheControl, Content, PLAYLIST_TYPE, gzip};

/// How long a browser keeps a media playlist, in seconds: the least there is.
const BROWSER_SECONDS: u32 = 1;

/// A rendition at one instant.
#[derive(Debug)]
pub struct View {
    media: Arc<MediaSnapshot>,
    full: Texts,
    delta: Texts,
}

/// The same text with two lifetimes.
#[derive(Debug, Default)]
struct Texts {
    held: OnceLock<Content>,
    plain: OnceLock<Content>,
}

impl View {
    /// Wraps a snapshot.
    pub fn new(media: Arc<MediaSnapshot>) -> Self {
        Self {
            media,
            full: Texts::default(),
            delta: Texts::default(),
        }
    }

    /// The snapshot.
    pub fn media(&self) -> &Arc<MediaSnapshot> {
        &self.media
    }

    /// The playlist for a request: `skip` as asked for, `held` when the request was held until the
    /// playlist ended as asked.
    pub fn playlist(&self, skip: Option<Skip>, held: bool) -> &Content {
        let texts = if skip.is_some() {
            &self.delta
        } else {
            &self.full
        };
        let place = if held { &texts.held } else { &texts.plain };
        place.get_or_init(|| {
            let delivery = Delivery { skip };
            let text = Bytes::from(render_media(&self.media, &delivery));
            let target = u32::try_from(self.media.constants().target_duration).unwrap_or(u32::MAX);
            playlist_content(text, playlist_lifetime(target, held))
        })
    }

    /// Whether a waiter has anything new to see in `self` compared with `old`.
    pub fn moved_on(&self, old: &View) -> bool {
        let place = |view: &View| {
            let parts = view.media.open().map(|open| (open.msn, open.parts.len()));
            (
                view.media.last_msn(),
                parts,
                view.media.is_ended(),
                view.media.run_id().to_owned(),
            )
        };
        place(self) != place(old)
    }
}

/// How long caches may keep a media playlist (rfc8216bis, "caching").
///
/// Browsers keep it for a second: a player that asks the same again wants news, and video.js asks
/// for what it has until more is there. Shared caches keep an answer that a request was held for,
/// and that ends as asked, for six target durations; any other goes stale after half a target
/// duration.
fn playlist_lifetime(target_duration_s: u32, held: bool) -> CacheControl {
    let shared = match held {
        true => target_duration_s.saturating_mul(6),
        false => (target_duration_s / 2).max(1),
    };
    let lifetime = CacheControl::max_age(BROWSER_SECONDS).stale_if_error(0);
    match shared > BROWSER_SECONDS {
        true => lifetime.shared(shared),
        false => lifetime,
    }
}

/// A playlist's text with all its headers.
pub fn playlist_content(text: Bytes, lifetime: CacheControl) -> Content {
    let packed = gzip(&text);
    let tag = service::http::etag_of(&text);
    Content::new([text], PLAYLIST_TYPE)
        .with_gzip(packed)
        .with_etag(&tag)
        .with_header(http::header::CACHE_CONTROL, lifetime.to_header())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn browsers_keep_a_playlist_for_a_second_and_shared_caches_what_was_waited_for() {
        let said = |target, held| playlist_lifetime(target, held).to_header();
        let held = "public, max-age=1, s-maxage=12, stale-if-error=0";
        assert_eq!(said(2, true), held);
        assert_eq!(said(2, false), "public, max-age=1, stale-if-error=0");
        let plain = "public, max-age=1, s-maxage=3, stale-if-error=0";
        assert_eq!(said(6, false), plain);
    }
}
