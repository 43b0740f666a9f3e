//! How long to wait before trying again: doubling, capped, spread out, and in the end given up.

use std::time::Duration;

use rand::Rng;

/// A policy of waiting; [`Backoff::start`] gives the waits of one operation.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// The first wait.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
    /// Share of each wait that is random, 0 to 1: keeps a fleet from returning in step.
    pub jitter: f64,
    /// All waits together stay below this; `None` never gives up.
    pub budget: Option<Duration>,
}

impl Backoff {
    /// Half random, without an end: for things that must come back some time.
    pub const fn endless(first: Duration, longest: Duration) -> Self {
        Self {
            first,
            longest,
            jitter: 0.5,
            budget: None,
        }
    }

    /// Half random, given up once `budget` is spent.
    pub const fn within(first: Duration, longest: Duration, budget: Duration) -> Self {
        Self {
            first,
            longest,
            jitter: 0.5,
            budget: Some(budget),
        }
    }

    /// The waits of one operation.
    pub fn start(self) -> Waits {
        Waits {
            policy: self,
            next: self.first,
            spent: Duration::ZERO,
        }
    }
}

/// Successive waits; ends when the budget is spent.
#[derive(Debug, Clone)]
pub struct Waits {
    policy: Backoff,
    next: Duration,
    spent: Duration,
}

impl Waits {
    /// It worked: the next failure starts over.
    pub fn reset(&mut self) {
        *self = self.policy.start();
    }
}

impl Iterator for Waits {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        let base = self.next.min(self.policy.longest);
        let jitter = self.policy.jitter.clamp(0.0, 1.0);
        let wait = base.mul_f64(1.0 - jitter * rand::rng().random::<f64>());
        if self
            .policy
            .budget
            .is_some_and(|budget| self.spent + wait > budget)
        {
            return None;
        }
        self.spent = self.spent.saturating_add(wait);
        self.next = base.saturating_mul(2);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_to_the_cap_and_stop_at_the_budget() {
        let second = Duration::from_secs(1);
        let policy = Backoff {
            first: second,
            longest: 4 * second,
            jitter: 0.0,
            budget: Some(12 * second),
        };
        let waits: Vec<u64> = policy.start().map(|wait| wait.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 4]);
    }

    #[test]
    fn jitter_only_shortens() {
        let policy = Backoff::endless(Duration::from_secs(1), Duration::from_secs(8));
        for wait in policy.start().take(100) {
            assert!(wait <= Duration::from_secs(8) && wait >= Duration::from_millis(500));
        }
    }
}
