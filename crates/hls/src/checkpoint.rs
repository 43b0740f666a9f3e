//! Writes down what viewers see of a run, and reads it back after its process died.
//!
//! ```text
//! snapshot --Checkpoint::of--> text     text --Checkpoint::restore--> snapshot --> Start::Restart
//!     \--bytes of parts--> files ---------bytes--/
//! ```
//!
//! A part changes little of it, so what is written for each part is the [`CheckpointDelta`] since
//! the last one.
//!
//! A player is served best after a restart when nothing is missing: the segments it knows, under
//! the URLs it knows, then a discontinuity, as if the encoder had reconnected. So the next process
//! lists what the last one listed.
//!
//! The segment that was open is closed with the parts it had. All renditions say of it how long it
//! lasts where it got furthest: players that add durations up (Shaka Player) would else place what
//! comes after it at another time in each rendition, and show a second again when they change the
//! rung. A rendition that was behind has a hole there instead, as decode times do. A rendition that
//! had no part yet of the newest segment gets a gap there, because all renditions number alike; so
//! does a segment whose bytes are not all found.
//!
//! What this does not do: read or write files, or judge whether a checkpoint is recent enough to
//! continue from.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use media::{Immersive, MediaKind, Timescale, VIDEO_TIMESCALE};
use serde::{Deserialize, Serialize};

use crate::{
    Announced, Hint, Init, MediaSnapshot, Multivariant, Part, PlaylistConstants, Report, Segment,
    Snapshot, segment::end_micros, snapshot::Listing,
};

/// Players keep Media Sequence Numbers as doubles: one above this is no number of ours.
const MSN_MAX: u64 = (1 << 53) - 1;

/// A run at one instant, but for the bytes.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Checkpoint {
    #[serde(rename = "epoch")]
    run_id: Arc<str>,
    constants: PlaylistConstants,
    immersive: Immersive,
    multivariant: Option<Arc<Multivariant>>,
    renditions: Vec<Entries>,
}

/// One rendition's listed segments.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Entries {
    name: Arc<str>,
    is_video: bool,
    segments: Vec<Entry>,
}

/// One segment.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Entry {
    msn: u64,
    #[serde(rename = "epoch")]
    run_id: Option<Arc<str>>,
    timescale: u32,
    duration: i64,
    program_date_time: i64,
    discontinuity: bool,
    discontinuity_sequence: u64,
    init: Option<u32>,
    independent: bool,
    gap: bool,
    parts: Vec<PartEntry>,
}

/// Bytes, duration, whether independent, whether a gap: of one part.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize, Serialize)]
struct PartEntry(usize, i64, bool, bool);

/// What makes one checkpoint of another: see [`Checkpoint::since`].
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct CheckpointDelta {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    multivariant: Option<Arc<Multivariant>>,
    /// By the rendition's place.
    renditions: Vec<(usize, RenditionDelta)>,
}

/// What changes in one rendition: what was listed before `first` goes, and `segments` take the
/// place of those that were numbered alike or higher.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct RenditionDelta {
    first: u64,
    segments: Vec<Entry>,
}

/// What bytes are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ObjectRef {
    /// An init segment, by the number in its URL.
    Init(u32),
    /// A segment's parts, one after the other, by its Media Sequence Number.
    Segment(u64),
}

impl Checkpoint {
    /// Writes down what viewers see; `None` while they see nothing, or nothing more is to come.
    pub fn of(snapshot: &Snapshot) -> Option<Self> {
        let constants = snapshot.constants.filter(|_| !snapshot.ended)?;
        let entries = |media: &Arc<MediaSnapshot>| Entries {
            name: media.name.clone(),
            is_video: media.kind == MediaKind::Video,
            segments: media
                .listed()
                .iter()
                .chain(&media.open)
                .map(Entry::of)
                .collect(),
        };
        Some(Self {
            run_id: snapshot.run_id.clone(),
            constants,
            immersive: snapshot.immersive,
            multivariant: snapshot.multivariant.clone(),
            renditions: snapshot.renditions.iter().map(entries).collect(),
        })
    }

    /// What has changed since `before`; `None` where that is more than segments that come and go.
    pub fn since(&self, before: &Self) -> Option<CheckpointDelta> {
        let names = |index: &Self| -> Vec<_> {
            let all = index.renditions.iter();
            all.map(|one| (one.name.clone(), one.is_video)).collect()
        };
        let same_run = self.run_id == before.run_id
            && self.constants == before.constants
            && self.immersive == before.immersive
            && self.multivariant.is_some() >= before.multivariant.is_some()
            && names(self) == names(before);
        if !same_run {
            return None;
        }
        let mut renditions = Vec::new();
        for (place, (now, then)) in self.renditions.iter().zip(&before.renditions).enumerate() {
            let delta = now.since(then)?;
            let moved = then
                .segments
                .first()
                .is_none_or(|one| one.msn < delta.first);
            if moved || !delta.segments.is_empty() {
                renditions.push((place, delta));
            }
        }
        let multivariant = self.multivariant.clone();
        Some(CheckpointDelta {
            multivariant: multivariant.filter(|_| self.multivariant != before.multivariant),
            renditions,
        })
    }

