//! Renders snapshots as playlist text, by pure functions.

use std::sync::Arc;

use media::Immersive;

use crate::{
    MediaSnapshot, Multivariant, Segment, Variant,
    packager::SOURCE,
    playlist::{
        header,
        multivariant::{self, Captions, Groups},
        part, segment,
    },
    reload::Skip,
};

/// How a media playlist is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Delivery {
    /// Leave out old segments.
    pub skip: Option<Skip>,
}

/// Which multivariant playlist is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// For browsers and everything that ignores or refuses newer attributes.
    Web,
    /// For players that know spatial video: REQ-VIDEO-LAYOUT, which needs version 12.
    Spatial,
}

/// EXT-X-PART tags are listed for this many target durations before the end.
const PART_TARGETS: i64 = 3;

/// CAN-SKIP-UNTIL in target durations.
const SKIP_TARGETS: i64 = 6;

/// The playlist of one rendition.
pub fn render_media(media: &MediaSnapshot, delivery: &Delivery) -> String {
    let constants = media.constants();
    let listed = media.listed();
    let open = media.open();
    let skipped = match delivery.skip {
        Some(_) if !media.is_ended() => skippable(media),
        _ => 0,
    };
    let mut out = String::with_capacity(1024 + 160 * listed.len());
    header::version(&mut out, if skipped > 0 { 9 } else { 6 });
    if listed.iter().chain(open).all(|segment| segment.independent) {
        header::independent_segments(&mut out);
    }
    header::target_duration(&mut out, constants.target_duration);
    header::server_control(&mut out, &constants);
    let first = listed.first().or(open);
    let (msn, discontinuity_sequence) = match first {
        Some(first) => (first.msn, first.discontinuity_sequence),
        None => (0, 0),
    };
    header::sequence(&mut out, msn, discontinuity_sequence);
    if skipped > 0 {
        header::skip(&mut out, skipped);
    }
    segments(&mut out, media, skipped);
    if media.is_ended() {
        header::end_list(&mut out);
        return out;
    }
    if media.announced().discontinuity {
        segment::discontinuity(&mut out);
    }
    if let Some(init) = &media.announced().init {
        part::map_hint(&mut out, init.index, media.run_id());
    }
    if let Some(hint) = media.hint() {
        part::preload_hint(&mut out, hint, media.run_id());
    }
    let others = media
        .reports
        .iter()
        .filter(|report| *report.name != *media.name());
    others.for_each(|report| part::rendition_report(&mut out, report));
    out
}

fn segments(out: &mut String, media: &MediaSnapshot, skipped: usize) {
    let of_run = media.run_id();
    let listed = media.listed();
    let parts_from = first_with_parts(media);
    let mut map = None;
    for (index, entry) in listed.iter().enumerate().skip(skipped) {
        let run_id = entry.run_id.as_deref().unwrap_or(of_run);
        segment::lead(out, entry, run_id, map_due(&mut map, entry));
        if index >= parts_from {
            part::parts(out, entry, run_id);
        }
        segment::media(out, entry, run_id);
    }
    if let Some(open) = media.open() {
        segment::lead(out, open, of_run, map_due(&mut map, open));
        part::parts(out, open, of_run);
    }
}

/// Whether a segment needs its EXT-X-MAP said: it is the first to have one, differs from the last
/// said, or comes after a discontinuity, where players start afresh.
fn map_due(said: &mut Option<u32>, segment: &Segment) -> bool {
    let Some(init) = &segment.init else {
        return false;
    };
    let due = segment.discontinuity || *said != Some(init.index);
    *said = Some(init.index);
    due
}

/// Index of the first listed segment whose parts are listed: none that ended more than three target
/// durations before the end of the playlist. A final playlist needs no parts.
fn first_with_parts(media: &MediaSnapshot) -> usize {
    if media.is_ended() || media.constants().part_target.is_none() {
        return usize::MAX;
    }
    let open = media.open().map_or(0.0, |open| open.seconds());
    before_end(media, PART_TARGETS, open)
}

/// How many segments a delta update may leave out: those wholly older than the skip boundary, which
/// counts from the end of the last complete segment.
fn skippable(media: &MediaSnapshot) -> usize {
    before_end(media, SKIP_TARGETS, 0.0)
}

/// The number of listed segments that end `targets` target durations or more before the end of the
/// playlist, which is `behind` seconds after the end of the last of them.
fn before_end(media: &MediaSnapshot, targets: i64, mut behind: f64) -> usize {
    let limit = media.constants().target_duration as f64 * targets as f64;
    let listed: &[Arc<Segment>] = media.listed();
    for (index, entry) in listed.iter().enumerate().rev() {
        if behind >= limit {
            return index + 1;
        }
        behind += entry.seconds();
    }
    0
}

/// The multivariant playlist of the live `stream`, or of a recording, where it lies beside its
/// renditions' folders.
pub fn render_multivariant(
    multivariant: &Multivariant,
    stream: Option<&str>,
    flavour: Flavour,
) -> String {
    let layout = |variant: &Variant| {
        let immersive = Immersive {
            projection: variant
                .projection
                .unwrap_or(multivariant.immersive.projection),
            ..multivariant.immersive
        };
        let said = flavour == Flavour::Spatial && variant.resolution.is_some();
        said.then(|| multivariant::video_layout(&immersive))
            .flatten()
    };
    let mut out = String::with_capacity(1024);
    // "EXT-X-VERSION SHOULD NOT be higher than needed": 12 only where REQ-VIDEO-LAYOUT is really
    // said.
    let spatial = multivariant.variants.iter().any(|v| layout(v).is_some());
    header::version(&mut out, if spatial { 12 } else { 6 });
    if multivariant.independent_segments {
        header::independent_segments(&mut out);
    }
    multivariant::session_data(&mut out, &multivariant.immersive);
    for audio in &multivariant.audio {
        multivariant::audio(&mut out, audio, stream);
    }
    if let Some(instream_id) = &multivariant.captions {
        multivariant::captions(&mut out, instream_id);
    }
    for variant in &multivariant.variants {
        let audio = !multivariant.audio.is_empty() && variant.resolution.is_some();
        let layout = layout(variant);
        let captions = match &multivariant.captions {
            None => Captions::None,
            Some(_) if &*variant.rendition == SOURCE => Captions::Group,
            Some(_) => Captions::Unsaid,
        };
        let groups = Groups { audio, captions };
        multivariant::stream_inf(&mut out, variant, groups, layout.as_deref(), stream);
    }
    out
}
