//! Makes a small JPEG of a stream's newest keyframe, for the operator page and as the live poster.
//!
//! Made when somebody looks and kept until the next keyframe: a few milliseconds of one core from
//! the smallest rendition, and nothing while nobody does. The picture is the frame as it is sent,
//! with both eyes and in its own projection.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use encode::stills::{Stills as Decoder, jpeg};
use hls::{Segment, Snapshot};
use media::MediaKind;
use tracing::debug;

use crate::stream::Stream;

/// Pixels across: sharp on a card of 320 CSS pixels at twice the density, some 20 kB.
const WIDTH: u32 = 640;

/// Pictures kept; beyond it all are made anew.
const KEPT_MAX: usize = 256;

/// The pictures of streams that were looked at.
#[derive(Default)]
pub struct Thumbnails {
    /// Held while one is made, so that many lookers cost one picture.
    kept: tokio::sync::Mutex<BTreeMap<String, Kept>>,
}

struct Kept {
    run_id: String,
    msn: u64,
    jpeg: Bytes,
}

impl Thumbnails {
    /// The newest picture; `None` before the first, and where it cannot be decoded.
    pub async fn of(&self, stream: &Stream) -> Option<Bytes> {
        let mut kept = self.kept.lock().await;
        let snapshot = stream.snapshot()?;
        let segment = newest(&snapshot)?;
        let (name, run_id, msn) = (stream.name(), snapshot.run_id(), segment.msn);
        if let Some(known) = kept.get(name)
            && (known.run_id.as_str(), known.msn) == (run_id, msn)
        {
            return Some(known.jpeg.clone());
        }
        let made = tokio::task::spawn_blocking(move || picture(&segment));
        let jpeg = made.await.ok()??;
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        let known = Kept {
            run_id: run_id.to_owned(),
            msn,
            jpeg: jpeg.clone(),
        };
        kept.insert(name.to_owned(), known);
        Some(jpeg)
    }
}

/// The newest segment that starts with a keyframe, of the rendition with the fewest pixels.
fn newest(snapshot: &Snapshot) -> Option<Arc<Segment>> {
    let pictures = snapshot
        .renditions()
        .iter()
        .filter(|media| media.kind() == MediaKind::Video);
    let segments = pictures.filter_map(|media| {
        let closed = media.retained().iter().rev();
        let mut all = media.open().into_iter().chain(closed);
        all.find(|segment| segment.independent && !segment.gap && !segment.parts.is_empty())
    });
    segments
        .min_by_key(|segment| width(segment).unwrap_or(u32::MAX))
        .cloned()
}

fn width(segment: &Segment) -> Option<u32> {
    let video = segment.init.as_ref()?.track.as_video()?;
    Some(video.config.dimensions().0)
}

fn picture(segment: &Segment) -> Option<Bytes> {
    let init = segment.init.as_ref()?;
    let (source_width, source_height) = init.track.as_video()?.config.dimensions();
    let width = source_width.min(WIDTH) & !1;
    let height = (source_height * width / source_width.max(1)).max(2) & !1;
    let known = cmaf::read_init(&init.bytes).ok()?;
    let units = cmaf::read_chunk(&known, &segment.parts.first()?.bytes).ok()?;
    let keyframe = units.first()?;
    let thumbnail = Decoder::open(&init.track, width, height)
        .and_then(|mut decoder| decoder.take(&keyframe.unit))
        .and_then(|picture| picture.as_ref().map(jpeg).transpose());
    thumbnail
        .inspect_err(|error| debug!(%error, "no thumbnail"))
        .ok()
        .flatten()
}
