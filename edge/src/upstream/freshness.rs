//! How far each live playlist has come, and since when: what tells a frozen origin from a quiet
//! one.
//!
//! Kept per path and bounded; losing an entry only means that a playlist counts as new.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quick_cache::sync::Cache;

use crate::{
    cache::decide::PLAYLIST_USABLE_TARGETS,
    playlist::{PlaylistSummary, Position},
};

/// Live renditions watched at once by one edge; 64 streams of 5 renditions are 320.
const PATHS_MAX: usize = 4096;

/// A stream that has not moved for so long has nobody to come back to.
const OVER_AFTER: Duration = Duration::from_secs(60);

/// What a fetched playlist is, compared with what has been seen of that path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Freshness {
    /// It reaches less far than one seen before: that origin is behind.
    Behind,
    /// It starts later than the one seen before has come to, or earlier than that did: an origin
    /// that has the stream since lately lists less of it. Viewers have to play what they were told
    /// of, and the first number they see never goes back.
    Elsewhere,
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
    first_msn: u64,
    position: Position,
    moved_at: Duration,
    target: Duration,
    part_target: Option<Duration>,
    ended: bool,
}

/// All watched playlists.
#[derive(Debug)]
pub struct FreshnessTracker {
    paths: Cache<String, Arc<Mutex<Seen>>>,
}

impl Default for FreshnessTracker {
    fn default() -> Self {
        Self {
            paths: Cache::new(PATHS_MAX),
        }
    }
}

impl FreshnessTracker {
    /// Takes note of a playlist and judges it.
    pub fn note(&self, path: &str, summary: &PlaylistSummary, now: Duration) -> Freshness {
        let Some(seen) = self.paths.get(path) else {
            let seen = Seen {
                first_msn: summary.first_msn,
                position: summary.position,
                moved_at: now,
                target: summary.target,
                part_target: summary.part_target,
                ended: summary.ended,
            };
            self.paths
                .insert(path.to_owned(), Arc::new(Mutex::new(seen)));
            return Freshness::Current;
        };
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if !summary.ended && summary.position < seen.position {
            return Freshness::Behind;
        }
        if !summary.ended && !seen.goes_on(summary) {
            return Freshness::Elsewhere;
        }
        if summary.position > seen.position || (summary.ended && !seen.ended) {
            seen.position = summary.position.max(seen.position);
            seen.moved_at = now;
            seen.ended = summary.ended;
        }
        seen.first_msn = summary.first_msn;
        seen.target = summary.target;
        seen.part_target = summary.part_target;
        if summary.ended {
            return Freshness::Current;
        }
        let still_for = now.saturating_sub(seen.moved_at);
        if still_for <= summary.target.mul_f64(PLAYLIST_USABLE_TARGETS) {
            return Freshness::Current;
        }
        Freshness::Frozen {
            for_ms: u64::try_from(still_for.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Whoever asked has taken a playlist that reaches less far or starts elsewhere, because nobody
    /// has better: the numbers start over from it.
    pub fn start_over(&self, path: &str, summary: &PlaylistSummary, now: Duration) {
        self.paths.remove(path);
        self.note(path, summary, now);
    }

    /// Whether a playlist has all that the best one seen at `path` had, so that viewers may go on
    /// with it.
    pub fn is_level(&self, path: &str, summary: &PlaylistSummary) -> bool {
        let Some(seen) = self.paths.get(path) else {
            return true;
        };
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        summary.ended
            || summary.position >= seen.position && seen.goes_on(summary) && !summary.has_gap_ahead
    }

    /// Whether nobody has seen the playlist at `path` move for long.
    pub fn is_over(&self, path: &str, now: Duration) -> bool {
        self.moved_at(path)
            .is_none_or(|moved_at| now.saturating_sub(moved_at) > OVER_AFTER)
    }

    /// When the playlist at `path` last moved; none when it has ended or nobody has asked for it.
    pub fn moved_at(&self, path: &str) -> Option<Duration> {
        let seen = self.paths.get(path)?;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        (!seen.ended).then_some(seen.moved_at)
    }

    /// CacheRequest duration and part target last seen on `path`.
    pub fn targets(&self, path: &str) -> Option<(Duration, Option<Duration>)> {
        let seen = self.paths.get(path)?;
        let seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        Some((seen.target, seen.part_target))
    }
}

impl Seen {
    /// Lists as much, and starts no earlier. Segments that differ in length may let a window
    /// shrink: then all origins are asked once, and the first is taken.
    fn goes_on(&self, summary: &PlaylistSummary) -> bool {
        let length = |first: u64, position: Position| position.next_msn.saturating_sub(first);
        let listed = length(summary.first_msn, summary.position);
        summary.first_msn >= self.first_msn && listed >= length(self.first_msn, self.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(next_msn: u64) -> PlaylistSummary {
        from(next_msn.saturating_sub(1), next_msn)
    }

    fn from(first_msn: u64, next_msn: u64) -> PlaylistSummary {
        PlaylistSummary {
            first_msn,
            position: Position { next_msn, parts: 0 },
            target: Duration::from_secs(2),
            part_target: None,
            has_gap_ahead: false,
            ended: false,
        }
    }

    #[test]
    fn a_playlist_that_does_not_move_is_noticed() {
        let tracker = FreshnessTracker::default();
        let at = Duration::from_secs;
        assert_eq!(tracker.note("/p", &summary(5), at(10)), Freshness::Current);
        assert_eq!(tracker.note("/p", &summary(5), at(13)), Freshness::Current);
        assert_eq!(
            tracker.note("/p", &summary(5), at(14)),
            Freshness::Frozen { for_ms: 4000 }
        );
        assert_eq!(tracker.note("/p", &summary(6), at(15)), Freshness::Current);
        assert_eq!(tracker.note("/p", &summary(5), at(15)), Freshness::Behind);
        let ended = PlaylistSummary {
            ended: true,
            ..summary(6)
        };
        assert_eq!(tracker.note("/p", &ended, at(1000)), Freshness::Current);
        tracker.start_over("/p", &summary(1), at(1001));
        assert_eq!(
            tracker.note("/p", &summary(1), at(1002)),
            Freshness::Current
        );
    }

    #[test]
    fn an_origin_that_lists_less_is_noticed_until_it_lists_as_much() {
        let tracker = FreshnessTracker::default();
        let note = |first, next| tracker.note("/p", &from(first, next), Duration::ZERO);
        assert_eq!(note(0, 20), Freshness::Current);
        assert_eq!(note(1, 21), Freshness::Current);
        assert_eq!(
            note(18, 21),
            Freshness::Elsewhere,
            "it has come back lately"
        );
        assert_eq!(note(2, 22), Freshness::Current, "the other has all");
        assert_eq!(note(4, 23), Freshness::Elsewhere, "one is missing");
        assert_eq!(note(3, 23), Freshness::Current);
        assert_eq!(
            note(2, 24),
            Freshness::Elsewhere,
            "the first number goes back"
        );
        tracker.start_over("/p", &from(22, 25), Duration::ZERO);
        assert_eq!(note(22, 26), Freshness::Current, "it is all there is");
        assert_eq!(note(7, 27), Freshness::Elsewhere);
    }
}
