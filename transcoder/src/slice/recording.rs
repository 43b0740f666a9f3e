//! One slice of a recording of ours: read from its keyframe on, with the recording's own decode
//! times.

use std::collections::BTreeSet;

use bytes::Bytes;
use encode::ladder::{Ladder, Options, Pace};
use media::{AccessUnit, MediaKind, Timescale, Track, VIDEO_TIMESCALE};

use super::{Item, Notes, Work, failed};
use crate::{
    error::{Error, Result},
    plan::Plan,
    source::RecordingReader,
};

/// Video read on after the slice's end while its last audio has not come: interleaving is far
/// closer.
const AUDIO_LATE_SECONDS: i64 = 4;

/// Audio that is missing for less than a tenth of a second is left alone: players bridge it.
const EDGES_PER_SECOND: i64 = 10;

/// The times that matter to one slice, in decode time of the source.
struct Span {
    /// Encoding begins here: the group before the slice.
    warm: i64,
    /// The slice's media.
    start: i64,
    end: i64,
    /// Audio of the slice, in the same ticks.
    audio: std::ops::Range<i64>,
    /// Groups open here.
    opens: BTreeSet<i64>,
    /// Reading begins here.
    seek: Option<i64>,
}

impl Span {
    fn of(plan: &Plan, number: u32) -> Option<Self> {
        let (first, segment) = plan.slice(number).next()?;
        let (last, last_segment) = plan.slice(number).last()?;
        let before = first
            .checked_sub(1)
            .and_then(|n| plan.segments.get(n as usize));
        let group = before.map(|before| before.groups.last().copied().unwrap_or(before.start));
        let warm = group
            .filter(|_| !segment.discontinuity)
            .unwrap_or(segment.start);
        let groups = plan.slice(number).flat_map(|(_, segment)| {
            std::iter::once(segment.start).chain(segment.groups.iter().copied())
        });
        let next = plan.segments.get(last as usize + 1).map(|next| next.start);
        let audio_start = if first == 0 { i64::MIN } else { segment.start };
        Some(Self {
            warm,
            start: segment.start,
            end: last_segment.end,
            audio: audio_start..next.unwrap_or(i64::MAX),
            opens: groups.chain([warm]).collect(),
            seek: group,
        })
    }
}

impl Work {
    /// Makes the slice.
    pub(super) fn run_recording(&self, mut source: RecordingReader) -> Result<Notes> {
        let none = || failed(&self.plan, self.number, "the plan has no such slice");
        let span = Span::of(&self.plan, self.number).ok_or_else(none)?;
        let rungs = self.plan.rungs().map_err(Error::Ladder)?;
        let video = source.track(MediaKind::Video).cloned();
        let mut ladder = match &video {
            Some(track) if !rungs.is_empty() => {
                let options = Options {
                    pace: Pace::Offline,
                    ..Options::default()
                };
                let sink = self.sink(usize::from(self.plan.copy));
                let ladder = Ladder::spawn_with(track, rungs, options, sink);
                Some(ladder.map_err(|error| failed(&self.plan, self.number, error))?)
            }
            _ => None,
        };
        if let (true, Some(track)) = (self.plan.copy, video) {
            self.send(Item::Track(0, track))?;
        }
        let audio = source.track(MediaKind::Audio).cloned();
        let audio = audio.filter(|_| !self.plan.audio.is_empty());
        if let Some(track) = &audio {
            self.send(Item::Track(self.first_audio()?, track.clone()))?;
        }
        let mut silence = audio
            .as_ref()
            .and_then(|track| SilenceFiller::new(track, &span));
        self.read(&mut source, &span, ladder.as_mut(), &mut silence)?;
        for unit in silence.map(SilenceFiller::finish).unwrap_or_default() {
            self.send(Item::Unit(self.first_audio()?, unit))?;
        }
        if let Some(ladder) = ladder {
            ladder.finish();
        }
        Ok(Notes::default())
    }

