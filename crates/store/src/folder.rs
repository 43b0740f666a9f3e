//! Objects as files under one folder.
//!
//! ```text
//! root/recordings/stage/17.mp4     an object
//! root/.panocast/new/…             being written: renamed once they are on the disk
//! root/.panocast/uploads/<id>/     multipart uploads: `key`, `part-00001`, …
//! ```
//!
//! A put writes a temporary file, flushes it, renames it over the key and flushes the folder, so
//! that a reader and a power cut see the old bytes or the new ones. A conditional create is a hard
//! link, which fails when the name is taken. No path leaves the root: keys cannot name one (see
//! [`crate::check_key`]) and links that lead outside are refused. What this does not do: keep
//! labels, or clean up at once after a killed writer: what it left in `new` goes when the store is
//! next opened and an hour old, uploads that nobody resumed after a week.

use std::{
    fs, io,
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use crate::{
    Body, Created, Error, LIST_MAX, Object, ObjectMetadata, Page, Part, READ_CHUNK_BYTES, Read,
    Result, Store, Upload, UploadId, check_parts, clamp_range, key,
};

mod files;

/// Our own bookkeeping under the root. No key begins with a dot.
const BOOKKEEPING: &str = ".panocast";

/// A temporary file this old has no living writer: one object is written within seconds.
const STALE: Duration = Duration::from_secs(3600);

/// An upload without a new part for this long belongs to a writer that will not come back. The
/// deployment's bucket has the same rule.
const ABANDONED: Duration = Duration::from_secs(7 * 24 * 3600);

/// A store in a folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Folder {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    url: String,
    /// Canonical, so that a path can be compared with it.
    root: PathBuf,
    /// Makes temporary names unique within this process; the process id does so across processes.
    serial: AtomicU64,
}

impl Folder {
    /// Opens the folder at `root`, which is made when it is missing.
    pub async fn open(root: impl Into<PathBuf>) -> Result<Self> {
        let root = root.into();
        blocking(move || Self::open_now(&root)).await
    }

    fn open_now(root: &Path) -> Result<Self> {
        let url = format!("file://{}", root.display());
        let fail = |error: &io::Error| Error::misconfigured(&url, error.to_string());
        for folder in ["new", "uploads"] {
            fs::create_dir_all(root.join(BOOKKEEPING).join(folder)).map_err(|e| fail(&e))?;
        }
        let root = root.canonicalize().map_err(|e| fail(&e))?;
        let inner = Inner {
            url,
            root,
            serial: AtomicU64::new(0),
        };
        inner.remove_stale(SystemTime::now());
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        blocking(move || work(&inner)).await
    }
}

/// Runs file system calls off the event loop.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(Error::Unavailable {
            action: "use",
            target: "folder".into(),
            reason: error.to_string(),
        }),
    }
}

#[async_trait::async_trait]
impl Store for Folder {
    fn url(&self) -> &str {
        &self.inner.url
    }

    async fn put(&self, key: &str, bytes: Bytes, _metadata: ObjectMetadata) -> Result<()> {
        let key = checked(key)?;
        self.run(move |inner| inner.put(&key, &bytes)).await
    }

    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        _metadata: ObjectMetadata,
    ) -> Result<Created> {
        let key = checked(key)?;
        self.run(move |inner| inner.put_if_absent(&key, &bytes))
            .await
    }

    async fn get(&self, key: &str) -> Result<Read> {
        let key = checked(key)?;
        let (file, object) = self.run(move |inner| inner.open(&key)).await?;
        let range = 0..object.size;
        let body = stream(file, object.key.clone(), range.clone());
        Ok(Read {
            object,
            range,
            body,
        })
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Read> {
        let key = checked(key)?;
        let (file, object) = self.run(move |inner| inner.open(&key)).await?;
        let range = clamp_range(&object.key, &range, object.size)?;
        let body = stream(file, object.key.clone(), range.clone());
        Ok(Read {
            object,
            range,
            body,
        })
    }

    async fn head(&self, key: &str) -> Result<Object> {
        let key = checked(key)?;
        self.run(move |inner| inner.open(&key).map(|(_, object)| object))
            .await
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        key::check_prefix(prefix)?;
        let (prefix, after) = (prefix.to_owned(), after.map(str::to_owned));
        self.run(move |inner| inner.list(&prefix, after.as_deref()))
            .await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        let key = checked(key)?;
        self.run(move |inner| inner.delete(&key)).await
    }

    async fn create_upload(&self, key: &str, _metadata: ObjectMetadata) -> Result<UploadId> {
        let key = checked(key)?;
        self.run(move |inner| inner.create_upload(&key)).await
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<Part> {
        let (key, upload) = (checked(key)?, upload.clone());
        self.run(move |inner| inner.put_part(&key, &upload, number, &bytes))
            .await
    }

    async fn put_part_file(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        file: &Path,
    ) -> Result<Part> {
        let (key, upload, file) = (checked(key)?, upload.clone(), file.to_owned());
        self.run(move |inner| inner.put_part_file(&key, &upload, number, &file))
            .await
    }

    async fn list_parts(&self, key: &str, upload: &UploadId) -> Result<Vec<Part>> {
        let (key, upload) = (checked(key)?, upload.clone());
        self.run(move |inner| inner.list_parts(&key, &upload)).await
    }

    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[Part]) -> Result<()> {
        let (key, upload, parts) = (checked(key)?, upload.clone(), parts.to_vec());
        check_parts(&key, &parts)?;
        self.run(move |inner| inner.complete_upload(&key, &upload, &parts))
            .await
    }

    async fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<()> {
        let (key, upload) = (checked(key)?, upload.clone());
        self.run(move |inner| inner.abort_upload(&key, &upload))
            .await
    }

    async fn list_uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        key::check_prefix(prefix)?;
        let prefix = prefix.to_owned();
        self.run(move |inner| inner.list_uploads(&prefix)).await
    }
}

fn checked(key: &str) -> Result<String> {
    key::check(key)?;
    Ok(key.to_owned())
}

/// The bytes `range` of an open file in chunks. The file stays the same object even when its name
/// is given to another.
fn stream(file: fs::File, key: String, range: Range<u64>) -> Body {
    let state = (tokio::fs::File::from_std(file), range.clone(), false);
    Box::pin(futures_util::stream::unfold(
        state,
        move |(mut file, mut left, seeked)| {
            let key = key.clone();
            async move {
                if left.start >= left.end {
                    return None;
                }
                if !seeked && let Err(error) = file.seek(io::SeekFrom::Start(left.start)).await {
                    left.start = left.end;
                    return Some((Err(Error::io("read", &key, &error)), (file, left, true)));
                }
                let wanted = (left.end - left.start).min(READ_CHUNK_BYTES as u64);
                let mut chunk = BytesMut::with_capacity(wanted as usize);
                let read = (&mut file).take(wanted).read_buf(&mut chunk).await;
                let item = match read {
                    Ok(0) => {
                        let (got, expected) = (left.start, left.end);
                        left.start = left.end;
                        Err(Error::truncated(&key, got, expected))
                    }
                    Ok(count) => {
                        left.start += count as u64;
                        Ok(chunk.freeze())
                    }
                    Err(error) => {
                        left.start = left.end;
                        Err(Error::io("read", &key, &error))
                    }
                };
                Some((item, (file, left, true)))
            }
        },
    ))
}

#[cfg(test)]
mod tests;
