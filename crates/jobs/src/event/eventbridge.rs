//! Events of S3 as EventBridge delivers them.
//!
//! Keys stand in them as they are, without any encoding, unlike in S3's own notifications. A rule
//! may hand on the whole event or, with `InputPath` `$.detail`, only what S3 said.

use serde::Deserialize;
use serde_json::Value;

use super::{Message, ObjectCreated, etag, sequencer, version_id};

/// What wrote an object, in `detail.reason` of a creation.
const CREATIONS: [&str; 4] = [
    "PutObject",
    "POST Object",
    "CopyObject",
    "CompleteMultipartUpload",
];

#[derive(Deserialize)]
struct Detail {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Object {
    key: String,
    size: Option<u64>,
    etag: Option<String>,
    version_id: Option<String>,
    sequencer: Option<String>,
}

/// Reads an event or its detail; `None` for what is neither.
pub(super) fn read(value: &Value) -> Option<Message> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let Some(kind) = text("detail-type") else {
        let is_creation = text("reason").is_some_and(|reason| CREATIONS.contains(&reason));
        return is_creation.then(|| created(value)).flatten();
    };
    let source = text("source").unwrap_or_default();
    if source != "aws.s3" {
        let reason = format!("EventBridge's {kind:?} comes from {source:?}, not from aws.s3");
        return Some(Message::ignored(reason));
    }
    if kind != "Object Created" {
        let reason = format!("EventBridge's {kind:?} is no creation of an object");
        return Some(Message::ignored(reason));
    }
    let detail = value.get("detail").unwrap_or(&Value::Null);
    Some(created(detail).unwrap_or_else(|| {
        Message::ignored("EventBridge's \"Object Created\" has no bucket or key".to_owned())
    }))
}

fn created(detail: &Value) -> Option<Message> {
    let Detail { bucket, object } = Detail::deserialize(detail).ok()?;
    let object = ObjectCreated {
        bucket: bucket.name,
        key: object.key,
        size: object.size,
        etag: etag(object.etag),
        version_id: version_id(object.version_id),
        sequencer: sequencer(object.sequencer),
    };
    Some(Message::Created {
        objects: vec![object],
        ignored: Vec::new(),
    })
}
