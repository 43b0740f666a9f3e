//! Object stores: keys to bytes, in a folder, in S3 or in memory, behind one small trait.
//!
//! Recordings go into one store (ingest) and VOD out of another (egress), with separate rights; the
//! code is the same. The trait holds what both a file system and S3 can do atomically and no more:
//!
//! - an object appears whole or not at all, also when the writer dies;
//! - [`Store::put_if_absent`] lets exactly one of several racing writers win;
//! - a multipart upload survives its writer: the parts that arrived are listed and the rest is
//!   sent.
//!
//! Nothing here retries: the caller owns the one retry loop, because only it knows what can wait.
//! It asks [`Error::is_retryable`]. This crate knows nothing of media, and never logs a credential:
//! it does not see any, the AWS SDK's own chain finds them.

#![forbid(unsafe_code)]

mod address;
mod error;
mod faulty;
mod folder;
mod key;
mod memory;
#[cfg(feature = "aws")]
mod s3;

use std::{fmt::Debug, ops::Range, path::Path, pin::Pin, time::SystemTime};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};

pub use address::{Address, Credentials, Options, open};
pub use error::{Error, Fault};
pub use faulty::{Disturbance, FaultSchedule, Faulty, Operation};
pub use folder::Folder;
pub use key::{KEY_BYTES_MAX, check as check_key};
pub use memory::MemoryStore;
#[cfg(feature = "aws")]
pub use s3::S3;

/// Bytes one step of a streaming read hands over at most, in a folder: large enough that a system
/// call costs little, small enough that a thousand readers stay within 256 MiB. S3 hands over what
/// one network read gave.
pub const READ_CHUNK_BYTES: usize = 256 << 10;

/// Every part of a multipart upload but the last has at least this many bytes (S3's rule, kept
/// everywhere so that a folder does not hide a mistake).
pub const PART_BYTES_MIN: u64 = 5 << 20;

/// Part numbers are 1 to this (S3's rule).
pub const PART_NUMBER_MAX: u32 = 10_000;

/// Objects one [`Store::list`] call returns at most (S3's page).
pub const LIST_MAX: usize = 1000;

/// What every operation gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An object's bytes as they come, in bounded chunks.
pub type Body = Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>;

/// How a store is told to label an object. A folder keeps no labels: whoever serves it derives them
/// from the name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ObjectMetadata {
    /// `Content-Type`.
    pub content_type: Option<&'static str>,
    /// `Cache-Control`.
    pub cache_control: Option<&'static str>,
}

/// What is known of an object without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its key within the store.
    pub key: String,
    /// Its size in bytes.
    pub size: u64,
    /// Changes when the bytes change; opaque, without quotes.
    pub etag: String,
    /// When it was written.
    pub modified: SystemTime,
}

/// An open object: what it is, which of its bytes follow, and those bytes.
pub struct Read {
    /// The whole object's facts.
    pub object: Object,
    /// The bytes that [`Read::body`] yields.
    pub range: Range<u64>,
    /// The bytes. An error or an early end means the read has to be repeated from there.
    pub body: Body,
}

impl Debug for Read {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Read")
            .field("object", &self.object)
            .field("range", &self.range)
            .finish_non_exhaustive()
    }
}

impl Read {
    /// The whole body, at most `limit` bytes: an object or range beyond it is refused before it is
    /// read.
    pub async fn bytes(mut self, limit: u64) -> Result<Bytes> {
        let expected = self.range.end - self.range.start;
        if expected > limit {
            return Err(Error::too_large(&self.object.key, expected, limit));
        }
        let mut whole = BytesMut::with_capacity(usize::try_from(expected).unwrap_or(0));
        while let Some(chunk) = self.body.next().await {
            whole.extend_from_slice(&chunk?);
            if whole.len() as u64 > expected {
                break;
            }
        }
        if whole.len() as u64 != expected {
            let got = whole.len() as u64;
            return Err(Error::truncated(&self.object.key, got, expected));
        }
        Ok(whole.freeze())
    }
}

/// What became of a conditional create.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This call wrote the object.
    Yes,
    /// An object with that key was there; it is unchanged.
    Existed,
}

/// One page of a listing, in byte order of the keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Object>,
    /// Pass it as `after` for the next page; `None` on the last one.
    pub next: Option<String>,
}

/// A multipart upload's name, given by the store; kept in journals.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct UploadId(pub String);

/// A part that the store confirmed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Part {
    /// 1 to [`PART_NUMBER_MAX`].
    pub number: u32,
    /// Its size in bytes.
    pub size: u64,
    /// The store's name for its bytes.
    pub etag: String,
}

