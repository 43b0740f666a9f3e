//! What to make of a recording: rungs, segments and slices. Pure: the same probe gives the same
//! plan.
//!
//! ```text
//! keyframes   k  k  k  k  k  k  k  k  k | k  k
//! groups      [  ]  [  ]  [  ]  [  ]  [ | ]  [     each opens with a keyframe in every rung, about 2 s
//! segments    [        ]  [        ]  [ | ][       whole groups, about 6 s; the same in every rendition
//! slices      [                    ][   |  ][      whole segments, about 30 s; none spans a break (|)
//! ```
//!
//! A slice is what one worker does at a time and what an interruption can cost. Where the
//! recording's own video are fit to be sent, they are the top rung as they are.

use encode::{
    Reprojection,
    ladder::{self, Rung, RungConfig},
};
use media::{Immersive, Orientation, Projection, StereoLayout, VIDEO_TIMESCALE};
use serde::{Deserialize, Serialize};

use crate::source::{Probe, SEGMENT_TARGETS_MAX, UploadProbe, Video};

mod upload;

pub use upload::{AudioPlan, UploadPlan};
pub(crate) use upload::{holds, warm_start};

/// The version of the plans this crate writes and reads.
pub const PLAN_VERSION: u32 = 2;

/// Closed groups of pictures last about this long in all rungs (Apple's rule 1.13).
const GROUP_SECONDS: f64 = 2.0;

/// A keyframe this much before a group's or segment's full length still ends it: half a picture at
/// 24 per second, so that rounded times do not double a length.
const SLACK_SECONDS: f64 = 0.02;

/// Groups longer than this in a source cannot be cut into segments that players like, so its own
/// bytes are not sent.
const COPY_GROUP_SECONDS_MAX: f64 = 10.0;

/// The source is sent as it is up to this multiple of what the ladder spends at its width: an
/// encoder that runs live needs more bits for the same picture than one that takes its time.
const COPY_BITRATE_MAX_PERCENT: u64 = 150;

/// Breaks closer to a following keyframe than this are none.
const BREAK_SECONDS_MIN: f64 = 0.1;

/// One rung as configured.
pub type LadderRung = contract::RungConfig<u32>;

/// What shapes a plan beside the recording.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Rungs in any order; those above the source are left out.
    pub ladder: Vec<LadderRung>,
    /// Length of a slice in seconds.
    pub slice_seconds: f64,
    /// Length of a segment in seconds.
    pub segment_seconds: f64,
}

/// The recording a plan is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Recording {
    /// Its key in the ingest store.
    pub key: String,
    /// Its version: a recording that was replaced needs another plan.
    pub etag: String,
    /// Its size in bytes.
    pub bytes: u64,
}

/// One segment. Times are decode times in [`VIDEO_TIMESCALE`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Segment {
    /// Where it begins: a keyframe, where there is video.
    pub start: i64,
    /// Where its media ends; the next one begins there unless there is a break.
    pub end: i64,
    /// Groups after the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<i64>,
    /// It does not follow from what is before it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub discontinuity: bool,
}

