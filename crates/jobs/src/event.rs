//! Reads the messages S3 puts into a queue when an object was created, and writes the same for a
//! folder.
//!
//! S3 delivers at least once and in no order, encodes keys as an HTML form does (a space is `+`),
//! sends a test message without records when the notification is set up, and may add fields and
//! minor versions at any time. All of that is read here; what cannot be read is named, never
//! guessed. What this does not do: decide which keys matter.

use std::{cmp::Ordering, time::SystemTime};

use serde::{Deserialize, Serialize};

/// Major event version that is understood; S3 promises that minor versions only add.
const MAJOR_VERSION: &str = "2";

/// Records of one message that are read at most: S3 sends one, the shape allows more.
pub const RECORDS_MAX: usize = 100;

/// An object that was created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCreated {
    /// The bucket's name, or a folder store's URL.
    pub bucket: String,
    /// The object's key, decoded.
    pub key: String,
    /// Its size in bytes, where the event says it.
    pub size: Option<u64>,
    /// Its ETag, where the event says it.
    pub etag: Option<String>,
    /// Its version in a versioned bucket.
    pub version_id: Option<String>,
    /// Orders the events of one key.
    pub sequencer: Option<Sequencer>,
}

/// Orders the events of one key; sequencers of different keys have no order.
#[derive(Clone, Debug)]
pub struct Sequencer(String);

impl Sequencer {
    /// The text in an event's `sequencer`.
    pub fn new(hexadecimal: &str) -> Self {
        Self(hexadecimal.to_ascii_uppercase())
    }
}

impl Ord for Sequencer {
    /// Shorter values are padded with zeros on the right, then compared as text.
    fn cmp(&self, other: &Self) -> Ordering {
        let width = self.0.len().max(other.0.len());
        let padded = |text: &str| format!("{text:0<width$}");
        padded(&self.0).cmp(&padded(&other.0))
    }
}

impl PartialOrd for Sequencer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sequencer {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Sequencer {}

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// S3 checked that it may write to the queue. Acknowledge and drop it.
    Test,
    /// Objects were created; of one key only the newest is kept. Records of no use are named in
    /// `ignored`.
    Created {
        /// The objects.
        objects: Vec<ObjectCreated>,
        /// One sentence for each record that is no creation or cannot be read.
        ignored: Vec<String>,
    },
    /// Not a message of S3.
    Foreign,
}

#[derive(Deserialize)]
struct Envelope {
    #[serde(rename = "Records")]
    records: Option<Vec<serde_json::Value>>,
    #[serde(rename = "Event")]
    event: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
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
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    e_tag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequencer: Option<String>,
}

/// Reads a queue message.
pub fn parse(body: &str) -> Message {
    let Ok(envelope) = serde_json::from_str::<Envelope>(body) else {
        return Message::Foreign;
    };
    let Some(records) = envelope.records else {
        let test = envelope.event.is_some_and(|event| event == "s3:TestEvent");
        return if test {
            Message::Test
        } else {
            Message::Foreign
        };
    };
    let (mut objects, mut ignored) = (Vec::<ObjectCreated>::new(), Vec::new());
    if records.len() > RECORDS_MAX {
        ignored.push(format!("{} records exceed {RECORDS_MAX}", records.len()));
    }
    for (index, record) in records.into_iter().take(RECORDS_MAX).enumerate() {
        match created(record) {
            Ok(object) => keep_newest(&mut objects, object),
            Err(reason) => ignored.push(format!("record {index}: {reason}")),
        }
    }
    Message::Created { objects, ignored }
}

fn created(record: serde_json::Value) -> Result<ObjectCreated, String> {
    let record: Record = serde_json::from_value(record).map_err(|error| error.to_string())?;
    if record.event_source != "aws:s3" {
        return Err(format!(
            "comes from {:?}, not from aws:s3",
            record.event_source
        ));
    }
    let major = record.event_version.split('.').next().unwrap_or_default();
    if major != MAJOR_VERSION {
        return Err(format!(
            "has version {}, not {MAJOR_VERSION}.x",
            record.event_version
        ));
    }
    // The notification's configuration writes `s3:ObjectCreated:…`, the event itself does not.
    let name = record
        .event_name
        .strip_prefix("s3:")
        .unwrap_or(&record.event_name);
    if !name.starts_with("ObjectCreated:") {
        return Err(format!("is {name}, not a creation"));
    }
    let S3 { bucket, object } = record.s3;
    Ok(ObjectCreated {
        bucket: bucket.name,
        key: decode_key(&object.key)?,
        size: object.size,
        etag: object.e_tag,
        version_id: object.version_id,
        sequencer: object.sequencer.as_deref().map(Sequencer::new),
    })
}

fn keep_newest(objects: &mut Vec<ObjectCreated>, object: ObjectCreated) {
    let same =
        |known: &&mut ObjectCreated| known.bucket == object.bucket && known.key == object.key;
    match objects.iter_mut().find(same) {
        Some(known) if known.sequencer <= object.sequencer => *known = object,
        Some(_) => {}
        None => objects.push(object),
    }
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

#[cfg(test)]
mod tests;