    /// Applies a delta that [`Checkpoint::since`] found; `None`, and an undefined state, where it
    /// is none of this checkpoint.
    pub fn apply(&mut self, change: CheckpointDelta) -> Option<()> {
        for (place, delta) in change.renditions {
            let segments = &mut self.renditions.get_mut(place)?.segments;
            let from = delta.segments.first().map_or(u64::MAX, |one| one.msn);
            segments.retain(|one| (delta.first..from).contains(&one.msn));
            segments.extend(delta.segments);
        }
        if change.multivariant.is_some() {
            self.multivariant = change.multivariant;
        }
        Some(())
    }

    /// The end of the newest segment, microseconds since 1970; 0 without any.
    pub fn end_micros(&self) -> i64 {
        let newest = self.renditions.iter().filter_map(|one| {
            let newest = one.segments.last()?;
            let timescale = Timescale::new(newest.timescale)?;
            Some(end_micros(
                newest.program_date_time,
                newest.duration,
                timescale,
            ))
        });
        newest.max().unwrap_or(0)
    }

    /// What players may see of it now that its process is gone, and the run `run_id` is to go on
    /// with it. `read` gives the bytes of a rendition and the run that made them, `None` where they
    /// are lost. `None` where an index makes no sense.
    pub fn restore(
        &self,
        run_id: &str,
        mut read: impl FnMut(&str, &str, ObjectRef) -> Option<Bytes>,
    ) -> Option<Snapshot> {
        let last = self.renditions.iter().filter_map(Entries::last).max()?;
        if last > MSN_MAX {
            return None;
        }
        // What others lack of the end is counted as long as it is where it is.
        let whole = self
            .renditions
            .iter()
            .find(|one| one.last() == Some(last))?;
        let mut listings = Vec::new();
        for entries in self
            .renditions
            .iter()
            .filter(|one| !one.segments.is_empty())
        {
            let mut read = |run_id: &str, what| read(&entries.name, run_id, what);
            let mut segments = entries.restore(&self.run_id, &mut read)?;
            let missing = whole
                .segments
                .iter()
                .filter(|one| Some(one.msn) > entries.last());
            segments.extend(missing.map(|one| Arc::new(one.lost(&self.run_id))));
            for open in segments.iter_mut().map(Arc::make_mut) {
                if Some(open.msn) >= entries.last() {
                    open.duration = self.longest(open);
                }
            }
            let consecutive = segments
                .windows(2)
                .all(|pair| pair[1].msn.checked_sub(1) == Some(pair[0].msn));
            if !consecutive || segments.last()?.msn != last {
                return None;
            }
            listings.push((entries, segments));
        }
        Some(self.snapshot(&run_id.into(), listings))
    }

    /// The duration that `segment` has where it got furthest, in its own ticks.
    fn longest(&self, segment: &Segment) -> i64 {
        let all = self.renditions.iter().flat_map(|one| &one.segments);
        let alike = all.filter(|one| one.msn == segment.msn);
        let durations = alike.filter_map(|one| {
            let timescale = Timescale::new(one.timescale)?;
            Some(timescale.rescale(one.duration, segment.timescale))
        });
        durations.max().unwrap_or(0).max(segment.duration)
    }

    fn snapshot(
        &self,
        run_id: &Arc<str>,
        listings: Vec<(&Entries, Vec<Arc<Segment>>)>,
    ) -> Snapshot {
        let with_parts = self.constants.part_target.is_some();
        let report = |(entries, segments): &(&Entries, Vec<Arc<Segment>>)| {
            let last = segments.last()?;
            Some(Report {
                name: entries.name.clone(),
                last_msn: last.msn,
                last_part: (last.parts.len() as u64)
                    .checked_sub(1)
                    .filter(|_| with_parts),
            })
        };
        let reports: Arc<[Report]> = listings.iter().filter_map(report).collect();
        let media = |(entries, segments): (&Entries, Vec<Arc<Segment>>)| {
            Arc::new(MediaSnapshot {
                name: entries.name.clone(),
                kind: entries.kind(),
                run_id: run_id.clone(),
                constants: self.constants,
                hint: segments.last().filter(|_| with_parts).map(|last| Hint {
                    msn: last.msn + 1,
                    part: 0,
                }),
                listing: Arc::new(Listing {
                    segments,
                    first_listed: 0,
                }),
                open: None,
                announced: Announced {
                    discontinuity: true,
                    init: None,
                },
                reports: reports.clone(),
                ended: false,
            })
        };
        Snapshot {
            revision: 0,
            run_id: run_id.clone(),
            constants: Some(self.constants),
            ended: false,
            immersive: self.immersive,
            renditions: listings.into_iter().map(media).collect(),
            multivariant: self.multivariant.clone(),
        }
    }
}

