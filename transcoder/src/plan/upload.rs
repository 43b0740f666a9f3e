//! The plan of an upload: where its presentation begins and ends, which times its pictures have
//! once holes are filled, and where each slice begins to decode.
//!
//! ```text
//! video        ▓▓▓▓▓▓▓▓▓▓▓·····▓▓▓▓▓        a hole: the last picture is held
//! audio   ░░░░░░░░░░░░░░░░░░░░░░░░·····     short: silence
//!         └ start                     └ end: the same for all renditions
//! ```

use media::{Timescale, VIDEO_TIMESCALE};
use serde::{Deserialize, Serialize};

use super::{Segment, ticks};
use crate::source::{AccessPoint, AudioTrack, UploadProbe};

/// Media that begins or ends within this much of the other's is left as it is: players bridge it.
const EDGE_SECONDS: f64 = 0.1;

/// The same in pictures, for slow ones.
const EDGE_PICTURES: i64 = 3;

/// A picture shown longer than this is shown again, so that segments have keyframes to begin with
/// and players something to show after a seek. Slides at one per second are left alone.
const HOLD_AFTER_SECONDS: i64 = 2;

/// A held picture is shown again this often.
const HOLD_STEP_SECONDS: i64 = 1;

/// What all slices of an upload agree on beside the segments.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct UploadPlan {
    /// Where each slice begins to decode; the file's beginning where it is `None`.
    pub decode_from: Vec<Option<AccessPoint>>,
}

/// One audio rendition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AudioPlan {
    /// The rendition's name.
    pub name: String,
    /// What a player's menu shows.
    pub label: String,
    /// What it is made of.
    pub source: AudioTrack,
    /// Where its first access unit begins, in samples.
    pub start: i64,
    /// Access units in all.
    pub frames: i64,
}

impl AudioPlan {
    /// Ticks of its samples.
    pub fn timescale(&self) -> Timescale {
        Timescale::new(self.source.sample_rate).unwrap_or(VIDEO_TIMESCALE)
    }

    /// The first access unit that begins at `time` (in [`VIDEO_TIMESCALE`]) or later.
    pub fn frame_at(&self, time: i64) -> i64 {
        let samples = VIDEO_TIMESCALE.rescale(time, self.timescale()) - self.start;
        let frame = i64::from(self.source.frame_samples.max(1));
        (samples + frame - 1)
            .div_euclid(frame)
            .clamp(0, self.frames)
    }
}

/// From where to where the upload is presented, in [`VIDEO_TIMESCALE`]. `pictures` are the first
/// one's beginning and the last one's end, `lasts` is how long one usually lasts.
pub(super) fn range(pictures: Option<(i64, i64)>, lasts: i64, audio: &[AudioTrack]) -> (i64, i64) {
    let in_ticks = |track: &AudioTrack| {
        let timescale = Timescale::new(track.sample_rate).unwrap_or(VIDEO_TIMESCALE);
        let of = |samples| timescale.rescale(samples, VIDEO_TIMESCALE);
        (of(track.start), of(track.end))
    };
    let audio = audio.iter().map(in_ticks);
    let audio = audio.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    // Many files begin with their pictures as much later as reordering takes.
    let edge = ticks(EDGE_SECONDS).max(EDGE_PICTURES * lasts);
    match (pictures, audio) {
        (Some((start, end)), Some((audio_start, audio_end))) => {
            let start = if audio_start < start - edge {
                audio_start
            } else {
                start
            };
            let end = if audio_end > end + edge {
                audio_end
            } else {
                end
            };
            (start, end)
        }
        (found, other) => found.or(other).unwrap_or_default(),
    }
}

/// The times of a picture held from `shown` until the next one at `until`.
pub(crate) fn holds(shown: i64, until: i64) -> impl Iterator<Item = i64> {
    let second = i64::from(VIDEO_TIMESCALE.rate());
    let (after, step) = (HOLD_AFTER_SECONDS * second, HOLD_STEP_SECONDS * second);
    let is_due = move |at: &i64| until.saturating_sub(*at) > after;
    std::iter::successors(Some(shown), move |at| {
        Some(at + step).filter(|_| is_due(at))
    })
    .skip(1)
}

/// All times at which rungs have a picture.
pub(super) fn shown_times(pictures: &[i64], start: i64, end: i64) -> Vec<i64> {
    let mut times = Vec::with_capacity(pictures.len());
    let first = pictures.first().copied().unwrap_or(end);
    let lead = Some(start).filter(|start| *start < first);
    let next = lead.into_iter().chain(pictures.iter().copied());
    for pts in next {
        if let Some(last) = times.last().copied() {
            times.extend(holds(last, pts));
        }
        times.push(pts);
    }
    if let Some(last) = times.last().copied() {
        times.extend(holds(last, end));
    }
    times
}

