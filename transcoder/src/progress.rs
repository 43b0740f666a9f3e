//! How far each job of this process is, for `/api/jobs`, metrics and a bar in the terminal.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use media::VIDEO_TIMESCALE;
use serde::Serialize;
use service::Clock;
use tokio::sync::watch;

/// Failures and warnings remembered: what a page shows.
const FAILURES_MAX: usize = 50;

/// The jobs of one process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Progress {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
    /// Marked when something was done or failed.
    changed: watch::Sender<()>,
}

#[derive(Debug, Default)]
struct State {
    running: Vec<Arc<Slice>>,
    failures: VecDeque<Failure>,
    warnings: VecDeque<Warning>,
    failures_seen: u64,
    slices_done: u64,
    assets_done: u64,
    media_seconds_done: f64,
}

#[derive(Debug)]
struct Slice {
    asset: String,
    number: u32,
    of: u32,
    start: i64,
    end: i64,
    reached: AtomicI64,
    begun: Duration,
}

/// A job that failed in this process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Failure {
    /// The recording or asset.
    pub job: String,
    /// Why.
    pub reason: String,
    /// Whether it was given up.
    pub dead: bool,
}

/// What the owner of an asset that was completed in this process should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// The asset.
    pub asset: String,
    /// One sentence.
    pub reason: String,
}

/// One slice under way.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Running {
    /// The asset.
    pub asset: String,
    /// The slice, from 0.
    pub slice: u32,
    /// Slices in all.
    pub slices: u32,
    /// 0 to 1.
    pub done: f64,
    /// Seconds of media per second.
    pub speed: f64,
    /// Seconds until the slice is done, once there is a speed.
    pub left_seconds: Option<f64>,
}

/// Everything at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// Slices under way.
    pub running: Vec<Running>,
    /// What failed, newest first.
    pub failures: Vec<Failure>,
    /// How many there were.
    pub failures_seen: u64,
    /// What is missing in completed assets or was done to them, newest first.
    pub warnings: Vec<Warning>,
    /// Slices done since the process began.
    pub slices_done: u64,
    /// Assets completed since the process began.
    pub assets_done: u64,
    /// Seconds of media done since the process began.
    pub media_seconds_done: f64,
}

/// Measures one slice; gone from the report when dropped.
#[derive(Debug)]
pub struct Meter {
    shared: Arc<Shared>,
    slice: Arc<Slice>,
}

impl Progress {
    /// Nothing done yet.
    pub fn new(clock: Clock) -> Self {
        Self {
            shared: Arc::new(Shared {
                clock,
                state: Mutex::default(),
                changed: watch::channel(()).0,
            }),
        }
    }

    /// A slice begins: number `number` of `of`, from `start` to `end` in decode time.
    pub fn begin(&self, asset: &str, number: u32, of: u32, start: i64, end: i64) -> Meter {
        let slice = Arc::new(Slice {
            asset: asset.into(),
            number,
            of,
            start,
            end,
            reached: AtomicI64::new(start),
            begun: self.shared.clock.now(),
        });
        self.shared.state().running.push(slice.clone());
        Meter {
            shared: self.shared.clone(),
            slice,
        }
    }

    /// A slice is done and its manifest written.
    pub fn slice_done(&self, seconds: f64) {
        let mut state = self.shared.state();
        state.slices_done += 1;
        state.media_seconds_done += seconds;
        self.shared.changed.send_replace(());
    }

    /// An asset is complete; `warnings` are for its owner.
    pub fn asset_done(&self, asset: &str, warnings: &[String]) {
        let mut state = self.shared.state();
        state.assets_done += 1;
        for reason in warnings {
            state.warnings.push_front(Warning {
                asset: asset.into(),
                reason: reason.clone(),
            });
        }
        state.warnings.truncate(FAILURES_MAX);
        drop(state);
        self.shared.changed.send_replace(());
    }

    /// A job failed.
    pub fn failed(&self, failure: Failure) {
        let mut state = self.shared.state();
        state.failures_seen += 1;
        state.failures.push_front(failure);
        state.failures.truncate(FAILURES_MAX);
        self.shared.changed.send_replace(());
    }

    /// Ends once the report is as wanted.
    pub async fn until(&self, wanted: impl Fn(&Report) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        while !wanted(&self.report()) {
            // The sender lives in `shared`, which we hold.
            let _ = changed.changed().await;
        }
    }

    /// Everything now.
    pub fn report(&self) -> Report {
        let now = self.shared.clock.now();
        let state = self.shared.state();
        Report {
            running: state
                .running
                .iter()
                .map(|slice| slice.report(now))
                .collect(),
            failures: state.failures.iter().cloned().collect(),
            failures_seen: state.failures_seen,
            warnings: state.warnings.iter().cloned().collect(),
            slices_done: state.slices_done,
            assets_done: state.assets_done,
            media_seconds_done: state.media_seconds_done,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Slice {
    fn report(&self, now: Duration) -> Running {
        let reached = self.reached.load(Ordering::Relaxed);
        let media = VIDEO_TIMESCALE.seconds((reached - self.start).max(0));
        let whole = VIDEO_TIMESCALE.seconds((self.end - self.start).max(1));
        let speed = media / now.saturating_sub(self.begun).as_secs_f64().max(0.001);
        Running {
            asset: self.asset.clone(),
            slice: self.number,
            slices: self.of,
            done: (media / whole).clamp(0.0, 1.0),
            speed,
            left_seconds: (speed > 0.0).then(|| (whole - media).max(0.0) / speed),
        }
    }
}

impl Meter {
    /// Media up to `dts` was read.
    pub fn reach(&self, dts: i64) {
        self.slice.reached.fetch_max(dts, Ordering::Relaxed);
    }

    /// How the slice is doing; a handle that outlives the meter.
    pub fn watch(&self) -> impl Fn() -> Running + Send + Sync + 'static {
        let (clock, slice) = (self.shared.clock.clone(), self.slice.clone());
        move || slice.report(clock.now())
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.shared
            .state()
            .running
            .retain(|slice| !Arc::ptr_eq(slice, &self.slice));
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn speed_and_time_left_follow_from_what_was_reached() {
        let (clock, hand) = Clock::manual(SystemTime::UNIX_EPOCH);
        let progress = Progress::new(clock);
        let meter = progress.begin("asset", 1, 4, 3_600_000, 14_400_000);
        hand.advance(Duration::from_secs(5));
        meter.reach(3_600_000 + 3_600_000);
        meter.reach(0);
        let running = progress.report().running.remove(0);
        assert!((running.done - 1.0 / 3.0).abs() < 1e-9, "{running:?}");
        assert_eq!((running.speed, running.left_seconds), (2.0, Some(10.0)));
        drop(meter);
        assert_eq!(progress.report(), Report::default());
    }
}
