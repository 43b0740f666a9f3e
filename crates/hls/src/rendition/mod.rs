//! Turns one rendition's access units into parts and segments.
//!
//! It is told where segments start and end ([`SegmentTiming`]); it decides only where parts end. A
//! segment that cannot be whole becomes a gap, so that numbers stay in step with the other
//! renditions.
//!
//! Once the video configuration has changed in a run, every keyframe brings its parameter sets
//! along. Init segments have them, but a player that reads a rendition as one file keeps the first
//! (FFmpeg's does), and one that was told of a discontinuity before it was told of the init segment
//! behind it takes the last (hls.js up to 1.6.16, Shaka): both would decode nothing any more. Until
//! then, and where the encoder repeats them itself, units stay as they came.

mod open;
mod parameter_sets;

use std::sync::Arc;

use media::{AccessUnit, Immersive, MediaKind, Timescale, Track, VIDEO_TIMESCALE};

use self::open::{BROKEN_OFF_MS, ENDED_SHORT_MS, Open, build, gap, grown, hash};
use crate::{
    Hint, Init, MediaSnapshot, Part, Segment,
    bandwidth::Meter,
    part,
    snapshot::{Announced, Listing, PlaylistConstants, Report},
    timing::SegmentTiming,
};

/// Whether and where parts end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PartTarget {
    /// No parts: a segment is one chunk.
    Off,
    /// Not before the first segment has shown its frame durations; units wait.
    Undecided,
    /// In ticks of the video timescale.
    Ticks(i64),
}

impl PartTarget {
    /// What a playlist has promised: parts of at most `ticks`, or none.
    pub fn promised(ticks: Option<i64>) -> Self {
        ticks.map_or(Self::Off, Self::Ticks)
    }

    /// Ticks of the video timescale, once it is decided that there are parts.
    pub fn ticks(self) -> Option<i64> {
        match self {
            Self::Ticks(ticks) => Some(ticks),
            Self::Off | Self::Undecided => None,
        }
    }

    /// At most the target, in `timescale`.
    fn clamp(self, duration: i64, timescale: Timescale) -> i64 {
        match self {
            PartTarget::Ticks(target) if !part::fits(duration, timescale, target) => {
                VIDEO_TIMESCALE.rescale(target, timescale)
            }
            _ => duration,
        }
    }
}

/// What became of a segment that was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is listed whole.
    Whole,
    /// It is a gap after whole segments: viewers miss it.
    Gap,
    /// It is missing before the first whole segment of this run.
    Unlisted,
}

/// What all renditions' snapshots share.
pub(crate) struct Shared {
    pub run_id: Arc<str>,
    pub constants: PlaylistConstants,
    pub reports: Arc<[Report]>,
    pub ended: bool,
}

/// What only the packager knows of a rendition's next parts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lookahead {
    /// The open segment is expected to end with the parts it has.
    pub ending: bool,
    /// A discontinuity comes before the segment at its cursor.
    pub discontinuity: bool,
}

#[derive(Debug)]
pub(crate) struct Rendition {
    pub name: Arc<str>,
    pub kind: MediaKind,
    /// The segment it is filling, or waits to fill.
    pub cursor: u64,
    /// The encoder behind it sends nothing until further notice.
    pub lost: bool,
    pub meter: Meter,
    /// Whole segments made, for admission to the multivariant playlist.
    pub whole_segments: u64,
    /// Listed in the multivariant playlist, for good.
    pub listed: bool,
    track: Option<Track>,
    init: Option<Arc<Init>>,
    open: Option<Open>,
    closed: Arc<Listing>,
    /// The end of the last unit taken, in its own ticks; of this track only.
    reached: Option<i64>,
    /// What viewers see of the open segment, while it is up to date.
    cached: Option<Arc<Segment>>,
    /// Viewers would see something new.
    pub changed: bool,
}

impl Rendition {
    pub fn new(name: &str, kind: MediaKind) -> Self {
        Self {
            name: name.into(),
            kind,
            cursor: 0,
            lost: false,
            meter: Meter::new(),
            whole_segments: 0,
            listed: false,
            track: None,
            init: None,
            open: None,
            closed: Arc::default(),
            reached: None,
            cached: None,
            changed: false,
        }
    }

    /// The track that the next segment will hold.
    pub fn set_track(&mut self, track: Option<Track>) {
        if self.track != track {
            self.track = track;
            self.init = None;
            self.reached = None;
        }
    }