/// The audio renditions of an upload that is presented from `start` to `end`.
pub(super) fn audio(tracks: &[AudioTrack], (start, end): (i64, i64)) -> Vec<AudioPlan> {
    let mut plans: Vec<AudioPlan> = Vec::new();
    for (index, track) in tracks.iter().enumerate() {
        let timescale = Timescale::new(track.sample_rate).unwrap_or(VIDEO_TIMESCALE);
        let frame = i64::from(track.frame_samples.max(1));
        let samples = |time| VIDEO_TIMESCALE.rescale(time, timescale);
        let edge = samples(ticks(EDGE_SECONDS));
        // Silence comes in whole access units before the first of the file's own.
        let late = track.start - samples(start);
        let before = if late > edge { late / frame } else { 0 };
        let first = track.start - before * frame;
        let until = samples(end).max(first + frame);
        let frames = match track.end < until - edge || track.end > until {
            true => (until - first + frame / 2) / frame,
            false => (track.end - first + frame - 1) / frame,
        };
        let name = match index {
            0 => contract::AUDIO.to_owned(),
            _ => format!("{}-{}", contract::AUDIO, index + 1),
        };
        plans.push(AudioPlan {
            name,
            label: label(index, track, &plans),
            source: track.clone(),
            start: first,
            frames: frames.max(1),
        });
    }
    plans
}

/// What a menu shows: unique, as playlists demand.
fn label(index: usize, track: &AudioTrack, others: &[AudioPlan]) -> String {
    let number = match index {
        0 => "Audio".to_owned(),
        _ => format!("Audio {}", index + 1),
    };
    let said = track.title.clone().or(track.language.clone());
    let said = said.unwrap_or_else(|| number.clone());
    if others.iter().any(|other| other.label == said) {
        format!("{said} ({number})")
    } else {
        said
    }
}

/// Where to begin decoding so that pictures from `time` on come out whole: the last clean place, or
/// the one before the last that is not, because a recovery takes its time.
pub(super) fn decode_from(upload: &UploadProbe, time: i64) -> Option<AccessPoint> {
    let after = upload.access.partition_point(|point| point.pts <= time);
    let last = upload.access.get(after.checked_sub(1)?)?;
    if last.is_clean {
        return Some(*last);
    }
    after
        .checked_sub(2)
        .and_then(|at| upload.access.get(at))
        .copied()
}

/// The time at which a slice's encoders begin: the last group before it, so that they are warm.
pub(crate) fn warm_start(segments: &[Segment], first: usize) -> Option<i64> {
    let before = segments.get(first.checked_sub(1)?)?;
    Some(before.groups.last().copied().unwrap_or(before.start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 360_000;

    fn track(start: i64, end: i64) -> AudioTrack {
        AudioTrack {
            track: 0,
            sample_rate: 48_000,
            channels: 2,
            language: None,
            title: None,
            is_default: true,
            is_copied: true,
            frame_samples: 1024,
            start: start * 48_000,
            end: end * 48_000,
        }
    }

    #[test]
    fn both_media_last_from_the_first_of_either_to_the_last() {
        for (pictures, audio, expected) in [
            ((0, 30), (0, 10), (0, 30)),
            ((0, 30), (10, 30), (0, 30)),
            ((5, 30), (0, 40), (0, 40)),
        ] {
            let tracks = [track(audio.0, audio.1)];
            let (start, end) = range(
                Some((pictures.0 * SECOND, pictures.1 * SECOND)),
                SECOND / 30,
                &tracks,
            );
            assert_eq!((start / SECOND, end / SECOND), expected);
            let plan = &super::audio(&tracks, (start, end))[0];
            let (from, lasts) = (plan.start as f64 / 48e3, plan.frames as f64 * 1024.0 / 48e3);
            assert!((from - expected.0 as f64).abs() < 0.022, "{from}");
            assert!((from + lasts - expected.1 as f64).abs() < 0.022, "{lasts}");
        }
    }

    #[test]
    fn a_beginning_a_little_apart_stays_as_the_file_has_it() {
        let mut near = track(0, 10);
        near.start = 2400;
        let plan = &audio(&[near], (0, 10 * SECOND))[0];
        assert_eq!(plan.start, 2400);
    }

    #[test]
    fn pictures_are_held_across_holes_and_slides_are_left_alone() {
        let slides: Vec<i64> = (0..5).map(|n| n * SECOND).collect();
        assert_eq!(shown_times(&slides, 0, 5 * SECOND), slides);
        let times = shown_times(&[2 * SECOND, 6 * SECOND], 0, 9 * SECOND);
        let seconds: Vec<i64> = times.iter().map(|time| time / SECOND).collect();
        assert_eq!(seconds, [0, 2, 3, 4, 6, 7]);
    }

    #[test]
    fn decoding_begins_early_enough_for_a_recovery() {
        let point = |second: i64, is_clean| AccessPoint {
            pts: second * SECOND,
            dts: second * SECOND,
            is_clean,
        };
        let mut upload = UploadProbe {
            access: vec![point(0, true), point(2, false), point(4, false)],
            ..UploadProbe::default()
        };
        assert_eq!(decode_from(&upload, 5 * SECOND), Some(point(2, false)));
        assert_eq!(decode_from(&upload, 3 * SECOND), Some(point(0, true)));
        upload.access[2].is_clean = true;
        assert_eq!(decode_from(&upload, 5 * SECOND), Some(point(4, true)));
        upload.access[0].is_clean = false;
        assert_eq!(decode_from(&upload, SECOND), None);
    }
}
