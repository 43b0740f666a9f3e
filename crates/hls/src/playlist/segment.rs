//! Tags of one segment (bis §4.4.4).

use std::fmt::Write as _;

use urls::{MediaFile, Reference};

use super::text::{DateTime, Seconds};
use crate::Segment;

/// What must stand before a segment's first part: EXT-X-DISCONTINUITY, EXT-X-MAP where it changes,
/// and EXT-X-PROGRAM-DATE-TIME on every segment, so that no player has to add up durations.
pub(crate) fn lead(out: &mut String, segment: &Segment, run_id: &str, with_map: bool) {
    if segment.discontinuity {
        discontinuity(out);
    }
    if let (true, Some(init)) = (with_map, &segment.init) {
        let uri = Reference::media(run_id, MediaFile::Init(init.index));
        let _ = writeln!(out, "#EXT-X-MAP:URI=\"{uri}\"");
    }
    let _ = writeln!(
        out,
        "#EXT-X-PROGRAM-DATE-TIME:{}",
        DateTime(segment.program_date_time)
    );
}

/// EXT-X-DISCONTINUITY.
///
/// It stands as soon as it is known, also while nothing of its segment is listed: hls.js up to
/// 1.6.16 numbers the segment to come when it reads the playlist before it, and gives up when the
/// number turns out another ("discontinuity sequence mismatch").
pub(crate) fn discontinuity(out: &mut String) {
    out.push_str("#EXT-X-DISCONTINUITY\n");
}

/// EXT-X-GAP, EXTINF and the URI.
pub(crate) fn media(out: &mut String, segment: &Segment, run_id: &str) {
    if segment.gap {
        gap(out);
    }
    let uri = Reference::media(run_id, MediaFile::Segment(segment.msn));
    let _ = writeln!(out, "#EXTINF:{},\n{uri}", Seconds(segment.seconds()));
}

/// EXT-X-GAP: the segment is lost, and players go on behind it.
pub(crate) fn gap(out: &mut String) {
    out.push_str("#EXT-X-GAP\n");
}