    /// Lists what `media` of an earlier run left.
    pub fn inherit(&mut self, media: &MediaSnapshot) {
        self.closed = media.listing.clone();
        self.changed = true;
    }

    /// The next segment gets an init segment of its own.
    pub fn renew_init(&mut self) {
        self.init = None;
    }

    pub fn track(&self) -> Option<&Track> {
        self.track.as_ref()
    }

    /// The track of the newest media, of an earlier run too.
    pub fn last_track(&self) -> Option<&Track> {
        let inits = self.closed.segments.iter().rev();
        let last = || inits.filter_map(|segment| segment.init.as_ref()).next();
        self.track.as_ref().or_else(|| Some(&last()?.track))
    }

    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The end of what it holds of the open segment, in its own ticks.
    pub fn end(&self) -> Option<i64> {
        self.open.as_ref().map(|open| open.end)
    }

    /// The end of the last unit it took, in its own ticks; `None` before the first of a track.
    pub fn reached(&self) -> Option<i64> {
        self.reached
    }

    /// Bytes in the open segment.
    pub fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.bytes)
    }

    /// The open segment lost units; it becomes a gap when it closes.
    pub fn mark_broken(&mut self) {
        if let Some(open) = &mut self.open {
            open.broken = true;
        }
    }

    /// The open segment goes on elsewhere: it becomes a gap when it closes, and what does not make
    /// a part yet never will, since there the part has more.
    pub fn abandon(&mut self) {
        if let Some(open) = &mut self.open {
            open.broken = true;
            open.pending.clear();
        }
    }

    /// Durations of the units that wait for a part.
    pub fn pending_durations(&self) -> impl Iterator<Item = u32> + Clone + '_ {
        let pending = self.open.iter().flat_map(|open| &open.pending);
        pending.map(|unit| unit.duration)
    }

    fn timescale(&self) -> Timescale {
        self.track
            .as_ref()
            .map_or(VIDEO_TIMESCALE, Track::timescale)
    }

    /// Opens the segment of `timing` with `first`; the unit itself is appended separately.
    pub fn open(
        &mut self,
        timing: &SegmentTiming,
        first: &AccessUnit,
        immersive: &Immersive,
    ) -> Result<(), cmaf::Error> {
        let init = self.current_init(immersive)?;
        // Announced before its first part: players fetch it meanwhile.
        self.changed |= self.last_init() != Some(init.index);
        // Video starts where the segment starts, on every rung; audio up to a frame later.
        let first_time = match self.kind {
            MediaKind::Video => timing.start.time,
            MediaKind::Audio => self.timescale().rescale(first.pts, VIDEO_TIMESCALE),
        };
        self.cursor = timing.msn;
        self.lost = false;
        self.open = Some(Open {
            timing: timing.clone(),
            init,
            parts: Vec::new(),
            pending: Vec::new(),
            bytes: 0,
            first_time,
            first_lasts: self
                .timescale()
                .rescale(i64::from(first.duration), VIDEO_TIMESCALE),
            start: first.dts,
            end: first.dts,
            independent: first.is_sync(),
            broken: false,
        });
        Ok(())
    }

    /// Adds a unit to the open segment and makes the parts it completes.
    pub fn append(
        &mut self,
        mut unit: AccessUnit,
        part_target: PartTarget,
    ) -> Result<(), cmaf::Error> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if let (true, Some(track)) = (open.timing.contents.inband_parameter_sets, &self.track) {
            unit = parameter_sets::repeated(unit, track);
        }
        // Across a hole the unit before lasts on, as its chunk will say too.
        if let Some(last) = open.pending.last_mut() {
            let lasts = unit.dts.saturating_sub(last.dts);
            last.duration = u32::try_from(lasts).unwrap_or(last.duration);
        }
        open.end = unit.dts.saturating_add(i64::from(unit.duration));
        self.reached = Some(open.end);
        open.bytes += unit.payload.len() as u64;
        open.pending.push(unit);
        self.make_parts(part_target)
    }

    /// Makes every part that is complete.
    pub fn make_parts(&mut self, part_target: PartTarget) -> Result<(), cmaf::Error> {
        let PartTarget::Ticks(target) = part_target else {
            return Ok(());
        };
        let timescale = self.timescale();
        while let Some(open) = &mut self.open {
            // At PARTS_MAX the last part takes all remaining units.
            if open.parts.len() + 1 >= part::PARTS_MAX {
                break;
            }
            let Some(count) = part::finished(&open.pending, timescale, target) else {
                break;
            };
            self.flush(count, part_target)?;
        }
        Ok(())
    }

    /// Turns the first `count` pending units into a part.
    ///
    /// A single frame may outlast PART-TARGET when the source pauses. Its DURATION is then clamped
    /// to PART-TARGET; the media and the segment's EXTINF keep the real duration.
    fn flush(&mut self, count: usize, part_target: PartTarget) -> Result<(), cmaf::Error> {
        let timescale = self.timescale();
        let (Some(open), Some(track)) = (&mut self.open, &self.track) else {
            return Ok(());
        };
        let rest = open.pending.split_off(count.min(open.pending.len()));
        let units = std::mem::replace(&mut open.pending, rest);
        if units.is_empty() {
            return Ok(());
        }
        let sequence = part::sequence(open.timing.msn, open.parts.len());
        let duration = units.iter().map(|unit| i64::from(unit.duration)).sum();
        let bytes = cmaf::chunk(track, sequence, &units).inspect_err(|_| open.broken = true)?;
        open.parts.push(Part {
            bytes,
            duration: part_target.clamp(duration, timescale),
            independent: units.iter().any(|unit| unit.is_sync()),
            gap: false,
        });
        self.cached = None;
        self.changed = true;
        Ok(())
    }

    /// Closes the segment of `timing`, whole or as a gap, and moves on to the next.
    ///
    /// Before its first whole segment a rendition lists nothing, so then a gap only moves it on.
    pub fn finish(&mut self, timing: &SegmentTiming, part_target: PartTarget) -> Outcome {
        self.cursor = timing.msn + 1;
        self.cached = None;
        self.changed = true;
        // A chunk that cannot be written marks the segment broken.
        while self
            .open
            .as_ref()
            .is_some_and(|open| !open.pending.is_empty())
        {
            if self.flush(cmaf::sample_count_max(), part_target).is_err() {
                break;
            }
        }
        let open = self.open.take();
        let whole = open
            .as_ref()
            .is_some_and(|open| !open.broken && !open.parts.is_empty());
        let had_whole = self.whole_segments > 0;
        if !whole && self.closed.segments.is_empty() {
            return Outcome::Unlisted;
        }
        let timescale = self.timescale();
        let length = VIDEO_TIMESCALE.rescale(timing.length(), timescale);
        let segment = match open {
            Some(open) if whole => {
                let duration = self.duration(&open, timing, length);
                let segment = build(open, duration, timescale);
                let ticks = timescale.rescale(segment.duration, VIDEO_TIMESCALE);
                self.meter.push(segment.byte_length(), ticks);
                self.whole_segments += 1;
                segment
            }
            open => {
                self.meter.gap();
                gap(open, timing, length, timescale, part_target)
            }
        };
        Arc::make_mut(&mut self.closed)
            .segments
            .push(Arc::new(segment));
        match (whole, had_whole) {
            (true, _) => Outcome::Whole,
            (false, true) => Outcome::Gap,
            (false, false) => Outcome::Unlisted,
        }
    }

    /// The segment of `timing` was lost before anything of it could be made here: lists it as a
    /// gap, also as the first. Without parts: viewers may know some, and those must not change.
    pub fn lose(&mut self, timing: &SegmentTiming) {
        self.cursor = timing.msn + 1;
        self.changed = true;
        let timescale = self.timescale();
        let length = VIDEO_TIMESCALE.rescale(timing.length(), timescale);
        let lost = gap(None, timing, length, timescale, PartTarget::Off);
        Arc::make_mut(&mut self.closed)
            .segments
            .push(Arc::new(lost));
    }

    /// EXTINF: video lasts until the next segment's first frame; audio lasts its own samples,
    /// unless it set in late or broke off early. Then it lasts as long as its share of the segment,
    /// so that playlists do not drift apart.
    fn duration(&self, open: &Open, timing: &SegmentTiming, length: i64) -> i64 {
        if self.kind == MediaKind::Video {
            return length;
        }
        let timescale = self.timescale();
        let own = open.end - open.start;
        let cover = VIDEO_TIMESCALE.rescale(timing.end_time() - open.lead_in(), timescale);
        let allowed = if timing.ends_timeline {
            ENDED_SHORT_MS
        } else {
            BROKEN_OFF_MS
        };
        let broken = cover - own > timescale.from_millis(allowed);
        if broken { cover } else { own }
    }

    /// Drops what is neither listed nor fetchable any more.
    pub fn prune(&mut self, first_listed: u64, first_retained: u64) {
        let segments = &self.closed.segments;
        let index = segments.partition_point(|segment| segment.msn < first_listed);
        let gone = segments.partition_point(|segment| segment.msn < first_retained);
        if gone > 0 || index != self.closed.first_listed {
            let closed = Arc::make_mut(&mut self.closed);
            closed.segments.drain(..gone);
            closed.first_listed = index - gone.min(index);
            self.changed = true;
        }
    }

    /// Bytes it holds: fetchable segments, and what waits for its part.
    pub fn retained_bytes(&self) -> u64 {
        let closed = self
            .closed
            .segments
            .iter()
            .map(|segment| segment.byte_length());
        closed.sum::<u64>() + self.open_bytes()
    }

    /// Whether its playlist has anything to list.
    pub fn is_visible(&self) -> bool {
        self.closed.segments.len() > self.closed.first_listed
    }

    /// How far it is; without parts, how many segments.
    pub fn report(&self, with_parts: bool) -> Option<Report> {
        let open = self
            .open
            .as_ref()
            .filter(|open| with_parts && !open.parts.is_empty());
        let (last_msn, parts) = match (open, self.closed.segments.last()) {
            (Some(open), _) => (open.timing.msn, open.parts.len()),
            (None, Some(last)) => (last.msn, last.parts.len()),
            (None, None) => return None,
        };
        Some(Report {
            name: self.name.clone(),
            last_msn,
            last_part: (parts as u64).checked_sub(1).filter(|_| with_parts),
        })
    }

    /// The part that comes next; `ending` where the open segment is expected to end with the parts
    /// it has.
    pub fn hint(&self, ending: bool) -> Hint {
        match &self.open {
            Some(open) if ending && open.pending.is_empty() && !open.parts.is_empty() => Hint {
                msn: open.timing.msn + 1,
                part: 0,
            },
            Some(open) => Hint {
                msn: open.timing.msn,
                part: open.parts.len() as u64,
            },
            None => Hint {
                msn: self.cursor,
                part: 0,
            },
        }
    }

    /// The init segment of the last segment that has one.
    fn last_init(&self) -> Option<u32> {
        let mut inits = self.closed.segments.iter().rev();
        inits.find_map(|segment| segment.init.as_ref().map(|init| init.index))
    }

    /// What viewers may know of the segment at its cursor before it has a part.
    fn announced(&self, ahead: Lookahead) -> Announced {
        if self
            .open
            .as_ref()
            .is_some_and(|open| !open.parts.is_empty())
        {
            return Announced::default();
        }
        let last = self.last_init();
        let init = self.open.as_ref().map(|open| open.init.clone());
        Announced {
            discontinuity: ahead.discontinuity,
            init: init.filter(|init| last != Some(init.index)),
        }
    }

    /// The state that viewers see.
    pub fn snapshot(&mut self, shared: &Shared, ahead: Lookahead) -> MediaSnapshot {
        let timescale = self.timescale();
        let open = self.open.as_ref().filter(|open| !open.parts.is_empty());
        if let (None, Some(open)) = (&self.cached, open) {
            self.cached = Some(Arc::new(grown(open, timescale)));
        }
        let with_parts = shared.constants.part_target.is_some() && !shared.ended;
        MediaSnapshot {
            name: self.name.clone(),
            kind: self.kind,
            run_id: shared.run_id.clone(),
            constants: shared.constants,
            listing: self.closed.clone(),
            open: self.cached.clone().filter(|_| with_parts),
            hint: with_parts.then(|| self.hint(ahead.ending)),
            announced: match with_parts {
                true => self.announced(ahead),
                false => Announced::default(),
            },
            reports: shared.reports.clone(),
            ended: shared.ended,
        }
    }

    fn current_init(&mut self, immersive: &Immersive) -> Result<Arc<Init>, cmaf::Error> {
        if let Some(init) = &self.init {
            return Ok(init.clone());
        }
        let track = self
            .track
            .clone()
            .ok_or(cmaf::Error::Empty("an init segment"))?;
        let bytes = cmaf::init_segment(&track, immersive)?;
        let known = self
            .closed
            .segments
            .iter()
            .filter_map(|segment| segment.init.as_ref());
        let mut index = hash(&bytes);
        for init in known {
            if init.bytes == bytes {
                index = init.index;
                break;
            }
            // One in four thousand million; two configurations still must not share a URL.
            if init.index == index {
                index = index.wrapping_add(1);
            }
        }
        let init = Arc::new(Init {
            index,
            bytes,
            track,
        });
        self.init = Some(init.clone());
        Ok(init)
    }
}
