use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::{DeadLetter, Depth, Receipt};

/// Records what a lease does to its queue. Time is tokio's, which the tests stop and step.
#[derive(Debug, Default)]
struct Recorder {
    extended: AtomicUsize,
    deleted: AtomicUsize,
    released: AtomicUsize,
    /// Calls to `extend` that fail before they succeed again.
    failures: AtomicUsize,
    gone: bool,
}

const VISIBILITY: Duration = Duration::from_secs(30);

#[async_trait::async_trait]
impl Queue for Recorder {
    fn url(&self) -> &str {
        "recorder:"
    }
    fn visibility(&self) -> Duration {
        VISIBILITY
    }
    fn max_receives(&self) -> u32 {
        3
    }
    async fn send(&self, _: &[String]) -> Result<()> {
        Ok(())
    }
    async fn receive(&self, _: usize, _: Duration) -> Result<Vec<Delivery>> {
        Ok(Vec::new())
    }
    async fn extend(&self, _: &Receipt, _: Duration) -> Result<()> {
        self.extended.fetch_add(1, Ordering::SeqCst);
        if self.gone {
            return Err(Error::Lost { action: "extend" });
        }
        let fewer = |n: usize| n.checked_sub(1);
        if self
            .failures
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer)
            .is_ok()
        {
            let (action, queue, reason) = ("extend", "q".into(), "503".into());
            return Err(Error::Unavailable {
                action,
                queue,
                reason,
            });
        }
        Ok(())
    }
    async fn release(&self, _: &Receipt, _: &str) -> Result<()> {
        self.released.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
    async fn delete(&self, _: &[Receipt]) -> Result<Vec<(Receipt, Error)>> {
        self.deleted.fetch_add(1, Ordering::SeqCst);
        Ok(Vec::new())
    }
    async fn dead_letter(&self, _: &Delivery, _: &str) -> Result<()> {
        Ok(())
    }
    async fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        Ok(Vec::new())
    }
    async fn depth(&self) -> Result<Depth> {
        Ok(Depth::default())
    }
}

fn hold(queue: &Arc<Recorder>) -> Lease {
    let receipt = Receipt("r".into());
    let delivery = Delivery {
        id: "m".into(),
        receipt,
        body: "b".into(),
        receive_count: 1,
    };
    Lease::hold(queue.clone(), delivery)
}

#[tokio::test(start_paused = true)]
async fn beats_each_third_of_the_visibility_until_done() {
    let queue = Arc::new(Recorder::default());
    let lease = hold(&queue);
    tokio::time::sleep(4 * VISIBILITY + Duration::from_secs(1)).await;
    assert_eq!(queue.extended.load(Ordering::SeqCst), 12);
    lease.done().await.unwrap();
    tokio::time::sleep(2 * VISIBILITY).await;
    assert_eq!(queue.extended.load(Ordering::SeqCst), 12);
    assert_eq!(queue.deleted.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn two_failed_beats_are_survived_and_three_lose_the_hold() {
    for (failures, survives) in [(2, true), (3, false)] {
        let queue = Arc::new(Recorder {
            failures: failures.into(),
            ..Recorder::default()
        });
        let lease = hold(&queue);
        let lost = tokio::time::timeout(2 * VISIBILITY, lease.lost()).await;
        assert_eq!(lost.is_err(), survives, "{failures} failures");
    }
}

#[tokio::test(start_paused = true)]
async fn says_at_once_that_another_worker_has_it() {
    let queue = Arc::new(Recorder {
        gone: true,
        ..Recorder::default()
    });
    let lease = hold(&queue);
    let begun = Instant::now();
    lease.lost().await;
    assert_eq!(begun.elapsed(), VISIBILITY / 3);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_lease_stops_beating_and_deletes_nothing() {
    let queue = Arc::new(Recorder::default());
    drop(hold(&queue));
    hold(&queue).release("interrupted").await.unwrap();
    tokio::time::sleep(2 * VISIBILITY).await;
    assert_eq!(queue.extended.load(Ordering::SeqCst), 0);
    assert_eq!(queue.deleted.load(Ordering::SeqCst), 0);
    assert_eq!(queue.released.load(Ordering::SeqCst), 1);
}
