//! The task that takes one recording from the spool to the store, then tells the queue.
//!
//! Every step may be repeated, because each may have happened without its answer or its journal
//! line: a part is sent again under its number, an upload the store no longer knows is either
//! complete already or begun anew, an event that is sent twice makes one asset. The task has no
//! deadline of its own: it waits and tries again until the process ends, and the next process goes
//! on.

use std::{io, time::SystemTime};

use jobs::event::{ObjectCreated, Sequencer, object_created};
use store::{ObjectMetadata, Store, UploadId};

use super::{
    Shared,
    journal::{Entry, Sealed},
    spool::Spooled,
};

/// A sidecar is small: 12 h of keyframes have under 1 MiB.
const SIDECAR_METADATA: ObjectMetadata = ObjectMetadata {
    content_type: Some("application/json"),
    cache_control: None,
};
const RECORDING_METADATA: ObjectMetadata = ObjectMetadata {
    content_type: Some("video/mp4"),
    cache_control: None,
};

/// Keys tried when another recording already has the name: the other origin of a pair, which
/// recorded the same session.
const NAMES_MAX: u32 = 8;

/// What to do next.
enum Step {
    Wait,
    Create,
    Send(Sealed, bool),
    Complete,
    Announce,
    Remove,
}

/// Runs until the recording is stored, announced and gone from the spool.
pub(super) async fn run(shared: &Shared, spooled: &Spooled) {
    let mut waits = shared.config.backoff.start();
    loop {
        let done = match next(spooled) {
            Step::Wait => {
                spooled.changed.notified().await;
                continue;
            }
            Step::Create => create(shared, spooled).await,
            Step::Send(part, is_first) => send(shared, spooled, &part, is_first).await,
            Step::Complete => complete(shared, spooled).await,
            Step::Announce => announce(shared, spooled).await,
            Step::Remove => match remove(shared, spooled).await {
                Ok(()) => return,
                Err(error) => Err(error),
            },
        };
        match done {
            Ok(()) => {
                waits.reset();
                spooled.state().failing = None;
            }
            Err(error) => {
                let wait = waits.next().unwrap_or(shared.config.backoff.longest);
                let (recording, seconds) = (spooled.key(), wait.as_secs_f64());
                tracing::warn!(recording, %error, seconds, "recording waits for the store");
                spooled.state().failing = Some(error);
                tokio::time::sleep(wait).await;
            }
        }
    }
}

fn next(spooled: &Spooled) -> Step {
    let state = spooled.state();
    if state.announced {
        return Step::Remove;
    }
    if state.stored.is_some() {
        return Step::Announce;
    }
    if state.parts.is_empty() {
        return if state.closed {
            Step::Remove
        } else {
            Step::Wait
        };
    }
    if state.upload.is_none() {
        return Step::Create;
    }
    let last_sent = state.confirmed.last().map_or(0, |part| part.number);
    let next = state
        .parts
        .iter()
        .find(|part| part.number > last_sent && spooled.has_part(part.number));
    match next {
        Some(part) => Step::Send(part.clone(), state.confirmed.is_empty()),
        None if state.closed => Step::Complete,
        None => Step::Wait,
    }
}

async fn create(shared: &Shared, spooled: &Spooled) -> Result<(), String> {
    let made = shared
        .config
        .store
        .create_upload(spooled.key(), RECORDING_METADATA)
        .await;
    let upload = made.map_err(|error| error.to_string())?;
    spooled.hold(&shared.quota);
    record(spooled, Entry::Upload(upload))
}

async fn send(
    shared: &Shared,
    spooled: &Spooled,
    part: &Sealed,
    first: bool,
) -> Result<(), String> {
    let Some(upload) = upload_of(spooled) else {
        return Ok(());
    };
    let permit = shared.sending.acquire().await;
    let store = &*shared.config.store;
    let sent = put_part(store, spooled, (spooled.key(), &upload), part.number, first).await;
    drop(permit);
    match sent {
        Ok(sent) => {
            record(spooled, Entry::Confirmed(sent))?;
            shared
                .quota
                .confirmed(spooled.part_path(part.number), part.size);
            Ok(())
        }
        Err(error) => Err(lost_or(shared, spooled, error).await),
    }
}

/// Sends a sealed part. Where the first parts were shed, the init segment comes first.
async fn put_part(
    store: &dyn Store,
    spooled: &Spooled,
    (key, upload): (&str, &UploadId),
    number: u32,
    is_first: bool,
) -> store::Result<store::Part> {
    let path = spooled.part_path(number);
    if !is_first || number == 1 {
        return store.put_part_file(key, upload, number, &path).await;
    }
    let read = async {
        let mut whole = tokio::fs::read(spooled.init_path()).await?;
        whole.extend(tokio::fs::read(path).await?);
        io::Result::Ok(whole)
    };
    let bytes = read.await.map_err(|error| store::Error::Unavailable {
        action: "read a part of",
        target: key.to_owned(),
        reason: error.to_string(),
    })?;
    store.put_part(key, upload, number, bytes.into()).await
}

async fn complete(shared: &Shared, spooled: &Spooled) -> Result<(), String> {
    let Some(upload) = upload_of(spooled) else {
        return Ok(());
    };
    let store = &*shared.config.store;
    let confirmed = spooled.state().confirmed.clone();
    let bytes: u64 = confirmed.iter().map(|part| part.size).sum();
    // The other origin may have stored the same session; then ours is only worth keeping when it is
    // longer.
    match store.head(spooled.key()).await {
        Ok(other) if other.size >= bytes => {
            tracing::info!(
                recording = spooled.key(),
                "already stored, by this origin or by its peer"
            );
            abandon(store, spooled, &upload).await?;
            return record(spooled, Entry::Stored(spooled.key().to_owned()));
        }
        Ok(_) => return store_beside(shared, spooled, &upload).await,
        Err(error) if error.is_not_found() => {}
        Err(error) => return Err(error.to_string()),
    }
    put_sidecar(store, spooled, spooled.key()).await?;
    match store
        .complete_upload(spooled.key(), &upload, &confirmed)
        .await
    {
        Ok(()) => record(spooled, Entry::Stored(spooled.key().to_owned())),
        Err(error) => Err(lost_or(shared, spooled, error).await),
    }
}

