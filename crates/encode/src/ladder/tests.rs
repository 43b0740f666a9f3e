//! Whole ladders on small sources made by the crate's own encoder.

use std::sync::{Arc, Mutex, mpsc};

use media::{AccessUnit, Track};

use super::*;

mod pictures;

use crate::{Error, Picture, h264::CodedPicture, tests::blocks::picture, video};

/// A source of `pictures`, a keyframe each `every`, and its track.
struct Source {
    track: Track,
    units: Vec<AccessUnit>,
    every: usize,
    rate: (u32, u32),
}

fn source(pictures: u32, every: u32, rate: (u32, u32), b_pictures: u8) -> Source {
    let mut config = video::Config::new(128, 64, rate, 400_000);
    config.b_pictures = b_pictures;
    config.preset = "ultrafast".to_owned();
    config.threads = 1;
    let mut encoder = video::Encoder::new(config).unwrap();
    let track = encoder.track().clone();
    let mut units = Vec::new();
    for step in 0..pictures {
        units.extend(
            encoder
                .encode(&picture(128, 64, step), step % every == 0)
                .unwrap(),
        );
    }
    units.extend(encoder.finish().unwrap());
    Source {
        track,
        units,
        every: every as usize,
        rate,
    }
}

fn rungs(source: &Source, widths: &[u32], max_fps: Option<f64>) -> Vec<Rung> {
    let configs: Vec<_> = widths
        .iter()
        .map(|width| {
            let mut config = RungConfig::new(*width, 200_000);
            config.max_fps = max_fps;
            config
        })
        .collect();
    plan(128, 64, Some(source.rate), &configs).unwrap()
}

const STORED: Options = Options {
    pace: Pace::Offline,
    decoder_threads: 1,
    encoder_threads: 1,
    rotation: Rotation::NONE,
};

#[derive(Default)]
struct Output {
    tracks: Vec<Option<Track>>,
    units: Vec<Vec<AccessUnit>>,
    others: Vec<Event>,
}

fn collect(events: impl IntoIterator<Item = Event>, rungs: usize) -> Output {
    let mut output = Output {
        tracks: vec![None; rungs],
        units: vec![Vec::new(); rungs],
        others: Vec::new(),
    };
    for event in events {
        match event {
            Event::Track { rung, track } => output.tracks[rung] = Some(track),
            Event::AccessUnit { rung, unit } => output.units[rung].push(unit),
            other => output.others.push(other),
        }
    }
    output
}

fn transcode(source: &Source, rungs: Vec<Rung>, options: Options) -> Output {
    let count = rungs.len();
    let (sender, events) = mpsc::channel();
    let sink = move |event| sender.send(event).unwrap();
    let mut ladder = Ladder::spawn_with(&source.track, rungs, options, sink).unwrap();
    for (index, unit) in source.units.iter().enumerate() {
        ladder.push(unit.clone(), index % source.every == 0);
    }
    ladder.finish();
    collect(events, count)
}

/// Presentation times are the source's, decode times too where segments open; between, they follow
/// one another without a gap and never pass the presentation.
fn assert_times(source: &Source, units: &[AccessUnit]) {
    let openers = |units: &[AccessUnit]| -> Vec<_> {
        let openers = units.iter().enumerate().filter(|(_, unit)| unit.is_sync());
        openers.map(|(n, unit)| (n, unit.dts, unit.pts)).collect()
    };
    assert_eq!(openers(units), openers(&source.units));
    let shown = |units: &[AccessUnit]| {
        let mut times: Vec<_> = units.iter().map(|unit| unit.pts).collect();
        times.sort_unstable();
        times
    };
    assert_eq!(shown(units), shown(&source.units));
    let end = |unit: &AccessUnit| unit.dts + i64::from(unit.duration);
    assert!(units.windows(2).all(|pair| end(&pair[0]) == pair[1].dts));
    assert_eq!(units.last().map(end), source.units.last().map(end));
    assert!(units.iter().all(|unit| unit.dts <= unit.pts));
}

