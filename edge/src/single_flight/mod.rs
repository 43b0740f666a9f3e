//! One fetch per key however many viewers wait: the first starts it, the others join, all are
//! answered from the same arriving bytes, and it is given up only when the last has left before an
//! answer began. A body of known length that is arriving already is taken to its end: it has been
//! paid for, and whoever asked for a range of it will ask for more.

pub(crate) mod chunks;
pub mod fetch;
pub mod partial_body;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use tokio::{sync::watch, task::AbortHandle};

use crate::{cache::CacheEntry, upstream::Failure};
use partial_body::PartialBody;

/// How far a fetch has come.
#[derive(Debug, Clone)]
pub enum State {
    /// No origin has given an answer yet.
    Asking,
    /// An answer has begun.
    Arriving(Arc<PartialBody>),
    /// An answer is whole.
    Done(Arc<CacheEntry>),
    /// There is none.
    Failed(Failure),
}

/// One fetch.
#[derive(Debug)]
struct Fetch {
    state: watch::Sender<State>,
    /// Changed only while the table is locked.
    waiters: AtomicUsize,
    task: Mutex<Option<AbortHandle>>,
}

/// How many may wait.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// For one key.
    pub per_key: usize,
    /// Altogether.
    pub total: usize,
}

type Table = HashMap<String, Arc<Fetch>>;

/// All fetches.
#[derive(Debug)]
pub struct Fetches {
    table: Mutex<Table>,
    waiting: AtomicUsize,
    bounds: Bounds,
}

/// A viewer's share in a fetch; dropping it leaves.
#[derive(Debug)]
pub struct Waiter {
    fetches: Arc<Fetches>,
    fetch: Arc<Fetch>,
    key: String,
    /// Whether this viewer's request started the fetch.
    pub is_first: bool,
}

/// What a request finds.
#[derive(Debug)]
pub enum Joined {
    /// It came into the cache just now.
    Cached(Arc<CacheEntry>),
    /// A share in the fetch.
    Waiter(Waiter),
    /// Too many wait already.
    Full,
}

