//! What went wrong, whose fault it is and whether asking again can help.

/// Who can make an error go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The code that called.
    Caller,
    /// Whoever set the queue up: rights, names, addresses, space.
    Operator,
    /// The queue or the way to it; usually passes.
    Queue,
}

/// Why a queue did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A request that no queue accepts.
    #[error("cannot use the queue so: {reason}")]
    Invalid {
        /// What is wrong with the request, with the limit.
        reason: String,
    },
    /// The message is no longer held by this receipt: its visibility ran out, or it was deleted.
    #[error(
        "cannot {action}: the message is no longer held (its visibility ran out or it was deleted)"
    )]
    Lost {
        /// The operation.
        action: &'static str,
    },
    /// The queue refuses these credentials.
    #[error("cannot {action} {queue}: access denied ({reason}); grant this right to the process")]
    Denied {
        /// The operation.
        action: &'static str,
        /// The queue's URL.
        queue: String,
        /// The queue's own words.
        reason: String,
    },
    /// The queue's address or set-up is wrong.
    #[error("cannot use queue {queue}: {reason}")]
    Misconfigured {
        /// The queue's URL as configured.
        queue: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// The queue failed, is away or answered too slowly.
    #[error("cannot {action} {queue}: {reason}")]
    Unavailable {
        /// The operation.
        action: &'static str,
        /// The queue's URL.
        queue: String,
        /// The queue's own words.
        reason: String,
    },
}

impl Error {
    /// Whether the same request may succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Whose turn it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Invalid { .. } | Self::Lost { .. } => Fault::Caller,
            Self::Denied { .. } | Self::Misconfigured { .. } => Fault::Operator,
            Self::Unavailable { .. } => Fault::Queue,
        }
    }

    pub(crate) fn misconfigured(queue: &str, reason: impl Into<String>) -> Self {
        Self::Misconfigured {
            queue: queue.into(),
            reason: reason.into(),
        }
    }
}