#[test]
fn rungs_have_the_sources_times_and_keyframes() {
    for (rate, b_pictures) in [((30, 1), 0), ((30_000, 1001), 2), ((25, 1), 3)] {
        let source = source(45, 15, rate, b_pictures);
        let output = transcode(&source, rungs(&source, &[64, 32], None), STORED);
        assert!(output.others.is_empty(), "{:?}", output.others);
        for units in &output.units {
            assert_times(&source, units);
        }
    }
}

#[test]
fn keyframes_only_where_segments_open_not_where_the_source_has_them() {
    let mut source = source(40, 10, (30, 1), 0);
    source.every = 20;
    let output = transcode(&source, rungs(&source, &[64], None), STORED);
    let found: Vec<_> = output.units[0].iter().map(|unit| unit.is_sync()).collect();
    let wanted: Vec<_> = (0..40).map(|index| index % 20 == 0).collect();
    assert_eq!(found, wanted);
}

#[test]
fn max_fps_keeps_every_second_picture() {
    let source = source(42, 14, (30_000, 1001), 2);
    let output = transcode(&source, rungs(&source, &[64], Some(15.0)), STORED);
    let units = &output.units[0];
    assert_eq!(units.len(), 21);
    let mut shown: Vec<_> = source.units.iter().map(|unit| unit.pts).collect();
    shown.sort_unstable();
    let mut kept: Vec<_> = units.iter().map(|unit| unit.pts).collect();
    kept.sort_unstable();
    assert!(kept.iter().eq(shown.iter().step_by(2)));
    let syncs = |units: &[AccessUnit]| -> Vec<_> {
        let syncs = units.iter().filter(|unit| unit.is_sync());
        syncs.map(|unit| (unit.dts, unit.pts)).collect()
    };
    assert_eq!(syncs(units), syncs(&source.units));
}

#[test]
fn ladders_of_a_pair_write_equal_records_and_samples_of_plain_avc1() {
    let source = source(20, 10, (30, 1), 0);
    let one = transcode(&source, rungs(&source, &[64, 32], None), STORED);
    let mut late = Source {
        units: source.units[10..].to_vec(),
        track: source.track.clone(),
        ..source
    };
    late.every = 10;
    let other = transcode(&late, rungs(&late, &[64, 32], None), Options::default());
    assert_eq!(one.tracks, other.tracks);
    for (track, units) in one.tracks.iter().zip(&one.units) {
        let media::VideoConfig::Avc(avc) = &track.as_ref().unwrap().as_video().unwrap().config;
        assert!(avc.rfc6381().starts_with("avc1.6400"));
        for unit in units {
            let mut nals = avc.nal_units(&unit.payload);
            assert!(nals.by_ref().all(|nal| matches!(nal[0] & 31, 1 | 5 | 6)));
            assert!(nals.rest().is_empty());
        }
    }
}

#[test]
fn starts_at_the_first_segment_and_ends_without_output_when_there_is_none() {
    let mut source = source(20, 10, (30, 1), 0);
    source.units.drain(..5);
    source.every = 5;
    let late = transcode(&source, rungs(&source, &[64], None), STORED);
    assert_eq!(
        late.units[0].first().map(|unit| unit.dts),
        source.units.get(5).map(|u| u.dts)
    );
    source.units.truncate(3);
    let none = transcode(&source, rungs(&source, &[64], None), STORED);
    assert!(none.units[0].is_empty() && none.others.is_empty());
}