impl Fetches {
    /// None under way.
    pub fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            table: Mutex::default(),
            waiting: AtomicUsize::new(0),
            bounds,
        })
    }

    /// Joins the fetch of `key`, or starts it with `spawn` unless `cached` finds that it has just
    /// ended.
    pub fn join(
        self: &Arc<Self>,
        key: &str,
        cached: impl FnOnce() -> Option<Arc<CacheEntry>>,
        spawn: impl FnOnce(FetchWriter) -> AbortHandle,
    ) -> Joined {
        let mut table = self.lock();
        if self.waiting.load(Relaxed) >= self.bounds.total {
            return Joined::Full;
        }
        if let Some(fetch) = table.get(key) {
            if fetch.waiters.load(Relaxed) >= self.bounds.per_key {
                return Joined::Full;
            }
            return Joined::Waiter(self.waiter(Arc::clone(fetch), key, false));
        }
        // Fetches leave the table after they have filled the cache: looking again now misses none.
        if let Some(entry) = cached() {
            return Joined::Cached(entry);
        }
        let fetch = Arc::new(Fetch {
            state: watch::Sender::new(State::Asking),
            waiters: AtomicUsize::new(0),
            task: Mutex::default(),
        });
        table.insert(key.to_owned(), Arc::clone(&fetch));
        let waiter = self.waiter(Arc::clone(&fetch), key, true);
        let writer = FetchWriter {
            fetches: Arc::clone(self),
            fetch: Arc::clone(&fetch),
            key: key.to_owned(),
        };
        drop(table);
        let task = spawn(writer);
        *fetch.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Joined::Waiter(waiter)
    }

    /// Viewers that wait for or read from a fetch.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Fetches under way.
    pub fn under_way(&self) -> usize {
        self.lock().len()
    }

    fn waiter(self: &Arc<Self>, fetch: Arc<Fetch>, key: &str, is_first: bool) -> Waiter {
        fetch.waiters.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
        Waiter {
            fetches: Arc::clone(self),
            fetch,
            key: key.to_owned(),
            is_first,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(table: &mut Table, key: &str, fetch: &Arc<Fetch>) {
    if table
        .get(key)
        .is_some_and(|present| Arc::ptr_eq(present, fetch))
    {
        table.remove(key);
    }
}

impl Waiter {
    /// Waits until there is something to answer with.
    pub async fn answer(&self) -> State {
        let mut state = self.fetch.state.subscribe();
        match state
            .wait_for(|state| !matches!(state, State::Asking))
            .await
        {
            Ok(state) => state.clone(),
            // The sender lives in the fetch we hold.
            Err(_) => State::Failed(Failure::Unreachable("the fetch ended".to_owned())),
        }
    }

    fn is_arriving(&self) -> bool {
        match &*self.fetch.state.borrow() {
            State::Arriving(partial) => partial.length.is_some(),
            State::Asking | State::Done(_) | State::Failed(_) => false,
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.fetches.waiting.fetch_sub(1, Relaxed);
        let mut table = self.fetches.lock();
        if self.fetch.waiters.fetch_sub(1, Relaxed) == 1 && !self.is_arriving() {
            remove(&mut table, &self.key, &self.fetch);
            drop(table);
            let task = self
                .fetch
                .task
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .take();
            if let Some(task) = task {
                task.abort();
            }
        }
    }
}

/// The fetching side. However it ends, the fetch leaves the table and nobody is left waiting.
#[derive(Debug)]
pub struct FetchWriter {
    fetches: Arc<Fetches>,
    fetch: Arc<Fetch>,
    key: String,
}

impl FetchWriter {
    /// Tells everybody who waits.
    pub fn set(&self, state: State) {
        self.fetch.state.send_replace(state);
    }
}

impl Drop for FetchWriter {
    fn drop(&mut self) {
        self.fetch.state.send_if_modified(|state| match state {
            State::Asking => {
                *state = State::Failed(Failure::Unreachable("the fetch was given up".to_owned()));
                true
            }
            State::Arriving(partial) => {
                partial.break_off();
                false
            }
            State::Done(_) | State::Failed(_) => false,
        });
        remove(&mut self.fetches.lock(), &self.key, &self.fetch);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetches(per_key: usize) -> Arc<Fetches> {
        Fetches::new(Bounds { per_key, total: 3 })
    }

    fn never(writer: FetchWriter) -> AbortHandle {
        tokio::spawn(async move {
            let _writer = writer;
            std::future::pending::<()>().await;
        })
        .abort_handle()
    }

    fn join(fetches: &Arc<Fetches>, key: &str) -> Joined {
        fetches.join(key, || None, never)
    }

    #[tokio::test]
    async fn a_fetch_ends_when_its_last_waiter_leaves() {
        let fetches = fetches(9);
        let (Joined::Waiter(first), Joined::Waiter(second)) =
            (join(&fetches, "/a"), join(&fetches, "/a"))
        else {
            panic!("both join");
        };
        assert!(first.is_first && !second.is_first);
        assert_eq!((fetches.under_way(), fetches.waiting()), (1, 2));
        drop(first);
        assert_eq!(fetches.under_way(), 1);
        let fetch = Arc::clone(&second.fetch);
        drop(second);
        assert_eq!((fetches.under_way(), fetches.waiting()), (0, 0));
        // The aborted task's writer is dropped: whoever still looked would be told.
        let mut state = fetch.state.subscribe();
        let end = state
            .wait_for(|state| !matches!(state, State::Asking))
            .await
            .unwrap();
        assert!(matches!(*end, State::Failed(_)));
    }

    #[tokio::test]
    async fn waiters_are_bounded_per_key_and_in_total() {
        let fetches = fetches(2);
        let mut waiters = vec![join(&fetches, "/a"), join(&fetches, "/a")];
        assert!(matches!(join(&fetches, "/a"), Joined::Full));
        waiters.push(join(&fetches, "/b"));
        assert!(matches!(join(&fetches, "/c"), Joined::Full));
        waiters.clear();
        assert!(matches!(join(&fetches, "/c"), Joined::Waiter(_)));
    }
}