/// A plan. Serialized, it is what all workers of a recording agree on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`PLAN_VERSION`].
    pub version: u32,
    /// The asset's name: a folder of the egress store.
    pub asset: String,
    /// Who wrote it: a name for one attempt, so that after a lost answer it knows its own plan.
    #[serde(default)]
    pub author: String,
    /// What it is made of.
    pub recording: Recording,
    /// The stream it is of.
    pub stream: String,
    /// When that began, in seconds since 1970.
    pub started_at: f64,
    /// Sphere to picture.
    pub projection: Projection,
    /// Eyes to frame.
    pub stereo: StereoLayout,
    /// Where the picture's centre lies.
    pub orientation: Orientation,
    /// What one lens sees, degrees, where that is not the usual.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fov: Option<f64>,
    /// Width, height and rate of the source's video.
    pub video: Option<(u32, u32, (u32, u32))>,
    /// The audio renditions.
    pub audio: Vec<AudioPlan>,
    /// Whether the recording's own video are the top rung.
    pub copy: bool,
    /// The rungs to encode, of those configured.
    pub ladder: Vec<LadderRung>,
    /// All segments in order.
    pub segments: Vec<Segment>,
    /// The number of the first segment of each slice.
    pub slices: Vec<u32>,
    /// What slices need where the source is no recording of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<UploadPlan>,
    /// What the source's owner should know, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Plan {
    /// The rungs to encode, the largest first.
    pub fn rungs(&self) -> Result<Vec<Rung>, encode::Error> {
        let Some((width, height, rate)) = self.video else {
            return Ok(Vec::new());
        };
        rungs(
            (width, height),
            rate,
            &self.immersive(),
            &self.ladder,
            self.copy,
        )
    }

    /// The rungs that lie on the sphere in another way than the source.
    pub fn reprojected(&self) -> Vec<(Rung, Projection)> {
        let rungs = self.rungs().unwrap_or_default().into_iter();
        let to = |rung: Rung| {
            let projection = rung.reprojection?.to;
            Some((rung, projection))
        };
        rungs.filter_map(to).collect()
    }

    /// Slice `number`'s segments with their numbers; empty for a number there is none of.
    pub fn slice(&self, number: u32) -> impl Iterator<Item = (u32, &Segment)> {
        let number = number as usize;
        let first = self.slices.get(number).copied();
        let end = self
            .slices
            .get(number + 1)
            .copied()
            .unwrap_or(self.segments.len() as u32);
        let range = first.map_or(0..0, |first| first..end);
        range.filter_map(|n| Some((n, self.segments.get(n as usize)?)))
    }

    /// How the picture lies on the sphere.
    pub fn immersive(&self) -> Immersive {
        Immersive {
            projection: self.projection,
            stereo: self.stereo,
            orientation: self.orientation,
            fov: self.fov,
        }
    }

    /// Seconds of media.
    pub fn seconds(&self) -> f64 {
        let ticks = self
            .segments
            .iter()
            .map(|segment| segment.end - segment.start)
            .sum();
        VIDEO_TIMESCALE.seconds(ticks)
    }
}

fn rungs(
    (width, height): (u32, u32),
    rate: (u32, u32),
    immersive: &Immersive,
    ladder: &[LadderRung],
    copy: bool,
) -> Result<Vec<Rung>, encode::Error> {
    let configs = ladder.iter().map(|rung| encoder_rung(rung, immersive));
    // Beside a copy the source's own width is taken.
    let fits = |config: &RungConfig| config.width < width || (!copy && config.width == width);
    let mut fitting = configs.clone().filter(fits).collect::<Vec<_>>();
    if fitting.is_empty() && !copy {
        // Narrower than every rung: it gets the smallest one's bitrate at its own width.
        let smallest = configs.min_by_key(|config| config.width);
        fitting.extend(smallest.map(|config| RungConfig { width, ..config }));
    }
    ladder::plan_all((width, height), Some(rate), &fitting)
}

/// A configured rung of a source that lies on the sphere as `immersive` says, in the encoder's
/// words.
pub(crate) fn encoder_rung(rung: &LadderRung, immersive: &Immersive) -> RungConfig {
    RungConfig {
        max_fps: rung.max_fps.map(f64::from),
        preset: rung.preset.clone(),
        encoder: rung.encoder.clone(),
        reprojection: rung
            .projection
            .and_then(|to| Reprojection::of(immersive, to)),
        ..RungConfig::new(rung.width, rung.bitrate)
    }
}

