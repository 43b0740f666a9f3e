//! Reads the messages that S3 and stores like it put into a queue when an object was created, and
//! writes the same for a folder.
//!
//! ```text
//! S3 ──────────────────────► {"Records": […]}
//! S3 ──► SNS ──────────────► {"Type": "Notification", "Message": "<the same as text>"}, or raw
//! S3 ──► EventBridge ──────► {"detail-type": "Object Created", "detail": {…}}, or its detail alone
//! MinIO, Ceph, others ─────► {"Records": […]} with other sources, MinIO also {"Event": […]}
//! ```
//!
//! S3 delivers at least once and in no order, sends a test message without records when the
//! notification is set up, and may add fields and minor versions at any time. All of that is read
//! here; what cannot be read is named, never guessed. What this does not do: decide which keys
//! matter, or confirm a subscription of SNS (its URL would have to be trusted).

mod eventbridge;
mod record;

use std::cmp::Ordering;

use serde_json::Value;

pub use record::object_created;

/// Records of one message that are read at most: S3 sends one, the shape allows more.
pub const RECORDS_MAX: usize = 100;

/// Envelopes within each other at most: EventBridge's in SNS's in a string are three.
const ENVELOPES_MAX: usize = 4;

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

impl Message {
    /// Nothing was created, for this reason.
    fn ignored(reason: String) -> Self {
        Self::Created {
            objects: Vec::new(),
            ignored: vec![reason],
        }
    }
}

/// Reads a queue message.
pub fn parse(body: &str) -> Message {
    read_text(body, ENVELOPES_MAX)
}

fn read_text(text: &str, envelopes_left: usize) -> Message {
    match (serde_json::from_str(text), envelopes_left.checked_sub(1)) {
        (Ok(value), Some(envelopes_left)) => read(&value, envelopes_left),
        _ => Message::Foreign,
    }
}

fn read(value: &Value, envelopes_left: usize) -> Message {
    if let Some(text) = value.as_str() {
        return read_text(text, envelopes_left);
    }
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    if let Some(records) = value.get("Records").and_then(Value::as_array) {
        return read_records(records);
    }
    match value.get("Event") {
        Some(Value::Array(records)) => return read_records(records),
        Some(Value::String(name)) if name == "s3:TestEvent" => return Message::Test,
        _ => {}
    }
    match (text("Type"), text("TopicArn")) {
        (Some("Notification"), Some(_)) => {
            return text("Message")
                .map_or(Message::Foreign, |text| read_text(text, envelopes_left));
        }
        (Some("SubscriptionConfirmation"), Some(topic)) => {
            let url = text("SubscribeURL").unwrap_or_default();
            return Message::ignored(format!(
                "SNS topic {topic} waits for its subscription to be confirmed: open {url}"
            ));
        }
        (Some(kind), Some(topic)) => {
            return Message::ignored(format!("is {kind} of SNS topic {topic}"));
        }
        _ => {}
    }
    eventbridge::read(value).unwrap_or(Message::Foreign)
}

fn read_records(records: &[Value]) -> Message {
    let (mut objects, mut ignored) = (Vec::<ObjectCreated>::new(), Vec::new());
    if records.len() > RECORDS_MAX {
        ignored.push(format!("{} records exceed {RECORDS_MAX}", records.len()));
    }
    for (index, record) in records.iter().take(RECORDS_MAX).enumerate() {
        match record::created(record) {
            Ok(object) => keep_newest(&mut objects, object),
            Err(reason) => ignored.push(format!("record {index}: {reason}")),
        }
    }
    Message::Created { objects, ignored }
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

/// An entity tag without the quotes that some stores leave around it.
fn etag(text: Option<String>) -> Option<String> {
    text.map(|text| text.trim_matches('"').to_owned())
        .filter(|text| !text.is_empty())
}

/// A version: none in a bucket without versions, which some stores write as an empty or null one.
fn version_id(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty() && text != "null")
}

fn sequencer(text: Option<String>) -> Option<Sequencer> {
    text.filter(|text| !text.is_empty())
        .map(|text| Sequencer::new(&text))
}

#[cfg(test)]
mod tests;
