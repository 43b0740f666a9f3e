//! Where everything of an asset lies in the egress store, and what workers leave there for each
//! other.
//!
//! ```text
//! vod/<asset>/index.m3u8                 written last, once: its presence means complete
//! vod/<asset>/index.spatial.m3u8         the same for Apple spatial players
//! vod/<asset>/<rendition>/index.m3u8     init-<hash>.mp4   <n>.m4s
//! vod/<asset>/info.json  poster.jpg  thumbnails.vtt  thumbnails-<n>.jpg
//! vod/index.json                         all assets
//! catalogue/<newest first>-<asset>.json  one entry of it each
//! work/<asset>/plan.json  sent  slice-<n>.json      gone once the asset is complete
//! ```

use serde::{Deserialize, Serialize};
use store::ObjectMetadata;
use urls::{AssetFile, Vod};

/// Never changes once written.
const IMMUTABLE: &str = "public, max-age=31536000, immutable";
/// Grows with every asset.
const BRIEF: &str = "public, max-age=1";

pub(crate) const SEGMENT: ObjectMetadata = ObjectMetadata {
    content_type: Some("video/iso.segment"),
    cache_control: Some(IMMUTABLE),
};
pub(crate) const INIT: ObjectMetadata = ObjectMetadata {
    content_type: Some("video/mp4"),
    cache_control: Some(IMMUTABLE),
};
pub(crate) const PLAYLIST: ObjectMetadata = ObjectMetadata {
    content_type: Some("application/vnd.apple.mpegurl"),
    cache_control: Some(IMMUTABLE),
};
pub(crate) const JSON: ObjectMetadata = ObjectMetadata {
    content_type: Some("application/json"),
    cache_control: Some(IMMUTABLE),
};
pub(crate) const INDEX: ObjectMetadata = ObjectMetadata {
    content_type: Some("application/json"),
    cache_control: Some(BRIEF),
};
pub(crate) const JPEG: ObjectMetadata = ObjectMetadata {
    content_type: Some("image/jpeg"),
    cache_control: Some(IMMUTABLE),
};
pub(crate) const VTT: ObjectMetadata = ObjectMetadata {
    content_type: Some("text/vtt"),
    cache_control: Some(IMMUTABLE),
};
pub(crate) const WORK: ObjectMetadata = ObjectMetadata {
    content_type: Some("application/json"),
    cache_control: Some("no-store"),
};

/// A plan or manifest beyond this is damaged: a day of segments has under 4 MiB.
pub(crate) const WORK_BYTES_MAX: u64 = 64 << 20;

/// Slices listed at most: a day of 30 s slices is 2,880.
pub(crate) const SLICES_MAX: usize = 100_000;

/// All assets, for people and players: the key of [`Vod::Index`].
pub const VOD_INDEX: &str = "vod/index.json";

/// The object whose presence means that an asset is complete.
pub fn multivariant(asset: &str) -> String {
    vod(asset, AssetFile::Multivariant { spatial: false })
}

/// The key of one file of an asset.
pub(crate) fn vod(asset: &str, file: AssetFile<'_>) -> String {
    Vod::Asset { asset, file }.key()
}

pub(crate) fn plan(asset: &str) -> String {
    format!("work/{asset}/plan.json")
}

/// All slice jobs were sent.
pub(crate) fn sent(asset: &str) -> String {
    format!("work/{asset}/sent")
}

pub(crate) fn manifests(asset: &str) -> String {
    format!("work/{asset}/slice-")
}

pub(crate) fn manifest(asset: &str, slice: u32) -> String {
    format!("work/{asset}/slice-{slice:05}.json")
}

/// What one slice put into the store. Written when all of it is there.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The slice's number.
    pub slice: u32,
    /// Its part of each rendition, in the plan's order.
    #[serde(rename = "pieces")]
    pub renditions: Vec<RenditionSlice>,
    /// Sprite sheets of thumbnails.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sheets: Vec<Sheet>,
    /// What went wrong without ending it.
    #[serde(default)]
    pub notes: Notes,
}

/// What a slice had to mend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// Pictures that could not be decoded or sent.
    pub damaged: u64,
    /// Audio packets that could not be decoded.
    pub damaged_audio: u64,
    /// How often the picture size changed.
    pub size_changes: u64,
}

/// One slice of one rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenditionSlice {
    /// The rendition.
    pub name: String,
    /// RFC 6381.
    pub codec: String,
    /// Pixels.
    pub resolution: Option<(u32, u32)>,
    /// Pictures per second.
    pub frame_rate: Option<f64>,
    /// Channels of audio.
    pub channels: Option<u8>,
    /// Ticks per second of the durations.
    pub timescale: u32,
    /// The init segment's name.
    pub init: String,
    /// The segments.
    pub segments: Vec<SegmentInfo>,
}

/// One segment of one rendition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SegmentInfo {
    /// Its number.
    pub number: u32,
    /// How long it lasts, in ticks.
    pub ticks: i64,
    /// Its size; 0 for one that could not be made, which players skip.
    pub bytes: u64,
}

/// A grid of thumbnails in one picture.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sheet {
    /// The picture's name.
    pub name: String,
    /// Pixels of one thumbnail.
    pub size: (u32, u32),
    /// Thumbnails in a row.
    pub columns: u32,
    /// Seconds of each into the asset's media time, from its first picture's decode time on.
    pub at: Vec<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_lies_where_its_url_says() {
        assert_eq!(Vod::Index.key(), VOD_INDEX);
    }
}
