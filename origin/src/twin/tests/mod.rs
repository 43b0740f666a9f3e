//! Schedules of two origins on simulated time.
