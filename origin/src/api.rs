//! Defines what the admin API says of a stream: one struct for each object of `/api/streams`.
//!
//! Everything inside the origin that reads a report (alarms, the operator page) reads these types;
//! JSON is made of them at the HTTP boundary only. `docs/ref/admin.md` lists every field, and a
//! test compares.

use std::collections::BTreeMap;

use hls::Tracks;
use media::{Immersive, Orientation, Projection, StereoLayout, Track, timeline};
use serde::Serialize;
use serde_json::Value;

/// One entry of `/api/streams`: what the stream says of itself, and what others see of it.
#[derive(Clone, Debug, Serialize)]
pub struct StreamEntry {
    /// What the stream says.
    #[serde(flatten)]
    pub stream: StreamReport,
    /// Rules that its playlists broke.
    pub conformance: ConformanceReport,
    /// Who watches; `null` where no edge is named.
    pub audience: Option<AudienceReport>,
    /// Ingest figures of the last ten minutes; in `/api/overview` only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub history: Option<HistoryReport>,
}

/// What a stream says of itself.
#[derive(Clone, Debug, Serialize)]
pub struct StreamReport {
    /// Its name.
    pub name: String,
    /// Whether it is published now.
    pub state: StreamState,
    /// Who publishes.
    pub publisher: Option<PublisherReport>,
    /// Publishers so far.
    pub sessions: u64,
    /// What the publisher has announced.
    pub tracks: TracksReport,
    /// What the timeline put right.
    pub timeline: timeline::Stats,
    /// How the picture lies on the sphere.
    pub immersive: ImmersiveReport,
    /// What viewers see.
    pub run: Option<RunReport>,
    /// How this origin and its peer agree.
    pub pairing: Option<pairing::Report>,
    /// The same under its earlier name.
    pub twin: Option<pairing::Report>,
}

/// Whether a stream is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum StreamState {
    /// A publisher sends and a run is on.
    Live,
    /// The publisher is awaited.
    Waiting,
    /// The playlists have got their end.
    Ended,
}

impl StreamState {
    /// The word used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Waiting => "waiting",
            Self::Ended => "ended",
        }
    }
}

/// A publisher and its signal.
#[derive(Clone, Debug, Serialize)]
pub struct PublisherReport {
    /// IP address and port.
    pub address: String,
    /// What the encoder calls itself.
    pub encoder: String,
    /// When it connected, RFC 3339.
    pub since: String,
    /// Its signal.
    pub health: Figures,
    /// Damaged tags left out since it connected.
    pub damaged_tags: u64,
    /// What was left out, by track and reason.
    pub skipped: Vec<SkippedReport>,
    /// What was put right, by kind.
    pub repaired: Vec<RepairedReport>,
}

/// What of a publisher's media was left out for one reason.
#[derive(Clone, Debug, Serialize)]
pub struct SkippedReport {
    /// `video`, `audio`, or `other`.
    pub track: &'static str,
    /// See [`media::SkipReason`].
    pub reason: &'static str,
    /// How often.
    pub count: u64,
    /// The newest case in words.
    pub last: String,
    /// What to do.
    pub remedy: &'static str,
}

/// What of a publisher's media was put right.
#[derive(Clone, Debug, Serialize)]
pub struct RepairedReport {
    /// See [`media::Repair`].
    pub kind: &'static str,
    /// How often.
    pub count: u64,
    /// What to do.
    pub remedy: &'static str,
}

/// A publisher's signal now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Bits per second of both tracks, averaged over the last seconds.
    pub bitrate_bps: u64,
    /// Video access units per second.
    pub frame_rate: f64,
    /// Audio access units per second.
    pub audio_rate: f64,
    /// Seconds between the last two keyframes.
    pub gop_seconds: f64,
    /// The longest of them so far.
    pub gop_seconds_max: f64,
    /// Mean difference between arrival spacing and timestamp spacing of video, milliseconds.
    pub jitter_ms: f64,
    /// Access units since the publisher connected.
    pub access_units: u64,
    /// Bytes since the publisher connected.
    pub bytes: u64,
}

/// The announced tracks.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TracksReport {
    /// `null` without video.
    pub video: Option<VideoReport>,
    /// `null` without audio.
    pub audio: Option<AudioReport>,
}

/// A video track.
#[derive(Clone, Debug, Serialize)]
pub struct VideoReport {
    /// RFC 6381.
    pub codec: String,
    /// Coded pixels after cropping.
    pub width: u32,
    /// Coded pixels after cropping.
    pub height: u32,
    /// Pictures per second as the stream declares them.
    pub frame_rate: Option<f64>,
}

/// An audio track.
#[derive(Clone, Debug, Serialize)]
pub struct AudioReport {
    /// RFC 6381.
    pub codec: String,
    /// Samples per second.
    pub sample_rate: u32,
    /// Channels.
    pub channels: u16,
}

