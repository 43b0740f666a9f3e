//! One slice of an upload: decoded from where its plan says, put into the plan's times, encoded.

use std::collections::BTreeSet;

use encode::{
    TimedPicture, VideoDecoder,
    file_demuxer::{Access, CodedPacket, Stream},
    ladder::{Options, Pace, PictureLadder},
};
use media::{AccessUnit, VIDEO_TIMESCALE};

use super::{
    Item, Notes, Work,
    audio::AudioMaker,
    failed,
    pictures::{PictureTimeline, Place},
};
use crate::{
    error::{Error, Result},
    plan::{AudioPlan, warm_start},
    source::{Upload, decode_times},
};

/// Packets read on after the slice's video while its last audio has not come: interleaving is far
/// closer.
const AUDIO_LATE_SECONDS: i64 = 10;

/// The times that matter, in presentation time.
struct Span {
    /// The slice's media.
    start: i64,
    end: i64,
    /// Groups open here, the one that warms encoders up included.
    opens: BTreeSet<i64>,
}

/// What the slice is made by.
struct Makers {
    span: Span,
    decoder: Option<VideoDecoder>,
    timeline: PictureTimeline<TimedPicture>,
    ladder: Option<PictureLadder>,
    /// The group that is being read, where it is sent as it is.
    group: Vec<AccessUnit>,
    /// No more pictures are needed.
    video_done: bool,
    copy_done: bool,
    audio: Vec<AudioMaker>,
    damaged_packets: u64,
}

impl Work {
    /// Makes the slice.
    pub(super) fn run_upload(&self, mut upload: Upload) -> Result<Notes> {
        let mut makers = self.makers(&upload)?;
        self.send_tracks(&upload, &makers)?;
        let from = self.plan.upload.as_ref();
        let from = from.and_then(|plan| plan.decode_from.get(self.number as usize));
        let from = from.copied().flatten();
        upload.seek(from)?;
        let mut has_begun = false;
        while !makers.is_done() {
            self.alive()?;
            let Some(packet) = upload.next_packet()? else {
                break;
            };
            match packet.stream {
                Stream::Video => {
                    let is_place = from.is_none_or(|from| packet.pts == from.pts);
                    has_begun |= packet.access != Access::None && is_place;
                    if has_begun {
                        self.video(&upload, &mut makers, &packet)?;
                    }
                }
                Stream::Audio(track) => self.audio(&upload, &mut makers, &packet, track)?,
            }
        }
        self.finish_upload(makers)
    }

    fn makers(&self, upload: &Upload) -> Result<Makers> {
        let plan = &self.plan;
        let fail = |error: encode::Error| failed(plan, self.number, error);
        let span = self.span()?;
        let rungs = plan.rungs().map_err(Error::Ladder)?;
        let first_rung = usize::from(plan.copy);
        let (mut decoder, mut ladder) = (None, None);
        if let (Some((width, height, _)), false) = (plan.video, rungs.is_empty()) {
            let options = Options {
                pace: Pace::Offline,
                ..Options::default()
            };
            let opened = upload.demuxer().video_decoder((width, height), 0);
            decoder = Some(opened.map_err(fail)?);
            let spawned = PictureLadder::spawn(rungs, options, self.sink(first_rung));
            ladder = Some(spawned.map_err(fail)?);
        }
        let mut audio = Vec::new();
        for track in &plan.audio {
            let range = self.frames(track, &span);
            audio.push(AudioMaker::open(track, range, upload.demuxer()).map_err(fail)?);
        }
        Ok(Makers {
            timeline: PictureTimeline::new(span.opens.iter().copied(), span.end),
            span,
            video_done: ladder.is_none(),
            copy_done: !plan.copy,
            decoder,
            ladder,
            group: Vec::new(),
            audio,
            damaged_packets: 0,
        })
    }

    fn span(&self) -> Result<Span> {
        let plan = &self.plan;
        let none = || failed(plan, self.number, "the plan has no such slice");
        let (first, segment) = plan.slice(self.number).next().ok_or_else(none)?;
        let (_, last) = plan.slice(self.number).last().ok_or_else(none)?;
        let groups = plan.slice(self.number).flat_map(|(_, segment)| {
            std::iter::once(segment.start).chain(segment.groups.iter().copied())
        });
        Ok(Span {
            start: segment.start,
            end: last.end,
            opens: groups
                .chain(warm_start(&plan.segments, first as usize))
                .collect(),
        })
    }

    /// The slice's access units of an audio rendition; the first slice has those before it too, the
    /// last one those behind it.
    fn frames(&self, track: &AudioPlan, span: &Span) -> (i64, i64) {
        let is_last = self.number as usize + 1 >= self.plan.slices.len();
        let first = match self.number {
            0 => 0,
            _ => track.frame_at(span.start),
        };
        let end = match is_last {
            true => track.frames,
            false => track.frame_at(span.end),
        };
        (first, end)
    }

    fn send_tracks(&self, upload: &Upload, makers: &Makers) -> Result<()> {
        let own = upload.demuxer().video_track();
        if let (true, Some(track)) = (self.plan.copy, own) {
            self.send(Item::Track(0, track.clone()))?;
        }
        let first = self.first_audio()?;
        for (index, audio) in makers.audio.iter().enumerate() {
            self.send(Item::Track(first + index, audio.track().clone()))?;
        }
        Ok(())
    }

