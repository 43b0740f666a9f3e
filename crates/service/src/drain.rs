//! Ends a process without cutting anybody off: announce, stop accepting, wait for what is in
//! flight.
//!
//! ```text
//! Running --leave()--> Leaving --close()--> Closing --last Retain dropped--> drained()
//! ```
//!
//! Leaving: still serves, new connections too, but asks clients to go elsewhere. Closing: accepts
//! nothing more and finishes what it has. Whoever must finish holds a [`Retain`].

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::sync::{Notify, watch};

/// How far the end has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Serving.
    Running,
    /// Serving, but asking clients to go elsewhere.
    Leaving,
    /// Accepting nothing new; finishing what is in flight.
    Closing,
}

#[derive(Debug)]
struct Shared {
    phase: watch::Sender<Phase>,
    /// The same in one bit, for the look that every request takes.
    is_leaving: AtomicBool,
    held: AtomicUsize,
    released: Notify,
}

/// The side that decides to end.
#[derive(Debug, Clone)]
pub struct Signal(Arc<Shared>);

/// The side that is told; cheap to clone.
#[derive(Debug, Clone)]
pub struct Watch {
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
}

/// Holds the end back until dropped.
#[derive(Debug)]
pub struct Retain(Arc<Shared>);

/// A signal and what watches it.
pub fn channel() -> (Signal, Watch) {
    let (phase, receiver) = watch::channel(Phase::Running);
    let shared = Arc::new(Shared {
        phase,
        is_leaving: AtomicBool::new(false),
        held: AtomicUsize::new(0),
        released: Notify::new(),
    });
    (
        Signal(Arc::clone(&shared)),
        Watch {
            shared,
            phase: receiver,
        },
    )
}

impl Signal {
    /// Asks clients to go elsewhere. Never goes back.
    pub fn leave(&self) {
        self.advance(Phase::Leaving);
    }

    /// Stops accepting.
    pub fn close(&self) {
        self.advance(Phase::Closing);
    }

    /// How far it is.
    pub fn phase(&self) -> Phase {
        *self.0.phase.borrow()
    }

    /// Another watcher.
    pub fn watch(&self) -> Watch {
        Watch {
            shared: Arc::clone(&self.0),
            phase: self.0.phase.subscribe(),
        }
    }

    /// How many hold the end back.
    pub fn held(&self) -> usize {
        self.0.held.load(Ordering::Acquire)
    }

    /// Ends once nobody holds the end back (whatever the phase).
    pub async fn drained(&self) {
        loop {
            let released = self.0.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if self.held() == 0 {
                return;
            }
            released.await;
        }
    }

    fn advance(&self, to: Phase) {
        self.0.is_leaving.store(true, Ordering::Release);
        self.0.phase.send_if_modified(|phase| {
            let forward = *phase < to;
            *phase = to.max(*phase);
            forward
        });
    }
}

impl Watch {
    /// How far it is.
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Whether clients should be asked to go elsewhere.
    pub fn is_leaving(&self) -> bool {
        self.shared.is_leaving.load(Ordering::Acquire)
    }

    /// Ends once the phase is `phase` or later (also when the signal is gone: nobody is left to
    /// serve).
    pub async fn reached(&self, phase: Phase) {
        // An error means that the sender is gone; `shared` holds it, so that cannot be.
        let _ = self.phase.clone().wait_for(|now| *now >= phase).await;
    }

    /// Holds the end back until the token is dropped.
    pub fn retain(&self) -> Retain {
        self.shared.held.fetch_add(1, Ordering::AcqRel);
        Retain(Arc::clone(&self.shared))
    }
}

impl Drop for Retain {
    fn drop(&mut self) {
        if self.0.held.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.released.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drained_waits_for_the_last_token() {
        let (signal, watch) = channel();
        let (first, second) = (watch.retain(), watch.retain());
        signal.leave();
        assert!(watch.is_leaving());
        signal.close();
        signal.leave();
        assert_eq!(watch.phase(), Phase::Closing, "phases never go back");
        watch.reached(Phase::Leaving).await;
        let drained = tokio::spawn({
            let signal = signal.clone();
            async move { signal.drained().await }
        });
        drop(first);
        assert_eq!(signal.held(), 1);
        drop(second);
        drained.await.unwrap();
    }
}
