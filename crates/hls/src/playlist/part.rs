//! Low-latency tags: parts, the hint of the next one, reports of the other renditions (bis
//! §4.4.4.9, §4.4.5.3, §4.4.5.4).

use std::fmt::Write as _;

use urls::{MediaFile, Reference};

use super::text::Seconds;
use crate::{Hint, Report, Segment};

/// EXT-X-PART for every part of a segment.
pub(crate) fn parts(out: &mut String, segment: &Segment, run_id: &str) {
    for (index, part) in segment.parts.iter().enumerate() {
        let uri = Reference::media(run_id, MediaFile::Part(segment.msn, index as u64));
        let _ = write!(
            out,
            "#EXT-X-PART:DURATION={},URI=\"{uri}\"",
            Seconds(segment.timescale.seconds(part.duration)),
        );
        if part.independent {
            out.push_str(",INDEPENDENT=YES");
        }
        if part.gap {
            out.push_str(",GAP=YES");
        }
        out.push('\n');
    }
}

/// EXT-X-PRELOAD-HINT of the init segment that the next part needs (bis appendix B.1).
pub(crate) fn map_hint(out: &mut String, index: u32, run_id: &str) {
    let uri = Reference::media(run_id, MediaFile::Init(index));
    let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=MAP,URI=\"{uri}\"");
}

/// EXT-X-PRELOAD-HINT of the next part.
pub(crate) fn preload_hint(out: &mut String, hint: Hint, run_id: &str) {
    let uri = Reference::media(run_id, MediaFile::Part(hint.msn, hint.part));
    let _ = writeln!(out, "#EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"{uri}\"");
}

/// EXT-X-RENDITION-REPORT.
pub(crate) fn rendition_report(out: &mut String, report: &Report) {
    let uri = Reference::Sibling {
        rendition: &report.name,
    };
    let _ = write!(
        out,
        "#EXT-X-RENDITION-REPORT:URI=\"{uri}\",LAST-MSN={}",
        report.last_msn
    );
    if let Some(part) = report.last_part {
        let _ = write!(out, ",LAST-PART={part}");
    }
    out.push('\n');
}
