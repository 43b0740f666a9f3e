//! Reads an upload once, packet by packet, and says what is in it: what a plan needs, and what its
//! owner should know.
//!
//! Nothing is decoded here, but every presentation time and every place to begin decoding is seen,
//! because indexes and headers of uploads are wrong too often.

use encode::file_demuxer::{Access, CodedPacket, FileDemuxer, Stream};
use media::{Timescale, Track, VIDEO_TIMESCALE};
use serde::{Deserialize, Serialize};

use super::reorder::decode_times;

/// Pictures of an upload at most: a day at 60 per second. Each costs 8 bytes while it is planned.
const PICTURES_MAX: usize = 5_184_000;

/// A file that is shorter than it announces by this much was cut.
const CUT_SECONDS: f64 = 1.0;

/// Holes in audio below this are a clock's jitter, in frames of AAC.
const AUDIO_HOLE_FRAMES: i64 = 1;

/// Baseline, Main and High. What lies beyond (10 bits, 4:2:2, 4:4:4) few players decode.
const COMMON_PROFILES: [&str; 3] = ["avc1.42", "avc1.4d", "avc1.64"];

/// Picture sizes told apart at most: more make no sentence that anybody reads.
const SIZES_MAX: usize = 16;

/// Where decoding can begin, in [`VIDEO_TIMESCALE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessPoint {
    /// Presentation time.
    pub pts: i64,
    /// Decode time, by which demuxers seek.
    pub dts: i64,
    /// Nothing after it needs anything before it.
    pub is_clean: bool,
}

/// What an upload holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// Its video.
    pub video: Option<VideoSurvey>,
    /// Its audio tracks in file order; those without a single packet are `None`.
    pub audio: Vec<Option<AudioSurvey>>,
    /// What its owner should know, a sentence each.
    pub warnings: Vec<String>,
}

/// The video of an upload. Times are in [`VIDEO_TIMESCALE`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VideoSurvey {
    /// Presentation times of the pictures that can be decoded, rising.
    pub pictures: Vec<i64>,
    /// Where the last one ends.
    pub end: i64,
    /// Where decoding can begin, rising.
    pub access: Vec<AccessPoint>,
    /// Coded bytes of its pictures.
    pub bytes: u64,
    /// Coded pixels: the largest picture's.
    pub size: (u32, u32),
    /// Players could take its own bytes, as far as pictures and headers tell.
    pub is_common: bool,
}

/// One audio track of an upload.
#[derive(Clone, Debug, PartialEq)]
pub struct AudioSurvey {
    /// Where it begins, in its ticks.
    pub start: i64,
    /// Where it ends, in its ticks.
    pub end: i64,
    /// Its ticks.
    pub timescale: Timescale,
    /// Its packets follow each other without holes or overlaps.
    pub is_contiguous: bool,
}

/// Reads all of a file. The position is at the end afterwards.
pub fn survey(demuxer: &mut FileDemuxer) -> Result<Survey, encode::Error> {
    let mut reading = Reading::of(demuxer);
    let stopped = loop {
        match demuxer.next_packet() {
            Ok(Some(packet)) => reading.packet(demuxer, &packet),
            Ok(None) => break None,
            Err(error @ encode::Error::Recording(_)) => return Err(error),
            Err(error) => break Some(error),
        }
    };
    let mut survey = reading.finish(demuxer)?;
    survey.warnings.extend(demuxer.left_out().iter().cloned());
    survey.warnings.extend(cut_short(demuxer, &survey));
    if let Some(error) = stopped {
        survey
            .warnings
            .push(format!("it can be read only in part: {error}"));
    }
    if demuxer.damaged_packets() > 0 {
        let count = demuxer.damaged_packets();
        survey
            .warnings
            .push(format!("{count} damaged packets are left out"));
    }
    Ok(survey)
}

