//! Decides how two origins answer every URL of a stream alike: pipeline locking, as AWS Elemental
//! calls it.
//!
//! ```text
//!            keyframes, audio        status of the peer, once a second
//! Timeline ------------------> Pairing <------------------------------> the other origin's Pairing
//!                               | holds what arrives, at most a named time, until one of:
//!                               |   join: same run id, same ticks, from one of the peer's boundaries on
//!                               v   own run: numbered above everything known
//!                              Run
//! ```
//!
//! Both receive the same encoded bytes over connections of their own, each with its own start and
//! its own rounding of milliseconds. What is common is the payload, so payloads are fingerprinted:
//! a keyframe known to both ties the two timelines together in exact ticks, and audio does the same
//! for its own track. From then on nothing need be asked: equal input, equal cuts, equal bytes. The
//! origins go on comparing anyway.
//!
//! Who gives way is decided by both sides alike, from what both know (`election`); numbers never go
//! back for anybody, so only who can move up gives way. docs/design/origin-pair.md has the
//! argument.
//!
//! [`Pairing`] is pure: status, units and times in, decisions out; the origin asks and answers over
//! HTTP. What this does not do: carry media between origins, or decide which origin a viewer uses.

#![forbid(unsafe_code)]

mod compare;
mod decide;
mod digest;
mod election;
mod history;
mod machine;
mod pending;
mod status;
#[cfg(test)]
mod status_tests;

use std::time::Duration;

pub use digest::Digests;
pub use machine::{Break, LocalState, Output, Pairing, PairingState, PeerError, Placed, Report};
pub use pending::Join;
pub use status::{PeerStatus, RunStatus, SegmentDigest};

/// Media is held at most this long while the peer's answer is awaited: what a viewer's buffer
/// bears, and many round trips between two zones.
pub const HOLD_MAX: Duration = Duration::from_secs(2);

/// Once the peer is known to carry the same stream, the wait for one of its boundaries may take
/// this much longer: a longest segment. Viewers are with the peer meanwhile.
pub const HOLD_RECOGNISED_MAX: Duration = Duration::from_secs(12);

/// PendingUnit bytes: twelve seconds at 40 Mb/s.
pub const HOLD_BYTES_MAX: usize = 64 << 20;

/// PendingUnit units: twelve seconds of 60 pictures and 47 audio units a second, three times over.
pub const HOLD_UNITS_MAX: usize = 4096;

/// Asking while media is held, and while not.
pub const ASK_HOLDING: Duration = Duration::from_millis(100);
/// See [`ASK_HOLDING`].
pub const ASK_LIVE: Duration = Duration::from_secs(1);

/// An answer that takes longer is none.
pub const ANSWER_MAX: Duration = Duration::from_millis(800);

/// A peer not heard of for this long is taken for dead: ten questions without an answer.
pub const PEER_LOST: Duration = Duration::from_secs(10);

/// Between two attempts to give way: each may cost viewers a hiccup. Doubles up to [`BACKOFF_MAX`].
pub const BACKOFF_MIN: Duration = Duration::from_secs(10);
/// See [`BACKOFF_MIN`].
pub const BACKOFF_MAX: Duration = Duration::from_secs(320);

/// Making a lock takes less: the longest hold, and the next segment of each to compare. Only what
/// stays unlocked for longer is worth an operator's eye.
pub const UNLOCKED_MIN: Duration = Duration::from_secs(30);

/// A timeline that follows a drifting clock does so at its own moments: it is joined, and joins,
/// only after it has kept its rhythm for this long.
pub const SETTLED_MIN: Duration = Duration::from_millis(1500);

/// What both origins must have alike, or they cannot cut alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Settings {
    /// Configured segment target.
    pub segment_target_ms: u64,
    /// Configured part target; `None` without parts.
    pub part_target_ms: Option<u64>,
}
