//! Messages to assets: any number of workers, on any number of machines, with nothing shared but
//! the queue and the stores.
//!
//! ```text
//! event ──► plan (once: the first one written counts) ──► one job per slice
//! job   ──► slice (unless its manifest is there) ──► manifest ──► all there? stitch
//! ```
//!
//! A message is deleted only after what it asks for can be read. So whatever dies where, its
//! message comes back and the work goes on from what is in the store; what is there is not made
//! again. A job that cannot succeed becomes a dead letter with the reason, at once or on its last
//! delivery.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jobs::{Delivery, Lease, Queue, event};
use service::{
    drain::{Phase, Watch},
    http::fnv1a,
};
use store::{Address, Created, Store};
use tokio::runtime::Handle;

use crate::{
    error::{Error, Result},
    input::Input,
    job::{self, Kind, SliceJob},
    layout::{self, WORK_BYTES_MAX},
    plan::{self, Plan, Recording, Settings},
    progress::{Failure, Progress, Running},
    retrying_store::RetryingStore,
    slice,
    source::{self, Source},
    stitch::{self, Stitched},
};

/// A job that failed for a passing reason is tried again after this, times its deliveries so far.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A queue that fails is asked again after this.
const QUEUE_AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A job is given back at least this long before the machine is gone.
const BEFORE_DEADLINE: Duration = Duration::from_secs(10);

/// A drain waits this long for a message that the queue may be about to hand over.
const LAST_MESSAGE: Duration = Duration::from_millis(500);

/// A sidecar beyond this is damaged.
const SIDECAR_BYTES_MAX: u64 = 64 << 20;

/// What a worker works with. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Worker {
    ingest: RetryingStore,
    ingest_address: Address,
    egress: RetryingStore,
    queue: Arc<dyn Queue>,
    settings: Settings,
    progress: Progress,
    /// When the machine is gone, on tokio's clock; set once by a drain.
    deadline: Arc<std::sync::OnceLock<tokio::time::Instant>>,
}

impl Worker {
    /// A worker on these stores and this queue.
    pub fn new(
        ingest: Arc<dyn Store>,
        egress: Arc<dyn Store>,
        queue: Arc<dyn Queue>,
        settings: Settings,
        progress: Progress,
    ) -> Result<Self> {
        let ingest_address = Address::parse(ingest.url())?;
        Ok(Self {
            ingest: RetryingStore::new(ingest),
            ingest_address,
            egress: RetryingStore::new(egress),
            queue,
            settings,
            progress,
            deadline: Arc::default(),
        })
    }

    /// The same with other waits between attempts.
    pub fn with_backoff(mut self, backoff: service::backoff::Backoff) -> Self {
        self.ingest = self.ingest.with_waits(backoff);
        self.egress = self.egress.with_waits(backoff);
        self
    }

    /// How long a drain may take; to be said before it begins.
    pub fn set_deadline(&self, left: Duration) {
        let _ = self.deadline.set(tokio::time::Instant::now() + left);
    }

    /// Takes jobs, `slots` at a time, until `drain` says to leave; ends when all are done or given
    /// back.
    pub async fn run(&self, slots: usize, drain: Watch) {
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..slots.max(1) {
            let (worker, drain) = (self.clone(), drain.clone());
            running.spawn(async move { worker.take_jobs(drain).await });
        }
        while running.join_next().await.is_some() {}
    }

    async fn take_jobs(&self, drain: Watch) {
        loop {
            if drain.is_leaving() {
                return;
            }
            let receiving = self.queue.receive(1, jobs::WAIT_MAX);
            tokio::pin!(receiving);
            let received = tokio::select! {
                received = &mut receiving => received,
                () = drain.reached(Phase::Leaving) => {
                    // A message may be on its way to us: it is given back rather than left to time
                    // out.
                    if let Ok(Ok(taken)) = tokio::time::timeout(LAST_MESSAGE, receiving).await {
                        self.give_back(&taken).await;
                    }
                    return;
                }
            };
            match received {
                Ok(deliveries) => {
                    for delivery in deliveries {
                        self.handle(delivery, &drain).await;
                    }
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot take jobs for now");
                    tokio::time::sleep(QUEUE_AGAIN_AFTER).await;
                }
            }
        }
    }

