//! One run of a stream: from its first access unit to its end, under one run id and one numbering.
//!
//! It joins the packager with the ladder: source units go to both, rung units come back from the
//! ladder's threads, and the cut that the packager makes in the source is the keyframe that the
//! ladder forces.

mod rungs;

use std::{sync::Arc, time::SystemTime};

use contract::RungInfo;
use hls::{Boundary, Config, Event, Packager, RungSpec, Snapshot, Tracks};
use media::{AccessUnit, Immersive, MediaKind, Track};
use pairing::RunStatus;
use tracing::{debug, error, info, warn};

use super::{
    Environment,
    events::StreamEvent,
    ladder::{LadderReport, LadderSink, Ladders},
    recording::Recording,
    rung::Rung,
    unix_micros,
};
use crate::{
    api::{RecordingReport, RenditionReport, RunReport},
    config::{Rung as ConfiguredRung, StreamConfig},
    recorder::Meta,
    rfc3339::rfc3339,
};

/// What a run starts with.
pub struct Start {
    /// Names it in every media URL.
    pub run_id: String,
    /// What its first segment follows.
    pub start: hls::Start,
    /// The name of its recording: an origin's own, also in a run that two origins share.
    pub recording: String,
    /// Ladders up to this generation belong to the run before.
    pub ladders_before: u64,
}

/// A run.
#[derive(Debug)]
pub struct Run {
    stream: String,
    run_id: String,
    started: SystemTime,
    packager: Packager,
    /// The first segment made here.
    origin_msn: u64,
    ladders: Ladders,
    ladder_config: Vec<ConfiguredRung>,
    immersive: Immersive,
    ladder_threads: u8,
    rungs: Vec<Rung>,
    video: Option<Track>,
    recording: Option<Recording>,
    /// Segments opened here by the source.
    opened: u64,
    environment: Environment,
    ladder_reports: LadderSink,
    ending: bool,
    ended: bool,
    late_syncs: u64,
    /// The source's keyframes are no IDR pictures.
    needs_idr: bool,
    recorder_dropped: u64,
}

impl Run {
    /// Starts a run with the source's tracks.
    pub fn start(
        start: Start,
        config: &StreamConfig,
        tracks: Tracks,
        environment: Environment,
        (stream, ladder_reports): (&str, LadderSink),
    ) -> Result<Self, hls::Error> {
        let Start {
            run_id,
            start,
            recording,
            ladders_before,
        } = start;
        let settings = Config {
            segment_target: config.hls.segment_target.0,
            part_target: config.hls.low_latency.then_some(config.hls.part_target.0),
            window: config.hls.window.0,
            run_id: run_id.clone(),
            immersive: config.immersive,
        };
        let joins = matches!(start, hls::Start::JoinPeer { .. });
        let goes_on = matches!(start, hls::Start::AfterPeer(_) | hls::Start::Restart(_));
        let discontinuities = start.discontinuity_sequence();
        environment.discontinuities.note(stream, discontinuities);
        let packager = Packager::new(settings, start)?;
        let origin_msn = packager.next_msn();
        debug!(stream, run_id, joins, goes_on, "how the run starts");
        let started = environment.clock.wall();
        let event = StreamEvent::RunStarted {
            run_id: run_id.clone(),
            first_msn: origin_msn,
        };
        environment.events.tell(stream, event, started);
        let meta = Meta {
            stream: stream.to_owned(),
            started_at: started,
            run_id: recording,
            immersive: config.immersive,
        };
        let recorder = environment.recorder.as_ref().filter(|_| config.record);
        let recording = recorder.map(|recorder| Recording::new(recorder.clone(), meta));
        let mut run = Self {
            stream: stream.to_owned(),
            run_id,
            started,
            packager,
            ladders: Ladders::after(ladders_before),
            origin_msn,
            ladder_config: config.ladder.clone(),
            immersive: config.immersive,
            ladder_threads: u8::try_from(config.ladder_threads).unwrap_or(u8::MAX),
            rungs: Vec::new(),
            video: None,
            recording,
            opened: 0,
            environment,
            ladder_reports,
            ending: false,
            ended: false,
            late_syncs: 0,
            needs_idr: false,
            recorder_dropped: 0,
        };
        let planned = run.plan(tracks.video.as_ref());
        run.rungs = planned
            .iter()
            .map(|(configured, rung)| Rung::new(*configured, rung))
            .collect();
        let specs = run.rungs.iter().map(|rung| rung.spec.clone()).collect();
        run.packager.start(tracks.clone(), specs)?;
        run.follow(&tracks);
        Ok(run)
    }

    /// The source starts a new timeline: see [`Packager::discontinuity`].
    pub fn discontinuity(&mut self, tracks: Tracks, reason: &str) {
        info!(stream = self.stream, reason, "discontinuity");
        self.environment
            .metrics
            .discontinuities
            .with_label_values(&[&self.stream, reason])
            .inc();
        if let Some(recording) = &mut self.recording {
            recording.discontinuity();
        }
        self.note_discontinuity();
        match self.packager.discontinuity(tracks.clone()) {
            Ok(()) => self.follow(&tracks),
            Err(error) => error!(stream = self.stream, %error, "cannot continue the stream"),
        }
    }

