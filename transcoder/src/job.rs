//! Queue messages to work: which recording an event means, what its asset is called, which slice a
//! job is.

use jobs::event;
use serde::{Deserialize, Serialize};
use service::http::fnv1a;
use store::Address;

/// Our own messages say so, since S3's events share the queue with them.
const MARK: &str = "panocast/slice/1";

/// What recordings and uploads end with. Cameras write the last line's.
const EXTENSIONS: [&str; 18] = [
    "mp4", "m4v", "m4a", "mov", "flv", "ts", "mkv", "3gp", "f4v", //
    "webm", "mka", "3g2", "qt", //
    "mts", "m2ts", "m2t", "insv", "360",
];

/// Bytes of a name made of a key.
const NAME_BYTES_MAX: usize = 64;

/// One slice to make.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SliceJob {
    job: String,
    /// The asset.
    pub asset: String,
    /// The slice, from 0.
    pub slice: u32,
}

impl SliceJob {
    /// The job for one slice.
    pub fn new(asset: &str, slice: u32) -> Self {
        Self {
            job: MARK.into(),
            asset: asset.into(),
            slice,
        }
    }

    /// Reads a message; `None` for one that is not ours.
    pub fn parse(body: &str) -> Option<Self> {
        let job: Self = serde_json::from_str(body).ok()?;
        (job.job == MARK && store::check_key(&job.asset).is_ok()).then_some(job)
    }

    /// The message.
    pub fn body(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What the object of an event is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind<'a> {
    /// Media under this key of the ingest store.
    Recording(&'a str),
    /// A recording's sidecar, which is read with the recording, or a folder that a console made.
    Sidecar,
    /// In the ingest store, but nothing to transcode; for this reason.
    Refused(String),
    /// In another store.
    Elsewhere,
}

/// Tells what an object is, by where it is and what it is called.
pub fn kind<'a>(ingest: &Address, ingest_url: &str, bucket: &str, key: &'a str) -> Kind<'a> {
    let key = match ingest {
        Address::Folder(_) => (bucket == ingest_url).then_some(key),
        Address::S3 { bucket: ours, .. } if ours != bucket => None,
        Address::S3 { prefix, .. } if prefix.is_empty() => Some(key),
        Address::S3 { prefix, .. } => key
            .strip_prefix(prefix.as_str())
            .and_then(|rest| rest.strip_prefix('/')),
    };
    let Some(key) = key else {
        return Kind::Elsewhere;
    };
    let (_, extension) = key.rsplit_once('.').unwrap_or_default();
    let extension = extension.to_ascii_lowercase();
    if extension == "json" || key.ends_with('/') {
        return Kind::Sidecar;
    }
    if !EXTENSIONS.contains(&extension.as_str()) {
        let known = EXTENSIONS.join(", ");
        return Kind::Refused(format!("its name says no kind of media we take: {known}"));
    }
    match store::check_key(key) {
        Ok(()) => Kind::Recording(key),
        Err(error) => Kind::Refused(error.to_string()),
    }
}

/// The asset of a recording. Our own keys are unique for ever; others may be written again, and
/// then they are another asset.
pub fn asset_name(key: &str, etag: &str) -> String {
    let stem = key.rsplit_once('.').map_or(key, |(stem, _)| stem);
    if let Some((stream, run)) = stem
        .strip_prefix("recordings/")
        .and_then(|s| s.split_once('/'))
    {
        let name = format!("{stream}-{run}");
        if !run.contains('/') && name.chars().all(is_plain) {
            return name;
        }
    }
    let hash = fnv1a(format!("{key}\0{etag}").as_bytes());
    format!("{}-{:08x}", plain(stem), (hash ^ (hash >> 32)) as u32)
}

/// What an upload's stream is called.
pub fn stream_name(key: &str) -> String {
    let name = key.rsplit('/').next().unwrap_or(key);
    plain(name.rsplit_once('.').map_or(name, |(stem, _)| stem))
}

/// A message in a few words.
pub fn describe(body: &str) -> String {
    if let Some(job) = SliceJob::parse(body) {
        return format!("{}/{}", job.asset, job.slice);
    }
    match event::parse(body) {
        event::Message::Created { objects, .. } => {
            let keys: Vec<&str> = objects.iter().map(|object| object.key.as_str()).collect();
            keys.join(", ")
        }
        event::Message::Test => "test event".into(),
        event::Message::Foreign => "unknown message".into(),
    }
}

fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

fn plain(text: &str) -> String {
    let text: String = text
        .chars()
        .map(|c| if is_plain(c) { c } else { '-' })
        .collect();
    let text = text.trim_matches('-');
    text.chars().take(NAME_BYTES_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_messages_read_back_and_others_are_not_ours() {
        let job = SliceJob::new("stage-17-k", 4);
        assert_eq!(SliceJob::parse(&job.body()), Some(job));
        for body in ["", "{}", r#"{"job":"other","asset":"a","slice":1}"#] {
            assert_eq!(SliceJob::parse(body), None);
        }
        assert_eq!(SliceJob::parse(&SliceJob::new("../x", 0).body()), None);
    }

    #[test]
    fn media_anywhere_in_our_ingest_store_is_a_recording_and_the_rest_is_refused() {
        let url = "s3://in/rec";
        let s3 = Address::parse(url).unwrap();
        let find = |bucket, key| kind(&s3, url, bucket, key);
        assert_eq!(find("in", "rec/a/b c.MP4"), Kind::Recording("a/b c.MP4"));
        assert_eq!(find("other", "rec/a.mp4"), Kind::Elsewhere);
        assert_eq!(find("in", "record/a.mp4"), Kind::Elsewhere);
        assert_eq!(find("in", "rec/a.json"), Kind::Sidecar);
        assert_eq!(find("in", "rec/films/"), Kind::Sidecar);
        for key in ["rec/a.avi", "rec/mp4", "rec/../a.mp4"] {
            assert!(matches!(find("in", key), Kind::Refused(_)), "{key}");
        }
        let url = "file:///srv/in";
        let folder = Address::parse(url).unwrap();
        assert_eq!(kind(&folder, url, url, "a.mp4"), Kind::Recording("a.mp4"));
        assert_eq!(kind(&folder, url, "in", "a.mp4"), Kind::Elsewhere);
    }

    #[test]
    fn names_are_plain_and_tell_versions_of_an_upload_apart() {
        assert_eq!(
            asset_name("recordings/stage/1790000000-k3f9.mp4", "e"),
            "stage-1790000000-k3f9"
        );
        let first = asset_name("My Holiday (1).mov", "e1");
        assert!(
            first.starts_with("My-Holiday--1-") && first.chars().all(is_plain),
            "{first}"
        );
        assert_ne!(first, asset_name("My Holiday (1).mov", "e2"));
        assert_ne!(asset_name("a/b.mp4", "e"), asset_name("a-b.mp4", "e"));
        assert_eq!(stream_name("x/My Holiday.mov"), "My-Holiday");
    }
}