    async fn give_back(&self, taken: &[Delivery]) {
        for delivery in taken {
            if let Err(error) = self.queue.release(&delivery.receipt, "interrupted").await {
                tracing::warn!(%error, "cannot give a job back: it comes back by itself");
            }
        }
    }

    /// Does what one message asks for, and settles the message.
    pub async fn handle(&self, delivery: Delivery, drain: &Watch) {
        let name = job::describe(&delivery.body);
        let lease = Lease::hold(self.queue.clone(), delivery);
        let cancel = Arc::new(AtomicBool::new(false));
        let result = {
            let work = self.work(lease.delivery(), &cancel, drain);
            tokio::pin!(work);
            tokio::select! {
                result = &mut work => result,
                () = lease.lost() => {
                    cancel.store(true, Ordering::Relaxed);
                    let _ = work.await;
                    Err(Error::Interrupted)
                }
            }
        };
        self.settle(lease, &name, result).await;
    }

    async fn settle(&self, lease: Lease, name: &str, result: Result<()>) {
        let last = lease.delivery().receive_count >= self.queue.max_receives();
        let count = lease.delivery().receive_count;
        let settled = match result {
            Ok(()) => lease.done().await,
            Err(Error::Interrupted) => {
                tracing::info!(job = name, "given back");
                lease.release("interrupted").await
            }
            Err(error) => {
                let dead = last || error.is_permanent();
                let reason = error.to_string();
                tracing::warn!(job = name, %error, dead, "job failed");
                self.progress.failed(Failure {
                    job: name.into(),
                    reason: reason.clone(),
                    dead,
                });
                if dead {
                    lease.dead_letter(&reason).await
                } else {
                    lease.postpone(AGAIN_AFTER * count).await
                }
            }
        };
        // The message comes back by itself, and finds its work done.
        if let Err(error) = settled {
            tracing::warn!(job = name, %error, "cannot settle a job");
        }
    }

    async fn work(
        &self,
        delivery: &Delivery,
        cancel: &Arc<AtomicBool>,
        drain: &Watch,
    ) -> Result<()> {
        if let Some(job) = SliceJob::parse(&delivery.body) {
            return self.slice(&job, cancel, drain).await;
        }
        match event::parse(&delivery.body) {
            event::Message::Test => Ok(()),
            event::Message::Created { objects, ignored } => {
                for reason in ignored {
                    tracing::info!(message = delivery.id, reason, "ignored an event");
                }
                for object in objects {
                    self.intake(&object, delivery).await?;
                }
                Ok(())
            }
            event::Message::Foreign => {
                let what = format!("message {}", delivery.id);
                Err(Error::recording(
                    &what,
                    "it is neither an event of S3 nor a job of ours",
                ))
            }
        }
    }

    /// An object was created: makes its plan and sends its slices out.
    async fn intake(&self, object: &event::ObjectCreated, delivery: &Delivery) -> Result<()> {
        let (bucket, key) = (&object.bucket, &object.key);
        let key = match job::kind(&self.ingest_address, self.ingest.url(), bucket, key) {
            Kind::Recording(key) => key,
            Kind::Sidecar => return Ok(()),
            Kind::Elsewhere => {
                tracing::info!(bucket, key, "not in the ingest store: ignored");
                return Ok(());
            }
            Kind::Refused(reason) => {
                self.refuse(key, reason);
                return Ok(());
            }
        };
        let Some(found) = self.ingest.find(key).await? else {
            return Err(Error::recording(key, "it is gone from the ingest store"));
        };
        let asset = job::asset_name(key, &found.etag);
        if self
            .egress
            .find(&layout::multivariant(&asset))
            .await?
            .is_some()
        {
            tracing::info!(asset, "already complete");
            return Ok(());
        }
        let author = format!("{:016x}", fnv1a(delivery.receipt.0.as_bytes()));
        let plan = match self.plan(&asset).await? {
            Some(plan) => plan,
            None => self.make_plan(key, &found, &asset, &author).await?,
        };
        if plan.author != author && !self.is_orphan(&asset, delivery).await? {
            tracing::info!(asset, "already planned");
            return Ok(());
        }
        let slices = 0..plan.slices.len() as u32;
        let bodies: Vec<String> = slices.map(|n| SliceJob::new(&asset, n).body()).collect();
        self.queue.send(&bodies).await?;
        self.egress
            .put(&layout::sent(&asset), Default::default(), layout::WORK)
            .await?;
        tracing::info!(
            asset,
            slices = bodies.len(),
            seconds = plan.seconds(),
            "planned"
        );
        Ok(())
    }

