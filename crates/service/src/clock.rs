//! Time as a value that is handed in: real in a process, moved by hand in a test.
//!
//! `now()` counts from the clock's own start, so that it can be stored in an integer and compared;
//! only `wall()` knows the calendar.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use tokio::sync::watch;

/// A monotonic and a wall clock. Cloning gives another handle on the same time.
#[derive(Debug, Clone)]
pub struct Clock(Inner);

#[derive(Debug, Clone)]
enum Inner {
    /// The machine's time since `start`.
    Real { start: Instant },
    /// Moved by a [`Hand`].
    Manual(Arc<Manual>),
}

#[derive(Debug)]
struct Manual {
    now: watch::Sender<Duration>,
    wall_at_start: Mutex<SystemTime>,
}

/// Moves a manual clock.
#[derive(Debug, Clone)]
pub struct Hand(Arc<Manual>);

impl Clock {
    /// The machine's clock, starting now.
    pub fn real() -> Self {
        Self(Inner::Real {
            start: Instant::now(),
        })
    }

    /// A clock that stands still until its hand moves it; the wall clock reads `wall` at the start.
    pub fn manual(wall: SystemTime) -> (Self, Hand) {
        let (now, _) = watch::channel(Duration::ZERO);
        let manual = Arc::new(Manual {
            now,
            wall_at_start: Mutex::new(wall),
        });
        (Self(Inner::Manual(Arc::clone(&manual))), Hand(manual))
    }

    /// Time since this clock started; never goes backwards.
    pub fn now(&self) -> Duration {
        match &self.0 {
            Inner::Real { start } => start.elapsed(),
            Inner::Manual(manual) => *manual.now.borrow(),
        }
    }

    /// The calendar's time; may jump when the machine is corrected.
    pub fn wall(&self) -> SystemTime {
        match &self.0 {
            Inner::Real { .. } => SystemTime::now(),
            Inner::Manual(manual) => {
                let start = *manual
                    .wall_at_start
                    .lock()
                    .unwrap_or_else(PoisonError::into_inner);
                start + *manual.now.borrow()
            }
        }
    }

    /// Ends when `now()` has reached `deadline`.
    pub async fn sleep_until(&self, deadline: Duration) {
        match &self.0 {
            Inner::Real { start } => {
                tokio::time::sleep(deadline.saturating_sub(start.elapsed())).await;
            }
            Inner::Manual(manual) => {
                // An error means that the sender is gone, and we hold it.
                let _ = manual
                    .now
                    .subscribe()
                    .wait_for(|now| *now >= deadline)
                    .await;
            }
        }
    }

    /// Ends after `duration`.
    pub async fn sleep(&self, duration: Duration) {
        self.sleep_until(self.now().saturating_add(duration)).await;
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::real()
    }
}

impl Hand {
    /// Moves time forward and wakes whoever slept until then.
    pub fn advance(&self, by: Duration) {
        self.0.now.send_modify(|now| *now += by);
    }

    /// Sets what the calendar says now, as a correction of the machine's clock would.
    pub fn set_wall(&self, wall: SystemTime) {
        let now = *self.0.now.borrow();
        let mut start = self
            .0
            .wall_at_start
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *start = wall.checked_sub(now).unwrap_or(SystemTime::UNIX_EPOCH);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sleepers_wake_when_the_hand_passes_them() {
        let (clock, hand) = Clock::manual(SystemTime::UNIX_EPOCH);
        let sleeper = tokio::spawn({
            let clock = clock.clone();
            async move { clock.sleep_until(Duration::from_secs(3600)).await }
        });
        hand.advance(Duration::from_secs(3599));
        hand.advance(Duration::from_secs(3601));
        sleeper.await.unwrap();
        assert_eq!(
            clock.wall(),
            SystemTime::UNIX_EPOCH + Duration::from_secs(7200)
        );
    }
}
