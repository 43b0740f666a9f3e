//! The optional disk tier: bodies that never change, written behind the viewers' backs and read
//! back when memory no longer has them.
//!
//! It starts empty each time: an edge has no state worth keeping. Writing never delays anybody:
//! when the writer is behind, an object is simply not written. One file holds one object: a line of
//! JSON with its headers, then the body.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use quick_cache::{DefaultHashBuilder, Lifecycle, Weighter, sync::Cache};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

/// Objects that wait to be written; past it they are not, and only memory has them.
const QUEUE_MAX: usize = 64;

/// The header line of a file of ours is far shorter.
const HEAD_BYTES_MAX: u64 = 16 << 10;

/// An object on its way to the disk.
#[derive(Debug)]
struct Job {
    key: String,
    headers: HeaderMap,
    chunks: Arc<[Bytes]>,
}

#[derive(Debug, Clone)]
struct Stored {
    number: u64,
    bytes: u64,
}

#[derive(Debug, Clone)]
struct ByBytes;

impl Weighter<String, Stored> for ByBytes {
    fn weight(&self, _: &String, stored: &Stored) -> u64 {
        stored.bytes
    }
}

/// Deletes the file of what leaves the index.
#[derive(Debug, Clone)]
struct Delete(Arc<PathBuf>);

impl Lifecycle<String, Stored> for Delete {
    type RequestState = ();

    fn on_evict(&self, (): &mut (), _: String, stored: Stored) {
        let _ = fs::remove_file(path_of(&self.0, stored.number));
    }
}

type Index = Cache<String, Stored, ByBytes, DefaultHashBuilder, Delete>;

/// The disk tier.
#[derive(Debug, Clone)]
pub struct DiskCache {
    folder: Arc<PathBuf>,
    index: Arc<Index>,
    queue: mpsc::Sender<Job>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    key: String,
    headers: Vec<(String, String)>,
}

fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:016x}"))
}

impl DiskCache {
    /// Uses `folder`/`objects` for at most `capacity` bytes; what is in there is deleted. Starts a
    /// thread that writes.
    pub fn open(folder: &Path, capacity: u64) -> io::Result<Self> {
        let folder = Arc::new(folder.join("objects"));
        if folder.exists() {
            fs::remove_dir_all(&*folder)?;
        }
        fs::create_dir_all(&*folder)?;
        let items = usize::try_from(capacity >> 20).unwrap_or(1 << 20).max(64);
        let index = Arc::new(Cache::with(
            items,
            capacity,
            ByBytes,
            DefaultHashBuilder::default(),
            Delete(Arc::clone(&folder)),
        ));
        let (queue, jobs) = mpsc::channel(QUEUE_MAX);
        let disk = Self {
            folder,
            index,
            queue,
        };
        let (folder, index) = (Arc::clone(&disk.folder), Arc::clone(&disk.index));
        std::thread::Builder::new()
            .name("disk cache".to_owned())
            .spawn(move || write_all(&folder, &index, jobs))?;
        Ok(disk)
    }

    /// Takes an object for writing, if there is room in the queue and it is not there yet.
    pub fn keep(&self, key: &str, headers: &HeaderMap, chunks: &Arc<[Bytes]>) {
        if !self.index.contains_key(key) {
            let (headers, chunks) = (headers.clone(), Arc::clone(chunks));
            let _ = self.queue.try_send(Job {
                key: key.to_owned(),
                headers,
                chunks,
            });
        }
    }

    /// Whether a read would probably succeed.
    pub fn has(&self, key: &str) -> bool {
        self.index.contains_key(key)
    }

    /// Reads an object back.
    pub async fn read(&self, key: &str) -> Option<(HeaderMap, Bytes)> {
        let stored = self.index.get(key)?;
        let path = path_of(&self.folder, stored.number);
        let wanted = key.to_owned();
        let read = tokio::task::spawn_blocking(move || read_file(&path, &wanted))
            .await
            .ok()?;
        match read {
            Ok(found) => Some(found),
            Err(error) => {
                // Evicted meanwhile, most likely.
                tracing::debug!(%error, key, "cannot read from the disk cache");
                self.index.remove(key);
                None
            }
        }
    }

    /// Bytes on the disk.
    pub fn weight(&self) -> u64 {
        self.index.weight()
    }
}

fn write_all(folder: &Path, index: &Index, mut jobs: mpsc::Receiver<Job>) {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    static FAILED: service::log::RateLimited = service::log::RateLimited::new();
    let clock = service::Clock::real();
    while let Some(job) = jobs.blocking_recv() {
        let number = NEXT.fetch_add(1, Relaxed);
        match write_file(&path_of(folder, number), &job) {
            Ok(bytes) => index.insert(job.key, Stored { number, bytes }),
            Err(error) => {
                let _ = fs::remove_file(path_of(folder, number));
                if let Some(count) = FAILED.note(clock.now()) {
                    tracing::warn!(%error, count, "cannot write to the disk cache");
                }
            }
        }
    }
}

fn write_file(path: &Path, job: &Job) -> io::Result<u64> {
    let headers = job
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())))
        .collect();
    let mut head = serde_json::to_vec(&Head {
        key: job.key.clone(),
        headers,
    })?;
    head.push(b'\n');
    let mut file = fs::File::create(path)?;
    file.write_all(&head)?;
    let mut bytes = head.len() as u64;
    for chunk in job.chunks.iter() {
        file.write_all(chunk)?;
        bytes += chunk.len() as u64;
    }
    Ok(bytes)
}

fn read_file(path: &Path, key: &str) -> io::Result<(HeaderMap, Bytes)> {
    let file = fs::File::open(path)?;
    let length = usize::try_from(file.metadata()?.len()).unwrap_or(usize::MAX);
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    reader
        .by_ref()
        .take(HEAD_BYTES_MAX)
        .read_until(b'\n', &mut line)?;
    let head: Head = serde_json::from_slice(&line)?;
    if head.key != key {
        return Err(io::Error::other("the file holds another object"));
    }
    let mut headers = HeaderMap::new();
    for (name, value) in head.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            headers.insert(name, value);
        }
    }
    let mut body = Vec::with_capacity(length.saturating_sub(line.len()));
    reader.read_to_end(&mut body)?;
    Ok((headers, Bytes::from(body)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn objects_come_back_and_the_bound_holds() {
        let folder = tempfile::tempdir().unwrap();
        let disk = DiskCache::open(folder.path(), 1 << 20).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("etag", HeaderValue::from_static("\"a\""));
        let body: Arc<[Bytes]> =
            Arc::from([Bytes::from(vec![7; 200_000]), Bytes::from_static(b"x")]);
        for index in 0..20 {
            let key = format!("/k{index}");
            disk.keep(&key, &headers, &body);
            while !disk.has(&key) {
                tokio::task::yield_now().await;
            }
            let (back, bytes) = disk.read(&key).await.unwrap();
            assert!(back == headers && bytes.len() == 200_001 && bytes.ends_with(b"x"));
            assert!(disk.weight() <= 1 << 20);
        }
        let files = fs::read_dir(folder.path().join("objects")).unwrap().count();
        assert!(files <= 5, "evicted files are deleted: {files}");
        DiskCache::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(
            fs::read_dir(folder.path().join("objects")).unwrap().count(),
            0
        );
    }
}
