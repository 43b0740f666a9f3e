//! Config, tracing, metrics, admin listener, drain, interruption notices, clock, backoff.
