//! Scenarios with real peers.
