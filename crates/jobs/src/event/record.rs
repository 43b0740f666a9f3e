//! One record of a notification: S3's own, and those of stores that write alike.
//!
//! S3, MinIO and most others encode keys as an HTML form does (a space is `+`, MinIO's slash is
//! `%2F`); Ceph writes them as they are.

use std::time::SystemTime;

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use super::{ObjectCreated, etag, sequencer, version_id};

/// Major event version that is understood; S3 promises that minor versions only add.
const MAJOR_VERSION: &str = "2";

/// Whose keys are not encoded.
const RAW_KEYS: &str = "ceph:s3";

/// Creations that write no new bytes: MinIO's words for changed tags, retention and legal holds.
const BYTES_UNCHANGED: [&str; 3] = ["PutTagging", "PutRetention", "PutLegalHold"];

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    #[serde(default)]
    event_version: String,
    event_source: String,
    #[serde(default)]
    event_time: String,
    event_name: String,
    s3: S3,
}

#[derive(Serialize, Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Serialize, Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    key: String,
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "size"
    )]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequencer: Option<String>,
}

/// A size: a number, or digits in a string as older releases of Ceph write it.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64(),
        Value::String(digits) => digits.parse().ok(),
        _ => None,
    })
}

/// The object that a record says was created. The error says what the record is instead.
pub(super) fn created(record: &Value) -> Result<ObjectCreated, String> {
    let record = Record::deserialize(record).map_err(|error| error.to_string())?;
    let source = &record.event_source;
    if !source.ends_with(":s3") {
        return Err(format!(
            "comes from {source:?}, not from a store of objects"
        ));
    }
    let version = &record.event_version;
    let major = version.split('.').next().unwrap_or_default();
    if !matches!(major, "" | MAJOR_VERSION) {
        return Err(format!("has version {version}, not {MAJOR_VERSION}.x"));
    }
    // The notification's configuration writes `s3:ObjectCreated:…`, S3's event itself does not.
    let name = record.event_name.as_str();
    let name = name.strip_prefix("s3:").unwrap_or(name);
    match name.strip_prefix("ObjectCreated:") {
        Some(how) if !BYTES_UNCHANGED.contains(&how) => {}
        _ => return Err(format!("is {name}, not a creation")),
    }
    let S3 { bucket, object } = record.s3;
    Ok(ObjectCreated {
        bucket: bucket.name,
        key: match source.as_str() {
            RAW_KEYS => object.key,
            _ => decode_key(&object.key)?,
        },
        size: object.size,
        etag: etag(object.e_tag),
        version_id: version_id(object.version_id),
        sequencer: sequencer(object.sequencer),
    })
}

/// A key as S3 writes it into an event: `+` is a space, then `%XX`.
fn decode_key(encoded: &str) -> Result<String, String> {
    let spaced = encoded.replace('+', " ");
    match percent_encoding::percent_decode_str(&spaced).decode_utf8() {
        Ok(key) => Ok(key.into_owned()),
        Err(_) => Err(format!(
            "has key {encoded:?}, which is not UTF-8 once decoded"
        )),
    }
}

/// What an HTML form leaves as it is, and the slash, as in S3's events.
const ENCODED: &percent_encoding::AsciiSet = &percent_encoding::NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'*')
    .remove(b' ');

/// The message S3 would send for `object`, for stores that send none.
pub fn object_created(object: &ObjectCreated, at: SystemTime) -> String {
    let time = time::OffsetDateTime::from(at);
    let format = time::macros::format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
    );
    let key = percent_encoding::utf8_percent_encode(&object.key, ENCODED).to_string();
    let record = Record {
        event_version: "2.1".into(),
        event_source: "aws:s3".into(),
        event_time: time.format(&format).unwrap_or_default(),
        event_name: "ObjectCreated:Put".into(),
        s3: S3 {
            bucket: Bucket {
                name: object.bucket.clone(),
            },
            object: Object {
                key: key.replace(' ', "+"),
                size: object.size,
                e_tag: object.etag.clone(),
                version_id: object.version_id.clone(),
                sequencer: object
                    .sequencer
                    .as_ref()
                    .map(|sequencer| sequencer.0.clone()),
            },
        },
    };
    serde_json::json!({ "Records": [record] }).to_string()
}
