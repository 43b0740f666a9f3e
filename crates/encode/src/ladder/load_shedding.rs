//! Decides which rung to drop when the machine cannot keep up, and when it may come back.
//!
//! The rung with the most pixels per second goes first, the smallest last. What each rung is worth:
//! pass-through and the next smaller rung serve the viewers of a large rung nearly as well, while
//! nothing else serves those of the smallest, on a weak network or an old phone. And the largest
//! costs more than all others together, so that one step cures most overloads; dropping the
//! smallest first would cure none. Where one encoder alone is stuck, the queues before it tell, and
//! that rung goes.
//!
//! A burst from the network is no overload: the backlog must be old and must not be shrinking.
//!
//! Pure: time is given.

use std::time::Duration;

/// When to drop rungs and take them back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overload {
    /// A backlog of this much media time is too much: viewers of rungs see what happened that much
    /// earlier.
    pub lag_max: Duration,
    /// For so long the backlog must stay above that, without shrinking, before a rung is dropped.
    pub patience: Duration,
    /// With a backlog above this, decoding jumps to the next segment's start: dropping rungs has
    /// not helped.
    pub skip_lag: Duration,
    /// Below this the machine keeps up.
    pub calm_lag: Duration,
    /// How long it must keep up before a rung comes back; doubles each time the rung must go again
    /// soon after.
    pub backoff: Duration,
    /// The longest that time becomes.
    pub backoff_max: Duration,
}

impl Default for Overload {
    fn default() -> Self {
        Self {
            lag_max: Duration::from_millis(1000),
            patience: Duration::from_millis(1000),
            skip_lag: Duration::from_secs(5),
            calm_lag: Duration::from_millis(300),
            backoff: Duration::from_secs(10),
            backoff_max: Duration::from_secs(320),
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Rung {
    shed_at: Option<Duration>,
    resumed_at: Option<Duration>,
    backoff: Duration,
}

#[derive(Debug)]
pub(crate) struct LoadShedder {
    limits: Overload,
    /// Most costly first, as planned.
    rungs: Vec<Rung>,
    over_since: Option<(Duration, Duration)>,
    calm_since: Option<Duration>,
}

impl LoadShedder {
    pub(crate) fn new(limits: Overload, rungs: usize) -> Self {
        let rung = Rung {
            shed_at: None,
            resumed_at: None,
            backoff: limits.backoff,
        };
        Self {
            limits,
            rungs: vec![rung; rungs],
            over_since: None,
            calm_since: None,
        }
    }

    /// Judges the backlog; `stuck` are the rungs whose queue is full. Gives the rung to drop now,
    /// if any.
    pub(crate) fn observe(
        &mut self,
        now: Duration,
        lag: Duration,
        stuck: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        if lag > self.limits.calm_lag {
            self.calm_since = None;
        } else {
            self.calm_since.get_or_insert(now);
        }
        if lag <= self.limits.lag_max {
            self.over_since = None;
            return None;
        }
        let (since, lag_then) = *self.over_since.get_or_insert((now, lag));
        if now.saturating_sub(since) < self.limits.patience {
            return None;
        }
        self.over_since = Some((now, lag));
        if lag < lag_then {
            return None;
        }
        let active = |index: &usize| self.rungs.get(*index).is_some_and(|r| r.shed_at.is_none());
        let mut candidates = (0..self.rungs.len()).filter(active);
        let first = candidates.clone().next();
        let victim = candidates.find(|index| stuck(*index)).or(first)?;
        self.shed(now, victim);
        Some(victim)
    }

    /// The rung is dropped now, for whatever reason.
    pub(crate) fn shed(&mut self, now: Duration, index: usize) {
        let limits = self.limits;
        if let Some(rung) = self.rungs.get_mut(index) {
            let soon = rung
                .resumed_at
                .is_some_and(|at| now.saturating_sub(at) < rung.backoff * 2);
            rung.backoff = if soon {
                (rung.backoff * 2).min(limits.backoff_max)
            } else {
                limits.backoff
            };
            rung.shed_at = Some(now);
        }
        self.calm_since = None;
    }

    /// Asked where a segment opens: the rung that comes back here, if any. The least costly first,
    /// one at a time.
    pub(crate) fn resume(&mut self, now: Duration) -> Option<usize> {
        let calm_since = self.calm_since?;
        let index = self.rungs.iter().rposition(|rung| rung.shed_at.is_some())?;
        let rung = self.rungs.get_mut(index)?;
        let since = calm_since.max(rung.shed_at?);
        if now.saturating_sub(since) < rung.backoff {
            return None;
        }
        rung.shed_at = None;
        rung.resumed_at = Some(now);
        // The next one waits until this one has proved that it fits.
        self.calm_since = Some(now);
        Some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn s(seconds: f64) -> Duration {
        Duration::from_secs_f64(seconds)
    }

    #[test]
    fn a_burst_that_drains_sheds_nothing() {
        let mut shedder = LoadShedder::new(Overload::default(), 3);
        for step in 0..40 {
            let lag = s((3.0 - f64::from(step) * 0.1).max(0.0));
            assert_eq!(
                shedder.observe(s(f64::from(step) * 0.1), lag, |_| true),
                None
            );
        }
    }

    #[test]
    fn a_growing_backlog_sheds_the_costliest_and_then_the_next() {
        let mut shedder = LoadShedder::new(Overload::default(), 3);
        let shed: Vec<_> = (0..50)
            .filter_map(|step| {
                let now = f64::from(step) * 0.1;
                shedder
                    .observe(s(now), s(now), |_| false)
                    .map(|index| (index, step))
            })
            .collect();
        assert_eq!(shed, [(0, 21), (1, 31), (2, 41)]);
    }

    #[test]
    fn a_stuck_encoder_goes_before_the_costliest() {
        let mut shedder = LoadShedder::new(Overload::default(), 3);
        assert_eq!(shedder.observe(s(0.0), s(2.0), |index| index == 1), None);
        assert_eq!(shedder.observe(s(1.0), s(2.0), |index| index == 1), Some(1));
    }

    #[test]
    fn rungs_come_back_smallest_first_after_calm_and_ever_later() {
        let mut shedder = LoadShedder::new(Overload::default(), 2);
        shedder.shed(s(0.0), 0);
        shedder.shed(s(0.0), 1);
        let mut back = Vec::new();
        for second in 1..40 {
            let now = s(f64::from(second));
            assert_eq!(shedder.observe(now, s(0.1), |_| false), None);
            back.extend(shedder.resume(now).map(|index| (index, second)));
        }
        assert_eq!(back, [(1, 11), (0, 21)]);
        shedder.shed(s(40.0), 0);
        shedder.observe(s(41.0), s(0.1), |_| false);
        assert_eq!(shedder.resume(s(60.9)), None, "backoff has doubled");
        assert_eq!(shedder.resume(s(61.0)), Some(0));
    }
}
