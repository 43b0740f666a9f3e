//! Which origin is asked first for a stream: the preferred one, unless another is ahead of it.
//!
//! An origin that has lost its encoder answers everything, but has no more to say: it holds blocked
//! requests back in vain, and makes a gap of what the other has whole. Finding that out anew costs
//! each request the time until an answer is overdue, longer than a low-latency player has in hand.
//! So whoever answered instead leads, until a probe sees that a preferred origin lists as much
//! again.
//!
//! Kept per stream and bounded; losing an entry costs one late answer.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use urls::Live;

/// An origin carries some dozens of streams.
const STREAMS_MAX: usize = 1024;

#[derive(Debug)]
struct Preferred {
    /// Its place in the order of preference.
    rank: usize,
    /// Where it was ahead.
    playlist: String,
}

/// The streams that are led by another than the preferred origin.
#[derive(Debug, Default)]
pub(super) struct PreferredOrigins {
    streams: Mutex<HashMap<String, Preferred>>,
}

impl PreferredOrigins {
    /// The origin of `rank` had the playlist at `path` when others were asked before it, in vain.
    /// Whether that is new.
    pub fn follow(&self, path: &str, rank: usize) -> bool {
        let Some(stream) = Live::stream_of(path) else {
            return false;
        };
        let mut streams = self.lock();
        if rank == 0 {
            return streams.remove(stream).is_some();
        }
        if streams.len() >= STREAMS_MAX && !streams.contains_key(stream) {
            return false;
        }
        let playlist = path.to_owned();
        let before = streams.insert(stream.to_owned(), Preferred { rank, playlist });
        before.is_none_or(|before| before.rank != rank)
    }

    /// Who leads the stream that `path` belongs to.
    pub fn of(&self, path: &str) -> Option<usize> {
        Some(self.lock().get(Live::stream_of(path)?)?.rank)
    }

    /// Playlists in which another is ahead although the origin of `rank` is preferred to it.
    pub fn lost_by(&self, rank: usize) -> Vec<String> {
        let streams = self.lock();
        let lost = streams.values().filter(|preferred| preferred.rank > rank);
        lost.map(|preferred| preferred.playlist.clone()).collect()
    }

    /// Nobody leads the stream of `path` any more.
    pub fn forget(&self, path: &str) {
        if let Some(stream) = Live::stream_of(path) {
            self.lock().remove(stream);
        }
    }

    /// How many streams are led by another.
    pub fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Preferred>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_led_until_it_is_forgotten() {
        let preferred = PreferredOrigins::default();
        preferred.follow("/hls/a/source/index.m3u8", 1);
        assert_eq!(preferred.of("/hls/a/audio/e1/7.m4s"), Some(1));
        assert_eq!(preferred.of("/hls/b/source/index.m3u8"), None);
        assert_eq!(preferred.lost_by(0), ["/hls/a/source/index.m3u8"]);
        assert_eq!(preferred.lost_by(1), [""; 0], "it preferred");
        preferred.follow("/hls/a/source/index.m3u8", 0);
        assert_eq!(
            preferred.count(),
            0,
            "the preferred one leads by being preferred"
        );
        preferred.follow("/hls/a/source/index.m3u8", 2);
        preferred.forget("/hls/a/audio/index.m3u8");
        assert_eq!(preferred.count(), 0);
    }
}
