//! Renders media playlists of VOD (bis §4.4.3.5): everything is known, nothing ever changes.

use std::{fmt::Write as _, sync::Arc};

use super::{
    header, segment,
    text::{DateTime, Seconds},
};

/// EXT-X-GAP needs version 8 (bis §8), EXT-X-MAP 6.
const VERSION_WITH_GAPS: u8 = 8;
const VERSION: u8 = 6;

/// A whole media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VodPlaylist {
    /// Seconds, not below any segment's rounded duration; the same in all renditions, so that
    /// players can compare them.
    pub target_duration: u64,
    /// All segments, the first with media sequence number 0.
    pub segments: Vec<VodSegment>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq)]
pub struct VodSegment {
    /// Where it is, relative to the playlist.
    pub uri: String,
    /// How long it lasts.
    pub seconds: f64,
    /// Where its init segment is, relative to the playlist.
    pub map: Option<Arc<str>>,
    /// It could not be made: players skip it.
    pub is_gap: bool,
    /// It does not follow from the one before it.
    pub discontinuity: bool,
    /// Microseconds since 1970 of its beginning, where they are to be said.
    pub program_date_time: Option<i64>,
}

/// The playlist's text.
pub fn render(playlist: &VodPlaylist) -> String {
    let segments = &playlist.segments;
    let has_gaps = segments.iter().any(|segment| segment.is_gap);
    let mut out = String::with_capacity(256 + 64 * segments.len());
    header::version(&mut out, if has_gaps { VERSION_WITH_GAPS } else { VERSION });
    header::target_duration(&mut out, playlist.target_duration);
    out.push_str("#EXT-X-MEDIA-SEQUENCE:0\n#EXT-X-PLAYLIST-TYPE:VOD\n");
    header::independent_segments(&mut out);
    let mut said: Option<&Arc<str>> = None;
    for entry in segments {
        if entry.discontinuity {
            segment::discontinuity(&mut out);
        }
        // After a discontinuity players start afresh.
        if let Some(map) = entry
            .map
            .as_ref()
            .filter(|map| entry.discontinuity || said != Some(map))
        {
            let _ = writeln!(out, "#EXT-X-MAP:URI=\"{map}\"");
            said = Some(map);
        }
        if let Some(micros) = entry.program_date_time {
            let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", DateTime(micros));
        }
        if entry.is_gap {
            segment::gap(&mut out);
        }
        let _ = writeln!(out, "#EXTINF:{},\n{}", Seconds(entry.seconds), entry.uri);
    }
    header::end_list(&mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_said_when_they_change_and_after_each_discontinuity() {
        let segment = |uri: &str, map: &str| VodSegment {
            uri: uri.to_owned(),
            seconds: 6.0,
            map: Some(map.into()),
            is_gap: false,
            discontinuity: false,
            program_date_time: None,
        };
        let mut segments = vec![
            segment("0.m4s", "a"),
            segment("1.m4s", "a"),
            segment("2.m4s", "a"),
            segment("3.m4s", "b"),
        ];
        segments[0].program_date_time = Some(1_793_620_800_123_000);
        segments[2].discontinuity = true;
        let playlist = VodPlaylist {
            target_duration: 6,
            segments,
        };
        assert_eq!(
            render(&playlist),
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:6\n#EXT-X-MEDIA-SEQUENCE:0\n\
             #EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-INDEPENDENT-SEGMENTS\n#EXT-X-MAP:URI=\"a\"\n\
             #EXT-X-PROGRAM-DATE-TIME:2026-11-02T12:00:00.123Z\n#EXTINF:6.000000,\n0.m4s\n\
             #EXTINF:6.000000,\n1.m4s\n#EXT-X-DISCONTINUITY\n#EXT-X-MAP:URI=\"a\"\n\
             #EXTINF:6.000000,\n2.m4s\n#EXT-X-MAP:URI=\"b\"\n#EXTINF:6.000000,\n3.m4s\n\
             #EXT-X-ENDLIST\n"
        );
    }
}
