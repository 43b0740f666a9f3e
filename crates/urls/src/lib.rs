//! Writes and reads the URLs of live streams and recordings (`docs/ref/urls.md`), and the delivery
//! directives in their queries.
//!
//! ```text
//! path  ── parse ──► Resource ── Display ──► path      the same path, for every resource there is
//! query ── parse ──► Directives ── Display ─► query    canonical: what a cache key may hold
//! ```
//!
//! One spelling per resource: a path that is written differently (a leading zero, an escape, a
//! doubled slash) names nothing, so that caches hold one copy of everything. Nothing is
//! percent-decoded, because no name of ours needs an escape. What this does not do: the player page
//! (any other path), lifetimes in caches, and whether a resource exists.

#![forbid(unsafe_code)]

mod directives;
mod live;
mod name;
mod reference;
mod vod;

pub use directives::{DirectiveError, Directives, Skip};
pub use live::{Live, MediaFile};
pub use name::{NAME_BYTES_MAX, is_name};
pub use reference::Reference;
pub use vod::{AssetFile, Vod};

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// Below `/hls/`.
    Live(Live<'a>),
    /// Below `/vod/`.
    Vod(Vod<'a>),
}

impl<'a> Resource<'a> {
    /// Reads a path (without query). `None` for the player page's files and for whatever names
    /// nothing.
    pub fn parse(path: &'a str) -> Option<Self> {
        match Live::parse(path) {
            Some(live) => Some(Self::Live(live)),
            None => Vod::parse(path).map(Self::Vod),
        }
    }
}

impl std::fmt::Display for Resource<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Live(live) => live.fmt(f),
            Self::Vod(vod) => vod.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests;
