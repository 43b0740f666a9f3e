//! A media playlist's text to the few facts a cache needs: how far it reaches, its target
//! durations, and whether it has ended.
//!
//! Own code because the parser we use elsewhere does not know parts. It reads line by line, keeps
//! nothing, and takes anything: what it does not understand it passes over.

use std::time::Duration;

/// Players keep three target durations behind the end (rfc8216bis section 4.4.3.8), and some one
/// more.
const AHEAD_SEGMENTS: u64 = 4;

/// How far a playlist reaches: later is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Position {
    /// Media sequence number after the last whole segment.
    pub next_msn: u64,
    /// Parts listed after that segment.
    pub parts: u32,
}

/// What a media playlist says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaylistSummary {
    /// `EXT-X-MEDIA-SEQUENCE`.
    pub first_msn: u64,
    /// How far it reaches.
    pub position: Position,
    /// `EXT-X-TARGETDURATION`.
    pub target: Duration,
    /// `EXT-X-PART-INF:PART-TARGET`.
    pub part_target: Option<Duration>,
    /// `EXT-X-GAP` or a part's `GAP=YES` so near the end that viewers have still to come to it.
    pub has_gap_ahead: bool,
    /// `EXT-X-ENDLIST`: it will not change any more.
    pub ended: bool,
}

/// Reads `text`; none when it is no media playlist.
pub fn scan(text: &[u8]) -> Option<PlaylistSummary> {
    let mut lines = text.split(|b| *b == b'\n').map(<[u8]>::trim_ascii);
    if lines.next() != Some(b"#EXTM3U") {
        return None;
    }
    let mut target = None;
    let mut part_target = None;
    let (mut first, mut count, mut parts) = (0_u64, 0_u64, 0_u32);
    let mut ended = false;
    // How many segments there are up to the newest gap.
    let mut after_gap = None;
    for line in lines {
        let Some(tag) = line.strip_prefix(b"#EXT") else {
            continue;
        };
        if tag.starts_with(b"INF:") {
            count = count.saturating_add(1);
            parts = 0;
        } else if let Some(attributes) = tag.strip_prefix(b"-X-PART:") {
            parts = parts.saturating_add(1);
            if attribute(attributes, b"GAP=") == Some(b"YES") {
                after_gap = Some(count.saturating_add(1));
            }
        } else if tag == b"-X-GAP" {
            after_gap = Some(count.saturating_add(1));
        } else if let Some(value) = tag.strip_prefix(b"-X-TARGETDURATION:") {
            target = seconds(value);
        } else if let Some(value) = tag.strip_prefix(b"-X-MEDIA-SEQUENCE:") {
            first = std::str::from_utf8(value).ok()?.parse().ok()?;
        } else if let Some(attributes) = tag.strip_prefix(b"-X-SKIP:") {
            let skipped = attribute(attributes, b"SKIPPED-SEGMENTS=")?;
            count = count.saturating_add(std::str::from_utf8(skipped).ok()?.parse().ok()?);
        } else if let Some(attributes) = tag.strip_prefix(b"-X-PART-INF:") {
            part_target = attribute(attributes, b"PART-TARGET=").and_then(seconds);
        } else if tag == b"-X-ENDLIST" {
            ended = true;
        }
    }
    let position = Position {
        next_msn: first.saturating_add(count),
        parts,
    };
    Some(PlaylistSummary {
        first_msn: first,
        position,
        target: target?,
        part_target,
        has_gap_ahead: after_gap.is_some_and(|after| after.saturating_add(AHEAD_SEGMENTS) > count),
        ended,
    })
}

fn attribute<'a>(list: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    list.split(|b| *b == b',')
        .find_map(|item| item.trim_ascii().strip_prefix(name))
}

/// Decimal seconds; a day is more than any target duration.
fn seconds(text: &[u8]) -> Option<Duration> {
    let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (value > 0.0 && value <= 86_400.0).then(|| Duration::from_secs_f64(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIVE: &str = "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:4\n\
        #EXT-X-SERVER-CONTROL:CAN-BLOCK-RELOAD=YES,PART-HOLD-BACK=3.0\n\
        #EXT-X-PART-INF:PART-TARGET=1.0\n#EXT-X-MEDIA-SEQUENCE:266\n\
        #EXT-X-MAP:URI=\"init-1.mp4\"\n#EXTINF:4.0,\ns266.m4s\n\
        #EXT-X-PART:DURATION=1.0,URI=\"s267.0.m4s\"\n#EXTINF:4.0,\ns267.m4s\n\
        #EXT-X-PART:DURATION=1.0,URI=\"s268.0.m4s\"\n#EXT-X-PART:DURATION=1.0,URI=\"s268.1.m4s\"\n\
        #EXT-X-PRELOAD-HINT:TYPE=PART,URI=\"s268.2.m4s\"\n";

    #[test]
    fn a_live_playlist_reaches_to_its_last_part() {
        let summary = scan(LIVE.as_bytes()).unwrap();
        assert_eq!(
            summary.position,
            Position {
                next_msn: 268,
                parts: 2
            }
        );
        assert_eq!(summary.first_msn, 266);
        assert_eq!(summary.target, Duration::from_secs(4));
        assert_eq!(summary.part_target, Some(Duration::from_secs(1)));
        assert!(!summary.ended);
        let (_, parsed) = m3u8_rs::parse_media_playlist(LIVE.as_bytes()).unwrap();
        assert_eq!(parsed.media_sequence + parsed.segments.len() as u64, 268);
    }

    #[test]
    fn a_delta_update_counts_what_it_skips() {
        let delta = LIVE.replace(
            "#EXT-X-MAP:URI=\"init-1.mp4\"\n#EXTINF:4.0,\ns266.m4s\n",
            "#EXT-X-SKIP:SKIPPED-SEGMENTS=1\n",
        );
        assert_eq!(
            scan(delta.as_bytes()).unwrap().position,
            scan(LIVE.as_bytes()).unwrap().position
        );
    }

    #[test]
    fn an_ended_playlist_says_so_and_others_are_none() {
        assert!(
            scan(format!("{LIVE}#EXT-X-ENDLIST\r\n").as_bytes())
                .unwrap()
                .ended
        );
        for text in [
            "",
            "#EXTM3U\n",
            "<html>",
            "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1\na.m3u8\n",
        ] {
            assert_eq!(scan(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn a_gap_is_ahead_while_players_may_still_come_to_it() {
        let ahead = |text: &str| scan(text.as_bytes()).unwrap().has_gap_ahead;
        assert!(!ahead(LIVE));
        let of_a_part = LIVE.replace("s268.1.m4s\"", "s268.1.m4s\",GAP=YES");
        assert!(ahead(&of_a_part));
        let mut later = LIVE.replace("#EXTINF:4.0,\ns267", "#EXT-X-GAP\n#EXTINF:4.0,\ns267");
        for msn in 268..271 {
            assert!(ahead(&later));
            later.push_str(&format!("#EXTINF:4.0,\ns{msn}.m4s\n"));
        }
        assert!(ahead(&later), "the fourth from the end");
        later.push_str("#EXTINF:4.0,\ns271.m4s\n");
        assert!(!ahead(&later));
    }

    #[test]
    fn positions_order_by_segment_then_part() {
        let at = |next_msn, parts| Position { next_msn, parts };
        assert!(at(5, 0) > at(4, 9) && at(5, 1) > at(5, 0));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(bytes: Vec<u8>) {
            let _ = scan(&bytes);
        }
    }
}
