//! Objects in memory, for tests: the same promises, no disk.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};

use crate::{
    Created, Error, LIST_MAX, Object, ObjectMetadata, Page, Part, Read, Result, Store, Upload,
    UploadId, check_parts, clamp_range, key,
};

/// A store that forgets everything when dropped.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Counts writes: names etags and uploads, and serves as the clock of `modified`.
    serial: u64,
    objects: BTreeMap<String, (Object, Bytes)>,
    uploads: BTreeMap<String, (String, Parts)>,
}

type Parts = BTreeMap<u32, (Part, Bytes)>;

impl State {
    fn next(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }

    fn put(&mut self, key: &str, bytes: Bytes) {
        let serial = self.next();
        let object = Object {
            key: key.into(),
            size: bytes.len() as u64,
            etag: format!("{serial:x}"),
            modified: UNIX_EPOCH + Duration::from_millis(serial),
        };
        self.objects.insert(key.into(), (object, bytes));
    }

    fn parts(&mut self, key: &str, upload: &UploadId) -> Result<&mut Parts> {
        match self.uploads.get_mut(&upload.0) {
            Some((named, parts)) if named == key => Ok(parts),
            _ => Err(Error::upload_gone(key, &upload.0)),
        }
    }
}

impl MemoryStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, key: &str) -> Result<(Object, Bytes)> {
        key::check(key)?;
        let found = self.state().objects.get(key).cloned();
        found.ok_or_else(|| Error::not_found(key, self.url()))
    }
}

fn read(object: Object, bytes: &Bytes, range: Range<u64>) -> Read {
    let chunk = bytes.slice(range.start as usize..range.end as usize);
    let body = Box::pin(futures_util::stream::iter([Ok(chunk)]));
    Read {
        object,
        range,
        body,
    }
}

#[async_trait::async_trait]
impl Store for MemoryStore {
    fn url(&self) -> &str {
        "memory:"
    }

    async fn put(&self, key: &str, bytes: Bytes, _metadata: ObjectMetadata) -> Result<()> {
        key::check(key)?;
        self.state().put(key, bytes);
        Ok(())
    }

    async fn put_if_absent(
        &self,
        key: &str,
        bytes: Bytes,
        _metadata: ObjectMetadata,
    ) -> Result<Created> {
        key::check(key)?;
        let mut state = self.state();
        if state.objects.contains_key(key) {
            return Ok(Created::Existed);
        }
        state.put(key, bytes);
        Ok(Created::Yes)
    }

    async fn get(&self, key: &str) -> Result<Read> {
        let (object, bytes) = self.find(key)?;
        let range = 0..object.size;
        Ok(read(object, &bytes, range))
    }

    async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Read> {
        let (object, bytes) = self.find(key)?;
        let range = clamp_range(key, &range, object.size)?;
        Ok(read(object, &bytes, range))
    }

    async fn head(&self, key: &str) -> Result<Object> {
        self.find(key).map(|(object, _)| object)
    }

    async fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        key::check_prefix(prefix)?;
        let state = self.state();
        let mut objects = state
            .objects
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter(|(key, _)| after.is_none_or(|after| key.as_str() > after))
            .map(|(_, (object, _))| object.clone())
            .take(LIST_MAX + 1)
            .collect::<Vec<_>>();
        let more = objects.len() > LIST_MAX;
        objects.truncate(LIST_MAX);
        let next = objects
            .last()
            .filter(|_| more)
            .map(|object| object.key.clone());
        Ok(Page { objects, next })
    }

    async fn delete(&self, key: &str) -> Result<()> {
        key::check(key)?;
        self.state().objects.remove(key);
        Ok(())
    }

    async fn create_upload(&self, key: &str, _metadata: ObjectMetadata) -> Result<UploadId> {
        key::check(key)?;
        let mut state = self.state();
        let id = format!("{:x}", state.next());
        state.uploads.insert(id.clone(), (key.into(), Parts::new()));
        Ok(UploadId(id))
    }

    async fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        bytes: Bytes,
    ) -> Result<Part> {
        let mut state = self.state();
        let etag = format!("{:x}", state.next());
        let part = Part {
            number,
            size: bytes.len() as u64,
            etag,
        };
        if number == 0 || number > crate::PART_NUMBER_MAX {
            return Err(Error::invalid(
                key,
                format!("part number {number} is out of range"),
            ));
        }
        state
            .parts(key, upload)?
            .insert(number, (part.clone(), bytes));
        Ok(part)
    }

    async fn list_parts(&self, key: &str, upload: &UploadId) -> Result<Vec<Part>> {
        let mut state = self.state();
        Ok(state
            .parts(key, upload)?
            .values()
            .map(|(part, _)| part.clone())
            .collect())
    }

    async fn complete_upload(&self, key: &str, upload: &UploadId, parts: &[Part]) -> Result<()> {
        check_parts(key, parts)?;
        let mut state = self.state();
        let there = state.parts(key, upload)?;
        let mut whole = BytesMut::new();
        for part in parts {
            match there.get(&part.number) {
                Some((known, bytes)) if known == part => whole.extend_from_slice(bytes),
                _ => {
                    let number = part.number;
                    let reason = format!("part {number} is not what was uploaded; send it again");
                    return Err(Error::bad_parts(key, reason));
                }
            }
        }
        state.uploads.remove(&upload.0);
        state.put(key, whole.freeze());
        Ok(())
    }

    async fn abort_upload(&self, _key: &str, upload: &UploadId) -> Result<()> {
        self.state().uploads.remove(&upload.0);
        Ok(())
    }

    async fn list_uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        let state = self.state();
        let mut uploads = state
            .uploads
            .iter()
            .filter(|(_, (key, _))| key.starts_with(prefix))
            .map(|(id, (key, _))| Upload {
                key: key.clone(),
                id: UploadId(id.clone()),
            })
            .collect::<Vec<_>>();
        uploads.sort_by(|a, b| (&a.key, &a.id.0).cmp(&(&b.key, &b.id.0)));
        uploads.truncate(LIST_MAX);
        Ok(uploads)
    }
}
