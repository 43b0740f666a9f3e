//! Turns what publishers send as H.264 into configurations and clean access units.
//!
//! ```text
//! header, packet --walk--> clean: as it came, no copy
//!                     \--> split --> without empty units and stray bytes --> joined --> rebuilt
//! ```
//!
//! A clean access unit has NAL unit lengths of four bytes that add up, no empty NAL unit, and a
//! picture. Packets without one (SEI, delimiters or parameter sets alone) wait for the picture that
//! follows. Slices are never touched. Whatever is put right is told as [`Repair`], and what cannot
//! be used as [`Skipped`]; nothing here ends a publish.
//!
//! Parameter sets in band that differ from the announced ones are a new configuration from the next
//! random access point on. What it does not do: join slices of one picture that came in several
//! packets, or split several pictures in one.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};

use super::{
    Config, Error,
    bits::Bits,
    nal::{self, NalUnits, kind},
    random_access,
    record::Record,
};
use crate::{
    IngestEvent, IngestUnit, MediaKind, RandomAccess, Repair, SkipReason, Skipped, VideoPacket,
};

/// Bytes after the last NAL unit that are left out: padding to four bytes.
const STRAY_BYTES_MAX: usize = 3;

/// Bytes of NAL units that wait for their picture: parameter sets and captions are far below.
const WAITING_BYTES_MAX: usize = 64 << 10;

/// A picture this much later is not the one that NAL units waited for.
const WAITING_SECONDS_MAX: i64 = 1;

/// Changes of nothing but picture parameter sets that are announced. An encoder that changes them
/// again and again means them for the pictures behind them alone; each announced one would cost
/// viewers a discontinuity.
const PICTURE_SET_CHANGES_MAX: u32 = 3;

/// Parameter sets kept: more ids than any encoder uses, and what a record holds.
const SETS_MAX: usize = 31;

/// The machine; see the module's text.
#[derive(Debug, Default)]
pub struct Assembler {
    config: Option<Config>,
    /// The last header, as sent: encoders repeat it.
    header: Option<Bytes>,
    /// Bytes of each length field in what comes.
    length_bytes: usize,
    /// Start codes came last.
    has_start_codes: bool,
    sps: Vec<Bytes>,
    pps: Vec<Bytes>,
    /// Sets in band that differ from the announced ones.
    changed: Option<Change>,
    picture_set_changes: u32,
    waiting: Option<Waiting>,
}

/// NAL units without a picture.
#[derive(Debug)]
struct Waiting {
    dts: i64,
    units: Vec<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    PictureSets,
    SequenceSets,
}

/// One walk over length-prefixed NAL units.
#[derive(Default)]
struct Walk {
    has_picture: bool,
    has_idr: bool,
    has_sets: bool,
    /// Lengths that do not add up, empty units, or start codes behind lengths.
    is_odd: bool,
}

impl Walk {
    fn over(payload: &[u8], length_bytes: usize) -> Self {
        let mut units = NalUnits::new(payload, length_bytes);
        let mut walk = Self::default();
        for unit in units.by_ref() {
            let header = unit.first().copied().unwrap_or(0);
            let unit_type = header & 0x1f;
            walk.has_picture |= nal::is_vcl(unit);
            walk.has_idr |= unit_type == kind::IDR;
            walk.has_sets |= unit_type == kind::SPS || unit_type == kind::PPS;
            // A header of 0 is an empty unit, or the first byte of a start code.
            walk.is_odd |= header == 0;
        }
        walk.is_odd |= !units.rest().is_empty();
        walk
    }
}

