//! One fetch per key however many viewers wait: the first starts it, the others join, all are answered
//! from the same arriving bytes, and it is given up only when the last has left before an answer began.
//! A body of known length that is arriving already is taken to its end: it has been paid for, and whoever
//! asked for a range of it will ask for more.

pub mod fetch;
pub mod filling;

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::cache::Entry;
use crate::upstream::Failure;
use filling::Filling;

/// How far a fetch has come.
#[derive(Debug, Clone)]
pub enum State {
    /// No origin has given an answer yet.
    Asking,
    /// An answer has begun.
    Filling(Arc<Filling>),
    /// An answer is whole.
    Done(Arc<Entry>),
    /// There is none.
    Failed(Failure),
}

/// One fetch.
#[derive(Debug)]
struct Flight {
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

type Table = HashMap<String, Arc<Flight>>;

/// All fetches.
#[derive(Debug)]
pub struct Flights {
    table: Mutex<Table>,
    waiting: AtomicUsize,
    bounds: Bounds,
}

/// A viewer's share in a fetch; dropping it leaves.
#[derive(Debug)]
pub struct Ticket {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    key: String,
    /// Whether this viewer's request started the fetch.
    pub is_first: bool,
}

/// What a request finds.
#[derive(Debug)]
pub enum Joined {
    /// It came into the cache just now.
    Cached(Arc<Entry>),
    /// A share in the fetch.
    Ticket(Ticket),
    /// Too many wait already.
    Full,
}

impl Flights {
    /// None under way.
    pub fn new(bounds: Bounds) -> Arc<Flights> {
        Arc::new(Flights {
            table: Mutex::default(),
            waiting: AtomicUsize::new(0),
            bounds,
        })
    }

    /// Joins the fetch of `key`, or starts it with `spawn` unless `cached` finds that it has just ended.
    pub fn join(
        self: &Arc<Self>,
        key: &str,
        cached: impl FnOnce() -> Option<Arc<Entry>>,
        spawn: impl FnOnce(Landing) -> AbortHandle,
    ) -> Joined {
        let mut table = self.lock();
        if self.waiting.load(Relaxed) >= self.bounds.total {
            return Joined::Full;
        }
        if let Some(flight) = table.get(key) {
            if flight.waiters.load(Relaxed) >= self.bounds.per_key {
                return Joined::Full;
            }
            return Joined::Ticket(self.ticket(Arc::clone(flight), key, false));
        }
        // Fetches leave the table after they have filled the cache: looking again now misses none.
        if let Some(entry) = cached() {
            return Joined::Cached(entry);
        }
        let flight = Arc::new(Flight {
            state: watch::Sender::new(State::Asking),
            waiters: AtomicUsize::new(0),
            task: Mutex::default(),
        });
        table.insert(key.to_owned(), Arc::clone(&flight));
        let ticket = self.ticket(Arc::clone(&flight), key, true);
        let landing = Landing {
            flights: Arc::clone(self),
            flight: Arc::clone(&flight),
            key: key.to_owned(),
        };
        drop(table);
        let task = spawn(landing);
        *flight.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
        Joined::Ticket(ticket)
    }

    /// Viewers that wait for or read from a fetch.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Relaxed)
    }

    /// Fetches under way.
    pub fn under_way(&self) -> usize {
        self.lock().len()
    }

    fn ticket(self: &Arc<Self>, flight: Arc<Flight>, key: &str, is_first: bool) -> Ticket {
        flight.waiters.fetch_add(1, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
        Ticket {
            flights: Arc::clone(self),
            flight,
            key: key.to_owned(),
            is_first,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn remove(table: &mut Table, key: &str, flight: &Arc<Flight>) {
    if table
        .get(key)
        .is_some_and(|present| Arc::ptr_eq(present, flight))
    {
        table.remove(key);
    }
}

impl Ticket {
    /// Waits until there is something to answer with.
    pub async fn answer(&self) -> State {
        let mut state = self.flight.state.subscribe();
        match state
            .wait_for(|state| !matches!(state, State::Asking))
            .await
        {
            Ok(state) => state.clone(),
            // The sender lives in the flight we hold.
            Err(_) => State::Failed(Failure::Unreachable("the fetch ended".to_owned())),
        }
    }

    fn is_arriving(&self) -> bool {
        match &*self.flight.state.borrow() {
            State::Filling(filling) => filling.length.is_some(),
            State::Asking | State::Done(_) | State::Failed(_) => false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.flights.waiting.fetch_sub(1, Relaxed);
        let mut table = self.flights.lock();
        if self.flight.waiters.fetch_sub(1, Relaxed) == 1 && !self.is_arriving() {
            remove(&mut table, &self.key, &self.flight);
            drop(table);
            let task = self
                .flight
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

/// The fetching side. However it ends, the flight leaves the table and nobody is left waiting.
#[derive(Debug)]
pub struct Landing {
    flights: Arc<Flights>,
    flight: Arc<Flight>,
    key: String,
}

impl Landing {
    /// Tells everybody who waits.
    pub fn set(&self, state: State) {
        self.flight.state.send_replace(state);
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        self.flight.state.send_if_modified(|state| match state {
            State::Asking => {
                *state = State::Failed(Failure::Unreachable("the fetch was given up".to_owned()));
                true
            }
            State::Filling(filling) => {
                filling.break_off();
                false
            }
            State::Done(_) | State::Failed(_) => false,
        });
        remove(&mut self.flights.lock(), &self.key, &self.flight);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flights(per_key: usize) -> Arc<Flights> {
        Flights::new(Bounds { per_key, total: 3 })
    }

    fn never(landing: Landing) -> AbortHandle {
        tokio::spawn(async move {
            let _landing = landing;
            std::future::pending::<()>().await;
        })
        .abort_handle()
    }

    fn join(flights: &Arc<Flights>, key: &str) -> Joined {
        flights.join(key, || None, never)
    }

    #[tokio::test]
    async fn a_fetch_ends_when_its_last_waiter_leaves() {
        let flights = flights(9);
        let (Joined::Ticket(first), Joined::Ticket(second)) =
            (join(&flights, "/a"), join(&flights, "/a"))
        else {
            panic!("both join");
        };
        assert!(first.is_first && !second.is_first);
        assert_eq!((flights.under_way(), flights.waiting()), (1, 2));
        drop(first);
        assert_eq!(flights.under_way(), 1);
        let flight = Arc::clone(&second.flight);
        drop(second);
        assert_eq!((flights.under_way(), flights.waiting()), (0, 0));
        // The aborted task's landing is dropped: whoever still looked would be told.
        let mut state = flight.state.subscribe();
        let end = state
            .wait_for(|state| !matches!(state, State::Asking))
            .await
            .unwrap();
        assert!(matches!(*end, State::Failed(_)));
    }

    #[tokio::test]
    async fn waiters_are_bounded_per_key_and_in_total() {
        let flights = flights(2);
        let mut tickets = vec![join(&flights, "/a"), join(&flights, "/a")];
        assert!(matches!(join(&flights, "/a"), Joined::Full));
        tickets.push(join(&flights, "/b"));
        assert!(matches!(join(&flights, "/c"), Joined::Full));
        tickets.clear();
        assert!(matches!(join(&flights, "/c"), Joined::Ticket(_)));
    }
}
