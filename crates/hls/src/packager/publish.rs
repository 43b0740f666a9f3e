//! What viewers may see: when playlists appear, what they list, and the snapshot.

use std::sync::Arc;

use media::{MediaKind, VIDEO_TIMESCALE};

use super::{Event, LISTED_TARGETS, Packager, READY_SEGMENTS, RUNG_START_MAX_MS, State};
use crate::{
    AudioGroup, Multivariant, PlaylistConstants, Report, Snapshot, Variant,
    rendition::{Lookahead, PartTarget, Rendition, Shared},
};

/// With segments this long (in ticks, 6 s for all of them) two must do: a third would keep viewers
/// waiting for longer than the buffer it gives them is worth.
const READY_LONG_TICKS: i64 = 6 * 360_000;

/// A boundary this close after a frame of sound (1 ms) is expected to be its end.
const AUDIO_JITTER: i64 = 360;

/// What a rung's configured bitrate grows by before it was measured: the encoder's rate control and
/// the container.
const CONFIGURED_HEADROOM_PERCENT: u64 = 20;

/// Whether so many segments, `ticks` long together, are enough for a player to start with.
pub(super) fn enough(segments: u64, ticks: i64) -> bool {
    segments >= READY_SEGMENTS || segments + 1 >= READY_SEGMENTS && ticks >= READY_LONG_TICKS
}

impl Packager {
    /// Moves the window and lets playlists appear; after each closed segment.
    pub(super) fn advance_window(&mut self) {
        let whole = match self.has_video {
            true => self.source.whole_segments,
            false => self.audio.whole_segments,
        };
        let ready = match self.shown_from() {
            Some(length) => whole > 0 && self.window.clock() >= length,
            None => enough(whole, self.window.clock()),
        };
        if ready {
            self.become_ready();
        }
        self.prune();
        self.list_renditions();
    }

    /// Removed segments through `msn` are kept elsewhere: lets go of their bytes. What playlists list stays.
    pub fn release_through(&mut self, msn: u64) {
        self.window.release_through(msn);
        self.prune();
    }

    /// Drops what the window has let go of.
    fn prune(&mut self) {
        let (Some(listed), Some(retained)) =
            (self.window.first_listed(), self.window.first_retained())
        else {
            return;
        };
        let all = [&mut self.source, &mut self.audio]
            .into_iter()
            .chain(&mut self.rungs);
        for rendition in all {
            rendition.prune(listed, retained);
        }
        while self
            .timings
            .front()
            .is_some_and(|timing| timing.msn < retained)
        {
            self.timings.pop_front();
        }
    }

    /// Fixes what may never change and lets media playlists appear.
    pub(super) fn become_ready(&mut self) {
        if self.constants.is_some() || self.awaits_constants || self.window.listed() == 0 {
            return;
        }
        self.decide_part_target();
        let constants = self.config.constants.unwrap_or_else(|| PlaylistConstants {
            target_duration: self.segmenter.target_duration(),
            part_target: self.part_target.ticks(),
        });
        self.segmenter.fix(constants.target_duration);
        self.window
            .at_least(constants.target_ticks() * LISTED_TARGETS);
        let all = [&mut self.source, &mut self.audio]
            .into_iter()
            .chain(&mut self.rungs);
        for rendition in all {
            rendition.meter.fix(constants.target_duration);
        }
        self.constants = Some(constants);
        self.ready_at = Some(self.window.clock());
        self.raise(Event::Ready(constants));
    }

