//! Playlist text: one file per tag family, each a few pure functions that append lines.

pub(crate) mod header;
pub(crate) mod multivariant;
pub(crate) mod part;
pub(crate) mod segment;
mod text;
pub mod vod;