#[test]
fn damage_costs_pictures_and_leaves_no_gap_in_time() {
    let clean = source(60, 15, (30, 1), 2);
    for (from, to) in [(3, 5), (15, 16), (20, 22), (15, 31), (29, 30)] {
        let mut damaged = source(60, 15, (30, 1), 2);
        for unit in &mut damaged.units[from..to] {
            let mut bytes = unit.payload.to_vec();
            bytes.truncate(bytes.len() / 2);
            bytes.iter_mut().step_by(3).for_each(|byte| *byte ^= 0x5a);
            unit.payload = bytes.into();
        }
        let output = transcode(&damaged, rungs(&damaged, &[64], None), STORED);
        let units = &output.units[0];
        assert!(units.windows(2).all(|w| w[0].dts < w[1].dts));
        let mut gap = None;
        for event in &output.others {
            match event {
                Event::Shed { from, .. } => gap = Some(*from),
                Event::Resumed { at, .. } => {
                    assert!(clean.units.iter().any(|u| u.is_sync() && u.dts == *at));
                }
                Event::Damaged { units, .. } => assert!(*units > 0),
                other => panic!("{other:?}"),
            }
        }
        for pair in units.windows(2) {
            let end = pair[0].dts + i64::from(pair[0].duration);
            assert!(end == pair[1].dts || Some(end) == gap, "{from}..{to}");
        }
        let ends = |u: &AccessUnit| u.dts + i64::from(u.duration);
        assert_eq!(units.last().map(ends), clean.units.last().map(ends));
        let opens: Vec<_> = clean
            .units
            .iter()
            .filter(|u| u.is_sync())
            .map(|u| u.dts)
            .collect();
        assert!(
            units
                .iter()
                .filter(|u| u.is_sync())
                .all(|u| opens.contains(&u.dts))
        );
        assert!(units.len() > 25);
    }
}

#[test]
fn garbage_and_empty_units_never_end_it() {
    let mut source = source(45, 15, (30, 1), 0);
    for (index, unit) in source.units.iter_mut().enumerate().skip(1).take(20) {
        unit.payload = match index % 3 {
            0 => bytes::Bytes::new(),
            1 => bytes::Bytes::from_static(&[0, 0, 0, 9, 0x65, 1, 2]),
            _ => bytes::Bytes::from(vec![0xff; 300]),
        };
    }
    let output = transcode(&source, rungs(&source, &[64], None), STORED);
    assert!(
        output.units[0]
            .iter()
            .any(|unit| unit.pts == source.units[44].pts)
    );
}

/// An encoder that takes a picture only when a permit is given.
struct Gated {
    inner: Box<dyn rung::VideoEncoder>,
    permits: Arc<Mutex<mpsc::Receiver<()>>>,
}

impl rung::VideoEncoder for Gated {
    fn config(&self) -> &media::avc::Config {
        self.inner.config()
    }
    fn reorder_depth(&self) -> u32 {
        self.inner.reorder_depth()
    }
    fn send(&mut self, picture: &Picture, number: i64, keyframe: bool) -> Result<(), Error> {
        // When the test drops its end, there are permits for all.
        let _ = self.permits.lock().unwrap().recv();
        self.inner.send(picture, number, keyframe)
    }
    fn receive(&mut self) -> Result<Option<CodedPicture>, Error> {
        self.inner.receive()
    }
    fn send_end(&mut self) -> Result<(), Error> {
        self.inner.send_end()
    }
}

/// Opens real encoders; the rung of `width` gets a gated one.
fn gated(width: u32) -> (mpsc::Sender<()>, Arc<OpenEncoder>) {
    let (permit, permits) = mpsc::channel();
    let permits = Arc::new(Mutex::new(permits));
    let open = move |settings: &Settings| -> Result<Box<dyn rung::VideoEncoder>, Error> {
        let inner: Box<dyn rung::VideoEncoder> = Box::new(H264Encoder::open(settings)?);
        if settings.width != width {
            return Ok(inner);
        }
        let permits = permits.clone();
        Ok(Box::new(Gated { inner, permits }))
    };
    (permit, Arc::new(open))
}

/// Little backlog is too much, and calm is believed at once.
const STRICT: Overload = Overload {
    lag_max: Duration::from_millis(100),
    patience: Duration::from_secs(1),
    skip_lag: Duration::from_secs(3600),
    calm_lag: Duration::from_secs(3600),
    backoff: Duration::ZERO,
    backoff_max: Duration::ZERO,
};