    fn read(
        &self,
        source: &mut RecordingReader,
        span: &Span,
        mut ladder: Option<&mut Ladder>,
        silence: &mut Option<SilenceFiller>,
    ) -> Result<()> {
        let audio = self.first_audio()?;
        let mut video_done = source.track(MediaKind::Video).is_none();
        let mut audio_done = silence.is_none();
        source.seek(span.seek)?;
        while !(video_done && audio_done) {
            self.alive()?;
            let Some(unit) = source.read()? else { break };
            match unit.kind {
                MediaKind::Video if unit.dts >= span.end => {
                    video_done = true;
                    let late = i64::from(VIDEO_TIMESCALE.rate()) * AUDIO_LATE_SECONDS;
                    audio_done |= unit.dts - span.end > late;
                }
                MediaKind::Video if unit.dts < span.warm => {}
                MediaKind::Video => {
                    self.meter.reach(unit.dts);
                    if self.plan.copy && unit.dts >= span.start {
                        self.send(Item::Unit(0, unit.clone()))?;
                    }
                    if let Some(ladder) = &mut ladder {
                        let opens = span.opens.contains(&unit.dts);
                        ladder.push(unit, opens);
                    }
                }
                MediaKind::Audio => {
                    let Some(silence) = silence else { continue };
                    let moment = silence.timescale.rescale(unit.dts, VIDEO_TIMESCALE);
                    audio_done |= moment >= span.audio.end;
                    if span.audio.contains(&moment) {
                        for unit in silence.take(unit) {
                            self.send(Item::Unit(audio, unit))?;
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// Fills what a slice's audio lacks with silence, so that it lasts as long as its video: a muted
/// microphone, a track that began late or ended early.
struct SilenceFiller {
    timescale: Timescale,
    frame: i64,
    silence: Bytes,
    /// Where the next unit begins if nothing is missing, in the track's ticks.
    next: i64,
    end: i64,
}

impl SilenceFiller {
    fn new(track: &Track, span: &Span) -> Option<Self> {
        let config = &track.as_audio()?.config;
        let ticks = |time| VIDEO_TIMESCALE.rescale(time, track.timescale());
        Some(Self {
            timescale: track.timescale(),
            frame: i64::from(config.frame_samples()),
            silence: config.silence(),
            next: ticks(span.start),
            end: ticks(span.end),
        })
    }

    /// What is missing before `unit`, then the unit.
    fn take(&mut self, unit: AccessUnit) -> Vec<AccessUnit> {
        let missing = unit.dts - self.next;
        let tolerated = i64::from(self.timescale.rate()) / EDGES_PER_SECOND;
        let mut units = Vec::new();
        if missing > tolerated {
            // On the grid of what follows, so that nothing overlaps.
            let count = missing / self.frame;
            units = self.silent(unit.dts - count * self.frame, count);
        }
        self.next = unit.dts + i64::from(unit.duration);
        units.push(unit);
        units
    }

    /// What is missing at the end.
    fn finish(mut self) -> Vec<AccessUnit> {
        let missing = self.end - self.next;
        if missing > i64::from(self.timescale.rate()) / EDGES_PER_SECOND {
            return self.silent(self.next, missing / self.frame);
        }
        Vec::new()
    }

    fn silent(&mut self, from: i64, count: i64) -> Vec<AccessUnit> {
        let unit = |number: i64| {
            let dts = from + number * self.frame;
            AccessUnit {
                kind: MediaKind::Audio,
                dts,
                pts: dts,
                duration: u32::try_from(self.frame).unwrap_or(u32::MAX),
                random_access: media::RandomAccess::Idr,
                payload: self.silence.clone(),
            }
        };
        (0..count).map(unit).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filler() -> SilenceFiller {
        let track = Track::audio(media::aac::Config::lc(48_000, 2).unwrap());
        let span = Span {
            warm: 0,
            start: 0,
            end: 4 * 360_000,
            audio: i64::MIN..i64::MAX,
            opens: BTreeSet::new(),
            seek: None,
        };
        SilenceFiller::new(&track, &span).unwrap()
    }

    fn unit(dts: i64) -> AccessUnit {
        AccessUnit {
            kind: MediaKind::Audio,
            dts,
            pts: dts,
            duration: 1024,
            random_access: media::RandomAccess::Idr,
            payload: Bytes::from_static(b"tone"),
        }
    }

    #[test]
    fn late_holed_and_short_audio_is_filled_without_gap_or_overlap() {
        let mut filler = filler();
        let mut units = filler.take(unit(48_000));
        units.extend(filler.take(unit(49_024)));
        units.extend(filler.take(unit(49_024 + 1024 * 40)));
        units.extend(filler.finish());
        assert!(
            units
                .windows(2)
                .all(|pair| pair[1].dts == pair[0].dts + 1024)
        );
        let own = units.iter().filter(|unit| unit.payload.as_ref() == b"tone");
        assert_eq!(own.count(), 3);
        let (first, last) = (units.first().unwrap().dts, units.last().unwrap().dts + 1024);
        assert!(first < 1024 && last > 4 * 48_000 - 1024, "{first} {last}");
    }

    #[test]
    fn whole_audio_is_left_as_it_is() {
        let mut filler = filler();
        let units: Vec<_> = (0..188)
            .flat_map(|n| filler.take(unit(n * 1024 + 100)))
            .collect();
        assert_eq!(units.len(), 188);
        assert!(units.iter().all(|unit| unit.payload.as_ref() == b"tone"));
        assert_eq!(filler.finish(), []);
    }
}
