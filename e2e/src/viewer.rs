//! What a careful viewer can know of a stream: every listed segment of a rendition, parsed down to
//! its access units.

use std::collections::BTreeMap;

use bytes::Bytes;
use cmaf::Init;
use http::StatusCode;
use m3u8_rs::{MediaPlaylist, Playlist};
use media::AccessUnit;

use crate::Origin;

/// One listed segment with its samples.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Media sequence number.
    pub msn: u64,
    /// `EXTINF`, seconds.
    pub seconds: f64,
    /// A discontinuity comes before it.
    pub discontinuity: bool,
    /// Where its init segment is.
    pub init_url: String,
    /// Its samples in decode order.
    pub units: Vec<AccessUnit>,
    /// Its bytes.
    pub bytes: Bytes,
}

/// A rendition as listed at one moment.
#[derive(Clone, Debug)]
pub struct Rendition {
    /// The playlist's text.
    pub text: String,
    /// The playlist as m3u8-rs reads it.
    pub playlist: MediaPlaylist,
    /// Init segments by URL.
    pub inits: BTreeMap<String, (Bytes, Init)>,
    /// Listed segments that are not gaps.
    pub segments: Vec<Segment>,
}

impl Rendition {
    /// All access units in order.
    pub fn units(&self) -> impl Iterator<Item = &AccessUnit> {
        self.segments.iter().flat_map(|segment| &segment.units)
    }

    /// One file that any player can open: the first init segment and all segments.
    pub fn file(&self) -> Vec<u8> {
        let init = self
            .inits
            .values()
            .next()
            .map(|(bytes, _)| bytes.to_vec())
            .unwrap_or_default();
        self.segments.iter().fold(init, |mut file, segment| {
            file.extend_from_slice(&segment.bytes);
            file
        })
    }
}

/// Parses a media playlist with m3u8-rs.
pub fn parse(text: &str) -> MediaPlaylist {
    match m3u8_rs::parse_playlist_res(text.as_bytes()) {
        Ok(Playlist::MediaPlaylist(playlist)) => playlist,
        other => panic!("not a media playlist: {other:?}\n{text}"),
    }
}

/// Fetches every listed segment of `/hls/<stream>/<rendition>/index.m3u8`.
pub async fn fetch(origin: &Origin, stream: &str, rendition: &str) -> Rendition {
    let base = format!("/hls/{stream}/{rendition}");
    let answer = origin.get(&format!("{base}/index.m3u8")).await;
    assert_eq!(answer.status, StatusCode::OK, "{base}: {}", answer.text());
    let text = answer.text();
    let playlist = parse(&text);
    let mut inits = BTreeMap::new();
    let mut init_url = String::new();
    let mut segments = Vec::new();
    for (index, listed) in playlist.segments.iter().enumerate() {
        if let Some(map) = &listed.map {
            init_url = map.uri.clone();
            let bytes = origin.get(&format!("{base}/{init_url}")).await.body;
            let init = cmaf::read_init(&bytes).unwrap_or_else(|e| panic!("{init_url}: {e}"));
            inits.insert(init_url.clone(), (bytes, init));
        }
        if listed.unknown_tags.iter().any(|tag| tag.tag == "X-GAP") {
            continue;
        }
        let answer = origin.get(&format!("{base}/{}", listed.uri)).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", listed.uri);
        let (_, init) = inits
            .get(&init_url)
            .expect("a map comes before the first segment");
        let samples = cmaf::read_segment(init, &answer.body)
            .unwrap_or_else(|e| panic!("{}: {e}", listed.uri));
        segments.push(Segment {
            msn: playlist.media_sequence + index as u64,
            seconds: listed.duration.into(),
            discontinuity: listed.discontinuity,
            init_url: init_url.clone(),
            units: samples.into_iter().map(|sample| sample.unit).collect(),
            bytes: answer.body,
        });
    }
    Rendition {
        text,
        playlist,
        inits,
        segments,
    }
}

/// Fails unless decode times tile: no gap, no overlap, first sample of each segment a sync sample.
pub fn assert_tiles(name: &str, rendition: &Rendition) {
    let mut expected: Option<i64> = None;
    for segment in &rendition.segments {
        let first = segment
            .units
            .first()
            .unwrap_or_else(|| panic!("{name} {} is empty", segment.msn));
        assert!(
            first.is_sync(),
            "{name} segment {} starts with a sync sample",
            segment.msn
        );
        for unit in &segment.units {
            if let Some(dts) = expected.filter(|_| !segment.discontinuity || unit != first) {
                assert_eq!(
                    unit.dts, dts,
                    "{name} segment {}: decode times tile",
                    segment.msn
                );
            }
            expected = Some(unit.dts + i64::from(unit.duration));
        }
    }
}
