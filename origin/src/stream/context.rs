//! What a stream needs of the process around it, and the small types that all files of this room
//! share.

use std::{net::SocketAddr, sync::Arc, time::SystemTime};

use service::Clock;
use tokio::sync::Notify;

use super::{discontinuity_store::DiscontinuityStore, events::Events};
use crate::{metrics::Metrics, recorder::Recorder};

/// What a stream needs of the process around it; clones share it.
#[derive(Clone, Debug)]
pub struct Environment {
    /// Time.
    pub clock: Clock,
    /// Counters.
    pub metrics: Metrics,
    /// Where recordings go; `None` when this origin records nothing.
    pub recorder: Option<Recorder>,
    /// What must outlive the process.
    pub discontinuities: DiscontinuityStore,
    /// What this origin must know to share streams with its peer; `None` without one.
    pub peer: Option<PeerConfig>,
    /// What happens to streams.
    pub events: Events,
    /// Told whenever viewers of any stream can see something new.
    pub published: Arc<Notify>,
}

/// This origin's part in a pair.
#[derive(Clone, Copy, Debug)]
pub struct PeerConfig {
    /// How it cuts.
    pub settings: pairing::Settings,
    /// Wins ties.
    pub primary: bool,
}

/// Who publishes.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Where from.
    pub address: SocketAddr,
    /// What `connect` called itself.
    pub encoder: String,
}

/// Microseconds since the Unix epoch; 0 before it. For numbering and program date times.
pub fn unix_micros(wall: SystemTime) -> i64 {
    let since = wall
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
