//! Tags that apply to a whole media playlist (bis §4.4.1 to §4.4.3).

use std::fmt::Write as _;

use super::text::Short;
use crate::PlaylistConstants;

/// PART-HOLD-BACK in parts: "at least three times" PART-TARGET (bis §4.4.3.8; Apple's rule 14.3
/// makes it a must).
const PART_HOLD_BACK_PARTS: f64 = 3.0;

/// EXT-X-VERSION of a media playlist: 6 for EXT-X-MAP, 9 for EXT-X-SKIP.
pub(crate) fn version(out: &mut String, version: u8) {
    let _ = writeln!(out, "#EXTM3U\n#EXT-X-VERSION:{version}");
}

/// EXT-X-INDEPENDENT-SEGMENTS, only while it is true of every segment listed.
pub(crate) fn independent_segments(out: &mut String) {
    out.push_str("#EXT-X-INDEPENDENT-SEGMENTS\n");
}

/// EXT-X-TARGETDURATION.
pub(crate) fn target_duration(out: &mut String, seconds: u64) {
    let _ = writeln!(out, "#EXT-X-TARGETDURATION:{seconds}");
}

/// EXT-X-SERVER-CONTROL and EXT-X-PART-INF. All values follow from the constants, so they never
/// change.
pub(crate) fn server_control(out: &mut String, constants: &PlaylistConstants) {
    let target = constants.target_duration as f64;
    // "MUST be at least six times the Target Duration."
    let _ = write!(
        out,
        "#EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,CAN-SKIP-UNTIL={},HOLD-BACK={}",
        Short(target * 6.0),
        Short(target * 3.0)
    );
    if let Some(part) = constants.part_target_seconds() {
        let hold_back = part * PART_HOLD_BACK_PARTS;
        let _ = write!(
            out,
            ",PART-HOLD-BACK={}\n#EXT-X-PART-INF:PART-TARGET={}",
            Short(hold_back),
            Short(part)
        );
    }
    out.push('\n');
}

/// EXT-X-MEDIA-SEQUENCE and EXT-X-DISCONTINUITY-SEQUENCE; both always, also when 0 (Apple's rule
/// 8.17).
pub(crate) fn sequence(out: &mut String, msn: u64, discontinuity_sequence: u64) {
    let _ = writeln!(
        out,
        "#EXT-X-MEDIA-SEQUENCE:{msn}\n#EXT-X-DISCONTINUITY-SEQUENCE:{discontinuity_sequence}"
    );
}

/// EXT-X-SKIP.
pub(crate) fn skip(out: &mut String, skipped: usize) {
    let _ = writeln!(out, "#EXT-X-SKIP:SKIPPED-SEGMENTS={skipped}");
}

/// EXT-X-ENDLIST.
pub(crate) fn end_list(out: &mut String) {
    out.push_str("#EXT-X-ENDLIST\n");
}
