//! The folder's file system calls, all blocking.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::MetadataExt as _,
};

use super::*;

impl Inner {
    pub(super) fn put(&self, key: &str, bytes: &[u8]) -> Result<()> {
        let temporary = self.write_temporary(key, bytes)?;
        self.publish(key, &temporary)
    }

    pub(super) fn put_if_absent(&self, key: &str, bytes: &[u8]) -> Result<Created> {
        let fail = |error: io::Error| Error::io("write", key, &error);
        let target = self.target(key)?;
        if target.symlink_metadata().is_ok() {
            return Ok(Created::Existed);
        }
        let temporary = self.write_temporary(key, bytes)?;
        let linked = fs::hard_link(&temporary, &target);
        fs::remove_file(&temporary).map_err(fail)?;
        match linked {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Ok(Created::Existed);
            }
            Err(error) => return Err(fail(error)),
        }
        sync_folder(&target).map_err(fail)?;
        Ok(Created::Yes)
    }

    pub(super) fn open(&self, key: &str) -> Result<(File, Object)> {
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {
                Error::not_found(key, &self.url)
            }
            _ => Error::io("read", key, &error),
        };
        let path = self.root.join(key).canonicalize().map_err(fail)?;
        self.check_inside(key, &path)?;
        let file = File::open(&path).map_err(fail)?;
        let metadata = file.metadata().map_err(fail)?;
        if !metadata.is_file() {
            return Err(Error::not_found(key, &self.url));
        }
        Ok((file, object(key, &metadata)))
    }

    pub(super) fn delete(&self, key: &str) -> Result<()> {
        let path = self.root.join(key);
        match fs::remove_file(&path) {
            Ok(()) => {}
            // A folder is no object, so there is none to remove.
            Err(error) if error.kind() == io::ErrorKind::IsADirectory => return Ok(()),
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(Error::io("delete", key, &error)),
        }
        // Folders that became empty go too, as in S3, where they never were. A racing put makes
        // them again.
        let mut folder = path.parent();
        while let Some(parent) = folder.filter(|parent| **parent != *self.root) {
            if fs::remove_dir(parent).is_err() {
                break;
            }
            folder = parent.parent();
        }
        Ok(())
    }

    pub(super) fn list(&self, prefix: &str, after: Option<&str>) -> Result<Page> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut objects = Vec::new();
        self.walk(folder, prefix, after, &mut objects)?;
        objects.sort_by(|a: &Object, b| a.key.cmp(&b.key));
        let more = objects.len() > LIST_MAX;
        objects.truncate(LIST_MAX);
        let next = objects
            .last()
            .filter(|_| more)
            .map(|object| object.key.clone());
        Ok(Page { objects, next })
    }

    fn walk(
        &self,
        folder: &str,
        prefix: &str,
        after: Option<&str>,
        found: &mut Vec<Object>,
    ) -> Result<()> {
        let fail = |error: io::Error| Error::io("list", folder, &error);
        let entries = match fs::read_dir(self.root.join(folder)) {
            Ok(entries) => entries,
            Err(error) if is_absent(&error) => return Ok(()),
            Err(error) => return Err(fail(error)),
        };
        for entry in entries {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let Some(name) = name.to_str().filter(|name| !name.starts_with('.')) else {
                continue;
            };
            let key = if folder.is_empty() {
                name.into()
            } else {
                format!("{folder}/{name}")
            };
            // Not followed when it is a link: only files that this store wrote are objects.
            let metadata = match entry.metadata() {
                Ok(metadata) => metadata,
                Err(error) if is_absent(&error) => continue,
                Err(error) => return Err(fail(error)),
            };
            if metadata.is_dir() {
                if key.starts_with(prefix) || prefix.starts_with(&format!("{key}/")) {
                    self.walk(&key, prefix, after, found)?;
                }
            } else if metadata.is_file()
                && key.starts_with(prefix)
                && after.is_none_or(|after| key.as_str() > after)
            {
                found.push(object(&key, &metadata));
            }
        }
        Ok(())
    }

    pub(super) fn create_upload(&self, key: &str) -> Result<UploadId> {
        let fail = |error: io::Error| Error::io("begin the upload of", key, &error);
        let id = self.unique();
        let folder = self.uploads().join(&id);
        fs::create_dir(&folder).map_err(fail)?;
        let mut file = File::create(folder.join("key")).map_err(fail)?;
        file.write_all(key.as_bytes()).map_err(fail)?;
        file.sync_all().map_err(fail)?;
        sync_folder(&folder.join("key")).map_err(fail)?;
        sync_folder(&folder).map_err(fail)?;
        Ok(UploadId(id))
    }

    pub(super) fn put_part(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        bytes: &[u8],
    ) -> Result<Part> {
        let path = self.part_path(key, upload, number)?;
        let temporary = self.write_temporary(key, bytes)?;
        place_part(key, upload, number, &temporary, &path)
    }

    pub(super) fn put_part_file(
        &self,
        key: &str,
        upload: &UploadId,
        number: u32,
        file: &Path,
    ) -> Result<Part> {
        let path = self.part_path(key, upload, number)?;
        let fail = |error: io::Error| Error::io("write a part of", key, &error);
        let mut linked = fs::hard_link(file, &path);
        if matches!(&linked, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
            // Sent before, perhaps as another file.
            fs::remove_file(&path).map_err(fail)?;
            linked = fs::hard_link(file, &path);
        }
        if linked.is_ok() {
            return placed(key, number, &path);
        }
        // Another file system, or one without second names.
        let temporary = self.temporary();
        let copied = fs::copy(file, &temporary).and_then(|_| File::open(&temporary)?.sync_all());
        if let Err(error) = copied {
            let _ = fs::remove_file(&temporary);
            return Err(Error::io("read a part of", key, &error));
        }
        place_part(key, upload, number, &temporary, &path)
    }

    /// Where a part goes.
    fn part_path(&self, key: &str, upload: &UploadId, number: u32) -> Result<PathBuf> {
        if number == 0 || number > crate::PART_NUMBER_MAX {
            let limit = crate::PART_NUMBER_MAX;
            return Err(Error::invalid(
                key,
                format!("part number {number} is outside 1 to {limit}"),
            ));
        }
        Ok(self.upload_folder(key, upload)?.join(part_name(number)))
    }

    pub(super) fn list_parts(&self, key: &str, upload: &UploadId) -> Result<Vec<Part>> {
        let fail = |error: io::Error| Error::io("list the parts of", key, &error);
        let folder = self.upload_folder(key, upload)?;
        let mut parts = Vec::new();
        for entry in fs::read_dir(folder).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            let name = entry.file_name();
            let number = name
                .to_str()
                .and_then(|n| n.strip_prefix("part-"))
                .map(str::parse);
            if let Some(Ok(number)) = number {
                let metadata = entry.metadata().map_err(fail)?;
                parts.push(Part {
                    number,
                    size: metadata.len(),
                    etag: etag(&metadata),
                });
            }
        }
        parts.sort_by_key(|part| part.number);
        Ok(parts)
    }

    pub(super) fn complete_upload(
        &self,
        key: &str,
        upload: &UploadId,
        parts: &[Part],
    ) -> Result<()> {
        let fail = |error: io::Error| Error::io("complete the upload of", key, &error);
        let folder = self.upload_folder(key, upload)?;
        let there = self.list_parts(key, upload)?;
        if let Some(lost) = parts.iter().find(|part| !there.contains(part)) {
            let reason = format!(
                "part {} is not what was uploaded; send it again",
                lost.number
            );
            return Err(Error::bad_parts(key, reason));
        }
        let temporary = self.temporary();
        let mut whole = File::create_new(&temporary).map_err(fail)?;
        for part in parts {
            let mut file = File::open(folder.join(part_name(part.number))).map_err(fail)?;
            if let Err(error) = io::copy(&mut file, &mut whole) {
                let _ = fs::remove_file(&temporary);
                return Err(fail(error));
            }
        }
        whole.sync_all().map_err(fail)?;
        drop(whole);
        self.publish(key, &temporary)?;
        fs::remove_dir_all(&folder).map_err(fail)
    }

    pub(super) fn abort_upload(&self, key: &str, upload: &UploadId) -> Result<()> {
        let removed = self.upload_folder(key, upload).map(fs::remove_dir_all);
        match removed {
            Ok(Ok(())) | Err(Error::UploadGone { .. }) => Ok(()),
            Ok(Err(error)) if is_absent(&error) => Ok(()),
            Ok(Err(error)) => Err(Error::io("abort the upload of", key, &error)),
            Err(error) => Err(error),
        }
    }

    pub(super) fn list_uploads(&self, prefix: &str) -> Result<Vec<Upload>> {
        let fail = |error: io::Error| Error::io("list uploads under", prefix, &error);
        let mut uploads = Vec::new();
        for entry in fs::read_dir(self.uploads()).map_err(fail)? {
            let entry = entry.map_err(fail)?;
            // An upload that is being made or removed has no key yet or any more.
            let Ok(key) = fs::read_to_string(entry.path().join("key")) else {
                continue;
            };
            if let Some(id) = entry
                .file_name()
                .to_str()
                .filter(|_| key.starts_with(prefix))
            {
                uploads.push(Upload {
                    key,
                    id: UploadId(id.into()),
                });
            }
        }
        uploads.sort_by(|a, b| (&a.key, &a.id.0).cmp(&(&b.key, &b.id.0)));
        uploads.truncate(LIST_MAX);
        Ok(uploads)
    }

    /// Removes temporary files without a living writer and uploads that nobody resumes. Best
    /// effort: a failure costs only space.
    pub(super) fn remove_stale(&self, now: SystemTime) {
        for path in older_than(&self.root.join(BOOKKEEPING).join("new"), STALE, now) {
            let _ = fs::remove_file(path);
        }
        // A folder's time is that of its latest part.
        for path in older_than(&self.uploads(), ABANDONED, now) {
            let _ = fs::remove_dir_all(path);
        }
    }

    fn uploads(&self) -> PathBuf {
        self.root.join(BOOKKEEPING).join("uploads")
    }

    fn upload_folder(&self, key: &str, upload: &UploadId) -> Result<PathBuf> {
        let plain = |c: char| c.is_ascii_hexdigit() || c == '-';
        if upload.0.is_empty() || !upload.0.chars().all(plain) {
            return Err(Error::upload_gone(key, &upload.0));
        }
        let folder = self.uploads().join(&upload.0);
        match fs::read_to_string(folder.join("key")) {
            Ok(named) if named == key => Ok(folder),
            _ => Err(Error::upload_gone(key, &upload.0)),
        }
    }

    fn unique(&self) -> String {
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        format!("{:x}-{:x}-{serial:x}", since.as_nanos(), std::process::id())
    }

    fn temporary(&self) -> PathBuf {
        self.root.join(BOOKKEEPING).join("new").join(self.unique())
    }

    fn write_temporary(&self, key: &str, bytes: &[u8]) -> Result<PathBuf> {
        let path = self.temporary();
        let write = || {
            let mut file = File::create_new(&path)?;
            file.write_all(bytes)?;
            file.sync_all()
        };
        write().map_err(|error| {
            let _ = fs::remove_file(&path);
            Error::io("write", key, &error)
        })?;
        Ok(path)
    }

    /// Renames a finished file to its key and makes the name durable.
    fn publish(&self, key: &str, temporary: &Path) -> Result<()> {
        let place = || {
            // A delete may remove a folder between its making and the rename; then it is made once
            // more.
            for attempt in 0.. {
                let target = self.target(key)?;
                match fs::rename(temporary, &target) {
                    Ok(()) => return Ok(target),
                    Err(error) if error.kind() == io::ErrorKind::NotFound && attempt < 3 => {}
                    Err(error) => return Err(Error::io("write", key, &error)),
                }
            }
            Err(Error::not_found(key, &self.url))
        };
        let target = place().inspect_err(|_| drop(fs::remove_file(temporary)))?;
        sync_folder(&target).map_err(|error| Error::io("write", key, &error))
    }

    /// The path of a key to be written, with its folders made and found inside the root.
    fn target(&self, key: &str) -> Result<PathBuf> {
        let path = self.root.join(key);
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(Error::invalid(key, "names no file"));
        };
        let fail = |error: io::Error| match error.kind() {
            io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                Error::invalid(key, "lies below another object; a folder cannot hold both")
            }
            _ => Error::io("make folders for", key, &error),
        };
        fs::create_dir_all(parent).map_err(fail)?;
        let parent = parent.canonicalize().map_err(fail)?;
        self.check_inside(key, &parent)?;
        let target = parent.join(name);
        if target.is_dir() {
            return Err(Error::invalid(
                key,
                "is the beginning of other keys; a folder cannot hold both",
            ));
        }
        Ok(target)
    }

    fn check_inside(&self, key: &str, path: &Path) -> Result<()> {
        if path.starts_with(&self.root) {
            Ok(())
        } else {
            Err(Error::invalid(
                key,
                format!("a link leads outside {}", self.url),
            ))
        }
    }
}