    /// The publisher is gone for now.
    pub fn interrupt(&mut self) {
        self.note_discontinuity();
        self.packager.interrupt();
        self.drain_events();
    }

    /// The same, where another origin has what is missing here.
    pub fn interrupt_incomplete(&mut self) {
        self.note_discontinuity();
        self.packager.interrupt_incomplete();
        self.drain_events();
    }

    /// Viewers are about to be told of one more: noted before they can be.
    fn note_discontinuity(&self) {
        let sequence = self.packager.discontinuity_sequence() + 1;
        self.environment
            .discontinuities
            .note(&self.stream, sequence);
    }

    /// Another run takes its place: nothing of it is shown any more, and its playlists get no end.
    pub fn retire(&mut self) {
        self.ending = true;
        self.ladders.retire(&self.ladder_reports);
        self.close_recording();
    }

    /// The newest ladder's generation: its events come from threads, also after the run.
    pub fn ladders_generation(&self) -> u64 {
        self.ladders.generation()
    }

    /// What the other origin must know of it; `inits` costs a snapshot.
    pub fn status(&mut self, inits: bool) -> RunStatus {
        let snapshot = inits.then(|| self.packager.snapshot());
        let newest = |media: &Arc<hls::MediaSnapshot>| {
            let init = media.retained().last()?.init.as_ref()?;
            Some((media.name().to_owned(), init.index))
        };
        let renditions = snapshot.iter().flat_map(|snapshot| snapshot.renditions());
        RunStatus {
            run_id: self.run_id.clone(),
            origin_msn: self.origin_msn,
            next_msn: self.packager.next_msn(),
            discontinuity_sequence: self.packager.discontinuity_sequence(),
            served: self.packager.constants().is_some(),
            constants: self.packager.constants(),
            inits: renditions.filter_map(newest).collect(),
            last_position: self.packager.last_position(),
        }
    }

    /// Whether it has joined another origin's run that has no constants yet.
    pub fn awaits_constants(&self) -> bool {
        self.packager.awaits_constants()
    }

    /// Ends that wait: see [`Packager::fix_constants`].
    pub fn fix_constants(&mut self, constants: Option<hls::PlaylistConstants>) {
        self.packager.fix_constants(constants);
        self.drain_events();
    }

    /// Its name.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Takes the source's next access unit; the segment it opens, if it does.
    pub fn push(&mut self, unit: AccessUnit, wall: SystemTime) -> Option<Boundary> {
        let mut boundary = None;
        self.record(&unit);
        let (kind, dts) = (unit.kind, unit.dts);
        match self.packager.push_source(unit.clone(), unix_micros(wall)) {
            Ok(pushed) => {
                if kind == MediaKind::Video {
                    self.ladders.push(&unit, pushed.opens_segment);
                }
                self.opened += u64::from(pushed.opens_segment);
                if self.opened > 1
                    && let Some(recording) = &mut self.recording
                {
                    recording.begin();
                }
                boundary = self
                    .packager
                    .newest_boundary()
                    .filter(|_| pushed.opens_segment);
            }
            Err(error) => warn!(stream = self.stream, %error, dts, "access unit left out"),
        }
        self.drain_events();
        boundary
    }

    fn record(&mut self, unit: &AccessUnit) {
        if let Some(recording) = &mut self.recording {
            recording.push(unit);
            let dropped = recording.dropped_units();
            self.environment
                .metrics
                .recorder_dropped
                .inc_by(dropped - self.recorder_dropped);
            self.recorder_dropped = dropped;
        }
    }

    /// Takes what a ladder of this run says.
    pub fn ladder_report(&mut self, report: LadderReport) {
        match report {
            LadderReport::Event(generation, event) => {
                if let Some(event) = self.ladders.admit(generation, event) {
                    self.apply(event);
                }
            }
            LadderReport::Finished(generation) => {
                for event in self.ladders.finished(generation) {
                    self.apply(event);
                }
                if self.ending && self.ladders.is_idle() {
                    self.seal();
                }
            }
        }
    }

    /// Ends the run: at once, or when the ladder has finished.
    pub fn end(&mut self) {
        if self.ending {
            return;
        }
        self.ending = true;
        self.packager.interrupt();
        if !self.ladders.retire(&self.ladder_reports) {
            self.seal();
        }
    }

    /// Nothing more is recorded.
    pub fn close_recording(&mut self) {
        if let Some(recording) = self.recording.take() {
            recording.finish();
        }
    }

    /// Nothing of it is recorded, unless its recording has begun.
    pub fn discard_recording(&mut self) {
        self.recording.take_if(|recording| !recording.has_begun());
    }

    /// Whether it takes nothing more.
    pub fn is_ending(&self) -> bool {
        self.ending
    }