/// Makes the plan of a recording or an upload.
pub fn plan(
    asset: String,
    recording: Recording,
    probe: &Probe,
    settings: &Settings,
) -> Result<Plan, encode::Error> {
    let mut warnings = probe.warnings.clone();
    let range = match &probe.upload {
        Some(upload) => upload_range(probe, upload),
        None => (0, probe.end),
    };
    let (segments, copy) = segments_and_copy(probe, range, settings, &mut warnings);
    if let Some(video) = &probe.video {
        // Fails now, once, rather than in every slice.
        rungs(
            (video.width, video.height),
            video.rate,
            &probe.immersive,
            &settings.ladder,
            copy,
        )?;
    }
    let access = probe.upload.as_ref();
    let slices = slices(&segments, probe, settings.slice_seconds);
    let decode_from = |first: &u32| {
        let first = *first as usize;
        let start = segments.get(first).map_or(0, |segment| segment.start);
        let warm = warm_start(&segments, first).unwrap_or(start);
        upload::decode_from(access?, warm)
    };
    let upload = access.map(|_| UploadPlan {
        decode_from: slices.iter().map(decode_from).collect(),
    });
    Ok(Plan {
        version: PLAN_VERSION,
        asset,
        author: String::new(),
        recording,
        stream: probe.stream.clone().unwrap_or_default(),
        started_at: probe.started_at.unwrap_or(0.0),
        projection: probe.immersive.projection,
        stereo: probe.immersive.stereo,
        orientation: probe.immersive.orientation,
        fov: probe.immersive.fov,
        video: probe
            .video
            .as_ref()
            .map(|video| (video.width, video.height, video.rate)),
        audio: upload::audio(&probe.audio, range),
        copy,
        ladder: settings.ladder.clone(),
        slices,
        segments,
        upload,
        warnings,
    })
}

fn upload_range(probe: &Probe, upload: &UploadProbe) -> (i64, i64) {
    let first = upload.pictures.first();
    let rate = probe.video.as_ref().map_or((30, 1), |video| video.rate);
    let second = i64::from(VIDEO_TIMESCALE.rate());
    let lasts = (second * i64::from(rate.1) / i64::from(rate.0.max(1))).min(second / 10);
    upload::range(first.map(|first| (*first, upload.end)), lasts, &probe.audio)
}

/// The segments, and whether the source's own video is the top rung. It is where it can be cut into
/// segments that players like; otherwise all renditions are encoded and cut wherever it is best.
fn segments_and_copy(
    probe: &Probe,
    (start, end): (i64, i64),
    settings: &Settings,
    warnings: &mut Vec<String>,
) -> (Vec<Segment>, bool) {
    let target = settings.segment_seconds;
    let Some(video) = &probe.video else {
        return (audio_segments((start, end), target), false);
    };
    let Some(upload) = &probe.upload else {
        let segments = video_segments(&video.keyframes, &video.breaks, end, target);
        let copy = qualifies(video, probe, &segments, &settings.ladder);
        return (segments, copy);
    };
    let free = || {
        let times = upload::shown_times(&upload.pictures, start, end);
        video_segments(&times, &[], end, target)
    };
    // What is sent as it is has all its pictures from the first to the last, and no others.
    let times = upload::shown_times(&upload.pictures, start, end);
    let first = upload.pictures.first();
    if !video.is_common || times.len() != upload.pictures.len() || video.keyframes.first() != first
    {
        return (free(), false);
    }
    let segments = video_segments(&video.keyframes, &[], end, target);
    let longest = segments.iter().map(|s| s.end - s.start).max().unwrap_or(0);
    if longest > ticks(target * SEGMENT_TARGETS_MAX) {
        warnings.push(format!(
            "its keyframes are up to {:.1} s apart: all renditions are encoded, with one every \
             {GROUP_SECONDS} s",
            VIDEO_TIMESCALE.seconds(longest)
        ));
        return (free(), false);
    }
    let copy = qualifies(video, probe, &segments, &settings.ladder);
    (if copy { segments } else { free() }, copy)
}

fn ticks(seconds: f64) -> i64 {
    (seconds * f64::from(VIDEO_TIMESCALE.rate())).round() as i64
}