/// Makes a finished file the part `number` of an upload.
fn place_part(
    key: &str,
    upload: &UploadId,
    number: u32,
    temporary: &Path,
    path: &Path,
) -> Result<Part> {
    if let Err(error) = fs::rename(temporary, path) {
        let _ = fs::remove_file(temporary);
        return Err(match error.kind() {
            io::ErrorKind::NotFound => Error::upload_gone(key, &upload.0),
            _ => Error::io("write a part of", key, &error),
        });
    }
    placed(key, number, path)
}

/// Makes a part's name durable and says what it is.
fn placed(key: &str, number: u32, path: &Path) -> Result<Part> {
    let fail = |error: io::Error| Error::io("write a part of", key, &error);
    sync_folder(path).map_err(fail)?;
    let metadata = fs::metadata(path).map_err(fail)?;
    Ok(Part {
        number,
        size: metadata.len(),
        etag: etag(&metadata),
    })
}

/// What lies in `folder` and was last changed this long ago.
fn older_than(folder: &Path, age: Duration, now: SystemTime) -> Vec<PathBuf> {
    let is_old = |entry: &fs::DirEntry| {
        let modified = entry.metadata().and_then(|metadata| metadata.modified());
        let since = modified.ok().and_then(|at| now.duration_since(at).ok());
        since.is_some_and(|since| since > age)
    };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(is_old).map(|entry| entry.path()).collect()
}

fn part_name(number: u32) -> String {
    format!("part-{number:05}")
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}

fn object(key: &str, metadata: &fs::Metadata) -> Object {
    Object {
        key: key.into(),
        size: metadata.len(),
        etag: etag(metadata),
        modified: metadata.modified().unwrap_or(UNIX_EPOCH),
    }
}

/// Every put makes a new file, so that its number, time and size name the bytes.
fn etag(metadata: &fs::Metadata) -> String {
    let (ino, nanos) = (metadata.ino(), metadata.mtime_nsec());
    format!(
        "{:x}-{:x}.{nanos:x}-{ino:x}",
        metadata.len(),
        metadata.mtime()
    )
}

/// Makes the name of `path` durable, not only its bytes.
fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