#[test]
fn a_stuck_encoder_is_dropped_and_comes_back_where_a_segment_opens() {
    let source = source(150, 10, (30, 1), 0);
    let rungs = rungs(&source, &[64, 32], None);
    let options = Options {
        pace: Pace::Live(STRICT),
        ..STORED
    };
    let (permit, open) = gated(32);
    let (sender, events) = mpsc::channel();
    let sink = Box::new(move |event| sender.send(event).unwrap());
    let track = &source.track;
    let mut ladder = Ladder::spawn_coding(track, rungs, options, sink, open).unwrap();
    let mut seen = Vec::new();
    let mut units = source.units.iter().enumerate();
    let mut push = |ladder: &mut Ladder, count: usize| {
        for (index, unit) in units.by_ref().take(count) {
            ladder.push(unit.clone(), index % source.every == 0);
        }
    };
    // No permit: its queue fills, then the backlog grows. The healthy larger rung must survive, and
    // go on.
    push(&mut ladder, 60);
    let goes_on =
        |e: &Event| matches!(e, Event::AccessUnit { rung: 0, unit } if unit.dts > 40 * 12_000);
    await_event(&events, &mut seen, goes_on);
    // The encoder wakes up, so the gap can be told; then it comes back.
    drop(permit);
    await_event(&events, &mut seen, |e| {
        matches!(e, Event::Shed { rung: 1, .. })
    });
    push(&mut ladder, 90);
    ladder.finish();
    seen.extend(events);
    let shed = seen.iter().find_map(|e| match e {
        Event::Shed {
            rung: 1,
            from,
            reason,
        } => Some((*from, *reason)),
        _ => None,
    });
    let (from, reason) = shed.unwrap();
    assert_eq!(reason, ShedReason::Overload);
    let at = seen.iter().find_map(|e| match e {
        Event::Resumed { rung: 1, at } => Some(*at),
        _ => None,
    });
    let at = at.unwrap();
    assert_eq!(at % (10 * 12_000), 0);
    let output = collect(seen, 2);
    assert_times(&source, &output.units[0]);
    let before: Vec<_> = output.units[1].iter().filter(|u| u.dts < from).collect();
    let last = before.last().unwrap();
    assert_eq!(last.dts + i64::from(last.duration), from);
    let back = output.units[1].iter().find(|u| u.dts >= from).unwrap();
    assert!(back.dts == at && back.is_sync());
}

fn await_event(
    events: &mpsc::Receiver<Event>,
    seen: &mut Vec<Event>,
    wanted: impl Fn(&Event) -> bool,
) {
    while !seen.last().is_some_and(&wanted) {
        seen.push(events.recv().unwrap());
    }
}

#[test]
fn an_encoder_that_fails_is_told_and_tried_again_where_a_segment_opens() {
    struct Failing(Box<dyn rung::VideoEncoder>);
    impl rung::VideoEncoder for Failing {
        fn config(&self) -> &media::avc::Config {
            self.0.config()
        }
        fn reorder_depth(&self) -> u32 {
            self.0.reorder_depth()
        }
        fn send(&mut self, picture: &Picture, number: i64, keyframe: bool) -> Result<(), Error> {
            match number {
                7 => Err(Error::Track("cable pulled")),
                _ => self.0.send(picture, number, keyframe),
            }
        }
        fn receive(&mut self) -> Result<Option<CodedPicture>, Error> {
            self.0.receive()
        }
        fn send_end(&mut self) -> Result<(), Error> {
            self.0.send_end()
        }
    }
    let source = source(60, 10, (30, 1), 0);
    let open = |settings: &Settings| -> Result<Box<dyn rung::VideoEncoder>, Error> {
        Ok(Box::new(Failing(Box::new(H264Encoder::open(settings)?))))
    };
    let options = Options {
        pace: Pace::Live(Overload {
            lag_max: Duration::from_secs(3600),
            ..STRICT
        }),
        ..STORED
    };
    let (sender, events) = mpsc::channel();
    let sink = Box::new(move |event| sender.send(event).unwrap());
    let rungs = rungs(&source, &[64], None);
    let track = &source.track;
    let mut ladder = Ladder::spawn_coding(track, rungs, options, sink, Arc::new(open)).unwrap();
    for (index, unit) in source.units.iter().enumerate() {
        ladder.push(unit.clone(), index % source.every == 0);
    }
    ladder.finish();
    let output = collect(events, 1);
    let gaps = output.others.iter().map(|event| match event {
        Event::Failed { from, reason, .. } => {
            assert!(reason.contains("cable pulled"));
            (true, *from)
        }
        Event::Resumed { at, .. } => (false, *at),
        other => panic!("{other:?}"),
    });
    let gaps: Vec<_> = gaps.collect();
    assert!(gaps.len() >= 2 && gaps[0].0 && !gaps[1].0);
    for (index, (_, at)) in gaps.iter().enumerate().filter(|(_, gap)| !gap.0) {
        assert_eq!(at % 120_000, 0);
        assert!(*at > gaps[index - 1].1);
    }
    assert!(
        output.units[0]
            .iter()
            .all(|unit| unit.is_sync() == (unit.dts % 120_000 == 0))
    );
}

