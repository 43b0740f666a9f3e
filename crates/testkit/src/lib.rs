//! Dev-only: simulated broadcasts, captured publishes, box and playlist checkers, fault schedules.