    /// Lists renditions in the multivariant playlist that have come up. The first one waits for
    /// all, within bounds; later ones join. None is ever taken back: a session that uses it would
    /// end. Asked after each segment of each rendition, as the last one to come up decides how long
    /// the first viewers wait.
    pub(super) fn list_renditions(&mut self) {
        let Some(ready_at) = self.ready_at else {
            return;
        };
        let ended = self.state == State::Ended;
        let needed = if ended { 1 } else { self.needed() };
        let up = |rendition: &Rendition| rendition.whole_segments >= needed;
        let expected = self
            .rungs
            .iter()
            .chain(self.has_audio.then_some(&self.audio));
        let all_up = expected.into_iter().all(up);
        let waited = self.window.clock() - ready_at;
        let patience = VIDEO_TIMESCALE.from_millis(RUNG_START_MAX_MS);
        if !(self.multivariant_exists || all_up || ended || waited >= patience) {
            return;
        }
        let leader_up = self.source.whole_segments > 0;
        self.multivariant_exists = true;
        let mut listed = Vec::new();
        let all = [&mut self.source, &mut self.audio]
            .into_iter()
            .chain(&mut self.rungs);
        for (index, rendition) in all.enumerate() {
            // The leader made the playlist appear, perhaps with fewer, longer segments.
            let leads = (index == 0 || !leader_up) && rendition.whole_segments > 0;
            if !rendition.listed && (up(rendition) || leads) {
                rendition.listed = true;
                listed.push(rendition.name.clone());
            }
        }
        self.changed |= !listed.is_empty();
        listed
            .into_iter()
            .for_each(|name| self.raise(Event::Listed(name)));
    }