    /// Whether the last playlist is out.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// What viewers see, if it differs from the last time.
    pub fn changed_snapshot(&mut self) -> Option<Arc<Snapshot>> {
        self.packager
            .has_changed()
            .then(|| self.packager.snapshot())
    }

    /// What viewers see.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        self.packager.snapshot()
    }

    /// Lets go of removed segments through `msn`: see [`Packager::release_through`].
    pub fn release_through(&mut self, msn: u64) {
        self.packager.release_through(msn);
    }

    /// Says that pictures lie on the sphere in this way: see [`Packager::set_immersive`]. Rungs of
    /// another projection and the recording stay as they are until the next run.
    pub fn set_immersive(&mut self, immersive: Immersive) {
        self.packager.set_immersive(immersive);
    }

    /// The rungs that lie on the sphere in another way than the source, for players: the size of a
    /// decoded picture tells which rung it is of.
    pub fn reprojected(&self) -> Vec<RungInfo> {
        let specs = self.rungs.iter().map(|rung| &rung.spec);
        let rung = |spec: &RungSpec| {
            Some(RungInfo {
                height: spec.height,
                projection: spec.projection?,
                width: spec.width,
            })
        };
        specs.filter_map(rung).collect()
    }

    /// When it started.
    pub fn started(&self) -> SystemTime {
        self.started
    }

    /// The number and discontinuity sequence that a successor must start at or above.
    pub fn numbers(&self) -> (u64, u64) {
        (
            self.packager.next_msn(),
            self.packager.discontinuity_sequence(),
        )
    }

    /// The same, if viewers have seen any of it.
    pub fn shown(&self) -> Option<(u64, u64)> {
        self.packager.constants().map(|_| self.numbers())
    }

    /// For `/api/streams`.
    pub fn report(&mut self) -> RunReport {
        let snapshot = self.packager.snapshot();
        let rendition = |media: &Arc<hls::MediaSnapshot>| RenditionReport {
            name: media.name().to_owned(),
            last_msn: media.last_msn(),
            segments: media.listed().len(),
        };
        let constants = self.packager.constants();
        RunReport {
            run_id: self.run_id.clone(),
            started_at: rfc3339(self.started),
            next_msn: self.packager.next_msn(),
            target_duration: constants.map(|constants| constants.target_duration),
            late_keyframes: self.late_syncs,
            keyframes: self.packager.keyframes(),
            window_bytes: snapshot.retained_bytes(),
            rungs: self.rungs.iter().map(Rung::report).collect(),
            renditions: snapshot.renditions().iter().map(rendition).collect(),
            recording: self.recording.as_ref().map(|handle| RecordingReport {
                dropped_units: handle.dropped_units(),
            }),
        }
    }

    fn seal(&mut self) {
        self.packager.end();
        self.drain_events();
        self.close_recording();
        self.ended = true;
        let event = StreamEvent::RunEnded {
            run_id: self.run_id.clone(),
            next_msn: self.packager.next_msn(),
        };
        let wall = self.environment.clock.wall();
        self.environment.events.tell(&self.stream, event, wall);
    }

    /// Starts the ladder and the recording's next piece for new tracks.
    fn follow(&mut self, tracks: &Tracks) {
        if let Some(recording) = &mut self.recording {
            let all: Vec<Track> = tracks.video.iter().chain(&tracks.audio).cloned().collect();
            recording.init(&all);
        }
        if self.video == tracks.video {
            return;
        }
        self.video = tracks.video.clone();
        self.start_ladder();
    }

    fn drain_events(&mut self) {
        let stream = self.stream.as_str();
        let mut keyframes_not_idr = false;
        while let Some(event) = self.packager.next_event() {
            match event {
                Event::Ready(constants) => {
                    info!(
                        stream,
                        target_duration = constants.target_duration,
                        "first playlist"
                    );
                }
                Event::Listed(rendition) => info!(stream, %rendition, "rendition listed"),
                Event::LateSync { msn } => {
                    self.late_syncs += 1;
                    if self.late_syncs.is_power_of_two() {
                        let count = self.late_syncs;
                        warn!(
                            stream,
                            msn,
                            count,
                            "no keyframe in time: set the encoder's keyframe interval to 2 s"
                        );
                    }
                }
                Event::Gap { rendition, msn } => debug!(stream, %rendition, msn, "gap"),
                Event::VideoStalled { msn } => {
                    warn!(stream, msn, "pictures stand still; audio goes on")
                }
                Event::VideoResumed { msn } => info!(stream, msn, "pictures are back"),
                Event::KeyframesNotIdr => {
                    warn!(
                        stream,
                        "keyframes are not IDR pictures (open GOP or intra refresh): turn it off in the \
                         encoder; players cannot start the source, which only rungs carry now"
                    );
                    keyframes_not_idr = true;
                }
                Event::KeyframesIdr => {
                    info!(stream, "keyframes are IDR pictures again");
                    self.needs_idr = false;
                }
                _ => {}
            }
        }
        if keyframes_not_idr {
            self.carry_by_rung();
        }
    }
}
