//! Why boxes cannot be written or read.

/// What is wrong, with the box at fault.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A value does not fit its field: the caller's fault.
    #[error("cannot write {what}: {value} does not fit")]
    Range {
        /// The field.
        what: &'static str,
        /// The value given.
        value: i64,
    },
    /// A chunk without access units, or a file without tracks.
    #[error("cannot write {0}: nothing to put in it")]
    Empty(&'static str),
    /// More than a bound allows.
    #[error("cannot accept {count} {what}: the limit is {limit}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many.
        count: usize,
        /// The bound.
        limit: usize,
    },
    /// An access unit of one kind given to a track of another.
    #[error("cannot write an access unit of {unit} into a track of {track}")]
    MediaKind {
        /// What the unit is.
        unit: media::MediaKind,
        /// What the track is.
        track: media::MediaKind,
    },
    /// A box is missing from where the format demands it.
    #[error("cannot read {parent}: box \"{missing}\" is missing")]
    Missing {
        /// The container.
        parent: &'static str,
        /// The box.
        missing: &'static str,
    },
    /// A box is damaged or truncated.
    #[error("cannot read box \"{kind}\": {reason}")]
    Damaged {
        /// The box.
        kind: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Legal ISO BMFF that we never write.
    #[error("cannot read {what}: not a file of ours")]
    Foreign {
        /// The construct.
        what: &'static str,
    },
    /// `avcC` holds no usable configuration.
    #[error(transparent)]
    Avc(#[from] media::avc::Error),
    /// `esds` holds no usable configuration.
    #[error(transparent)]
    Aac(#[from] media::aac::Error),
    /// A leaf box could not be written.
    #[error("cannot write a box: {0}")]
    Write(#[source] mp4_atom::Error),
}

impl Error {
    pub(crate) fn damaged(kind: &[u8], reason: impl ToString) -> Self {
        Self::Damaged {
            kind: String::from_utf8_lossy(kind).into_owned(),
            reason: reason.to_string(),
        }
    }
}