    fn video(&self, upload: &Upload, makers: &mut Makers, packet: &CodedPacket) -> Result<()> {
        if !makers.copy_done {
            self.copy(upload, makers, packet)?;
        }
        if makers.video_done {
            let late = VIDEO_TIMESCALE.rate() as i64 * AUDIO_LATE_SECONDS;
            if packet.pts - makers.span.end > late && makers.copy_done {
                makers.give_up_audio();
            }
            return Ok(());
        }
        let Some(decoder) = &mut makers.decoder else {
            return Ok(());
        };
        let pushed = decoder.push(packet);
        pushed.map_err(|error| failed(&self.plan, self.number, error))?;
        self.pictures(makers)
    }

    /// Hands on the pictures that are ready.
    fn pictures(&self, makers: &mut Makers) -> Result<()> {
        let Makers {
            decoder: Some(decoder),
            timeline,
            ladder: Some(ladder),
            video_done,
            ..
        } = makers
        else {
            return Ok(());
        };
        let mut gone = false;
        while let Some(picture) = decoder.next() {
            let pts = picture.pts;
            self.meter.reach(pts);
            let more = timeline.push(picture, pts, |picture, place| {
                gone |= !show(ladder, picture, place);
            });
            *video_done |= !more;
        }
        if gone {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }

    /// Sends whole groups as they are.
    fn copy(&self, upload: &Upload, makers: &mut Makers, packet: &CodedPacket) -> Result<()> {
        if packet.access != Access::None {
            self.send_group(makers, packet.pts)?;
            makers.copy_done = packet.pts >= makers.span.end;
        }
        if makers.copy_done || packet.is_discarded {
            return Ok(());
        }
        match upload.demuxer().access_unit(packet) {
            Some(unit) => makers.group.push(unit),
            None => makers.damaged_packets += 1,
        }
        Ok(())
    }

    /// Sends the group that was read, whose last picture is shown until `end`.
    fn send_group(&self, makers: &mut Makers, end: i64) -> Result<()> {
        let mut group = std::mem::take(&mut makers.group);
        let shown: Vec<i64> = group.iter().map(|unit| unit.pts).collect();
        let is_own = shown.first().is_some_and(|pts| *pts >= makers.span.start);
        if !is_own {
            return Ok(());
        }
        let times = decode_times(&shown).ok_or_else(|| {
            failed(
                &self.plan,
                self.number,
                "a group of its pictures has changed",
            )
        })?;
        let next = times.iter().skip(1).copied().chain([end]);
        let lasts: Vec<i64> = times
            .iter()
            .zip(next)
            .map(|(dts, next)| next - dts)
            .collect();
        for ((unit, dts), lasts) in group.iter_mut().zip(times).zip(lasts) {
            unit.dts = dts;
            unit.duration = u32::try_from(lasts.max(1)).unwrap_or(u32::MAX);
        }
        for unit in group {
            self.send(Item::Unit(0, unit))?;
        }
        Ok(())
    }

    fn audio(
        &self,
        upload: &Upload,
        makers: &mut Makers,
        packet: &CodedPacket,
        track: usize,
    ) -> Result<()> {
        let first = self.first_audio()?;
        for (index, audio) in makers.audio.iter_mut().enumerate() {
            if audio.source_track() != track {
                continue;
            }
            let units = audio.push(upload.demuxer(), packet);
            let units = units.map_err(|error| failed(&self.plan, self.number, error))?;
            for unit in units {
                self.send(Item::Unit(first + index, unit))?;
            }
        }
        Ok(())
    }

    fn finish_upload(&self, mut makers: Makers) -> Result<Notes> {
        let fail = |error: encode::Error| failed(&self.plan, self.number, error);
        if !makers.copy_done {
            let end = makers.span.end;
            self.send_group(&mut makers, end)?;
        }
        if !makers.video_done {
            if let Some(decoder) = &mut makers.decoder {
                decoder.finish().map_err(fail)?;
            }
            self.pictures(&mut makers)?;
        }
        if let Some(ladder) = makers.ladder.take() {
            makers.timeline.finish(|picture, place| {
                show(&ladder, picture, place);
            });
            ladder.finish(makers.span.end);
        }
        let first = self.first_audio()?;
        let mut notes = Notes {
            damaged: makers.damaged_packets + makers.timeline.missing(),
            ..Notes::default()
        };
        for (index, audio) in makers.audio.iter_mut().enumerate() {
            for unit in audio.finish().map_err(fail)? {
                self.send(Item::Unit(first + index, unit))?;
            }
            notes.damaged_audio += audio.damaged();
        }
        if let Some(decoder) = &makers.decoder {
            notes.damaged += decoder.damaged();
            notes.size_changes += decoder.size_changes();
        }
        Ok(notes)
    }
}

/// Gives the ladder a picture; whether it is still there.
fn show(ladder: &PictureLadder, picture: &TimedPicture, place: Place) -> bool {
    match picture.picture.share() {
        Ok(shared) => ladder.push(shared, place.pts, place.opens),
        Err(_) => false,
    }
}

impl Makers {
    fn is_done(&self) -> bool {
        self.video_done && self.copy_done && self.audio.iter().all(AudioMaker::is_done)
    }

    /// The file has no more audio for this slice.
    fn give_up_audio(&mut self) {
        for audio in &mut self.audio {
            audio.give_up();
        }
    }
}