impl Assembler {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self {
            length_bytes: 4,
            ..Self::default()
        }
    }

    /// What was announced last.
    pub fn config(&self) -> Option<&Config> {
        self.config.as_ref()
    }

    /// Takes a sequence header. A header repeated is no event, also where sets in band have
    /// overruled it.
    pub fn header(&mut self, header: Bytes, events: &mut VecDeque<IngestEvent>) {
        if self.header.as_ref() == Some(&header) {
            return;
        }
        let parsed = Config::parse_mending(header.clone()).and_then(|(config, repairs)| {
            let length_bytes = config.nal_length_bytes();
            Ok((config.with_four_length_bytes()?, length_bytes, repairs))
        });
        match parsed {
            Ok((config, length_bytes, repairs)) => {
                self.header = Some(header);
                self.length_bytes = length_bytes;
                self.sps.clone_from(&config.sps);
                self.pps.clone_from(&config.pps);
                self.changed = None;
                events.extend(repairs.into_iter().map(IngestEvent::Repaired));
                self.announce(config, events);
            }
            Err(error) => {
                if let (Error::Missing(_), Ok(found)) = (&error, Record::parse(&header)) {
                    self.length_bytes = found.nal_length_bytes;
                    let sets = found.sps.iter().chain(&found.pps).cloned();
                    sets.for_each(|set| self.take_set(set));
                    self.header = Some(header);
                }
                events.push_back(skipped(SkipReason::Config, error.to_string()));
            }
        }
    }

    /// Takes one packet: usually one access unit.
    pub fn push(&mut self, packet: VideoPacket, events: &mut VecDeque<IngestEvent>) {
        let split_first = self.has_start_codes && nal::begins_with_start_code(&packet.payload);
        let walk = Walk::over(&packet.payload, self.length_bytes);
        let is_clean = !walk.is_odd && !split_first && self.length_bytes == 4;
        if is_clean && walk.has_picture && self.waiting.is_none() {
            self.has_start_codes = false;
            if walk.has_sets || self.config.is_none() {
                let units: Vec<&[u8]> = NalUnits::new(&packet.payload, 4).collect();
                self.take_sets(&units);
            }
            let access = access(&packet, walk.has_idr, |payload| {
                random_access::of(NalUnits::new(payload, 4))
            });
            let payload = packet.payload.clone();
            self.send(&packet, access, payload, events);
            return;
        }
        self.push_odd(packet, split_first, events);
    }

    /// The way of everything that is not clean.
    fn push_odd(
        &mut self,
        packet: VideoPacket,
        split_first: bool,
        events: &mut VecDeque<IngestEvent>,
    ) {
        let Some((units, repairs)) = self.split(&packet.payload, split_first) else {
            let rest = NalUnits::new(&packet.payload, self.length_bytes)
                .fold(0, |sum, unit| sum + unit.len() + self.length_bytes);
            let detail = format!(
                "video access unit of {} bytes is damaged: a NAL unit reaches past its end, with \
                 {} bytes left",
                packet.payload.len(),
                packet.payload.len().saturating_sub(rest),
            );
            events.push_back(skipped(SkipReason::Damaged, detail));
            return;
        };
        self.has_start_codes = repairs.contains(&Repair::StartCodes);
        events.extend(repairs.into_iter().map(IngestEvent::Repaired));
        if !units.iter().any(|unit| nal::is_vcl(unit)) {
            return self.wait(&packet, units, events);
        }
        let units = self.join(&packet, units, events);
        let slices: Vec<&[u8]> = units.iter().map(Bytes::as_ref).collect();
        self.take_sets(&slices);
        let has_idr = slices.iter().any(|unit| nal::nal_type(unit) == kind::IDR);
        let access = access(&packet, has_idr, |_| {
            random_access::of(slices.iter().copied())
        });
        let payload = rebuild(&slices);
        self.send(&packet, access, payload, events);
    }

    /// Keeps NAL units without a picture for the one that follows.
    fn wait(
        &mut self,
        packet: &VideoPacket,
        units: Vec<Bytes>,
        events: &mut VecDeque<IngestEvent>,
    ) {
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            dts: packet.dts,
            units: Vec::new(),
        });
        waiting.dts = packet.dts;
        // What ends a sequence or fills a channel belongs to what came before, and is over with it.
        let belongs = |unit: &Bytes| {
            matches!(
                nal::nal_type(unit),
                kind::SEI..=kind::AUD | kind::SPS_EXTENSION | 14 | 15
            )
        };
        // Taken out of the packet: it may be a small piece of a large buffer.
        let units = units.iter().filter(|unit| belongs(unit));
        waiting
            .units
            .extend(units.map(|unit| Bytes::copy_from_slice(unit)));
        let bytes: usize = waiting.units.iter().map(Bytes::len).sum();
        if bytes > WAITING_BYTES_MAX {
            self.waiting = None;
            let detail = format!(
                "{bytes} bytes of NAL units came without a picture: the limit is \
                 {WAITING_BYTES_MAX}"
            );
            events.push_back(skipped(SkipReason::Damaged, detail));
        }
    }

    /// Puts what waited in front of a picture's NAL units, behind its delimiter.
    fn join(
        &mut self,
        packet: &VideoPacket,
        units: Vec<Bytes>,
        events: &mut VecDeque<IngestEvent>,
    ) -> Vec<Bytes> {
        let Some(waiting) = self.waiting.take() else {
            return units;
        };
        let apart = packet.dts.saturating_sub(waiting.dts).unsigned_abs();
        let bound = WAITING_SECONDS_MAX.unsigned_abs() * u64::from(packet.timescale.rate());
        if apart > bound {
            let detail = format!("NAL units without a picture, {apart} ticks from the next one");
            events.push_back(skipped(SkipReason::Damaged, detail));
            // Parameter sets hold until others come, however long ago.
            let sets = waiting.units.into_iter().filter(|unit| is_set(unit));
            return sets.chain(units).collect();
        }
        events.push_back(IngestEvent::Repaired(Repair::WithoutPicture));
        let is_delimiter = |unit: &Bytes| nal::nal_type(unit) == kind::AUD;
        let all = || waiting.units.iter().chain(&units);
        let delimiter = all().find(|unit| is_delimiter(unit));
        let others = all().filter(|unit| !is_delimiter(unit));
        delimiter.into_iter().chain(others).cloned().collect()
    }

    /// The NAL units of a packet that is not clean, and what was wrong; `None` where it is damaged.
    fn split(&self, payload: &Bytes, split_first: bool) -> Option<(Vec<Bytes>, Vec<Repair>)> {
        let mut repairs = Vec::new();
        let strict = |length_bytes: usize| {
            let mut units = NalUnits::new(payload, length_bytes);
            let found: Vec<&[u8]> = units.by_ref().collect();
            (found, units.rest().len())
        };
        let (mut units, rest) = strict(self.length_bytes);
        let is_picture = |units: &[&[u8]]| units.iter().any(|unit| nal::is_vcl(unit));
        if split_first || (rest > 0 && nal::begins_with_start_code(payload)) {
            units = nal::annex_b(payload).collect();
            repairs.push(Repair::StartCodes);
        } else if rest > 0 && rest <= STRAY_BYTES_MAX && is_picture(&units) {
            repairs.push(Repair::StrayBytes);
        } else if rest > 0 {
            let others = [4, 2, 1]
                .into_iter()
                .filter(|bytes| *bytes != self.length_bytes);
            let mut found = others.map(strict).filter(|(units, rest)| {
                *rest == 0 && is_picture(units) && units.iter().all(|unit| is_plausible(unit))
            });
            units = found.next()?.0;
            repairs.push(Repair::LengthSize);
        }
        let nested = |unit: &&[u8]| nal::begins_with_start_code(unit);
        if units.iter().any(nested) {
            repairs.push(Repair::StartCodes);
        }
        let whole = units.len();
        let mut clean: Vec<Bytes> = Vec::with_capacity(whole);
        for unit in units {
            match nal::begins_with_start_code(unit) {
                true => clean.extend(nal::annex_b(unit).map(|unit| payload.slice_ref(unit))),
                false if unit.is_empty() => {}
                false => clean.push(payload.slice_ref(unit)),
            }
        }
        if clean.len() < whole {
            repairs.push(Repair::EmptyNalUnit);
        }
        (!clean.is_empty() || whole > 0).then_some((clean, repairs))
    }

    /// Notes the parameter sets among the units of a picture.
    fn take_sets(&mut self, units: &[&[u8]]) {
        // In reverse, so that the first of several sequence sets becomes the first.
        for unit in units.iter().rev().filter(|unit| is_set(unit)) {
            let is_known = |sets: &[Bytes]| sets.iter().any(|set| set.as_ref() == *unit);
            if !is_known(&self.sps) && !is_known(&self.pps) {
                // A copy: a slice would keep the whole packet.
                self.take_set(Bytes::copy_from_slice(unit));
            }
        }
    }

    fn take_set(&mut self, set: Bytes) {
        let id = |set: &[u8]| {
            let skipped = if nal::nal_type(set) == kind::SPS {
                4
            } else {
                1
            };
            Bits::new(set.get(skipped..).unwrap_or_default()).ue().ok()
        };
        let (sets, change) = match nal::nal_type(&set) {
            kind::SPS => (&mut self.sps, Change::SequenceSets),
            kind::PPS => (&mut self.pps, Change::PictureSets),
            _ => return,
        };
        let of_set = id(&set);
        sets.retain(|known| id(known) != of_set);
        match change {
            Change::SequenceSets => sets.insert(0, set),
            Change::PictureSets => sets.push(set),
        }
        if sets.len() > SETS_MAX {
            sets.remove(0);
        }
        self.changed = self.changed.max(Some(change));
    }

    /// Announces what sets in band have changed, at a picture that a decoder may start with.
    fn announce_changes(&mut self, events: &mut VecDeque<IngestEvent>) {
        let Some(change) = self.changed.take() else {
            return;
        };
        if change == Change::PictureSets && self.config.is_some() {
            self.picture_set_changes += 1;
            if self.picture_set_changes > PICTURE_SET_CHANGES_MAX {
                return;
            }
        }
        let mended = Config::from_sets_mending(self.sps.clone(), self.pps.clone());
        match mended {
            Ok((config, repairs)) => {
                events.push_back(IngestEvent::Repaired(Repair::InbandParameterSets));
                events.extend(repairs.into_iter().map(IngestEvent::Repaired));
                self.announce(config, events);
            }
            // What is missing may come with the next keyframe.
            Err(Error::Missing(_)) => self.changed = Some(change),
            Err(error) => events.push_back(skipped(SkipReason::Config, error.to_string())),
        }
    }

    fn announce(&mut self, config: Config, events: &mut VecDeque<IngestEvent>) {
        let has_same_sets = |known: &Config| known.sps == config.sps && known.pps == config.pps;
        if !self.config.as_ref().is_some_and(has_same_sets) {
            self.config = Some(config.clone());
            events.push_back(IngestEvent::VideoConfig(config.into()));
        }
    }

    fn send(
        &mut self,
        packet: &VideoPacket,
        access: RandomAccess,
        payload: Bytes,
        events: &mut VecDeque<IngestEvent>,
    ) {
        if access != RandomAccess::No {
            self.announce_changes(events);
        }
        if self.config.is_none() {
            let detail = "video access unit before its configuration".to_owned();
            events.push_back(skipped(SkipReason::NoConfig, detail));
            return;
        }
        if packet.is_key != (access != RandomAccess::No) {
            events.push_back(IngestEvent::Repaired(Repair::KeyframeFlag));
        }
        events.push_back(IngestEvent::Unit(IngestUnit {
            kind: MediaKind::Video,
            timescale: packet.timescale,
            dts: packet.dts,
            composition: packet.composition,
            random_access: access,
            payload,
        }));
    }
}