    /// What viewers can be told now. Cheap: segments are shared, only lists of pointers are copied.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        if self.has_changed() {
            self.changed = false;
            let all = [&mut self.source, &mut self.audio]
                .into_iter()
                .chain(&mut self.rungs);
            all.for_each(|rendition| rendition.changed = false);
            self.revision += 1;
            self.cached = Arc::new(self.build());
        }
        self.cached.clone()
    }

    fn build(&mut self) -> Snapshot {
        let mut snapshot = Snapshot {
            revision: self.revision,
            run_id: self.cached.run_id.clone(),
            constants: self.constants,
            ended: self.state == State::Ended,
            immersive: self.config.immersive,
            renditions: Vec::new(),
            multivariant: None,
        };
        let Some(constants) = self.constants else {
            return snapshot;
        };
        let reports = self.reports();
        let shared = Shared {
            run_id: snapshot.run_id.clone(),
            constants,
            reports,
            ended: snapshot.ended,
        };
        let aheads = self.aheads();
        let all = [&mut self.source]
            .into_iter()
            .chain(&mut self.rungs)
            .chain([&mut self.audio]);
        for (rendition, ahead) in all.zip(aheads) {
            if rendition.is_visible() {
                snapshot
                    .renditions
                    .push(Arc::new(rendition.snapshot(&shared, ahead)));
            }
        }
        snapshot.multivariant = self.multivariant().map(Arc::new);
        snapshot
    }

    /// What each rendition's playlist can say of what comes next; in the order of the snapshot.
    fn aheads(&self) -> Vec<Lookahead> {
        let ends = |rendition: &Rendition| {
            let Some(end) = rendition.end() else {
                return false;
            };
            match rendition.kind {
                MediaKind::Video => {
                    match self.timing(rendition.cursor).and_then(|timing| timing.end) {
                        Some(known) => end >= known.dts,
                        None => self.segmenter.expects_cut_by(end, self.frame / 2),
                    }
                }
                MediaKind::Audio => {
                    let end = self.audio_end_time();
                    match self.timing(rendition.cursor).and_then(|timing| timing.end) {
                        Some(known) => end >= known.time,
                        None => self
                            .segmenter
                            .expects_cut_by(end - self.delay, AUDIO_JITTER),
                    }
                }
            }
        };
        let all = [&self.source]
            .into_iter()
            .chain(&self.rungs)
            .chain([&self.audio]);
        let ahead = |rendition: &Rendition| Lookahead {
            ending: ends(rendition),
            discontinuity: match self.timing(rendition.cursor) {
                Some(timing) => timing.discontinuity,
                None => self.discontinuity && rendition.cursor == self.next_msn,
            },
        };
        all.map(ahead).collect()
    }

    fn reports(&self) -> Arc<[Report]> {
        let all = [&self.source]
            .into_iter()
            .chain(&self.rungs)
            .chain([&self.audio]);
        // Viewers of a run that goes on know them all.
        let known = |rendition: &&Rendition| {
            rendition.listed || self.follows_gaps && rendition.is_visible()
        };
        let listed = all.filter(known);
        let with_parts = self.part_target != PartTarget::Off;
        listed
            .filter_map(|rendition| rendition.report(with_parts))
            .collect()
    }

    fn multivariant(&self) -> Option<Multivariant> {
        if !self.multivariant_exists {
            return None;
        }
        let config = self.audio.track().and_then(|track| track.aac());
        let audio = self.audio.listed.then(|| AudioGroup {
            rendition: self.audio.name.clone(),
            channels: config.map_or(2, |config| config.channels()),
        });
        let audio_rates = [
            self.audio.meter.bandwidth().unwrap_or(0),
            self.audio.meter.average().unwrap_or(0),
        ];
        let audio_rates = if audio.is_some() { audio_rates } else { [0, 0] };
        let codecs = self
            .audio
            .track()
            .filter(|_| audio.is_some())
            .map(|track| track.rfc6381());
        let limits = [None].into_iter().chain(self.specs.iter().map(Some));
        let video = [&self.source].into_iter().chain(&self.rungs).zip(limits);
        let mut variants: Vec<Variant> = video
            .filter(|(rendition, _)| rendition.listed)
            .filter_map(|(rendition, spec)| {
                if let Some(known) = self.known_variant(rendition) {
                    return Some(known);
                }
                let configured = spec.map_or(0, |spec| {
                    spec.bitrate
                        .saturating_mul(100 + CONFIGURED_HEADROOM_PERCENT)
                        / 100
                });
                let track = rendition.track()?;
                let config = track.avc()?;
                let both = [Some(track.rfc6381()), codecs.clone()];
                Some(Variant {
                    rendition: rendition.name.clone(),
                    bandwidth: rendition.meter.bandwidth().unwrap_or(configured) + audio_rates[0],
                    average_bandwidth: rendition.meter.average().unwrap_or(configured)
                        + audio_rates[1],
                    codecs: both.into_iter().flatten().collect::<Vec<_>>().join(","),
                    resolution: Some((config.width(), config.height())),
                    frame_rate: self.frame_rate(config.frame_rate(), spec.is_some()),
                    projection: spec.and_then(|spec| spec.projection),
                })
            })
            .collect();
        variants.sort_by_key(|variant| std::cmp::Reverse(variant.bandwidth));
        if variants.is_empty() {
            variants.extend(audio.as_ref().map(|audio| Variant {
                rendition: audio.rendition.clone(),
                bandwidth: audio_rates[0],
                average_bandwidth: audio_rates[1],
                codecs: codecs.unwrap_or_default(),
                resolution: None,
                frame_rate: None,
                projection: None,
            }));
        }
        Some(Multivariant {
            audio: audio.filter(|_| variants.iter().any(|v| v.resolution.is_some())),
            variants,
            immersive: self.config.immersive,
        })
    }

    /// Pictures per second: as the encoder declares it, because dropped pictures do not change the
    /// rate; as measured over the whole timeline where it declares none or, in the source, one
    /// that is plainly wrong.
    fn frame_rate(&self, declared: Option<(u32, u32)>, is_rung: bool) -> Option<f64> {
        let (count, ticks) = self.frames;
        let measured =
            (ticks > 0).then(|| count as f64 * f64::from(VIDEO_TIMESCALE.rate()) / ticks as f64);
        let declared = declared.map(|(pictures, seconds)| f64::from(pictures) / f64::from(seconds));
        let plausible = |declared: &f64| {
            is_rung || measured.is_none_or(|measured| (0.7..1.05).contains(&(measured / declared)))
        };
        declared.filter(plausible).or(measured)
    }

    /// Bytes of everything that can be fetched.
    pub fn retained_bytes(&self) -> u64 {
        let all = [&self.source, &self.audio].into_iter().chain(&self.rungs);
        all.map(Rendition::retained_bytes).sum()
    }
}
