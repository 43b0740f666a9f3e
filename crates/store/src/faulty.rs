//! Any store made to misbehave on schedule, for the tests of everything that must survive it.
//!
//! A schedule is asked once per operation and is deterministic: a seed, a list or a function of the
//! operation. Beyond it, a test can switch an outage or a stall on and off as an event of its own.

use std::{
    ops::Range,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures_util::StreamExt as _;
use tokio::sync::watch;

use crate::{
    Created, Error, Object, ObjectMetadata, Page, Part, Read, Result, Store, Upload, UploadId,
};

/// What is asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the method of Store of that name")]
pub enum Operation {
    Put,
    PutIfAbsent,
    Get,
    GetRange,
    Head,
    List,
    Delete,
    CreateUpload,
    PutPart,
    ListParts,
    CompleteUpload,
    AbortUpload,
    ListUploads,
}

/// What happens to one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disturbance {
    /// It fails and nothing happened.
    Refuse,
    /// It happens, and its answer is lost: the caller sees a failure.
    LoseAnswer,
    /// It waits this long first.
    Stall(Duration),
    /// The body of a read ends with an error half-way. Other operations are refused.
    Cut,
}

type Next = Box<dyn FnMut(Operation, &str) -> Option<Disturbance> + Send>;

/// Decides what happens to each operation.
pub struct FaultSchedule(Next);

impl std::fmt::Debug for FaultSchedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FaultSchedule")
    }
}

impl FaultSchedule {
    /// Nothing ever goes wrong.
    pub fn calm() -> Self {
        Self::by(|_, _| None)
    }

    /// As `next` says.
    pub fn by(next: impl FnMut(Operation, &str) -> Option<Disturbance> + Send + 'static) -> Self {
        Self(Box::new(next))
    }

    /// One entry per operation, then calm.
    pub fn list(entries: impl IntoIterator<Item = Option<Disturbance>>) -> Self {
        let mut entries = entries.into_iter().collect::<Vec<_>>().into_iter();
        Self::by(move |_, _| entries.next().flatten())
    }

    /// About `per_mille` of 1000 operations are refused, lose their answer or are cut, as `seed`
    /// decides.
    pub fn seeded(seed: u64, per_mille: u64) -> Self {
        let mut state = seed;
        Self::by(move |_, _| {
            let draw = split_mix(&mut state);
            let kind = split_mix(&mut state) % 3;
            (draw % 1000 < per_mille).then_some(match kind {
                0 => Disturbance::Refuse,
                1 => Disturbance::LoseAnswer,
                _ => Disturbance::Cut,
            })
        })
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): a few lines that give the same numbers on every
/// machine for ever.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A store whose operations are disturbed.
#[derive(Debug)]
pub struct Faulty {
    inner: Arc<dyn Store>,
    schedule: Mutex<FaultSchedule>,
    seen: Mutex<Vec<(Operation, String)>>,
    outage: AtomicBool,
    stalled: watch::Sender<bool>,
}

impl Faulty {
    /// Wraps `inner`.
    pub fn new(inner: Arc<dyn Store>, schedule: FaultSchedule) -> Self {
        Self {
            inner,
            schedule: Mutex::new(schedule),
            seen: Mutex::default(),
            outage: AtomicBool::new(false),
            stalled: watch::channel(false).0,
        }
    }

    /// While on, every operation is refused.
    pub fn set_outage(&self, on: bool) {
        self.outage.store(on, Ordering::SeqCst);
    }

    /// While on, every operation waits.
    pub fn set_stalled(&self, on: bool) {
        self.stalled.send_replace(on);
    }

    /// From now on another schedule.
    pub fn set_schedule(&self, schedule: FaultSchedule) {
        *lock(&self.schedule) = schedule;
    }

    /// Every operation asked for so far, with its key, in order.
    pub fn seen(&self) -> Vec<(Operation, String)> {
        lock(&self.seen).clone()
    }

    fn refusal(&self, key: &str, reason: &str) -> Error {
        Error::Unavailable {
            action: "reach",
            target: key.into(),
            reason: reason.into(),
        }
    }

    /// Lets an operation begin, or not; says whether its answer or body is to be spoilt.
    async fn begin(&self, operation: Operation, key: &str) -> Result<Option<Disturbance>> {
        lock(&self.seen).push((operation, key.into()));
        let next = (lock(&self.schedule).0)(operation, key);
        if let Some(Disturbance::Stall(time)) = next {
            tokio::time::sleep(time).await;
        }
        // The sender lives as long as self, so this ends only when the stall does.
        let _ = self.stalled.subscribe().wait_for(|stalled| !stalled).await;
        let reads = matches!(operation, Operation::Get | Operation::GetRange);
        let refused = match next {
            Some(Disturbance::Refuse) => true,
            Some(Disturbance::Cut) => !reads,
            _ => false,
        };
        if refused || self.outage.load(Ordering::SeqCst) {
            return Err(self.refusal(key, "503 slow down (simulated)"));
        }
        Ok(next)
    }

    async fn disturb<T>(
        &self,
        operation: Operation,
        key: &str,
        work: impl Future<Output = Result<T>> + Send,
    ) -> Result<T> {
        let next = self.begin(operation, key).await?;
        let done = work.await?;
        match next {
            Some(Disturbance::LoseAnswer) => {
                Err(self.refusal(key, "connection reset before the answer came (simulated)"))
            }
            _ => Ok(done),
        }
    }