fn access(
    packet: &VideoPacket,
    has_idr: bool,
    look: impl Fn(&[u8]) -> RandomAccess,
) -> RandomAccess {
    match has_idr {
        true => RandomAccess::Idr,
        // Without the flag there is nothing to find out that anybody asked for.
        false if packet.is_key => look(&packet.payload),
        false => RandomAccess::No,
    }
}

fn is_set(unit: &[u8]) -> bool {
    matches!(nal::nal_type(unit), kind::SPS | kind::PPS)
}

/// Whether bytes may be a NAL unit of a stream: no forbidden bit, a type in use, or none at all.
fn is_plausible(unit: &[u8]) -> bool {
    unit.first().is_none_or(|header| header & 0x80 == 0)
        && (unit.is_empty() || matches!(nal::nal_type(unit), 1..=15 | 19..=21))
}

fn rebuild(units: &[&[u8]]) -> Bytes {
    let bytes = units.iter().map(|unit| unit.len() + 4).sum();
    let mut out = BytesMut::with_capacity(bytes);
    for unit in units {
        out.put_u32(u32::try_from(unit.len()).unwrap_or(u32::MAX));
        out.put_slice(unit);
    }
    out.freeze()
}

fn skipped(reason: SkipReason, detail: String) -> IngestEvent {
    IngestEvent::Skipped(Skipped {
        kind: Some(MediaKind::Video),
        reason,
        detail,
    })
}
