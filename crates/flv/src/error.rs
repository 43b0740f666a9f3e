//! Why a tag is refused, and whether the publish can go on.

use media::{MediaKind, aac, avc};

use crate::amf0;

/// Why a tag gives no event. All of these are the encoder's doing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A codec that is recognised but not served.
    #[error("cannot take {codec} {kind}: set the encoder to {remedy}")]
    UnsupportedCodec {
        /// Video or audio.
        kind: MediaKind,
        /// Its name, or its FourCC or number where it has none.
        codec: String,
        /// What to set instead.
        remedy: &'static str,
    },
    /// An H.264 configuration record that nothing could be decoded with.
    #[error("cannot take the video configuration: {0}")]
    VideoConfig(#[from] avc::Error),
    /// An AudioSpecificConfig that nothing could be decoded with.
    #[error("cannot take the audio configuration: {0}")]
    AudioConfig(#[from] aac::Error),
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
    /// NAL unit lengths that do not add up to the payload.
    #[error(
        "video access unit of {bytes} bytes is damaged: a NAL unit reaches past its end, with \
         {rest} bytes left{}", hint(*.start_code)
    )]
    NalLength {
        /// Bytes of the payload.
        bytes: usize,
        /// Bytes that no NAL unit accounts for.
        rest: usize,
        /// The payload looks like Annex B, which FLV does not allow.
        start_code: bool,
    },
    /// Media before its configuration.
    #[error("{0} access unit before its configuration")]
    NoConfig(MediaKind),
    /// Script data that cannot be read.
    #[error("script data is damaged: {0}")]
    Script(#[from] amf0::Error),
    /// Script data beyond [`crate::SCRIPT_BYTES_MAX`].
    #[error("script data of {0} bytes exceeds {max}", max = crate::SCRIPT_BYTES_MAX)]
    ScriptTooLong(usize),
}

impl Error {
    /// Whether the publish must end: nothing that follows could be played. Everything else costs
    /// one tag: skip it.
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            Error::UnsupportedCodec { .. } | Error::VideoConfig(_) | Error::AudioConfig(_)
        )
    }
}

fn hint(start_code: bool) -> &'static str {
    match start_code {
        true => "; it has start codes instead of lengths",
        false => "",
    }
}
