//! Access units to fragmented MP4 and back: init segments, CMAF chunks, and a bounded reader of
//! both.
//!
//! ```text
//! Track + Immersive --init_segment--> ftyp moov { mvhd, trak.., mvex }
//! [AccessUnit]      --chunk---------> moof { mfhd, traf { tfhd, tfdt, trun } } mdat
//! ```
//!
//! The same bytes go to players (HLS parts, ISO/IEC 23000-19) and to recordings, so every byte
//! derives from the track, the sequence number and the media alone: no clock, no process state. Two
//! origins that package the same access units under the same numbers therefore write the same
//! bytes. Decoder configuration records travel exactly as the encoder sent them; that is why sample
//! entries are assembled here around [`mp4_atom`]'s leaf boxes, whose typed `avcC` and `esds` would
//! normalise them.
//!
//! What this does not do: decide where a chunk ends, number anything, or read files that others
//! wrote.

#![forbid(unsafe_code)]

mod boxes;
mod chunk;
mod error;
mod immersive;
mod init;
mod read;
mod scan;
#[cfg(test)]
mod tests;

pub use chunk::{chunk, chunk_head_of, chunk_of, sample_count_max};
pub use error::Error;
pub use init::{TRACKS_MAX, init_segment, init_segment_multi};
pub use read::{Init, InitTrack, Sample, read_chunk, read_init, read_segment};
pub use scan::{BOX_BYTES_MAX, Scanner, TopLevel};

/// Bumped whenever the same access units would give other bytes: it belongs in cache validators and
/// recordings.
pub const FORMAT_VERSION: u32 = 1;

/// The track id in files of one track, and of the first track in files of several.
pub const FIRST_TRACK_ID: u32 = 1;
