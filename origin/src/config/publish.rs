//! `[origin.publish]`: who may publish, and what happens when two want to.

use std::collections::BTreeMap;

use serde::Deserialize;
use service::config::{Duration, Secret};

use super::seconds;

/// What happens when a second publisher with a valid key arrives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnConflict {
    /// The newcomer takes over at once: an encoder that lost its connection is never locked out by
    /// its own ghost.
    #[default]
    Takeover,
    /// The newcomer is refused; whoever publishes is not touched.
    Reject,
}

/// A stream's secret, with a conflict policy of its own where it differs from the default.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Key {
    /// `foo = "secret"`.
    Secret(Secret),
    /// `foo = { secret = "…", on_conflict = "reject" }`.
    Detailed {
        /// What a publisher must present.
        secret: Secret,
        /// Overrides `[origin.publish] on_conflict`.
        on_conflict: Option<OnConflict>,
    },
}

/// Every key, by stream name.
pub type Keys = BTreeMap<String, Key>;

/// `[origin.publish]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Publish {
    /// Stream name to secret; empty means anybody may publish.
    pub keys: Keys,
    /// What happens when a second publisher with a valid key arrives.
    pub on_conflict: OnConflict,
    /// How long a stream waits for its encoder to come back before it ends.
    pub reconnect_window: Duration,
    /// A publisher that sends no media for this long is dropped.
    pub idle_timeout: Duration,
}

impl Default for Publish {
    fn default() -> Self {
        Self {
            keys: Keys::new(),
            on_conflict: OnConflict::default(),
            reconnect_window: seconds(60),
            idle_timeout: seconds(10),
        }
    }
}