    async fn read(
        &self,
        operation: Operation,
        key: &str,
        work: impl Future<Output = Result<Read>> + Send,
    ) -> Result<Read> {
        let next = self.begin(operation, key).await?;
        let mut read = work.await?;
        match next {
            Some(Disturbance::LoseAnswer) => Err(self.refusal(key, "answer lost (simulated)")),
            Some(Disturbance::Cut) => {
                let error = self.refusal(key, "connection reset half-way (simulated)");
                let first = read.body.next().await.transpose()?.unwrap_or_default();
                let half = first.slice(..first.len() / 2);
                read.body = Box::pin(futures_util::stream::iter([Ok(half), Err(error)]));
                Ok(read)
            }
            _ => Ok(read),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[async_trait::async_trait]
impl Store for Faulty {
    fn url(&self) -> &str {
        self.inner.url()
    }

    async fn put(&self, key: &str, bytes: Bytes, metadata: ObjectMetadata) -> Result<()> {
        self.disturb(Operation::Put, key, self.inner.put(key, bytes, metadata))
            .await
    }

    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        metadata: ObjectMetadata,
    ) -> Result<Created> {
        let work = self.inner.put_if_absent(key, bytes, metadata);
        self.disturb(Operation::PutIfAbsent, key, work).await
    }

    async fn get(&self, key: &str) -> Result<Read> {
        self.read(Operation::Get, key, self.inner.get(key)).await
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Read> {
        self.read(Operation::GetRange, key, self.inner.get_range(key, range))
            .await
    }

    async fn head(&self, key: &str) -> Result<Object> {
        self.disturb(Operation::Head, key, self.inner.head(key))
            .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        self.disturb(Operation::List, prefix, self.inner.list(prefix, after))
            .await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.disturb(Operation::Delete, key, self.inner.delete(key))
            .await
    }

    async fn create_upload(&self, key: &str, metadata: ObjectMetadata) -> Result<UploadId> {
        self.disturb(
            Operation::CreateUpload,
            key,
            self.inner.create_upload(key, metadata),
        )
        .await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<Part> {
        let work = self.inner.put_part(key, upload, number, bytes);
        self.disturb(Operation::PutPart, key, work).await
    }

    async fn put_part_file(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        file: &Path,
    ) -> Result<Part> {
        let work = self.inner.put_part_file(key, upload, number, file);
        self.disturb(Operation::PutPart, key, work).await
    }

    async fn list_parts(&self, key: &str, upload: &UploadId) -> Result<Vec<Part>> {
        self.disturb(
            Operation::ListParts,
            key,
            self.inner.list_parts(key, upload),
        )
        .await
    }

    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[Part]) -> Result<()> {
        let work = self.inner.complete_upload(key, upload, parts);
        self.disturb(Operation::CompleteUpload, key, work).await
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<()> {
        self.disturb(
            Operation::AbortUpload,
            key,
            self.inner.abort_upload(key, upload),
        )
        .await
    }

    async fn list_uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        self.disturb(
            Operation::ListUploads,
            prefix,
            self.inner.list_uploads(prefix),
        )
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryStore;

    const BYTES: Bytes = Bytes::from_static(b"0123456789");

    fn faulty(schedule: FaultSchedule) -> Faulty {
        Faulty::new(Arc::new(MemoryStore::new()), schedule)
    }

    #[tokio::test]
    async fn a_lost_answer_leaves_the_object_and_a_refusal_does_not() {
        let store = faulty(FaultSchedule::list([
            Some(Disturbance::Refuse),
            None,
            Some(Disturbance::LoseAnswer),
        ]));
        assert!(
            store
                .put("a", BYTES, ObjectMetadata::default())
                .await
                .unwrap_err()
                .is_retryable()
        );
        assert!(store.head("a").await.unwrap_err().is_not_found());
        assert!(
            store
                .put("a", BYTES, ObjectMetadata::default())
                .await
                .unwrap_err()
                .is_retryable()
        );
        assert_eq!(store.head("a").await.unwrap().size, 10);
    }

    #[tokio::test]
    async fn a_cut_read_is_an_error_never_a_short_answer() {
        let store = faulty(FaultSchedule::list([None, Some(Disturbance::Cut)]));
        store
            .put("a", BYTES, ObjectMetadata::default())
            .await
            .unwrap();
        let error = store.get("a").await.unwrap().bytes(10).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert_eq!(
            store.get("a").await.unwrap().bytes(10).await.unwrap(),
            BYTES
        );
    }

    #[tokio::test]
    async fn a_stall_holds_until_it_is_lifted() {
        let store = Arc::new(faulty(FaultSchedule::calm()));
        store.set_stalled(true);
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { store.put("a", BYTES, ObjectMetadata::default()).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        store.set_stalled(false);
        waiting.await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn the_same_seed_gives_the_same_faults() {
        let mut runs = Vec::new();
        for _ in 0..2 {
            let store = faulty(FaultSchedule::seeded(7, 300));
            let mut run = Vec::new();
            for _ in 0..100 {
                run.push(
                    store
                        .put("a", BYTES, ObjectMetadata::default())
                        .await
                        .is_ok(),
                );
            }
            runs.push(run);
        }
        assert_eq!(runs[0], runs[1]);
        let failed = runs[0].iter().filter(|ok| !**ok).count();
        assert!((15..45).contains(&failed), "{failed}");
    }
}
