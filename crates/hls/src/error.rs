//! Why a packager refuses its configuration or an access unit.

/// Every variant says whose fault it is; none leaves the packager in a state that later calls must
/// repair.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operator's fault: a configured value outside its range.
    #[error("cannot use {name} = {value:?}: make it {min:?} to {max:?}")]
    Config {
        /// The setting.
        name: &'static str,
        /// Its value.
        value: std::time::Duration,
        /// The least allowed.
        min: std::time::Duration,
        /// The most allowed.
        max: std::time::Duration,
    },
    /// The caller's fault: the stream has neither video nor audio.
    #[error("cannot package a stream without tracks")]
    NoTracks,
    /// The caller's fault: a track of the wrong kind in a slot.
    #[error("cannot use a track of {actual} where {expected} belongs")]
    MediaKind {
        /// What the track is.
        actual: media::MediaKind,
        /// What it should be.
        expected: media::MediaKind,
    },
    /// The caller's fault: no such rung.
    #[error("cannot find rung {index}: there are {count}")]
    Rung {
        /// The index given.
        index: usize,
        /// Rungs that exist.
        count: usize,
    },
    /// The caller's fault: too many rungs.
    #[error("cannot add a rung: a stream has at most {limit}")]
    TooManyRungs {
        /// The bound.
        limit: usize,
    },
    /// The peer's fault: an access unit with impossible times or size. It is skipped, the stream
    /// goes on.
    #[error("cannot package an access unit of {kind} at {dts}: {reason}")]
    Unit {
        /// Which track.
        kind: media::MediaKind,
        /// Its decode time.
        dts: i64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The stream has ended or not started.
    #[error("cannot push: the stream {0}")]
    State(&'static str),
    /// Boxes could not be written.
    #[error(transparent)]
    Cmaf(#[from] cmaf::Error),
}