/// A word on a file that holds less than it announces.
fn cut_short(demuxer: &FileDemuxer, survey: &Survey) -> Option<String> {
    let announced = demuxer.announced_seconds()?;
    let video = survey.video.as_ref();
    let video = video.map(|video| VIDEO_TIMESCALE.seconds(video.end));
    let audio = survey.audio.iter().flatten();
    let audio = audio.map(|audio| audio.timescale.seconds(audio.end));
    let found = video.into_iter().chain(audio).fold(0.0, f64::max);
    let is_cut = announced - found > CUT_SECONDS.max(announced / 100.0);
    is_cut.then(|| {
        format!(
            "it announces {announced:.1} s and holds {found:.1} s: it is cut short (truncated); \
             upload it whole if there is more"
        )
    })
}

/// What has been seen so far.
struct Reading {
    video: VideoSurvey,
    /// Presentation times of the group being read, in decoding order.
    group: Vec<i64>,
    audio: Vec<Option<AudioSurvey>>,
    frames: Vec<i64>,
    is_common: bool,
    sizes: Vec<(u32, u32)>,
    has_other_sets: bool,
    recovery_points: usize,
    broken: u64,
}

impl Reading {
    fn of(demuxer: &FileDemuxer) -> Self {
        let aac = |audio: &encode::file_demuxer::AudioStream| {
            let track = audio.track().and_then(Track::as_audio);
            track.map_or(1, |track| i64::from(track.config.frame_samples()))
        };
        Self {
            video: VideoSurvey::default(),
            group: Vec::new(),
            audio: vec![None; demuxer.audio().len()],
            frames: demuxer.audio().iter().map(aac).collect(),
            is_common: is_common(demuxer),
            sizes: Vec::new(),
            has_other_sets: false,
            recovery_points: 0,
            broken: 0,
        }
    }

    fn packet(&mut self, demuxer: &FileDemuxer, packet: &CodedPacket) {
        match packet.stream {
            Stream::Video => self.picture(demuxer, packet),
            Stream::Audio(track) => self.sound(demuxer, packet, track),
        }
    }

    fn picture(&mut self, demuxer: &FileDemuxer, packet: &CodedPacket) {
        let Some(stream) = demuxer.video() else {
            return;
        };
        if packet.access != Access::None {
            self.end_group();
            let is_clean = packet.access == Access::Clean;
            self.recovery_points += usize::from(!is_clean && stream.track().is_some());
            if !packet.is_discarded || self.video.access.is_empty() {
                self.video.access.push(AccessPoint {
                    pts: packet.pts,
                    dts: packet.dts.unwrap_or(packet.pts),
                    is_clean,
                });
            }
            if let Some(size) = stream.new_size(packet) {
                if !self.sizes.contains(&size) && self.sizes.len() < SIZES_MAX {
                    self.sizes.push(size);
                }
                self.has_other_sets = true;
                self.is_common = false;
            }
        }
        if stream.track().is_some() && demuxer.access_unit(packet).is_none() {
            // The last picture of a file cut short is no reason to refuse all others.
            self.broken += 1;
            return;
        }
        if packet.is_discarded {
            return;
        }
        self.group.push(packet.pts);
        self.video.bytes += packet.size() as u64;
        if self.video.pictures.len() < PICTURES_MAX {
            self.video.pictures.push(packet.pts);
            let lasts = match packet.duration {
                known if known > 0 => known,
                _ => stream.frame_ticks(),
            };
            self.video.end = self.video.end.max(packet.pts + lasts);
        }
    }

    fn end_group(&mut self) {
        let group = std::mem::take(&mut self.group);
        self.is_common &= group.is_empty() || decode_times(&group).is_some();
    }

    fn sound(&mut self, demuxer: &FileDemuxer, packet: &CodedPacket, track: usize) {
        let (Some(stream), Some(slot), Some(frame)) = (
            demuxer.audio().get(track),
            self.audio.get_mut(track),
            self.frames.get(track).copied(),
        ) else {
            return;
        };
        let lasts = packet.duration.max(frame);
        // Before 0 there is only what an encoder needs to get going.
        if packet.is_discarded || packet.pts + lasts <= 0 {
            return;
        }
        let seen = slot.get_or_insert_with(|| AudioSurvey {
            start: packet.pts,
            end: packet.pts,
            timescale: stream.timescale(),
            is_contiguous: true,
        });
        // Counted on from the start, so that a clock that drifts is noticed as one with holes.
        let jitter = (packet.pts - seen.end).abs();
        seen.is_contiguous &= jitter < frame * AUDIO_HOLE_FRAMES / 2 + 1;
        seen.is_contiguous &= stream.track().is_none() || demuxer.access_unit(packet).is_some();
        seen.end = match seen.is_contiguous {
            true => seen.end + lasts,
            false => seen.end.max(packet.pts + lasts),
        };
    }

