//! What is kept, for how long, and what an entry is good for now.

pub mod decide;
mod disk;
mod entry;
mod memory;

pub use disk::DiskCache;
pub use entry::{CacheEntry, SMALL_BYTES_MAX, X_CACHE, headers_from, is_text};
pub use memory::MemoryCache;
