//! Everything that can tell a process to end, as one stream of notices: SIGTERM, SIGINT, `POST
//! /drain` and the cloud's warnings.
//!
//! A recommendation to rebalance is no interruption: it comes many minutes early and often for
//! nothing, so it only lowers readiness weight. The first deadline seen is kept; a notice that
//! names a past time means now.

#[cfg(feature = "aws")]
pub mod aws;
mod metadata;

use std::time::Duration;

use tokio::sync::mpsc;

use crate::clock::Clock;

pub use metadata::{Identity, Metadata};

/// Why a process should end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// SIGTERM or SIGINT.
    Signal(&'static str),
    /// `POST /drain`.
    Admin,
    /// The Spot market takes the machine back; `action` is `terminate`, `stop` or `hibernate`.
    Spot {
        /// What will be done to the machine.
        action: String,
    },
    /// The Auto Scaling group takes the machine out.
    Lifecycle {
        /// The target state, such as `Terminated`.
        state: String,
    },
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Signal(name) => f.write_str(name),
            Self::Admin => f.write_str("drain request"),
            Self::Spot { action } => write!(f, "spot notice ({action})"),
            Self::Lifecycle { state } => write!(f, "lifecycle state {state}"),
        }
    }
}

/// Something to react to.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// This machine is more likely than others to be taken: lower the weight, leave nothing.
    Rebalance,
    /// End. `deadline` is on the clock's own scale; none means that nobody is hurrying us but
    /// ourselves.
    Interruption {
        /// Why.
        cause: Cause,
        /// When the machine will be gone.
        deadline: Option<Duration>,
    },
}

/// Lets others (the admin listener) ask for the end.
#[derive(Debug, Clone)]
pub struct Trigger(mpsc::Sender<Notice>);

impl Trigger {
    /// Asks for a drain; asking twice is the same as once.
    pub fn drain(&self) {
        self.interrupt(Cause::Admin, None);
    }

    /// Passes a notice on, as a supervisor or a test would.
    pub fn interrupt(&self, cause: Cause, deadline: Option<Duration>) {
        // Full means that notices wait already; closed, that the process is ending.
        let _ = self.0.try_send(Notice::Interruption { cause, deadline });
    }
}

/// Notices that wait to be read; more would only repeat what is known.
const WAITING_MAX: usize = 16;

/// The notices of one process.
#[derive(Debug)]
pub struct Source {
    notices: mpsc::Receiver<Notice>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
    first_deadline: Option<Duration>,
}

/// Starts listening to signals (when `signals`) and to the cloud's metadata service. Needs a
/// runtime.
pub fn source(metadata: Metadata, signals: bool, clock: Clock) -> (Trigger, Source) {
    let (sender, notices) = mpsc::channel(WAITING_MAX);
    let mut tasks = Vec::new();
    if signals {
        tasks.push(tokio::spawn(watch_signals(sender.clone())));
    }
    if let Some(poller) = metadata.poller(clock) {
        tasks.push(tokio::spawn(poller.run(sender.clone())));
    }
    (
        Trigger(sender),
        Source {
            notices,
            tasks,
            first_deadline: None,
        },
    )
}

impl Source {
    /// The next notice. An interruption that repeats keeps the first deadline.
    pub async fn next(&mut self) -> Notice {
        match self.notices.recv().await {
            Some(Notice::Interruption { cause, deadline }) => {
                self.first_deadline = self.first_deadline.or(deadline);
                Notice::Interruption {
                    cause,
                    deadline: self.first_deadline,
                }
            }
            Some(notice) => notice,
            // Every sender is gone: nobody can ever tell us anything.
            None => std::future::pending().await,
        }
    }

    /// Waits for an interruption, handing recommendations to `on_rebalance`.
    pub async fn interrupted(
        &mut self,
        mut on_rebalance: impl FnMut(),
    ) -> (Cause, Option<Duration>) {
        loop {
            match self.next().await {
                Notice::Rebalance => on_rebalance(),
                Notice::Interruption { cause, deadline } => return (cause, deadline),
            }
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn watch_signals(sender: mpsc::Sender<Notice>) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut term), Ok(mut int)) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    ) else {
        tracing::error!("cannot listen to SIGTERM and SIGINT: they will end the process at once");
        return;
    };
    loop {
        let name = tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        };
        let notice = Notice::Interruption {
            cause: Cause::Signal(name),
            deadline: None,
        };
        if sender.send(notice).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests;
