//! How far each live playlist has come, and since when: what tells a frozen origin from a quiet one.
//!
//! Kept per path and bounded; losing an entry only means that a playlist counts as new.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use quick_cache::sync::Cache;

use crate::cache::decide::PLAYLIST_USABLE_TARGETS;
use crate::playlist::{Facts, Position};

/// Live renditions watched at once by one edge; 64 streams of 5 renditions are 320.
const PATHS_MAX: usize = 4096;

/// What a fetched playlist is, compared with what has been seen of that path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// It reaches less far than one seen before: that origin is behind.
    Behind,
    /// It has not moved for longer than 1.5 target durations: that origin may be frozen.
    Frozen {
        /// Since when it has not moved.
        for_ms: u64,
    },
    /// It moves, or it need not: ended, or it has just been seen for the first time.
    Current,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    position: Position,
    moved_at: Duration,
    target: Duration,
    part_target: Option<Duration>,
    ended: bool,
}

/// All watched playlists.
#[derive(Debug)]
pub struct Progress {
    paths: Cache<String, Arc<Mutex<Seen>>>,
}

impl Default for Progress {
    fn default() -> Progress {
        Progress {
            paths: Cache::new(PATHS_MAX),
        }
    }
}

impl Progress {
    /// Takes note of a playlist and judges it.
    pub fn note(&self, path: &str, facts: &Facts, now: Duration) -> Freshness {
        let Some(seen) = self.paths.get(path) else {
            let seen = Seen {
                position: facts.position,
                moved_at: now,
                target: facts.target,
                part_target: facts.part_target,
                ended: facts.ended,
            };
            self.paths
                .insert(path.to_owned(), Arc::new(Mutex::new(seen)));
            return Freshness::Current;
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if facts.position > seen.position || (facts.ended && !seen.ended) {
            seen.position = facts.position.max(seen.position);
            seen.moved_at = now;
            seen.ended = facts.ended;
        }
        seen.target = facts.target;
        seen.part_target = facts.part_target;
        if facts.ended {
            return Freshness::Current;
        }
        if facts.position < seen.position {
            return Freshness::Behind;
        }
        let still_for = now.saturating_sub(seen.moved_at);
        if still_for <= facts.target.mul_f64(PLAYLIST_USABLE_TARGETS) {
            return Freshness::Current;
        }
        Freshness::Frozen {
            for_ms: u64::try_from(still_for.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Whoever asked has taken a playlist that reaches less far, because nobody has better: the numbers
    /// start over from it.
    pub fn start_over(&self, path: &str, facts: &Facts, now: Duration) {
        self.paths.remove(path);
        self.note(path, facts, now);
    }

    /// Target duration and part target last seen on `path`.
    pub fn targets(&self, path: &str) -> Option<(Duration, Option<Duration>)> {
        let seen = self.paths.get(path)?;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        Some((seen.target, seen.part_target))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(next_msn: u64) -> Facts {
        Facts {
            position: Position { next_msn, parts: 0 },
            target: Duration::from_secs(2),
            part_target: None,
            ended: false,
        }
    }

    #[test]
    fn p28_a_playlist_that_does_not_move_is_noticed() {
        let progress = Progress::default();
        let at = Duration::from_secs;
        assert_eq!(progress.note("/p", &facts(5), at(10)), Freshness::Current);
        assert_eq!(progress.note("/p", &facts(5), at(13)), Freshness::Current);
        assert_eq!(
            progress.note("/p", &facts(5), at(14)),
            Freshness::Frozen { for_ms: 4000 }
        );
        assert_eq!(progress.note("/p", &facts(6), at(15)), Freshness::Current);
        assert_eq!(progress.note("/p", &facts(5), at(15)), Freshness::Behind);
        let ended = Facts {
            ended: true,
            ..facts(6)
        };
        assert_eq!(progress.note("/p", &ended, at(1000)), Freshness::Current);
        progress.start_over("/p", &facts(1), at(1001));
        assert_eq!(progress.note("/p", &facts(1), at(1002)), Freshness::Current);
    }
}
