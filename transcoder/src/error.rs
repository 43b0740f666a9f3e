//! Why a recording did not become VOD, and whether trying again can help.

/// What went wrong with a job.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The recording itself: trying again gives the same.
    #[error("cannot transcode {key}: {verdict}")]
    Recording {
        /// The recording.
        key: String,
        /// What is wrong with it, for its owner.
        verdict: String,
    },
    /// The configuration: somebody has to change it.
    #[error("cannot use the ladder: {0}")]
    Ladder(#[source] encode::Error),
    /// A store.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The queue.
    #[error(transparent)]
    Queue(#[from] jobs::Error),
    /// A codec failed on media it should be able to handle.
    #[error("cannot encode slice {slice} of {asset}: {reason}")]
    Slice {
        /// The asset.
        asset: String,
        /// Which slice.
        slice: u32,
        /// The codec's words.
        reason: String,
    },
    /// What an earlier step left in the store does not fit.
    #[error("cannot go on with {what}: {reason}")]
    Work {
        /// The object.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The process is ending.
    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// Nothing but other input or other settings can help: the job is a dead letter at once.
    pub fn is_permanent(&self) -> bool {
        match self {
            Self::Recording { .. } | Self::Ladder(_) => true,
            Self::Store(error) => !error.is_retryable(),
            Self::Queue(_) | Self::Slice { .. } | Self::Work { .. } | Self::Interrupted => false,
        }
    }

    pub(crate) fn recording(key: &str, verdict: impl ToString) -> Self {
        Self::Recording {
            key: key.into(),
            verdict: verdict.to_string(),
        }
    }
}

/// What every step gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;
