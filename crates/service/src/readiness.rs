//! Whether this process should get traffic: a few named conditions, all of which must hold, and a
//! weight that a rebalance recommendation lowers.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use serde::Serialize;

/// Full weight; `/readyz` reports it so that a balancer or an operator can prefer others.
pub const WEIGHT_FULL: u8 = 100;

/// The conditions of one process; clones share them.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    unmet: BTreeMap<&'static str, String>,
    remarks: BTreeMap<&'static str, String>,
    weight_lost: u8,
}

/// What `/readyz` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether every condition holds.
    pub ready: bool,
    /// 100, or less when this machine is likely to go away.
    pub weight: u8,
    /// The conditions that do not hold, with the reason.
    pub unmet: BTreeMap<&'static str, String>,
}

impl Readiness {
    /// Nothing stands in the way yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// `name` does not hold, because of `reason`.
    pub fn unmet(&self, name: &'static str, reason: impl Into<String>) {
        self.state().unmet.insert(name, reason.into());
    }

    /// `name` holds.
    pub fn met(&self, name: &'static str) {
        self.state().unmet.remove(name);
    }

    /// Something `/healthz` should mention although traffic is welcome; `None` takes it back.
    pub fn remark(&self, name: &'static str, words: Option<String>) {
        let mut state = self.state();
        match words {
            Some(words) => state.remarks.insert(name, words),
            None => state.remarks.remove(name),
        };
    }

    /// What to mention, one line each.
    pub fn remarks(&self) -> Vec<String> {
        let state = self.state();
        let line = |(name, words): (&&str, &String)| format!("{name}: {words}");
        state.remarks.iter().map(line).collect()
    }

    /// Sets the weight, at most [`WEIGHT_FULL`].
    pub fn set_weight(&self, weight: u8) {
        self.state().weight_lost = WEIGHT_FULL.saturating_sub(weight);
    }

    /// The present state.
    pub fn report(&self) -> Report {
        let state = self.state();
        Report {
            ready: state.unmet.is_empty(),
            weight: WEIGHT_FULL - state.weight_lost,
            unmet: state.unmet.clone(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remarks_leave_readiness_alone() {
        let readiness = Readiness::new();
        readiness.remark("playlists", Some("2 rules broken".to_owned()));
        assert_eq!(readiness.remarks(), ["playlists: 2 rules broken"]);
        assert!(readiness.report().ready);
        readiness.remark("playlists", None);
        assert!(readiness.remarks().is_empty());
    }

    #[test]
    fn all_conditions_must_hold() {
        let readiness = Readiness::new();
        assert!(readiness.report().ready);
        readiness.unmet("origin", "no origin answers");
        readiness.set_weight(50);
        let report = readiness.report();
        assert!(!report.ready && report.weight == 50);
        readiness.met("origin");
        assert!(readiness.report().ready);
    }
}