/// The name is taken by a shorter recording of the same session, which may be in use: ours gets a
/// name of its own.
async fn store_beside(shared: &Shared, spooled: &Spooled, old: &UploadId) -> Result<(), String> {
    let store = &*shared.config.store;
    let stem = spooled.key().trim_end_matches(".mp4");
    for n in 1..=NAMES_MAX {
        let key = format!("{stem}-twin{n}.mp4");
        match store.head(&key).await {
            Ok(_) => continue,
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.to_string()),
        }
        let upload = store
            .create_upload(&key, RECORDING_METADATA)
            .await
            .map_err(|e| e.to_string())?;
        if let Err(error) = copy(store, spooled, &key, &upload).await {
            // Best effort: what stays behind is expired by the bucket's rule.
            let _ = store.abort_upload(&key, &upload).await;
            return Err(error);
        }
        abandon(store, spooled, old).await?;
        return record(spooled, Entry::Stored(key));
    }
    Err(format!(
        "cannot store the recording: {NAMES_MAX} of the same session are there"
    ))
}

/// Sends every part again under another key. Parts that were shed come from nowhere: then the rest
/// is kept.
async fn copy(
    store: &dyn Store,
    spooled: &Spooled,
    key: &str,
    upload: &UploadId,
) -> Result<(), String> {
    let fail = |error: store::Error| error.to_string();
    let parts = spooled.state().parts.clone();
    let mut sent = Vec::new();
    for part in parts.iter().filter(|part| spooled.has_part(part.number)) {
        let is_first = sent.is_empty();
        let put = put_part(store, spooled, (key, upload), part.number, is_first).await;
        sent.push(put.map_err(fail)?);
    }
    put_sidecar(store, spooled, key).await?;
    store
        .complete_upload(key, upload, &sent)
        .await
        .map_err(fail)
}

async fn put_sidecar(store: &dyn Store, spooled: &Spooled, key: &str) -> Result<(), String> {
    let name = format!("{}.json", key.trim_end_matches(".mp4"));
    let text = serde_json::to_vec(&spooled.sidecar()).map_err(|error| error.to_string())?;
    store
        .put(&name, text.into(), SIDECAR_METADATA)
        .await
        .map_err(|error| error.to_string())
}

async fn abandon(store: &dyn Store, spooled: &Spooled, upload: &UploadId) -> Result<(), String> {
    store
        .abort_upload(spooled.key(), upload)
        .await
        .map_err(|error| error.to_string())
}

async fn announce(shared: &Shared, spooled: &Spooled) -> Result<(), String> {
    let Some(queue) = &shared.config.announce else {
        return record(spooled, Entry::Announced);
    };
    let Some(key) = spooled.state().stored.clone() else {
        return Ok(());
    };
    let object = match shared.config.store.head(&key).await {
        Ok(object) => object,
        Err(error) if error.is_not_found() => {
            tracing::warn!(
                recording = key,
                "removed from the store before it was announced"
            );
            return record(spooled, Entry::Announced);
        }
        Err(error) => return Err(error.to_string()),
    };
    let nanos = object
        .modified
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    let event = ObjectCreated {
        bucket: shared.config.store.url().to_owned(),
        key,
        size: Some(object.size),
        etag: Some(object.etag),
        version_id: None,
        sequencer: Some(Sequencer::new(&format!("{:018X}", nanos.as_nanos()))),
    };
    let body = object_created(&event, object.modified);
    queue
        .send(&[body])
        .await
        .map_err(|error| error.to_string())?;
    record(spooled, Entry::Announced)
}

async fn remove(shared: &Shared, spooled: &Spooled) -> Result<(), String> {
    let upload = upload_of(spooled).filter(|_| spooled.is_empty());
    if let Some(upload) = upload {
        abandon(&*shared.config.store, spooled, &upload).await?;
    }
    spooled
        .remove(&shared.quota)
        .map_err(|error| format!("cannot empty the spool: {error}"))
}

/// The store no longer knows the upload: either it was completed and the answer lost, or it expired
/// and begins anew.
async fn lost_or(shared: &Shared, spooled: &Spooled, error: store::Error) -> String {
    if !matches!(error, store::Error::UploadGone { .. }) {
        return error.to_string();
    }
    let (closed, bytes) = {
        let state = spooled.state();
        (
            state.closed,
            state.confirmed.iter().map(|part| part.size).sum::<u64>(),
        )
    };
    let result = match shared.config.store.head(spooled.key()).await {
        Ok(object) if closed && object.size == bytes => {
            record(spooled, Entry::Stored(spooled.key().to_owned()))
        }
        Ok(_) => create(shared, spooled).await,
        Err(gone) if gone.is_not_found() => create(shared, spooled).await,
        Err(error) => Err(error.to_string()),
    };
    result.err().unwrap_or_else(|| error.to_string())
}

fn upload_of(spooled: &Spooled) -> Option<UploadId> {
    spooled.state().upload.clone()
}

fn record(spooled: &Spooled, entry: Entry) -> Result<(), String> {
    spooled
        .record(entry)
        .map_err(|error| format!("cannot write the journal: {error}"))
}
