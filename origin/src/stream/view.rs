//! One rendition as HTTP serves it: an immutable snapshot with its playlist texts, each rendered and packed once.
//!
//! Thousands may ask for the same playlist in the same millisecond; the first makes the text, all share it. A view is
//! replaced by the next part, so its texts are never out of date.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hls::{Delivery, MediaSnapshot, reload::Skip, render_media};
use service::http::{CacheControl, Content, PLAYLIST_TYPE, gzip};

/// A rendition at one instant.
#[derive(Debug)]
pub struct View {
    media: Arc<MediaSnapshot>,
    full: Texts,
    delta: Texts,
}

/// The same text for requests that blocked (or could have) and for plain ones: they differ in lifetime only.
#[derive(Debug, Default)]
struct Texts {
    blocking: OnceLock<Content>,
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

    /// The playlist for a request: `skip` as asked for, `blocking` when it named a media sequence number.
    pub fn playlist(&self, skip: Option<Skip>, blocking: bool) -> &Content {
        let texts = if skip.is_some() {
            &self.delta
        } else {
            &self.full
        };
        let place = if blocking {
            &texts.blocking
        } else {
            &texts.plain
        };
        place.get_or_init(|| {
            let delivery = Delivery { skip };
            let text = Bytes::from(render_media(&self.media, &delivery));
            let target = u32::try_from(self.media.constants().target_duration).unwrap_or(u32::MAX);
            playlist_content(text, playlist_lifetime(target, blocking))
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

/// How long caches may keep a media playlist (rfc8216bis, "caching"): an answer to a blocking request satisfies it for
/// ever and is kept six target durations; a plain one goes stale after half a target duration.
fn playlist_lifetime(target_duration_s: u32, blocking: bool) -> CacheControl {
    match blocking {
        true => CacheControl::max_age(target_duration_s.saturating_mul(6)).stale_if_error(0),
        false => CacheControl::max_age((target_duration_s / 2).max(1)).stale_if_error(0),
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
