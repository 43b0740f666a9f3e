//! How much disk the spool takes, and which of it can go.

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

/// Counts bytes on the disk and forgets confirmed parts, oldest first, when more is needed.
#[derive(Debug)]
pub(super) struct Quota {
    limit: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: u64,
    confirmed: VecDeque<(PathBuf, u64)>,
}

impl Quota {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn used(&self) -> u64 {
        self.state().used
    }

    /// Counts bytes that are on the disk already, whatever the limit.
    pub(super) fn count(&self, bytes: u64) {
        self.state().used += bytes;
    }

    /// Makes room for `bytes`; false when even forgetting all that is confirmed does not.
    pub(super) fn reserve(&self, bytes: u64) -> bool {
        let mut state = self.state();
        while state.used + bytes > self.limit {
            let Some((path, size)) = state.confirmed.pop_front() else {
                return false;
            };
            if let Err(error) = std::fs::remove_file(&path) {
                tracing::warn!(path = %path.display(), %error, "cannot remove a confirmed part");
            }
            state.used = state.used.saturating_sub(size);
        }
        state.used += bytes;
        true
    }

    /// Gives back what was reserved and not written.
    pub(super) fn unreserve(&self, bytes: u64) {
        let mut state = self.state();
        state.used = state.used.saturating_sub(bytes);
    }

    /// The store has this part: its file may go when room is needed.
    pub(super) fn confirmed(&self, path: PathBuf, size: u64) {
        self.state().confirmed.push_back((path, size));
    }

    /// What the store confirmed of these files counts no more: they must stay.
    pub(super) fn hold(&self, folder: &Path) {
        self.state()
            .confirmed
            .retain(|(path, _)| !path.starts_with(folder));
    }

    /// These files are gone, `bytes` in all.
    pub(super) fn release(&self, folder: &Path, bytes: u64) {
        let mut state = self.state();
        state
            .confirmed
            .retain(|(path, _)| !path.starts_with(folder));
        state.used = state.used.saturating_sub(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oldest_confirmed_data_goes_first_and_the_rest_never() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let quota = Quota::new(100);
        for name in ["a", "b", "c"] {
            std::fs::write(path(name), "x").unwrap();
            assert!(quota.reserve(30));
        }
        assert!(!quota.reserve(30), "nothing is confirmed yet");
        quota.confirmed(path("b"), 30);
        quota.confirmed(path("a"), 30);
        assert!(quota.reserve(30));
        assert!(path("a").exists() && !path("b").exists() && path("c").exists());
        assert!(!quota.reserve(80));
        assert!(!path("a").exists() && path("c").exists());
        assert_eq!(quota.used(), 60);
    }
}
