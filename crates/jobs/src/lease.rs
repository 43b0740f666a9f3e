//! Keeps a received message hidden while its work goes on.
//!
//! A heartbeat extends the visibility each third of it, so that two may fail in a row before the
//! message shows up at another worker. A lease that is dropped stops beating: the message comes
//! back by itself, as after a crash. What this does not do: stop the work. Whoever works selects on
//! [`Lease::lost`], because from then on somebody else may be at the same work.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, task::JoinHandle, time::Instant};

use crate::{Delivery, Error, Queue, Result, delete_one};

/// Beats per visibility timeout: one may be late and one may fail before the message shows up
/// elsewhere.
const BEATS_PER_VISIBILITY: u32 = 3;

/// A hold on one message.
#[derive(Debug)]
pub struct Lease {
    queue: Arc<dyn Queue>,
    delivery: Delivery,
    heartbeat: JoinHandle<()>,
    lost: watch::Receiver<bool>,
}

impl Lease {
    /// Starts to keep `delivery`, which was just received from `queue`.
    pub fn hold(queue: Arc<dyn Queue>, delivery: Delivery) -> Self {
        let (sender, lost) = watch::channel(false);
        let heartbeat = tokio::spawn(beat(queue.clone(), delivery.clone(), sender));
        Self {
            queue,
            delivery,
            heartbeat,
            lost,
        }
    }

    /// The message.
    pub fn delivery(&self) -> &Delivery {
        &self.delivery
    }

    /// Returns when the hold is lost, which normally never happens.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut lost = self.lost.clone();
        async move {
            // The sender goes away without a word only when the lease itself does.
            if lost.wait_for(|lost| *lost).await.is_err() {
                std::future::pending().await
            }
        }
    }

    /// The work is done: deletes the message. An error means that it comes back.
    pub async fn done(self) -> Result<()> {
        delete_one(&*self.queue, &self.delivery.receipt).await
    }

    /// The work is given to whoever wants it, at once.
    pub async fn release(self, note: &str) -> Result<()> {
        // The beat must not hide the message again behind our back.
        self.heartbeat.abort();
        self.queue.release(&self.delivery.receipt, note).await
    }

    /// The work cannot be done this time; the message shows up again after `delay`.
    pub async fn postpone(self, delay: Duration) -> Result<()> {
        self.heartbeat.abort();
        self.queue.extend(&self.delivery.receipt, delay).await
    }

    /// The work can never be done.
    pub async fn dead_letter(self, reason: &str) -> Result<()> {
        self.queue.dead_letter(&self.delivery, reason).await
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}

async fn beat(queue: Arc<dyn Queue>, delivery: Delivery, lost: watch::Sender<bool>) {
    let visibility = queue.visibility();
    let pause = visibility / BEATS_PER_VISIBILITY;
    let mut held_until = Instant::now() + visibility;
    loop {
        tokio::time::sleep(pause).await;
        let begun = Instant::now();
        let extended =
            tokio::time::timeout(pause, queue.extend(&delivery.receipt, visibility)).await;
        match extended {
            Ok(Ok(())) => held_until = begun + visibility,
            Ok(Err(Error::Lost { .. })) => break,
            Ok(Err(error)) => tracing::warn!(message = delivery.id, %error, "heartbeat failed"),
            Err(_) => tracing::warn!(message = delivery.id, "heartbeat got no answer"),
        }
        if Instant::now() >= held_until {
            break;
        }
    }
    tracing::warn!(
        message = delivery.id,
        "lost the hold on a message: another worker may take it"
    );
    lost.send_replace(true);
}

#[cfg(test)]
mod tests;
