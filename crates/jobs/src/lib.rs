//! Job queues with the semantics of SQS: in a SQLite file on one machine, in SQS itself in the
//! cloud.
//!
//! A message that was received is hidden for its visibility timeout and comes back unless it is
//! deleted: a worker that dies loses nothing. Delivery is at least once and in no order, so whoever
//! handles a message must be able to handle it twice. One that came back too often becomes a dead
//! letter, with the reason.
//!
//! ```text
//! send ──► waiting ──receive──► held ──delete──► gone
//!             ▲                  │ │
//!             └──release, or ────┘ └──dead_letter, or received max_receives times──► dead letters
//!                visibility ran out
//! ```
//!
//! [`Lease`] keeps a message hidden while its work goes on. [`event`] reads the messages that S3
//! puts into a queue and writes the same for a folder. Nothing here retries and nothing here knows
//! what a job is about.

#![forbid(unsafe_code)]

mod error;
pub mod event;
mod lease;
mod open;
mod sqlite;
#[cfg(feature = "aws")]
mod sqs;

use std::{fmt::Debug, time::Duration};

pub use error::{Error, Fault};
pub use lease::Lease;
pub use open::{Address, Credentials, Options, open};
pub use sqlite::{Clock, Sqlite, system_clock};
#[cfg(feature = "aws")]
pub use sqs::Sqs;

/// Messages one call sends, receives or deletes at most (SQS's rule).
pub const BATCH_MAX: usize = 10;

/// Bytes of a message at most: SQS's older and lower limit; ours have under 4 KiB and S3's events
/// under 16 KiB.
pub const BODY_BYTES_MAX: usize = 256 << 10;

/// A receive call waits at most this long (SQS's rule).
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// A message can be hidden at most this long (SQS's rule).
pub const VISIBILITY_MAX: Duration = Duration::from_secs(12 * 3600);

/// Dead letters one call lists at most: what a page shows.
pub const DEAD_LETTERS_LISTED_MAX: usize = 100;

/// What every operation gives.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Names one delivery of a message. A later delivery of the same message has another receipt, and
/// this one is void.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Receipt(pub String);

/// A message as received.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Names the message for logs; the same on every delivery.
    pub id: String,
    /// For everything that is done with this delivery.
    pub receipt: Receipt,
    /// What was sent.
    pub body: String,
    /// 1 on the first delivery.
    pub receive_count: u32,
}

/// A message that was given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was sent.
    pub body: String,
    /// Why it was given up, as far as known.
    pub reason: String,
}

/// How much is in a queue. SQS counts approximately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Messages that could be received now.
    pub waiting: u64,
    /// Messages that somebody holds.
    pub held: u64,
    /// Dead letters.
    pub dead: u64,
}

/// A queue. Every implementation passes the same conformance suite (`tests/conformance.rs`).
#[async_trait::async_trait]
pub trait Queue: Send + Sync + Debug {
    /// Where this is, for people.
    fn url(&self) -> &str;

    /// How long a received message stays hidden unless [`Queue::extend`] is called.
    fn visibility(&self) -> Duration;

    /// A message received this often without success becomes a dead letter by itself. Who fails
    /// with a reason on the last delivery writes the dead letter, so that the reason is kept.
    fn max_receives(&self) -> u32;

    /// Puts messages in, any number. After an error some may be in: send all again, receivers can
    /// handle it.
    async fn send(&self, bodies: &[String]) -> Result<()>;

    /// Up to `max` messages; waits up to `wait` for the first. An empty answer is not an error.
    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>>;

    /// Hides a held message for `visibility` from now.
    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<()>;

    /// Gives a held message back at once. `note` says why, for the dead letter it may become (SQS
    /// keeps none).
    async fn release(&self, receipt: &Receipt, note: &str) -> Result<()>;

    /// Removes held messages. Gives the receipts that could not be deleted, each with its reason:
    /// those messages come back. One that is already gone counts as deleted.
    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<(Receipt, Error)>>;

    /// Gives a held message up.
    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<()>;

    /// Some dead letters, newest first where the queue knows; they stay where they are.
    async fn dead_letters(&self) -> Result<Vec<DeadLetter>>;

    /// How much is in it.
    async fn depth(&self) -> Result<Depth>;
}

/// Deletes one held message; an error means that it may come back.
pub async fn delete_one(queue: &dyn Queue, receipt: &Receipt) -> Result<()> {
    let failed = queue.delete(std::slice::from_ref(receipt)).await?;
    failed
        .into_iter()
        .next()
        .map_or(Ok(()), |(_, error)| Err(error))
}

fn check_body(body: &str) -> Result<()> {
    if body.is_empty() || body.len() > BODY_BYTES_MAX {
        let reason = format!(
            "a message has 1 to {BODY_BYTES_MAX} bytes, this one {}",
            body.len()
        );
        return Err(Error::Invalid { reason });
    }
    Ok(())
}

fn check_visibility(visibility: Duration) -> Result<()> {
    if visibility > VISIBILITY_MAX {
        let (given, limit) = (visibility.as_secs(), VISIBILITY_MAX.as_secs());
        let reason = format!("a visibility of {given} s exceeds {limit} s");
        return Err(Error::Invalid { reason });
    }
    Ok(())
}
