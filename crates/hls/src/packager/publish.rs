//! Decides what viewers may see: when playlists appear, what they list, and the snapshot.

use std::sync::Arc;

use media::{MediaKind, Track, VIDEO_TIMESCALE};

use super::{
    Config, Event, Keyframes, LISTED_TARGETS, Packager, RUNG_START_MAX_MS, State,
    continuation::{Promise, enough},
};
use crate::{
    AudioRendition, Multivariant, PlaylistConstants, Report, RungSpec, Snapshot, Variant,
    rendition::{Lookahead, PartTarget, Rendition, Shared},
};

/// A boundary this close after a frame of audio (1 ms) is expected to be its end.
const AUDIO_JITTER: i64 = 360;

/// What a rung's configured bitrate grows by before it was measured: the encoder's rate control and
/// the container.
const CONFIGURED_HEADROOM_PERCENT: u64 = 20;

/// The playlists' state.
#[derive(Debug)]
pub(super) struct Playlists {
    /// Fixed once the first playlist exists.
    pub constants: Option<PlaylistConstants>,
    /// The media clock when the first playlist appeared.
    pub ready_at: Option<i64>,
    pub multivariant_exists: bool,
    /// INSTREAM-ID of the source's closed captions, found before the multivariant playlist exists:
    /// players read it once.
    pub captions: Option<&'static str>,
    /// Viewers would see something new that is not in one rendition alone.
    pub changed: bool,
    revision: u64,
    cached: Arc<Snapshot>,
}

impl Playlists {
    /// None yet.
    pub fn new(config: &Config) -> Self {
        Self {
            constants: None,
            ready_at: None,
            multivariant_exists: false,
            captions: None,
            changed: false,
            revision: 0,
            cached: Arc::new(Snapshot {
                revision: 0,
                run_id: config.run_id.as_str().into(),
                constants: None,
                ended: false,
                immersive: config.immersive,
                renditions: Vec::new(),
                multivariant: None,
            }),
        }
    }
}

impl Packager {
    /// Whether [`Packager::snapshot`] would differ from the last one.
    pub fn has_changed(&self) -> bool {
        let changed = || self.renditions.iter().any(|rendition| rendition.changed);
        !self.is_held_back() && (self.playlists.changed || changed())
    }

    /// Fixed once the first playlist exists.
    pub fn constants(&self) -> Option<PlaylistConstants> {
        self.playlists.constants
    }

    /// What is known of the source's keyframes.
    pub fn keyframes(&self) -> Keyframes {
        self.keyframes.state()
    }

    /// Moves the window and lets playlists appear; after each closed segment.
    pub(super) fn advance_window(&mut self) {
        let whole = self.renditions.leader().whole_segments;
        let ready = match self.continuation.shown_from() {
            Some(length) => whole > 0 && self.window.clock() >= length,
            None => enough(whole, self.window.clock()),
        };
        if ready {
            self.become_ready();
        }
        self.prune();
        self.list_renditions();
    }

