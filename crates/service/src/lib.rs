//! What every Panocast process needs around its real work: configuration, logs, metrics, an HTTP
//! server and client shell, the admin listener, draining, interruption notices, time and retries.
//!
//! Why one crate: a role should read as `load → build → run → drain`, and each of those verbs must
//! mean the same in all roles. HTTP is not a crate of its own, because it would be two: the server
//! needs the clock, drain, logs and metrics from here, and the admin listener and the metadata
//! client here need HTTP. Nothing here knows media, streams or stores.
//!
//! ```text
//! config::File --section--> role config --build--> listeners --run--> drain::Signal
//!      interruption::Source (SIGTERM, POST /drain, cloud notice) ------------^
//! ```

#![forbid(unsafe_code)]

pub mod admin;
pub mod backoff;
pub mod cli;
pub mod clock;
pub mod config;
pub mod drain;
pub mod http;
pub mod interruption;
pub mod log;
pub mod metrics;
pub mod notify;
pub mod readiness;

pub use clock::Clock;
pub use config::Secret;
