//! Packages access units as low-latency HLS: parts, segments, a sliding window, and the playlists
//! that list them.
//!
//! ```text
//! source units --+                              +-- snapshot --> render_media, render_multivariant
//! rung units   --+--> Packager --> renditions --+
//! audio units  --+     (one segmenter)          +-- reload::decide: answer now, wait, refuse
//! ```
//!
//! One [`Packager`] owns every rendition of a stream run, because what players need most is that
//! all of them agree: segment *n* covers the same media time everywhere. The source's video decides
//! where segments start, everything else follows. Rendering and the blocking-reload decision are
//! pure functions of an immutable [`Snapshot`], so that any number of HTTP tasks can answer from it
//! without a lock.
//!
//! The protocol is draft-pantos-hls-rfc8216bis-22 (called *bis* in the code); section numbers are
//! its own.
//!
//! What this does not do: read clocks, wait for viewers, open sockets or files, choose bitrates,
//! encode.

#![forbid(unsafe_code)]

pub mod bandwidth;
pub mod check;
pub mod checkpoint;
mod error;
pub mod packager;
pub mod part;
pub mod playlist;
pub mod reload;
mod render;
mod rendition;
mod renditions;
mod segment;
pub mod segmenter;
mod snapshot;
mod start;
mod timing;
pub mod window;

pub use error::Error;
pub use packager::{Config, Event, Keyframes, Packager, Pushed, RungSpec, Tracks};
pub use render::{Delivery, Flavour, render_media, render_multivariant};
pub use segment::{Init, Part, Segment};
pub use snapshot::{
    Announced, AudioRendition, Hint, Lookup, MediaSnapshot, Multivariant, PlaylistConstants,
    Position, Report, Snapshot, Variant,
};
pub use start::{Boundary, LastPosition, Start};