#[test]
fn late_decoding_skips_to_a_segment_and_says_so() {
    let source = source(300, 10, (30, 1), 0);
    let options = Options {
        pace: Pace::Live(Overload {
            lag_max: Duration::from_secs(3600),
            skip_lag: Duration::from_secs(2),
            ..STRICT
        }),
        ..STORED
    };
    let (permit, open) = gated(64);
    let (sender, events) = mpsc::channel();
    let sink = Box::new(move |event| sender.send(event).unwrap());
    let rungs = rungs(&source, &[64], None);
    let track = &source.track;
    let mut ladder = Ladder::spawn_coding(track, rungs, options, sink, open).unwrap();
    let mut seen = Vec::new();
    for (index, unit) in source.units.iter().enumerate() {
        ladder.push(unit.clone(), index % source.every == 0);
        if index == 10 {
            await_event(&events, &mut seen, |e| matches!(e, Event::Track { .. }));
        }
    }
    drop(permit);
    ladder.finish();
    seen.extend(events);
    let output = collect(seen, 1);
    let count = |wanted: fn(&Event) -> bool| output.others.iter().filter(|e| wanted(e)).count();
    assert!(count(|e| matches!(e, Event::Skipped { .. })) > 0);
    let sheds = count(|e| {
        matches!(
            e,
            Event::Shed {
                reason: ShedReason::NothingDecoded,
                ..
            }
        )
    });
    assert_eq!(sheds, count(|e| matches!(e, Event::Resumed { .. })));
    assert!(sheds > 0);
    let units = &output.units[0];
    assert!(
        units
            .iter()
            .all(|unit| unit.is_sync() == (unit.dts % 120_000 == 0))
    );
    assert!(units.windows(2).all(|w| {
        let end = w[0].dts + i64::from(w[0].duration);
        end == w[1].dts || (end < w[1].dts && end % 120_000 == 0 && w[1].is_sync())
    }));
}

#[test]
fn push_never_waits_and_dropping_ends_the_threads() {
    let source = source(30, 10, (30, 1), 0);
    let (permit, open) = gated(64);
    let (sender, events) = mpsc::channel();
    let sink = Box::new(move |event| drop(sender.send(event)));
    let rungs = rungs(&source, &[64], None);
    let track = &source.track;
    let options = Options::default();
    let mut ladder = Ladder::spawn_coding(track, rungs, options, sink, open).unwrap();
    // Far more than all queues hold, with an encoder that takes nothing.
    for round in 0..50 {
        for (index, unit) in source.units.iter().enumerate() {
            let mut unit = unit.clone();
            unit.dts += round * 30 * 12_000;
            unit.pts += round * 30 * 12_000;
            ladder.push(unit, index % source.every == 0);
        }
    }
    drop(permit);
    drop(ladder);
    // The sink is gone with the threads, so this ends.
    assert!(events.iter().count() < 3000);
}

#[test]
fn a_ladder_needs_video() {
    let track = Track::audio(media::aac::Config::lc(48_000, 2).unwrap());
    let error = Ladder::spawn(&track, Vec::new(), |_| {}).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot use this track: a ladder needs video"
    );
}
