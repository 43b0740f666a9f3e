//! Says why something could not be decoded, scaled or encoded.

use ffmpeg_next as ffmpeg;

/// Why a codec, filter or container could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Settings no encoder here can follow (the operator's to change).
    #[error("cannot use {what} = {value}: {reason}")]
    Setting {
        /// The setting's name.
        what: &'static str,
        /// What it was set to.
        value: String,
        /// Limit and remedy.
        reason: String,
    },
    /// The named encoder is not part of this FFmpeg.
    #[error(
        "cannot use encoder \"{name}\": this FFmpeg has {available}; set encoder to one of them"
    )]
    NoEncoder {
        /// The name asked for.
        name: String,
        /// H.264 encoders that this FFmpeg has.
        available: String,
    },
    /// FFmpeg refused.
    #[error("cannot {action}: {source}")]
    Ffmpeg {
        /// What was attempted, with the values.
        action: String,
        /// FFmpeg's reason.
        source: ffmpeg::Error,
    },
    /// An encoder's configuration record or parameter sets cannot be understood.
    #[error("cannot use what encoder {encoder} says of itself: {reason}")]
    Configuration {
        /// The encoder.
        encoder: String,
        /// The damage.
        reason: String,
    },
    /// The track is of another codec or kind than the call needs.
    #[error("cannot use this track: {0}")]
    Track(&'static str),
    /// A stored file that is damaged or has nothing to transcode.
    #[error("cannot read recording: {0}")]
    Recording(String),
    /// A thread could not be started (the machine's limit).
    #[error("cannot start thread {name}: {source}")]
    Thread {
        /// The thread's name.
        name: String,
        /// The system's reason.
        source: std::io::Error,
    },
}

impl Error {
    pub(crate) fn setting(
        what: &'static str,
        value: impl std::fmt::Display,
        reason: impl Into<String>,
    ) -> Self {
        Self::Setting {
            what,
            value: value.to_string(),
            reason: reason.into(),
        }
    }
}

/// Adds what was attempted to FFmpeg's bare reason.
pub(crate) trait Attempt<T> {
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> Attempt<T> for Result<T, ffmpeg::Error> {
    fn attempt(self, action: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Ffmpeg {
            action: action(),
            source,
        })
    }
}

/// An FFmpeg return code as a result; negative codes are errors.
pub(crate) fn check(code: libc::c_int) -> Result<libc::c_int, ffmpeg::Error> {
    if code < 0 {
        Err(ffmpeg::Error::from(code))
    } else {
        Ok(code)
    }
}

/// FFmpeg's "not now": give it more input, or take its output first.
pub(crate) fn is_again(error: &ffmpeg::Error) -> bool {
    matches!(error, ffmpeg::Error::Other { errno } if *errno == ffmpeg::error::EAGAIN)
}