    fn finish(mut self, demuxer: &FileDemuxer) -> Result<Survey, encode::Error> {
        self.end_group();
        let mut survey = Survey {
            audio: std::mem::take(&mut self.audio),
            ..Survey::default()
        };
        let Some(stream) = demuxer.video() else {
            return Ok(survey);
        };
        let mut video = std::mem::take(&mut self.video);
        video.pictures.sort_unstable();
        video.pictures.dedup();
        video.access.sort_by_key(|point| point.pts);
        let Some(first) = video.access.first().copied() else {
            let reason = match video.pictures.len() {
                0 => "its video track is empty".to_owned(),
                count => format!("none of its {count} pictures is one that decoding can begin at"),
            };
            return Err(encode::Error::Recording(reason));
        };
        if video.pictures.len() == PICTURES_MAX {
            let warning = format!("only its first {PICTURES_MAX} pictures are taken");
            survey.warnings.push(warning);
        }
        let before = video.pictures.partition_point(|pts| *pts < first.pts);
        if before > 0 {
            survey.warnings.push(format!(
                "its first {before} pictures need earlier ones that are not in the file: it begins \
                 {:.2} s later",
                VIDEO_TIMESCALE.seconds(first.pts - video.pictures.first().copied().unwrap_or(0))
            ));
            video.pictures.drain(..before);
        }
        if video.pictures.is_empty() {
            return Err(encode::Error::Recording(
                "its video track is empty".to_owned(),
            ));
        }
        survey.warnings.extend(self.words(stream.size));
        video.size = self.sizes.iter().copied().fold(stream.size, larger);
        video.is_common = self.is_common && self.recovery_points == 0;
        survey.video = Some(video);
        Ok(survey)
    }
}

impl Reading {
    fn words(&self, first: (u32, u32)) -> Vec<String> {
        let mut words = Vec::new();
        if self.recovery_points > 0 {
            words.push(format!(
                "{} of its keyframes are not IDR pictures (open GOP, recovery points): all \
                 renditions are encoded",
                self.recovery_points
            ));
        }
        let others: Vec<String> = self
            .sizes
            .iter()
            .filter(|size| **size != first)
            .map(|(width, height)| format!("{width}x{height}"))
            .collect();
        if !others.is_empty() {
            let (width, height) = first;
            words.push(format!(
                "its picture size changes from {width}x{height} to {}: all is shown in one size",
                others.join(", ")
            ));
        }
        if self.broken > 0 {
            let count = self.broken;
            words.push(format!("{count} incomplete pictures are left out"));
        }
        if self.has_other_sets && others.is_empty() {
            words.push(
                "its parameter sets change on the way: all renditions are encoded".to_owned(),
            );
        }
        words
    }
}

fn larger(one: (u32, u32), other: (u32, u32)) -> (u32, u32) {
    let pixels = |(width, height): (u32, u32)| u64::from(width) * u64::from(height);
    if pixels(other) > pixels(one) {
        other
    } else {
        one
    }
}

/// Whether the video can be sent as it is, as far as its headers say. Other codecs than H.264,
/// other profiles, fields, turned pictures and pixels that are not square are encoded without a
/// word: that is what the ladder is for.
fn is_common(demuxer: &FileDemuxer) -> bool {
    let video = demuxer.video().filter(|v| v.is_plain() && !v.is_interlaced);
    let track = video.and_then(|video| video.track());
    track.is_some_and(|track| {
        let profile = track.rfc6381();
        COMMON_PROFILES.iter().any(|p| profile.starts_with(p))
    })
}
