//! A queue in a SQLite file, for one machine: any number of processes may share it.
//!
//! Each call is one transaction in WAL mode, flushed before it returns, so that a killed process
//! leaves every message either as it was or as it became. A receiver waits on an in-process signal
//! and looks at the file again when the next message is due, or after [`LOOK_EVERY`] because
//! another process may have sent. What this does not do: serve machines that share a network file
//! system.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rusqlite::Connection;
use tokio::{sync::Notify, time::Instant};

use crate::{
    BATCH_MAX, DeadLetter, Delivery, Depth, Error, Options, Queue, Receipt, Result, WAIT_MAX,
    check_body, check_visibility,
};

mod sql;

/// How soon a waiting receiver notices what another process sent: a glance costs some 20 µs, so ten
/// a second cost 0.02 % of a core.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Other processes hold the file's lock for milliseconds; one that holds it longer than this is
/// stuck.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Milliseconds since 1970: visibility is agreed between processes, so it is wall time.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The machine's clock.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}

/// A queue in a file. Cheap to clone.
#[derive(Clone)]
pub struct Sqlite {
    inner: Arc<Inner>,
}

struct Inner {
    url: String,
    visibility: Duration,
    max_receives: u32,
    clock: Clock,
    connection: Mutex<Connection>,
    arrived: Notify,
}

impl std::fmt::Debug for Sqlite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Sqlite").field(&self.inner.url).finish()
    }
}

impl Sqlite {
    /// Opens the queue in the file at `path`, which is made with its folder when it is missing.
    pub async fn open(path: impl Into<PathBuf>, options: &Options) -> Result<Self> {
        Self::open_with_clock(path, options, system_clock()).await
    }

    /// As [`Sqlite::open`], with a clock of the caller's.
    pub async fn open_with_clock(
        path: impl Into<PathBuf>,
        options: &Options,
        clock: Clock,
    ) -> Result<Self> {
        let path = path.into();
        let url = format!("sqlite://{}", path.display());
        let opened = {
            let url = url.clone();
            blocking(move || connect(&path, &url)).await?
        };
        let inner = Inner {
            url,
            visibility: options.visibility,
            max_receives: options.max_receives,
            clock,
            connection: Mutex::new(opened),
            arrived: Notify::new(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// Runs one transaction off the event loop.
    async fn transact<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&rusqlite::Transaction<'_>, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T> {
        let inner = self.inner.clone();
        blocking(move || {
            let mut connection = inner
                .connection
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let now = (inner.clock)();
            let run = || {
                let behavior = rusqlite::TransactionBehavior::Immediate;
                let transaction = connection.transaction_with_behavior(behavior)?;
                let result = work(&transaction, now)?;
                transaction.commit()?;
                Ok(result)
            };
            run().map_err(|error: rusqlite::Error| unavailable(action, &inner.url, &error))
        })
        .await
    }
}

fn unavailable(action: &'static str, url: &str, error: &dyn std::fmt::Display) -> Error {
    Error::Unavailable {
        action,
        queue: url.into(),
        reason: error.to_string(),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(unavailable("use", "sqlite", &error)))
}

fn connect(path: &Path, url: &str) -> Result<Connection> {
    let bad = |error: &dyn std::fmt::Display| Error::misconfigured(url, error.to_string());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|e| bad(&e))?;
    }
    let connection = Connection::open(path).map_err(|e| bad(&e))?;
    sql::prepare(&connection, BUSY_TIMEOUT).map_err(|e| bad(&e))?;
    Ok(connection)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 2)
}

#[async_trait::async_trait]
impl Queue for Sqlite {
    fn url(&self) -> &str {
        &self.inner.url
    }

    fn visibility(&self) -> Duration {
        self.inner.visibility
    }

    fn max_receives(&self) -> u32 {
        self.inner.max_receives
    }

    async fn send(&self, bodies: &[String]) -> Result<()> {
        for body in bodies {
            check_body(body)?;
        }
        let bodies = bodies.to_vec();
        self.transact("send to", move |t, now| sql::send(t, now, &bodies))
            .await?;
        self.inner.arrived.notify_waiters();
        Ok(())
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>> {
        let deadline = Instant::now() + wait.min(WAIT_MAX);
        let hide = millis(self.inner.visibility);
        let (max, max_receives) = (max.min(BATCH_MAX), self.inner.max_receives);
        loop {
            // Registered before looking, so that a message sent in between is not missed.
            let arrived = self.inner.arrived.notified();
            tokio::pin!(arrived);
            arrived.as_mut().enable();
            let (found, due) = self
                .transact("receive from", move |t, now| {
                    let found = sql::receive(t, now, max, hide, max_receives)?;
                    let due = sql::next_due(t, now)?;
                    Ok((found, due))
                })
                .await?;
            if !found.is_empty() || Instant::now() >= deadline || max == 0 {
                return Ok(found);
            }
            let due = due.map_or(LOOK_EVERY, |ms| Duration::from_millis(ms.max(1) as u64));
            let look = (Instant::now() + due.min(LOOK_EVERY)).min(deadline);
            let _ = tokio::time::timeout_at(look, arrived).await;
        }
    }

    async fn extend(&self, receipt: &Receipt, visibility: Duration) -> Result<()> {
        check_visibility(visibility)?;
        let (receipt, hide) = (receipt.clone(), millis(visibility));
        let held = self
            .transact("extend a hold in", move |t, now| {
                sql::hide(t, now, &receipt, hide, None)
            })
            .await?;
        if visibility.is_zero() {
            self.inner.arrived.notify_waiters();
        }
        if held {
            Ok(())
        } else {
            Err(Error::Lost {
                action: "extend the hold",
            })
        }
    }

    async fn release(&self, receipt: &Receipt, note: &str) -> Result<()> {
        let (receipt, note) = (receipt.clone(), note.to_owned());
        let held = self
            .transact("give back to", move |t, now| {
                sql::hide(t, now, &receipt, 0, Some(&note))
            })
            .await?;
        self.inner.arrived.notify_waiters();
        if held {
            Ok(())
        } else {
            Err(Error::Lost {
                action: "give back",
            })
        }
    }

    async fn delete(&self, receipts: &[Receipt]) -> Result<Vec<(Receipt, Error)>> {
        let receipts = receipts.to_vec();
        let lost = self
            .transact("delete from", move |t, _| {
                let mut lost = Vec::new();
                for receipt in receipts {
                    if !sql::delete(t, &receipt)? {
                        lost.push(receipt);
                    }
                }
                Ok(lost)
            })
            .await?;
        Ok(lost
            .into_iter()
            .map(|receipt| (receipt, Error::Lost { action: "delete" }))
            .collect())
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<()> {
        let (receipt, reason) = (delivery.receipt.clone(), reason.to_owned());
        let held = self
            .transact("give up in", move |t, now| {
                sql::bury(t, now, &receipt, &reason)
            })
            .await?;
        if held {
            Ok(())
        } else {
            Err(Error::Lost { action: "give up" })
        }
    }

    async fn dead_letters(&self) -> Result<Vec<DeadLetter>> {
        self.transact("list dead letters of", |t, _| sql::dead_letters(t))
            .await
    }

    async fn depth(&self) -> Result<Depth> {
        self.transact("count", sql::depth).await
    }
}

#[cfg(test)]
mod tests;
