//! HLS-aware caching proxy.
