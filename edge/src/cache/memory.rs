//! The memory tier: entries by key, weighed in bytes, never more than the bound.
//!
//! Insertion evicts at once, so that the bound holds at every moment (a cache that evicts later, in
//! batches, would overshoot by whole segments), and one pass over a long recording does not push
//! out what live viewers share.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering::Relaxed},
};

use quick_cache::{
    DefaultHashBuilder, OptionsBuilder, Weighter,
    sync::{Cache, DefaultLifecycle},
};

use super::CacheEntry;

/// Entries are at least this large on average; only sizes the first tables.
const ENTRY_BYTES_GUESS: u64 = 64 << 10;

/// A shard must hold several of the largest objects, or they would push each other out.
const SHARD_BYTES_MIN: u64 = 256 << 20;

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<String, Arc<CacheEntry>> for ByBytes {
    fn weight(&self, key: &String, entry: &Arc<CacheEntry>) -> u64 {
        entry.weight() + key.len() as u64
    }
}

/// The memory tier.
#[derive(Debug)]
pub struct MemoryCache {
    cache: Cache<String, Arc<CacheEntry>, ByBytes>,
    capacity: u64,
    present_capacity: AtomicU64,
}

impl MemoryCache {
    /// Holds at most `capacity` bytes.
    pub fn new(capacity: u64) -> Self {
        let shards = (capacity / SHARD_BYTES_MIN).clamp(1, 16);
        let items = usize::try_from(capacity / ENTRY_BYTES_GUESS)
            .unwrap_or(1)
            .max(16);
        let builder = OptionsBuilder::new()
            .shards(usize::try_from(shards).unwrap_or(1).next_power_of_two() / 2 + 1)
            .estimated_items_capacity(items)
            .weight_capacity(capacity)
            .build();
        let cache = match builder {
            Ok(options) => Cache::with_options(
                options,
                ByBytes,
                DefaultHashBuilder::default(),
                DefaultLifecycle::default(),
            ),
            Err(_) => Cache::with_weighter(items, capacity, ByBytes),
        };
        Self {
            cache,
            capacity,
            present_capacity: AtomicU64::new(capacity),
        }
    }

    /// The entry of `key`, however old.
    pub fn get(&self, key: &str) -> Option<Arc<CacheEntry>> {
        self.cache.get(key)
    }

    /// Keeps `entry`, if it is cacheable.
    pub fn insert(&self, key: &str, entry: &Arc<CacheEntry>) {
        if entry.is_cacheable() {
            self.cache.insert(key.to_owned(), Arc::clone(entry));
        }
    }

    /// Bytes held.
    pub fn weight(&self) -> u64 {
        self.cache.weight()
    }

    /// Entries held.
    pub fn count(&self) -> usize {
        self.cache.len()
    }

    /// Forgets everything.
    pub fn clear(&self) {
        self.cache.clear();
    }

    /// Gives up room for `pinned` bytes that were evicted but that slow viewers are still being
    /// sent, so that both together stay within the bound. A quarter is kept whatever happens.
    pub fn make_room_for(&self, pinned: u64) {
        let wanted = self.capacity.saturating_sub(pinned).max(self.capacity / 4);
        let present = self.present_capacity.swap(wanted, Relaxed);
        // Changing it walks the tables: not for small change.
        if wanted.abs_diff(present) > self.capacity / 64 {
            self.cache.set_capacity(wanted);
        } else {
            self.present_capacity.store(present, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bytes::Bytes;
    use http::{HeaderMap, HeaderValue, StatusCode};

    use super::*;
    use crate::{cache::decide::Lifetimes, request::Kind};

    fn entry(length: usize) -> Arc<CacheEntry> {
        let hour = Duration::from_secs(3600);
        Arc::new(CacheEntry::new(
            Kind::Media,
            StatusCode::OK,
            &HeaderMap::new(),
            &HeaderValue::from_static("e"),
            Bytes::from(vec![0; length]),
            Duration::ZERO,
            Some(Lifetimes {
                fresh_for: hour,
                usable_for: hour,
            }),
        ))
    }

    #[test]
    fn the_bound_holds_at_every_moment() {
        let memory = MemoryCache::new(8 << 20);
        for index in 0..200 {
            memory.insert(&format!("/{index}"), &entry(300_000 + index * 100));
            assert!(memory.weight() <= 8 << 20, "{}", memory.weight());
        }
        assert!(
            memory.count() > 10,
            "it does keep things: {}",
            memory.count()
        );
        memory.make_room_for(6 << 20);
        assert!(memory.weight() <= 2 << 20, "{}", memory.weight());
    }

    #[test]
    fn the_largest_objects_fit_into_every_shard() {
        for mib in [64_u64, 512, 2048, 16 << 10] {
            let memory = MemoryCache::new(mib << 20);
            assert!(memory.cache.shard_capacity() >= 32 << 20, "{mib} MiB");
        }
    }
}
