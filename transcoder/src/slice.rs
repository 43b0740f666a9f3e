//! One slice of a plan: read once, decode once, encode all rungs, write every segment, then say so.
//!
//! ```text
//! source ─► thread: demux ─┬─ source video, audio ──────────┐
//!                          └─► ladder's threads ─► rungs ───┴─► bounded channel ─► writers ─► store
//! ```
//!
//! An encoder that starts cold spends its first second badly, which viewers see as a pulse at every
//! slice's edge. So each slice begins to encode one group early and throws that group away.
//!
//! Audio is copied unit by unit, never decoded: there is nothing to prime, to pad or to click at an
//! edge. What this does not do: decide anything about the whole asset.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use contract::{AUDIO, SOURCE};
use encode::ladder::{Event, Ladder, Options, Pace};
use media::{AccessUnit, Immersive, MediaKind, Projection, Track, VIDEO_TIMESCALE};
use tokio::sync::mpsc;

use crate::{
    error::{Error, Result},
    layout::Manifest,
    plan::{Plan, Segment},
    progress::Meter,
    rendition_writer::RenditionWriter,
    retrying_store::RetryingStore,
    source::Source,
    thumbnails::Thumbnails,
};

/// Coded units on their way from encoders to the store. With all rungs of 30 per second some 4 s;
/// when the store is slow, encoders wait.
const UNITS_MAX: usize = 1024;

/// Video read on after the slice's end while its last audio has not come: interleaving is far
/// closer.
const AUDIO_LATE_SECONDS: i64 = 4;

/// What the threads hand to the writers. The number is the writer's.
enum Item {
    Track(usize, Track),
    Unit(usize, AccessUnit),
    Failed(String),
}

/// Makes slice `number` of `plan` and gives its manifest, which the caller writes.
pub async fn make(
    plan: &Arc<Plan>,
    number: u32,
    source: impl FnOnce() -> Result<Source> + Send + 'static,
    store: &RetryingStore,
    meter: Meter,
    cancel: Arc<AtomicBool>,
) -> Result<Manifest> {
    let (sender, mut items) = mpsc::channel(UNITS_MAX);
    let work = Work {
        plan: plan.clone(),
        number,
        sender,
        cancel: cancel.clone(),
        meter,
    };
    let thread = tokio::task::spawn_blocking(move || work.run(source()?));
    let mut writers = writers(plan, number)?;
    let mut thumbnails = Thumbnails::of(plan, number)?;
    let written = write(
        &mut items,
        &mut writers,
        &mut thumbnails,
        store,
        plan,
        number,
    )
    .await;
    if written.is_err() {
        cancel.store(true, Ordering::Relaxed);
    }
    drop(items);
    let produced = match thread.await {
        Ok(produced) => produced,
        Err(error) => Err(failed(plan, number, error)),
    };
    // A failure of the store shows in both; the one that wrote knows why.
    written?;
    produced?;
    let mut renditions = Vec::new();
    for writer in writers {
        renditions.extend(writer.finish(store).await?);
    }
    if renditions.is_empty() {
        return Err(failed(plan, number, "nothing in it could be decoded"));
    }
    let sheets = thumbnails.write(store, plan, number).await?;
    Ok(Manifest {
        slice: number,
        renditions,
        sheets,
    })
}

fn writers(plan: &Plan, number: u32) -> Result<Vec<RenditionWriter>> {
    let segments: Vec<(u32, Segment)> = plan
        .slice(number)
        .map(|(n, segment)| (n, segment.clone()))
        .collect();
    let immersive = plan.immersive();
    let rate = |(n, d): (u32, u32)| f64::from(n) / f64::from(d.max(1));
    let writer = |name: &str, projection: Option<Projection>, rate| {
        let projection = projection.unwrap_or(immersive.projection);
        let immersive = Immersive {
            projection,
            ..immersive
        };
        RenditionWriter::new(&plan.asset, name, immersive, rate, segments.clone())
    };
    let mut writers = Vec::new();
    if plan.copy {
        writers.push(writer(
            SOURCE,
            None,
            plan.video.map(|(_, _, source)| rate(source)),
        ));
    }
    for rung in plan.rungs().map_err(Error::Ladder)? {
        let projection = rung.reprojection.map(|reprojection| reprojection.to);
        writers.push(writer(&rung.name, projection, Some(rate(rung.frame_rate))));
    }
    if plan.audio.is_some() {
        writers.push(writer(AUDIO, None, None));
    }
    Ok(writers)
}

