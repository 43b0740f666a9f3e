//! Dev-only: a broadcast in a struct, and checkers that simulated and real tests share.
//!
//! ```text
//! Publisher --units--> Core { Timeline -> Packager } --playlists, segments--> Viewers
//!     ^ faults                                                                     | findings
//! ```
//!
//! Time is simulated: [`Broadcast::drive_for`] runs three days in seconds. Every access unit
//! carries what it is and when it was captured ([`synth::Content`]), so that a [`Viewer`] can tell
//! whether video and audio still belong together, whatever happened on the way. A viewer is fed
//! texts and bytes, so that end-to-end tests can feed it over HTTP.
//!
//! What it does not do: encode (see the test source), decode, or open sockets.

#![forbid(unsafe_code)]

mod broadcast;
pub mod faults;
pub mod odd;
mod publisher;
pub mod synth;
mod viewer;

pub use broadcast::{Broadcast, Core};
pub use publisher::{Publisher, Sent, Shape};
pub use viewer::{Report, Segment, Viewer};