impl TracksReport {
    /// What `tracks` are.
    pub fn of(tracks: &Tracks) -> Self {
        let video = tracks.video.as_ref();
        let audio = tracks.audio.as_ref();
        Self {
            video: video.and_then(Track::as_video).map(|track| {
                let (width, height) = track.config.dimensions();
                let rate = track.config.frame_rate();
                VideoReport {
                    codec: track.config.rfc6381(),
                    width,
                    height,
                    frame_rate: rate.map(|(n, d)| f64::from(n) / f64::from(d)),
                }
            }),
            audio: audio.and_then(Track::as_audio).map(|track| AudioReport {
                codec: track.config.rfc6381(),
                sample_rate: track.config.sample_rate(),
                channels: track.config.channels().into(),
            }),
        }
    }
}

/// How a picture lies on the sphere.
#[derive(Clone, Debug, Serialize)]
pub struct ImmersiveReport {
    /// Sphere to picture.
    pub projection: Projection,
    /// Eyes to frame.
    pub stereo: StereoLayout,
    /// Where the picture's centre lies.
    pub orientation: Orientation,
}

impl From<Immersive> for ImmersiveReport {
    fn from(immersive: Immersive) -> Self {
        Self {
            projection: immersive.projection,
            stereo: immersive.stereo,
            orientation: immersive.orientation,
        }
    }
}

/// A run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// Names it in every media URL.
    #[serde(rename = "epoch")]
    pub run_id: String,
    /// RFC 3339.
    pub started_at: String,
    /// Media Sequence Number of the next segment.
    pub next_msn: u64,
    /// Seconds; `null` before the first playlist.
    pub target_duration: Option<u64>,
    /// Segments that were closed without a keyframe because none came in time.
    pub late_keyframes: u64,
    /// What kind of pictures the source's keyframes are.
    pub keyframes: hls::Keyframes,
    /// Bytes of media held in memory.
    pub window_bytes: u64,
    /// The ladder.
    pub rungs: Vec<RungReport>,
    /// What is listed.
    pub renditions: Vec<RenditionReport>,
    /// `null` where the stream is not recorded.
    pub recording: Option<RecordingReport>,
}

/// One rung of the ladder.
#[derive(Clone, Debug, Serialize)]
pub struct RungReport {
    /// The rendition's name.
    pub name: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bits per second, at most.
    pub bitrate_max: u64,
    /// Another projection than the source's.
    pub projection: Option<Projection>,
    /// What it does.
    pub state: RungState,
    /// Why it does not run.
    pub reason: Option<String>,
    /// Times it was shed because the machine could not keep up.
    pub sheds: u64,
    /// Times its encoder failed.
    pub failures: u64,
}

/// What a rung does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RungState {
    /// Its encoder has not shown anything yet.
    Starting,
    /// Its encoder delivers.
    Running,
    /// Left out for now because the machine cannot keep up.
    Shed,
    /// Its encoder gave an error; it is tried again.
    Failed,
    /// This source does not get it.
    Absent,
}

/// One rendition.
#[derive(Clone, Debug, Serialize)]
pub struct RenditionReport {
    /// Its name in URLs.
    pub name: String,
    /// Media Sequence Number of its newest whole segment.
    pub last_msn: Option<u64>,
    /// Segments listed.
    pub segments: usize,
}

/// The recording of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RecordingReport {
    /// Access units that it lost.
    pub dropped_units: u64,
}

/// What the conformance checks found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ConformanceReport {
    /// Of all rules.
    pub violations: u64,
    /// By rule.
    pub rules: BTreeMap<&'static str, RuleReport>,
}

/// One rule that was broken.
#[derive(Clone, Debug, Serialize)]
pub struct RuleReport {
    /// How often.
    pub count: u64,
    /// The newest case in words.
    pub last: String,
}

/// Who watches a stream, over all edges that answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct AudienceReport {
    /// Viewers now.
    pub viewers: u64,
    /// Where they look: viewer-seconds in rows from up to down.
    pub views: Vec<Vec<f64>>,
}

/// Samples of a stream's ingest, one a second.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HistoryReport {
    /// Number of the first sample.
    pub first: u64,
    /// Bits per second, pictures per second, seconds between keyframes, milliseconds of jitter;
    /// `null` while nobody published.
    pub samples: Vec<Option<[f64; 4]>>,
}

/// What an edge or transcoder answered when it was polled last.
#[derive(Clone, Debug, Serialize)]
pub struct PolledReport {
    /// Its admin address.
    pub url: String,
    /// Its own report; absent when it did not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub report: Option<Value>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
}

#[cfg(test)]
pub(crate) mod tests;
