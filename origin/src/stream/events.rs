//! What happens to streams, told once: the log and the operator page read it here, and so will
//! webhooks.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use serde::Serialize;
use tracing::info;

use crate::rfc3339::rfc3339;

/// Events kept for the operator page: a day of a few reconnects, 20 kB.
const RECENT_MAX: usize = 100;

/// Something that happened to a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case", tag = "event")]
pub enum StreamEvent {
    /// A publisher was let in.
    PublishStarted {
        /// IP address and port.
        address: String,
        /// What the encoder calls itself.
        encoder: String,
    },
    /// It is gone.
    PublishEnded {
        /// Why.
        reason: String,
    },
    /// A run of the stream began.
    RunStarted {
        /// Names it in every media URL.
        run_id: String,
        /// Media Sequence Number of the first segment made here.
        first_msn: u64,
    },
    /// Its playlists have got their end.
    RunEnded {
        /// Names it in every media URL.
        run_id: String,
        /// Media Sequence Number behind the last segment.
        next_msn: u64,
    },
    /// A recording is in the store, whole.
    RecordingReady {
        /// Where in the store.
        key: String,
    },
}

/// An event with its time and place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct EventRecord {
    /// When, RFC 3339.
    pub at: String,
    /// The stream's name.
    pub stream: String,
    /// What happened.
    #[serde(flatten)]
    pub event: StreamEvent,
}

/// The newest events of all streams; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Events(Arc<Mutex<VecDeque<EventRecord>>>);

impl Events {
    /// Logs an event and keeps it.
    pub fn tell(&self, stream: &str, event: StreamEvent, wall: SystemTime) {
        log(stream, &event);
        let record = EventRecord {
            at: rfc3339(wall),
            stream: stream.to_owned(),
            event,
        };
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == RECENT_MAX {
            recent.pop_front();
        }
        recent.push_back(record);
    }

    /// The newest events, oldest first.
    pub fn recent(&self) -> Vec<EventRecord> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().cloned().collect()
    }
}

fn log(stream: &str, event: &StreamEvent) {
    match event {
        StreamEvent::PublishStarted { address, encoder } => {
            info!(stream, address, encoder, "publisher accepted");
        }
        StreamEvent::PublishEnded { reason } => info!(stream, reason, "publish ended"),
        StreamEvent::RunStarted { run_id, first_msn } => {
            info!(stream, run_id, first_msn, "run starts");
        }
        StreamEvent::RunEnded { run_id, next_msn } => {
            info!(stream, run_id, next_msn, "run ended");
        }
        StreamEvent::RecordingReady { key } => info!(stream, key, "recording is in the store"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(reason: &str) -> StreamEvent {
        let reason = reason.to_owned();
        StreamEvent::PublishEnded { reason }
    }

    #[test]
    fn the_newest_are_kept_and_say_what_happened() {
        let events = Events::default();
        for index in 0..RECENT_MAX + 5 {
            events.tell("stage", ended(&index.to_string()), SystemTime::UNIX_EPOCH);
        }
        let recent = events.recent();
        assert_eq!((recent.len(), &recent[0].event), (RECENT_MAX, &ended("5")));
        let json = serde_json::to_value(&recent[0]).unwrap();
        let expected = serde_json::json!({
            "at": "1970-01-01T00:00:00Z", "stream": "stage", "event": "publish_ended", "reason": "5",
        });
        assert_eq!(json, expected);
    }
}
