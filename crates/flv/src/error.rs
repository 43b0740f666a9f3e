//! Why a tag is left out.

use media::{MediaKind, SkipReason};

use crate::amf0;

/// Why a tag gives no event. All of these are the encoder's doing, and each costs one tag.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A codec that is recognised but not carried.
    #[error("cannot take {codec} {kind}: set the encoder to {remedy}")]
    UnsupportedCodec {
        /// Video or audio.
        kind: MediaKind,
        /// Its name, or its FourCC or number where it has none.
        codec: String,
        /// What to set instead.
        remedy: &'static str,
    },
    /// A tag that ends before its header does.
    #[error("{what} of {bytes} bytes ends inside its header")]
    Truncated {
        /// Which tag.
        what: &'static str,
        /// The length of its body.
        bytes: usize,
    },
    /// A header that says what no header may say.
    #[error("{what} cannot be {value}")]
    Header {
        /// The field.
        what: &'static str,
        /// Its value.
        value: u32,
    },
    /// Script data that cannot be read.
    #[error("script data is damaged: {0}")]
    Script(#[from] amf0::Error),
    /// Script data beyond [`crate::SCRIPT_BYTES_MAX`].
    #[error("script data of {0} bytes exceeds {max}", max = crate::SCRIPT_BYTES_MAX)]
    ScriptTooLong(usize),
}

impl Error {
    /// The reason by the name that every protocol gives it.
    pub fn reason(&self) -> SkipReason {
        match self {
            Error::UnsupportedCodec { .. } => SkipReason::Codec,
            Error::Truncated { .. } | Error::Header { .. } => SkipReason::Damaged,
            Error::Script(_) | Error::ScriptTooLong(_) => SkipReason::Metadata,
        }
    }
}