/// An upload that was begun and neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upload {
    /// The object it is to become.
    pub key: String,
    /// Its name.
    pub id: UploadId,
}

/// A place for objects. Every implementation passes the same conformance suite
/// (`tests/conformance.rs`).
///
/// Keys are `/`-separated names, checked by [`check_key`] on every call. Dropping a future abandons
/// the operation: the object is then either written whole or not at all.
#[async_trait::async_trait]
pub trait Store: Send + Sync + Debug {
    /// Where this is, for people: `file:///srv/vod`, `s3://bucket/prefix`.
    fn url(&self) -> &str;

    /// Writes an object whole, over one of the same key.
    async fn put(&self, key: &str, bytes: Bytes, metadata: ObjectMetadata) -> Result<()>;

    /// Writes an object whole unless the key is taken. Of several racing callers exactly one gets
    /// [`Created::Yes`].
    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        metadata: ObjectMetadata,
    ) -> Result<Created>;

    /// Opens an object.
    async fn get(&self, key: &str) -> Result<Read>;

    /// Opens the bytes of an object from `range.start` up to `range.end` or the object's end,
    /// whichever comes first. A range that is empty or begins at or beyond the end is an error.
    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Read>;

    /// An object's facts.
    async fn head(&self, key: &str) -> Result<Object>;

    /// Objects whose keys start with `prefix` (any text, not only whole names) and come after
    /// `after` in byte order.
    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page>;

    /// Removes an object. One that is not there counts as removed.
    async fn delete(&self, key: &str) -> Result<()>;

    /// Begins an upload in parts. Nothing is visible under `key` before [`Store::complete_upload`].
    async fn create_upload(&self, key: &str, metadata: ObjectMetadata) -> Result<UploadId>;

    /// Sends a part, over one of the same number.
    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<Part>;

    /// Sends a file of this machine as a part, over one of the same number. The file must be on the
    /// disk already and never change again: a folder of the same file system does not copy it but
    /// gives it a second name.
    async fn put_part_file(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        file: &Path,
    ) -> Result<Part> {
        let bytes = tokio::fs::read(file).await;
        let bytes = bytes.map_err(|error| Error::io("read a part of", key, &error))?;
        self.put_part(key, upload, number, bytes.into()).await
    }

    /// The parts that arrived, by number: what a restarted writer need not send again.
    async fn list_parts(&self, key: &str, upload: &UploadId) -> Result<Vec<Part>>;

    /// Makes the object of exactly `parts`, in rising order of number.
    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[Part]) -> Result<()>;

    /// Gives an upload up and frees its parts. One that is not there counts as aborted.
    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<()>;

    /// Open uploads whose keys start with `prefix`, at most [`LIST_MAX`], oldest keys first.
    async fn list_uploads(&self, prefix: &str) -> Result<Vec<Upload>>;
}

/// Every object under `prefix`, page after page, up to `limit`.
pub async fn list_all(store: &dyn Store, prefix: &str, limit: usize) -> Result<Vec<Object>> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = store.list(prefix, after.as_deref()).await?;
        all.extend(page.objects);
        if all.len() >= limit || page.next.is_none() {
            all.truncate(limit);
            return Ok(all);
        }
        after = page.next;
    }
}

/// The part of `range` that an object of `size` bytes has.
fn clamp_range(key: &str, range: &Range<u64>, size: u64) -> Result<Range<u64>> {
    if range.start >= range.end || range.start >= size {
        return Err(Error::bad_range(key, range.clone(), size));
    }
    Ok(range.start..range.end.min(size))
}

/// Parts must be named in rising order within the limits, and all but the last be large enough.
fn check_parts(key: &str, parts: &[Part]) -> Result<()> {
    let bad = |reason: String| Err(Error::bad_parts(key, reason));
    if parts.is_empty() {
        return bad("an upload has at least one part".into());
    }
    for (index, part) in parts.iter().enumerate() {
        if part.number == 0 || part.number > PART_NUMBER_MAX {
            return bad(format!(
                "part number {} is outside 1 to {PART_NUMBER_MAX}",
                part.number
            ));
        }
        if index > 0 && parts[index - 1].number >= part.number {
            return bad(format!("part {} comes out of order", part.number));
        }
        if index + 1 < parts.len() && part.size < PART_BYTES_MIN {
            let number = part.number;
            return bad(format!(
                "part {number} has {} bytes; all but the last need {PART_BYTES_MIN}",
                part.size
            ));
        }
    }
    Ok(())
}
