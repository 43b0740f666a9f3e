//! Whether one origin should be asked first, as a pure machine.
//!
//! ```text
//! Up --failures--> Down --probes in a row, and the hold is over--> Up
//! ```
//!
//! One refused connection is proof that nobody is there; one slow answer is not. Coming back takes
//! several good probes and a hold that doubles each time it goes down again soon, so that a
//! flapping origin does not drag viewers to and fro.

use std::time::Duration;

/// Slow or broken answers in a row until an origin counts as down.
const FAILURES_UNTIL_DOWN: u32 = 2;

/// Good probes in a row until a down origin is asked first again.
const PROBES_UNTIL_UP: u32 = 3;

/// How long it stays down at least; doubles up to the maximum while it flaps.
const HOLD_MIN: Duration = Duration::from_secs(2);
const HOLD_MAX: Duration = Duration::from_secs(60);

/// Staying up this long makes the next failure a first one again.
const STEADY_AFTER: Duration = Duration::from_secs(120);

/// What was seen of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    /// It answered (a 404 is an answer).
    Answer,
    /// It was slow, broke off, or said it could not (5xx).
    Trouble,
    /// Nobody is there: refused or unreachable.
    Nobody,
}

/// One origin's health.
#[derive(Debug, Clone)]
pub struct Health {
    state: State,
    hold: Duration,
    up_since: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Up { failures: u32 },
    Down { until: Duration, good_probes: u32 },
}

impl Default for Health {
    fn default() -> Self {
        Self {
            state: State::Up { failures: 0 },
            hold: HOLD_MIN,
            up_since: Duration::ZERO,
        }
    }
}

impl Health {
    /// Whether it should be asked in its turn.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up { .. })
    }

    /// A viewer's request went there.
    pub fn request(&mut self, seen: Seen, now: Duration) {
        match (self.state, seen) {
            (State::Up { .. }, Seen::Answer) => self.state = State::Up { failures: 0 },
            (State::Up { .. }, Seen::Nobody) => self.fall(now),
            (State::Up { failures }, Seen::Trouble) => {
                self.state = State::Up {
                    failures: failures + 1,
                };
                if failures + 1 >= FAILURES_UNTIL_DOWN {
                    self.fall(now);
                }
            }
            // Only probes bring it back: a request got there because nobody else answered.
            (State::Down { .. }, _) => {}
        }
    }

    /// A probe went there.
    pub fn probe(&mut self, seen: Seen, now: Duration) {
        match (self.state, seen) {
            (State::Up { .. }, Seen::Answer) => {}
            // A probe asks for next to nothing: when it goes wrong, everything will.
            (State::Up { .. }, _) => self.fall(now),
            (State::Down { until, good_probes }, Seen::Answer) => {
                let good_probes = good_probes + 1;
                self.state = State::Down { until, good_probes };
                if good_probes >= PROBES_UNTIL_UP && now >= until {
                    self.state = State::Up { failures: 0 };
                    self.up_since = now;
                }
            }
            (State::Down { until, .. }, _) => {
                self.state = State::Down {
                    until,
                    good_probes: 0,
                };
            }
        }
    }

    fn fall(&mut self, now: Duration) {
        let steady = now.saturating_sub(self.up_since) >= STEADY_AFTER;
        let first = self.up_since == Duration::ZERO;
        self.hold = if steady || first {
            HOLD_MIN
        } else {
            (self.hold * 2).min(HOLD_MAX)
        };
        self.state = State::Down {
            until: now + self.hold,
            good_probes: 0,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_dead_origin_is_left_at_once_and_a_slow_one_soon() {
        let mut health = Health::default();
        health.request(Seen::Trouble, s(1));
        assert!(health.is_up());
        health.request(Seen::Answer, s(2));
        health.request(Seen::Trouble, s(3));
        assert!(health.is_up(), "not in a row");
        health.request(Seen::Trouble, s(4));
        assert!(!health.is_up());
        let mut health = Health::default();
        health.request(Seen::Nobody, s(1));
        assert!(!health.is_up());
        let mut health = Health::default();
        health.probe(Seen::Trouble, s(1));
        assert!(!health.is_up());
    }

    #[test]
    fn a_restarted_origin_comes_back_within_seconds() {
        let mut health = Health::default();
        health.request(Seen::Nobody, s(100));
        health.request(Seen::Answer, s(101));
        assert!(!health.is_up(), "a chance answer is not enough");
        for second in 101..=103 {
            health.probe(Seen::Answer, s(second));
        }
        assert!(health.is_up());
    }

    #[test]
    fn a_flapping_origin_is_held_back_longer_each_time() {
        let mut health = Health::default();
        let mut now = 1;
        let mut holds = Vec::new();
        for _ in 0..8 {
            health.request(Seen::Nobody, s(now));
            let fell = now;
            while !health.is_up() {
                now += 1;
                health.probe(Seen::Answer, s(now));
            }
            holds.push(now - fell);
            now += 1;
        }
        assert_eq!(holds, [3, 4, 8, 16, 32, 60, 60, 60]);
        now += 200;
        health.request(Seen::Nobody, s(now));
        let fell = now;
        while !health.is_up() {
            now += 1;
            health.probe(Seen::Answer, s(now));
        }
        assert_eq!(now - fell, 3, "a steady time is rewarded");
    }
}