    /// Says what will not become VOD, to people. Its message needs no place among the dead letters:
    /// nobody can mend it.
    fn refuse(&self, key: &str, reason: String) {
        let error = Error::recording(key, reason);
        tracing::warn!(%error, "refused");
        self.progress.failed(Failure {
            job: key.into(),
            reason: error.to_string(),
            dead: true,
        });
    }

    /// Whether nobody sends the slices of another's plan. After a second event for a recording the
    /// first one's worker does, unless it died: then its message comes again, or was given up long
    /// ago and an operator sent it anew.
    async fn is_orphan(&self, asset: &str, delivery: &Delivery) -> Result<bool> {
        if self.egress.find(&layout::sent(asset)).await?.is_some() {
            return Ok(false);
        }
        let Some(plan) = self.egress.find(&layout::plan(asset)).await? else {
            return Ok(false);
        };
        let age = plan.modified.elapsed().unwrap_or_default();
        Ok(delivery.receive_count > 1 || age > self.queue.visibility())
    }

    async fn plan(&self, asset: &str) -> Result<Option<Plan>> {
        let key = layout::plan(asset);
        let Some(bytes) = self.egress.read(&key, WORK_BYTES_MAX).await? else {
            return Ok(None);
        };
        let plan: Plan = serde_json::from_slice(&bytes).map_err(|error| Error::Work {
            what: key,
            reason: error.to_string(),
        })?;
        Ok(Some(plan))
    }

    /// Makes and writes a plan. When another worker was faster, its plan counts.
    async fn make_plan(
        &self,
        key: &str,
        object: &store::Object,
        asset: &str,
        author: &str,
    ) -> Result<Plan> {
        let recording = Recording {
            key: key.into(),
            etag: object.etag.clone(),
            bytes: object.size,
        };
        let open = self.opener(&recording).await?;
        let settings = self.settings.clone();
        let probed = tokio::task::spawn_blocking(move || open()?.probe(&settings)).await;
        let mut probe = probed.unwrap_or_else(|error| Err(Error::recording(key, error)))?;
        probe.stream.get_or_insert_with(|| job::stream_name(key));
        let written = object
            .modified
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        probe.started_at.get_or_insert(written.as_secs_f64());
        let mut plan =
            plan::plan(asset.into(), recording, &probe, &self.settings).map_err(Error::Ladder)?;
        plan.author = author.into();
        let text = serde_json::to_vec(&plan).map_err(|error| Error::Work {
            what: asset.into(),
            reason: error.to_string(),
        })?;
        let name = layout::plan(asset);
        match self
            .egress
            .put_if_absent(&name, text.into(), layout::WORK)
            .await?
        {
            Created::Yes => Ok(plan),
            Created::Existed => self.plan(asset).await.map(|other| other.unwrap_or(plan)),
        }
    }