impl Entries {
    fn kind(&self) -> MediaKind {
        if self.is_video {
            MediaKind::Video
        } else {
            MediaKind::Audio
        }
    }

    fn last(&self) -> Option<u64> {
        self.segments.last().map(|segment| segment.msn)
    }

    /// See [`Checkpoint::since`].
    fn since(&self, before: &Self) -> Option<RenditionDelta> {
        let Some(first) = self.segments.first().map(|one| one.msn) else {
            let (first, segments) = (0, Vec::new());
            return before
                .segments
                .is_empty()
                .then_some(RenditionDelta { first, segments });
        };
        let gone = before.segments.iter().take_while(|one| one.msn < first);
        let stays = before.segments.get(gone.count()..).unwrap_or_default();
        let alike = stays.iter().zip(&self.segments);
        let alike = alike.take_while(|(then, now)| then == now).count();
        let segments = self.segments.get(alike..).unwrap_or_default().to_vec();
        // A number that was given back is no longer there, and no segment says so.
        let given_back = segments.is_empty() && stays.len() > alike;
        (!given_back).then_some(RenditionDelta { first, segments })
    }

    fn restore(
        &self,
        run: &Arc<str>,
        read: &mut dyn FnMut(&str, ObjectRef) -> Option<Bytes>,
    ) -> Option<Vec<Arc<Segment>>> {
        let mut inits = HashMap::new();
        let mut segments = Vec::with_capacity(self.segments.len());
        for entry in &self.segments {
            let run_id = entry.run_id.as_ref().unwrap_or(run);
            let init = entry.init.and_then(|index| {
                let known = inits.entry((run_id.clone(), index));
                known
                    .or_insert_with(|| init(index, read(run_id, ObjectRef::Init(index))?))
                    .clone()
            });
            let bytes = init
                .as_ref()
                .and_then(|_| read(run_id, ObjectRef::Segment(entry.msn)));
            segments.push(Arc::new(entry.restore(run_id, init, bytes)?));
        }
        Some(segments)
    }
}

fn init(index: u32, bytes: Bytes) -> Option<Arc<Init>> {
    let track = cmaf::read_init(&bytes)
        .ok()?
        .tracks
        .into_iter()
        .next()?
        .track;
    Some(Arc::new(Init {
        index,
        bytes,
        track,
    }))
}

impl Entry {
    fn of(segment: &Arc<Segment>) -> Self {
        let part_entry =
            |part: &Part| PartEntry(part.bytes.len(), part.duration, part.independent, part.gap);
        Self {
            msn: segment.msn,
            run_id: segment.run_id.clone(),
            timescale: segment.timescale.rate(),
            duration: segment.duration,
            program_date_time: segment.program_date_time,
            discontinuity: segment.discontinuity,
            discontinuity_sequence: segment.discontinuity_sequence,
            init: segment.init.as_ref().map(|init| init.index),
            independent: segment.independent,
            gap: segment.gap,
            parts: segment.parts.iter().map(part_entry).collect(),
        }
    }

    /// The segment, or a gap where any of its bytes are missing; `None` where the entry makes no
    /// sense.
    fn restore(
        &self,
        run_id: &Arc<str>,
        init: Option<Arc<Init>>,
        bytes: Option<Bytes>,
    ) -> Option<Segment> {
        let length = self
            .parts
            .iter()
            .try_fold(0_usize, |sum, part| sum.checked_add(part.0))?;
        let bytes = bytes.filter(|bytes| bytes.len() >= length && length > 0);
        let gap = self.gap || bytes.is_none();
        let mut rest = bytes.unwrap_or_default();
        let mut part = |PartEntry(length, duration, independent, lost): &PartEntry| {
            let lost = *lost || rest.len() < *length;
            Part {
                bytes: if lost {
                    Bytes::new()
                } else {
                    rest.split_to(*length)
                },
                duration: *duration,
                independent: *independent,
                gap: lost,
            }
        };
        Some(Segment {
            msn: self.msn,
            run_id: Some(run_id.clone()),
            parts: self.parts.iter().map(&mut part).collect(),
            duration: self.duration.max(1),
            timescale: Timescale::new(self.timescale)?,
            program_date_time: self.program_date_time,
            discontinuity: self.discontinuity,
            discontinuity_sequence: self.discontinuity_sequence,
            init,
            independent: self.independent,
            gap,
        })
    }

    /// The same place in a rendition that has nothing of it.
    fn lost(&self, run: &Arc<str>) -> Segment {
        let timescale = Timescale::new(self.timescale).unwrap_or(VIDEO_TIMESCALE);
        Segment {
            msn: self.msn,
            run_id: self.run_id.clone().or_else(|| Some(run.clone())),
            parts: Vec::new(),
            duration: self.duration.max(1),
            timescale,
            program_date_time: self.program_date_time,
            discontinuity: self.discontinuity,
            discontinuity_sequence: self.discontinuity_sequence,
            init: None,
            independent: true,
            gap: true,
        }
    }
}
