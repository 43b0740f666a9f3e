//! What went wrong, whose fault it is and whether asking again can help.

use std::{io, ops::Range};

/// Who can make an error go away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The code that called: a key or range that cannot exist.
    Caller,
    /// Whoever set the store up: rights, names, addresses, space.
    Operator,
    /// The store or the way to it; usually passes.
    Store,
}

/// Why a store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No object of that key.
    #[error("cannot find {key} in {store}")]
    NotFound {
        /// The key asked for.
        key: String,
        /// The store's URL.
        store: String,
    },
    /// The upload was completed, aborted or expired.
    #[error("cannot go on with upload {upload} of {key}: the store no longer knows it")]
    UploadGone {
        /// The object it was to become.
        key: String,
        /// Its id.
        upload: String,
    },
    /// A key, range, part list or size that no store accepts.
    #[error("cannot use {key:?}: {reason}")]
    Invalid {
        /// The key.
        key: String,
        /// What is wrong with the request, with the limit.
        reason: String,
    },
    /// The store refuses these credentials or this user.
    #[error("cannot {action} {target}: access denied ({reason}); grant this right to the process")]
    Denied {
        /// The operation.
        action: &'static str,
        /// Key or URL.
        target: String,
        /// The store's own words.
        reason: String,
    },
    /// The store's address or set-up is wrong.
    #[error("cannot use store {url}: {reason}")]
    Misconfigured {
        /// The store's URL as configured.
        url: String,
        /// What is wrong and what to do.
        reason: String,
    },
    /// No space left. Retryable: space may be freed.
    #[error("cannot {action} {target}: no space left on the device; free some or raise the quota")]
    Full {
        /// The operation.
        action: &'static str,
        /// Key or path.
        target: String,
    },
    /// The store failed, is away or answered too slowly.
    #[error("cannot {action} {target}: {reason}")]
    Unavailable {
        /// The operation.
        action: &'static str,
        /// Key or URL.
        target: String,
        /// The store's own words.
        reason: String,
    },
    /// Fewer or more bytes came than announced.
    #[error("cannot read {key}: {got} of {expected} bytes came")]
    Truncated {
        /// The object.
        key: String,
        /// Bytes that came.
        got: u64,
        /// Bytes announced.
        expected: u64,
    },
}

impl Error {
    /// Whether the same request may succeed later without anybody changing it.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Unavailable { .. } | Self::Truncated { .. } | Self::Full { .. }
        )
    }

    /// Whether the object is simply not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// Whose turn it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::NotFound { .. } | Self::UploadGone { .. } | Self::Invalid { .. } => Fault::Caller,
            Self::Denied { .. } | Self::Misconfigured { .. } | Self::Full { .. } => Fault::Operator,
            Self::Unavailable { .. } | Self::Truncated { .. } => Fault::Store,
        }
    }

    pub(crate) fn invalid(key: &str, reason: impl Into<String>) -> Self {
        Self::Invalid {
            key: key.into(),
            reason: reason.into(),
        }
    }

    pub(crate) fn not_found(key: &str, store: &str) -> Self {
        Self::NotFound {
            key: key.into(),
            store: store.into(),
        }
    }

    pub(crate) fn upload_gone(key: &str, upload: &str) -> Self {
        Self::UploadGone {
            key: key.into(),
            upload: upload.into(),
        }
    }

    pub(crate) fn bad_range(key: &str, range: Range<u64>, size: u64) -> Self {
        let Range { start, end } = range;
        Self::invalid(
            key,
            format!("range {start}..{end} has nothing of its {size} bytes"),
        )
    }

    pub(crate) fn bad_parts(key: &str, reason: String) -> Self {
        Self::invalid(key, reason)
    }

    pub(crate) fn too_large(key: &str, size: u64, limit: u64) -> Self {
        Self::invalid(
            key,
            format!("{size} bytes exceed the {limit} this reader takes at once"),
        )
    }

    pub(crate) fn truncated(key: &str, got: u64, expected: u64) -> Self {
        Self::Truncated {
            key: key.into(),
            got,
            expected,
        }
    }

    pub(crate) fn misconfigured(url: &str, reason: impl Into<String>) -> Self {
        Self::Misconfigured {
            url: url.into(),
            reason: reason.into(),
        }
    }

    /// A file system's error while doing `action` to `target`.
    pub(crate) fn io(action: &'static str, target: &str, error: &io::Error) -> Self {
        let target = target.to_owned();
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { action, target }
            }
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Self::Denied {
                action,
                target,
                reason: error.to_string(),
            },
            _ => Self::Unavailable {
                action,
                target,
                reason: error.to_string(),
            },
        }
    }
}