    /// How to open a recording on a thread that may block.
    async fn opener(
        &self,
        recording: &Recording,
    ) -> Result<impl FnOnce() -> Result<Source> + Send + 'static + use<>> {
        let Recording { key, bytes, .. } = recording.clone();
        let stem = key.rsplit_once('.').map_or(key.as_str(), |(stem, _)| stem);
        let beside = self
            .ingest
            .read(&format!("{stem}.json"), SIDECAR_BYTES_MAX)
            .await?;
        let sidecar = beside.and_then(|bytes| source::parse_sidecar(&bytes));
        let (store, runtime) = (self.ingest.clone(), Handle::current());
        Ok(move || {
            let input = Input::object(store, key.clone(), bytes, runtime);
            Source::new(&key, input, sidecar)
        })
    }

    async fn slice(&self, job: &SliceJob, cancel: &Arc<AtomicBool>, drain: &Watch) -> Result<()> {
        let Some(plan) = self.plan(&job.asset).await? else {
            if self
                .egress
                .find(&layout::multivariant(&job.asset))
                .await?
                .is_some()
            {
                return Ok(());
            }
            return Err(Error::recording(
                &job.asset,
                "its plan is gone; send its event again",
            ));
        };
        let plan = Arc::new(plan);
        let manifest = layout::manifest(&job.asset, job.slice);
        if self.egress.find(&manifest).await?.is_none() {
            self.check_unchanged(&plan).await?;
            let made = self.make(&plan, job.slice, cancel, drain).await?;
            let text = serde_json::to_vec(&made).map_err(|error| Error::Work {
                what: manifest.clone(),
                reason: error.to_string(),
            })?;
            self.egress
                .put(&manifest, text.into(), layout::WORK)
                .await?;
            let ticks: i64 = plan.slice(job.slice).map(|(_, s)| s.end - s.start).sum();
            self.progress
                .slice_done(media::VIDEO_TIMESCALE.seconds(ticks));
        }
        let outcome = stitch::stitch(&self.egress, &plan).await?;
        if outcome.state == Stitched::Now {
            for warning in &outcome.warnings {
                tracing::warn!(
                    asset = plan.asset,
                    warning,
                    "asset complete, with a warning"
                );
            }
            self.progress.asset_done(&plan.asset, &outcome.warnings);
        }
        Ok(())
    }

    async fn check_unchanged(&self, plan: &Plan) -> Result<()> {
        let key = &plan.recording.key;
        match self.ingest.find(key).await? {
            Some(found) if found.etag == plan.recording.etag => Ok(()),
            Some(_) => Err(Error::recording(
                key,
                "it was replaced after it was planned",
            )),
            None => Err(Error::recording(key, "it is gone from the ingest store")),
        }
    }

    /// Makes a slice unless the machine goes first.
    async fn make(
        &self,
        plan: &Arc<Plan>,
        number: u32,
        cancel: &Arc<AtomicBool>,
        drain: &Watch,
    ) -> Result<layout::Manifest> {
        let mut span = plan.slice(number).map(|(_, segment)| segment);
        let start = span.next().map_or(0, |segment| segment.start);
        let end = plan
            .slice(number)
            .last()
            .map_or(0, |(_, segment)| segment.end);
        let of = plan.slices.len() as u32;
        let meter = self.progress.begin(&plan.asset, number, of, start, end);
        let watch = meter.watch();
        let open = self.opener(&plan.recording).await?;
        let making = slice::make(plan, number, open, &self.egress, meter, cancel.clone());
        tokio::pin!(making);
        tokio::select! {
            made = &mut making => return made,
            () = drain.reached(Phase::Leaving) => {}
        }
        let left = self.time_left();
        if !fits(&watch(), left) {
            cancel.store(true, Ordering::Relaxed);
            let _ = making.await;
            return Err(Error::Interrupted);
        }
        tracing::info!(
            asset = plan.asset,
            slice = number,
            "finishing before the machine goes"
        );
        match tokio::time::timeout(left, &mut making).await {
            Ok(made) => made,
            Err(_) => {
                cancel.store(true, Ordering::Relaxed);
                let _ = making.await;
                Err(Error::Interrupted)
            }
        }
    }

    fn time_left(&self) -> Duration {
        let deadline = self.deadline.get().copied();
        let left = deadline.map(|at| at.saturating_duration_since(tokio::time::Instant::now()));
        left.unwrap_or_default().saturating_sub(BEFORE_DEADLINE)
    }
}

/// Whether a slice that goes on as it did is done in time.
fn fits(running: &Running, left: Duration) -> bool {
    running
        .left_seconds
        .is_some_and(|seconds| seconds < left.as_secs_f64())
}