    /// Lets go of the bytes of removed segments through `msn`, which are kept elsewhere. What
    /// playlists list stays.
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
        for rendition in self.renditions.iter_mut() {
            rendition.prune(listed, retained);
        }
        self.numbering.prune(retained);
    }

    /// Fixes what may never change and lets media playlists appear.
    pub(super) fn become_ready(&mut self) {
        let waits = self.awaits_constants() || self.window.listed() == 0;
        if self.playlists.constants.is_some() || waits {
            return;
        }
        self.decide_part_target();
        let constants = match self.continuation.promise {
            Promise::Made(constants) => constants,
            Promise::Free | Promise::Awaited => PlaylistConstants {
                target_duration: self.segmenter.target_duration(),
                part_target: self.part_target.ticks(),
            },
        };
        self.segmenter.fix(constants.target_duration);
        self.window
            .at_least(constants.target_ticks() * LISTED_TARGETS);
        for rendition in self.renditions.iter_mut() {
            rendition.meter.fix(constants.target_duration);
        }
        self.playlists.constants = Some(constants);
        self.playlists.ready_at = Some(self.window.clock());
        self.raise(Event::Ready(constants));
    }

    /// Lists renditions in the multivariant playlist that have come up. The first one waits for
    /// all, within bounds; later ones join. None is ever taken back: a session that uses it would
    /// end. Asked after each segment of each rendition, as the last one to come up decides how long
    /// the first viewers wait.
    pub(super) fn list_renditions(&mut self) {
        let Some(ready_at) = self.playlists.ready_at else {
            return;
        };
        let ended = self.state == State::Ended;
        let needed = match ended {
            true => 1,
            false => self.continuation.segments_needed(),
        };
        let up = |rendition: &Rendition| rendition.whole_segments >= needed;
        let waited = self.window.clock() - ready_at;
        let waited_enough = ended || waited >= VIDEO_TIMESCALE.from_millis(RUNG_START_MAX_MS);
        let offers_source = self.offers_source(waited_enough);
        // Where players cannot start the source, a rung may be on its way that carries the stream.
        let carried = offers_source || !self.renditions.rungs.is_empty();
        let all_up = carried && self.renditions.followers().all(up);
        if !(self.playlists.multivariant_exists || all_up || waited_enough) {
            return;
        }
        self.playlists.multivariant_exists = true;
        let leader_up = self.renditions.source.whole_segments > 0;
        let mut listed = Vec::new();
        for (index, rendition) in self.renditions.iter_mut().enumerate() {
            // The leader made the playlist appear, perhaps with fewer, longer segments.
            let leads = (index == 0 || !leader_up) && rendition.whole_segments > 0;
            let offered = index > 0 || offers_source;
            if !rendition.listed && offered && (up(rendition) || leads) {
                rendition.listed = true;
                listed.push(rendition.name.clone());
            }
        }
        self.playlists.changed |= !listed.is_empty();
        listed
            .into_iter()
            .for_each(|name| self.raise(Event::Listed(name)));
    }

    /// Whether the pass-through may be listed: where players can start it, and, in time, where
    /// nothing else is.
    fn offers_source(&self, waited_enough: bool) -> bool {
        let is_alone = self.renditions.followers().next().is_none();
        self.keyframes.state() != Keyframes::NotIdr || waited_enough && is_alone
    }

    /// What viewers can be told now. Cheap: segments are shared, only lists of pointers are copied.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        if self.has_changed() {
            self.playlists.changed = false;
            for rendition in self.renditions.iter_mut() {
                rendition.changed = false;
            }
            self.playlists.revision += 1;
            self.playlists.cached = Arc::new(self.build());
        }
        self.playlists.cached.clone()
    }

    fn build(&mut self) -> Snapshot {
        let mut snapshot = Snapshot {
            revision: self.playlists.revision,
            run_id: self.playlists.cached.run_id.clone(),
            constants: self.playlists.constants,
            ended: self.state == State::Ended,
            immersive: self.config.immersive,
            renditions: Vec::new(),
            multivariant: None,
        };
        let Some(constants) = snapshot.constants else {
            return snapshot;
        };
        let shared = Shared {
            run_id: snapshot.run_id.clone(),
            constants,
            reports: self.reports(),
            ended: snapshot.ended,
        };
        let lookaheads: Vec<Lookahead> = self
            .renditions
            .iter()
            .map(|rendition| self.lookahead(rendition))
            .collect();
        for (rendition, lookahead) in self.renditions.iter_mut().zip(lookaheads) {
            if rendition.is_visible() {
                let media = rendition.snapshot(&shared, lookahead);
                snapshot.renditions.push(Arc::new(media));
            }
        }
        snapshot.multivariant = self.multivariant().map(Arc::new);
        snapshot
    }

    /// What a rendition's playlist can say of what comes next.
    fn lookahead(&self, rendition: &Rendition) -> Lookahead {
        let timing = self.numbering.get(rendition.cursor);
        let known_end = timing.and_then(|timing| timing.end);
        let (delay, frame) = (self.clock.delay, self.clock.frame);
        let ends = |end: i64| match (rendition.kind, known_end) {
            (MediaKind::Video, Some(known)) => end >= known.dts,
            (MediaKind::Video, None) => self.segmenter.expects_cut_by(end, frame / 2, frame),
            (MediaKind::Audio, Some(known)) => self.audio_end_time() >= known.time,
            (MediaKind::Audio, None) => {
                let end = self.audio_end_time() - delay;
                self.segmenter.expects_cut_by(end, AUDIO_JITTER, frame)
            }
        };
        let numbering = &self.numbering;
        Lookahead {
            ending: rendition.end().is_some_and(ends),
            discontinuity: match timing {
                Some(timing) => timing.discontinuity,
                None => numbering.discontinuity && rendition.cursor == numbering.next_msn,
            },
        }
    }

    fn reports(&self) -> Arc<[Report]> {
        // Viewers of a run that continues know them all.
        let known = |rendition: &&Rendition| {
            rendition.listed || self.continuation.is_known && rendition.is_visible()
        };
        let with_parts = self.part_target != PartTarget::Off;
        self.renditions
            .iter()
            .filter(known)
            .filter_map(|rendition| rendition.report(with_parts))
            .collect()
    }

    fn multivariant(&self) -> Option<Multivariant> {
        if !self.playlists.multivariant_exists {
            return None;
        }
        let audio = &self.renditions.audio;
        let config = audio.track().and_then(Track::as_audio);
        let group = audio.listed.then(|| {
            let channels = config.map_or(2, |track| track.config.channels());
            AudioRendition::only(audio.name.clone(), channels)
        });
        let shared = SharedAudio {
            bandwidth: audio.meter.bandwidth().filter(|_| audio.listed),
            average: audio.meter.average().filter(|_| audio.listed),
            codecs: audio
                .track()
                .filter(|_| audio.listed)
                .map(|track| track.rfc6381()),
        };
        let mut variants: Vec<Variant> = self
            .renditions
            .video()
            .filter(|(rendition, _)| rendition.listed)
            .filter_map(|(rendition, spec)| self.variant(rendition, spec, &shared))
            .collect();
        variants.sort_by_key(|variant| std::cmp::Reverse(variant.bandwidth));
        let has_video = variants.iter().any(|one| one.resolution.is_some());
        if variants.is_empty() {
            variants.extend(group.as_ref().map(|audio| Variant {
                rendition: audio.rendition.clone(),
                bandwidth: shared.bandwidth.unwrap_or(0),
                average_bandwidth: shared.average.unwrap_or(0),
                codecs: shared.codecs.unwrap_or_default(),
                resolution: None,
                frame_rate: None,
                projection: None,
            }));
        }
        let known = || self.continuation.known_captions();
        Some(Multivariant {
            captions: self.playlists.captions.map(str::to_owned).or_else(known),
            audio: group.filter(|_| has_video).into_iter().collect(),
            variants,
            immersive: self.config.immersive,
            independent_segments: false,
        })
    }

    fn variant(
        &self,
        rendition: &Rendition,
        spec: Option<&RungSpec>,
        audio: &SharedAudio,
    ) -> Option<Variant> {
        if let Some(known) = self.continuation.known_variant(rendition) {
            return Some(known);
        }
        let configured = spec.map_or(0, |spec| {
            let raised = spec
                .bitrate
                .saturating_mul(100 + CONFIGURED_HEADROOM_PERCENT);
            raised / 100
        });
        let track = rendition.track()?;
        let config = &track.as_video()?.config;
        let meter = &rendition.meter;
        let both = [Some(track.rfc6381()), audio.codecs.clone()];
        Some(Variant {
            rendition: rendition.name.clone(),
            bandwidth: meter.bandwidth().unwrap_or(configured) + audio.bandwidth.unwrap_or(0),
            average_bandwidth: meter.average().unwrap_or(configured) + audio.average.unwrap_or(0),
            codecs: both.into_iter().flatten().collect::<Vec<_>>().join(","),
            resolution: Some(config.dimensions()),
            frame_rate: self.frame_rate(config.frame_rate(), spec.is_some()),
            projection: spec.and_then(|spec| spec.projection),
        })
    }

    /// Frames per second: as the encoder declares it, because dropped frames do not change the
    /// rate; as measured over the whole timeline where it declares none or, in the source, one that
    /// is plainly wrong.
    fn frame_rate(&self, declared: Option<(u32, u32)>, is_rung: bool) -> Option<f64> {
        let (count, ticks) = self.clock.frames;
        let measured =
            (ticks > 0).then(|| count as f64 * f64::from(VIDEO_TIMESCALE.rate()) / ticks as f64);
        let declared = declared.map(|(frames, seconds)| f64::from(frames) / f64::from(seconds));
        let plausible = |declared: &f64| {
            is_rung || measured.is_none_or(|measured| (0.7..1.05).contains(&(measured / declared)))
        };
        declared.filter(plausible).or(measured)
    }

    /// Bytes of everything that can be fetched.
    pub fn retained_bytes(&self) -> u64 {
        self.renditions.iter().map(Rendition::retained_bytes).sum()
    }
}

/// What every variant with video says of the audio it shares, once that is listed.
struct SharedAudio {
    bandwidth: Option<u64>,
    average: Option<u64>,
    codecs: Option<String>,
}