async fn write(
    items: &mut mpsc::Receiver<Item>,
    writers: &mut [RenditionWriter],
    thumbnails: &mut Thumbnails,
    store: &RetryingStore,
    plan: &Plan,
    number: u32,
) -> Result<()> {
    while let Some(item) = items.recv().await {
        match item {
            Item::Track(writer, track) => {
                thumbnails.track(writer, &track);
                if let Some(writer) = writers.get_mut(writer) {
                    writer.track(store, track).await?;
                }
            }
            Item::Unit(writer, unit) => {
                thumbnails.unit(writer, &unit);
                if let Some(writer) = writers.get_mut(writer) {
                    writer.unit(store, unit).await?;
                }
            }
            Item::Failed(reason) => return Err(failed(plan, number, reason)),
        }
    }
    Ok(())
}

fn failed(plan: &Plan, slice: u32, reason: impl ToString) -> Error {
    Error::Slice {
        asset: plan.asset.clone(),
        slice,
        reason: reason.to_string(),
    }
}

/// The blocking side.
struct Work {
    plan: Arc<Plan>,
    number: u32,
    sender: mpsc::Sender<Item>,
    cancel: Arc<AtomicBool>,
    meter: Meter,
}

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
    fn run(self, mut source: Source) -> Result<()> {
        let Some(span) = Span::of(&self.plan, self.number) else {
            return Err(failed(
                &self.plan,
                self.number,
                "the plan has no such slice",
            ));
        };
        let rungs = self.plan.rungs().map_err(Error::Ladder)?;
        let first_rung = usize::from(self.plan.copy);
        let audio_writer = first_rung + rungs.len();
        let mut ladder = match source.video() {
            Some(track) if !rungs.is_empty() => {
                let options = Options {
                    pace: Pace::Offline,
                    rotation: source.rotation(),
                    ..Options::default()
                };
                let sink = self.sink(first_rung);
                let ladder = Ladder::spawn_with(track, rungs, options, sink);
                Some(ladder.map_err(|error| failed(&self.plan, self.number, error))?)
            }
            _ => None,
        };
        if let (true, Some(track)) = (self.plan.copy, source.video()) {
            self.send(Item::Track(0, track.clone()))?;
        }
        if let (true, Some(track)) = (self.plan.audio.is_some(), source.audio()) {
            self.send(Item::Track(audio_writer, track.clone()))?;
        }
        self.read(&mut source, &span, ladder.as_mut(), audio_writer)?;
        if let Some(ladder) = ladder {
            ladder.finish();
        }
        self.meter.reach(span.end);
        self.alive()
    }

    fn sink(&self, first_rung: usize) -> impl FnMut(Event) + Send + 'static {
        let (sender, cancel) = (self.sender.clone(), self.cancel.clone());
        let (asset, number) = (self.plan.asset.clone(), self.number);
        move |event| {
            let item = match event {
                Event::Track { rung, track } => Item::Track(first_rung + rung, track),
                Event::AccessUnit { rung, unit } => Item::Unit(first_rung + rung, unit),
                Event::Failed { reason, .. } => Item::Failed(reason),
                Event::Damaged { units, reason } => {
                    tracing::warn!(asset, slice = number, units, reason, "damaged video");
                    return;
                }
                _ => return,
            };
            if sender.blocking_send(item).is_err() {
                cancel.store(true, Ordering::Relaxed);
            }
        }
    }

    fn read(
        &self,
        source: &mut Source,
        span: &Span,
        mut ladder: Option<&mut Ladder>,
        audio_writer: usize,
    ) -> Result<()> {
        let audio = source.audio().map(|track| track.timescale);
        let (mut video_done, mut audio_done) = (source.video().is_none(), audio.is_none());
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
                    let timescale = audio.unwrap_or(VIDEO_TIMESCALE);
                    let moment = timescale.rescale(unit.dts, VIDEO_TIMESCALE);
                    audio_done |= moment >= span.audio.end;
                    if span.audio.contains(&moment) {
                        self.send(Item::Unit(audio_writer, unit))?;
                    }
                }
            }
        }
        Ok(())
    }

    fn send(&self, item: Item) -> Result<()> {
        self.sender
            .blocking_send(item)
            .map_err(|_| Error::Interrupted)
    }

    fn alive(&self) -> Result<()> {
        if self.cancel.load(Ordering::Relaxed) {
            Err(Error::Interrupted)
        } else {
            Ok(())
        }
    }
}
