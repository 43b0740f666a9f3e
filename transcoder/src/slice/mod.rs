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
//! A recording's audio is copied unit by unit: there is nothing to prime, to pad or to click at an
//! edge. Uploads go a longer way, see [`upload`]. What this does not do: decide anything about the
//! whole asset.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use contract::SOURCE;
use encode::ladder::Event;
use media::{AccessUnit, Immersive, Projection, Track};
use tokio::sync::mpsc;

use crate::{
    error::{Error, Result},
    layout::{Manifest, Notes},
    plan::{Plan, Segment},
    progress::Meter,
    rendition_writer::RenditionWriter,
    retrying_store::RetryingStore,
    source::Source,
    thumbnails::Thumbnails,
};

mod audio;
mod pictures;
mod recording;
mod upload;

/// Coded units on their way from encoders to the store. With all rungs of 30 per second some 4 s;
/// when the store is slow, encoders wait.
const UNITS_MAX: usize = 1024;

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
        damaged: Arc::default(),
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
    let notes = produced?;
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
        notes,
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
    for audio in &plan.audio {
        writers.push(writer(&audio.name, None, None));
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
    /// Pictures that the ladder could not decode.
    damaged: Arc<AtomicU64>,
}

impl Work {
    fn run(self, source: Source) -> Result<Notes> {
        let mut notes = match self.plan.upload {
            Some(_) => self.run_upload(source.upload()?)?,
            None => self.run_recording(source.recording()?)?,
        };
        let end = self.plan.slice(self.number).last();
        self.meter.reach(end.map_or(0, |(_, segment)| segment.end));
        self.alive()?;
        notes.damaged += self.damaged.load(Ordering::Relaxed);
        Ok(notes)
    }

    /// The first audio rendition's writer.
    fn first_audio(&self) -> Result<usize> {
        let rungs = self.plan.rungs().map_err(Error::Ladder)?;
        Ok(usize::from(self.plan.copy) + rungs.len())
    }

    fn sink(&self, first_rung: usize) -> impl FnMut(Event) + Send + 'static {
        let (sender, cancel) = (self.sender.clone(), self.cancel.clone());
        let (asset, number) = (self.plan.asset.clone(), self.number);
        let damaged = self.damaged.clone();
        move |event| {
            let item = match event {
                Event::Track { rung, track } => Item::Track(first_rung + rung, track),
                Event::AccessUnit { rung, unit } => Item::Unit(first_rung + rung, unit),
                Event::Failed { reason, .. } => Item::Failed(reason),
                Event::Damaged { units, reason } => {
                    tracing::warn!(asset, slice = number, units, reason, "damaged video");
                    damaged.fetch_add(units, Ordering::Relaxed);
                    return;
                }
                _ => return,
            };
            if sender.blocking_send(item).is_err() {
                cancel.store(true, Ordering::Relaxed);
            }
        }
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