/// Cuts where groups may open: at `openings`, which rise.
fn video_segments(openings: &[i64], breaks: &[i64], end: i64, target: f64) -> Vec<Segment> {
    let slack = ticks(SLACK_SECONDS);
    let (group, target) = (ticks(GROUP_SECONDS) - slack, ticks(target) - slack);
    let mut segments: Vec<Segment> = Vec::new();
    let mut breaks = breaks.iter().copied().peekable();
    let mut opened = i64::MIN / 2;
    for &keyframe in openings {
        let mut media_end = None;
        while let Some(at) = breaks.next_if(|at| *at <= keyframe) {
            media_end = Some(at).filter(|at| keyframe - at >= ticks(BREAK_SECONDS_MIN));
        }
        let discontinuity = media_end.is_some() && !segments.is_empty();
        if keyframe - opened < group && !discontinuity {
            continue;
        }
        opened = keyframe;
        match segments.last_mut() {
            Some(open) if keyframe - open.start < target && !discontinuity => {
                open.groups.push(keyframe);
            }
            last => {
                if let Some(open) = last {
                    open.end = media_end
                        .unwrap_or(keyframe)
                        .clamp(open.start + 1, keyframe);
                }
                let start = keyframe;
                segments.push(Segment {
                    start,
                    end,
                    groups: Vec::new(),
                    discontinuity,
                });
            }
        }
    }
    if let Some(last) = segments.last_mut() {
        last.end = end.max(last.start + 1);
    }
    segments
}

fn audio_segments((start, end): (i64, i64), target: f64) -> Vec<Segment> {
    let length = ticks(target).max(1);
    // What is left over is a segment of its own where it would make the last one much longer.
    let count = ((end - start + length / 2) / length).max(1);
    let segment = |n| Segment {
        start: start + n * length,
        end: if n + 1 == count {
            end
        } else {
            start + (n + 1) * length
        },
        groups: Vec::new(),
        discontinuity: false,
    };
    (0..count).map(segment).collect()
}

fn slices(segments: &[Segment], probe: &Probe, target: f64) -> Vec<u32> {
    let (mut slices, mut start) = (Vec::new(), i64::MIN / 2);
    for (number, segment) in segments.iter().enumerate() {
        // Audio alone costs little: one slice does it all.
        let full = probe.video.is_some() && segment.end - start > ticks(target + SLACK_SECONDS);
        let is_due = full && is_cheap_to_begin(segments, number, probe, target);
        if slices.is_empty() || is_due || segment.discontinuity {
            slices.push(number as u32);
            start = segment.start;
        }
    }
    slices
}

/// Whether a slice that begins here decodes little that it throws away.
fn is_cheap_to_begin(segments: &[Segment], number: usize, probe: &Probe, target: f64) -> bool {
    let Some(upload) = &probe.upload else {
        return true;
    };
    let start = segments.get(number).map_or(0, |segment| segment.start);
    let warm = warm_start(segments, number).unwrap_or(start);
    let from = upload::decode_from(upload, warm).map_or(0, |point| point.pts);
    start - from <= ticks(target / 2.0)
}

/// Whether the recording's own video can be the top rung.
fn qualifies(video: &Video, probe: &Probe, segments: &[Segment], ladder: &[LadderRung]) -> bool {
    let longest = segments
        .iter()
        .flat_map(|segment| {
            let starts = std::iter::once(segment.start).chain(segment.groups.iter().copied());
            let ends = segment.groups.iter().copied().chain([segment.end]);
            starts.zip(ends).map(|(start, end)| end - start)
        })
        .max()
        .unwrap_or(0);
    let media: i64 = segments
        .iter()
        .map(|segment| segment.end - segment.start)
        .sum();
    let seconds = VIDEO_TIMESCALE.seconds(media).max(0.001);
    // Only of an upload it is known how many of its bytes are video.
    let bytes = probe
        .upload
        .as_ref()
        .map_or(probe.bytes, |upload| upload.bytes);
    let bitrate = (bytes as f64 * 8.0 / seconds) as u64;
    let at_width = ladder.iter().filter(|rung| rung.width <= video.width);
    let spent = at_width.map(|rung| u64::from(rung.bitrate)).max();
    let cheap = spent.is_none_or(|spent| bitrate <= spent * COPY_BITRATE_MAX_PERCENT / 100);
    video.is_common && longest <= ticks(COPY_GROUP_SECONDS_MAX) && cheap
}

#[cfg(test)]
mod tests;
