//! The media playlist of a finished recording (EXT-X-PLAYLIST-TYPE:VOD).
//!
//! Pure text, like the live one; what lies behind the URIs is the caller's. The multivariant
//! playlist is [`crate::render_multivariant`]'s.

use std::fmt::Write as _;

use crate::playlist::{
    header,
    text::{DateTime, Seconds},
};

/// One segment of a recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Where it is, relative to the playlist.
    pub uri: String,
    /// Duration in seconds.
    pub seconds: f64,
    /// Where its init segment is, relative to the playlist.
    pub init_uri: String,
    /// A discontinuity lies before it.
    pub discontinuity: bool,
    /// Wall time of its first sample, microseconds since 1970, where known.
    pub program_date_time: Option<i64>,
    /// Its first sample is a sync sample.
    pub independent: bool,
}

/// The target duration that `entries` call for: the longest, rounded, and at least 1. All
/// renditions of an asset must declare the same, so take the largest of them.
pub fn target_duration(entries: &[Entry]) -> u64 {
    let longest = entries
        .iter()
        .map(|entry| entry.seconds)
        .fold(0.0, f64::max);
    (longest.round() as u64).max(1)
}

/// The playlist of one rendition.
pub fn render_media(entries: &[Entry], target_duration: u64) -> String {
    let mut out = String::with_capacity(256 + 80 * entries.len());
    header::version(&mut out, 6);
    if entries.iter().all(|entry| entry.independent) {
        header::independent_segments(&mut out);
    }
    let _ = writeln!(
        out,
        "#EXT-X-TARGETDURATION:{target_duration}\n#EXT-X-PLAYLIST-TYPE:VOD"
    );
    header::sequence(&mut out, 0, 0);
    let mut map: Option<&str> = None;
    for entry in entries {
        if entry.discontinuity {
            out.push_str("#EXT-X-DISCONTINUITY\n");
        }
        if entry.discontinuity || map != Some(&entry.init_uri) {
            let _ = writeln!(out, "#EXT-X-MAP:URI=\"{}\"", entry.init_uri);
            map = Some(&entry.init_uri);
        }
        if let Some(date) = entry.program_date_time {
            let _ = writeln!(out, "#EXT-X-PROGRAM-DATE-TIME:{}", DateTime(date));
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
    fn lists_everything_once_and_ends() {
        let entry = |index: usize, seconds, discontinuity| Entry {
            uri: format!("{index}.m4s"),
            seconds,
            init_uri: "init.mp4".into(),
            discontinuity,
            program_date_time: None,
            independent: true,
        };
        let entries = [
            entry(0, 4.0, false),
            entry(1, 4.6, false),
            entry(2, 1.0, true),
        ];
        let text = render_media(&entries, target_duration(&entries));
        assert!(text.contains("#EXT-X-TARGETDURATION:5\n#EXT-X-PLAYLIST-TYPE:VOD\n"));
        assert_eq!(text.matches("#EXT-X-MAP").count(), 2);
        assert!(text.ends_with("2.m4s\n#EXT-X-ENDLIST\n"));
        assert!(m3u8_rs::parse_media_playlist_res(text.as_bytes()).is_ok());
    }
}
