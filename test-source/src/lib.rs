//! Publishes a 360° test stream over RTMP: bars, grid, timecode and tone.
//!
//! It is the first thing a newcomer sees and what every end-to-end test measures with: people read
//! the timecode, programs read the [`blocks`], and the beep belongs to the flash.
//!
//! ```text
//! wall clock --source thread--> picture, audio --encode--> units --publish--> each target
//! ```
//!
//! What this does not do: play files, record, or serve viewers.

#![forbid(unsafe_code)]

pub mod blocks;
mod calendar;
mod config;
mod console;
pub mod faults;
mod glyphs;
mod paint;
pub mod picture;
mod publish;
mod scene;
pub mod snapshot;
pub mod source;
pub mod sphere;
mod tone;

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use service::Clock;
use tokio::{
    sync::{broadcast, oneshot, watch},
    task::JoinSet,
};

pub use config::{Config, Problem, Rate, RateError, SIDE_PIXELS_MAX, TARGETS_MAX, Target};
pub use scene::Words;

/// Units a slow publisher may lag behind: five seconds of 30 pictures and 47 sounds each.
const LAG_UNITS: usize = 400;

/// Why the source ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A setting cannot be used: the operator's to fix.
    #[error(transparent)]
    Config(#[from] Problem),
    /// An encoder could not be opened or failed.
    #[error(transparent)]
    Encode(#[from] encode::Error),
    /// The video encoder makes something else.
    #[error(
        "cannot publish: the video encoder does not make H.264; set test-source.encoder to libx264"
    )]
    NotVideo,
    /// No thread could be started.
    #[error("cannot start the source's thread: {0}")]
    Thread(std::io::Error),
    /// The source's thread ended on its own.
    #[error("cannot go on: the source's thread ended unexpectedly")]
    Lost,
}

/// Publishes until `shutdown` ends. Fails only where nothing can be made; targets are retried for
/// ever.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    config.check()?;
    let clock = Clock::real();
    let (items, _) = broadcast::channel(LAG_UNITS);
    let (stop, stopped) = watch::channel(false);
    let stop_thread = Arc::new(AtomicBool::new(false));
    let mut publishers = JoinSet::new();
    for target in &config.targets {
        let url = target.0.clone();
        let publisher =
            publish::Publisher::new(url, clock.clone(), &config.faults, stopped.clone());
        publishers.spawn(publisher.run(items.clone()));
    }
    let (ended, end) = oneshot::channel();
    let thread = std::thread::Builder::new()
        .name("test-source".to_owned())
        .spawn({
            let stop = Arc::clone(&stop_thread);
            move || {
                let _ = ended.send(source::run(&config, &clock, &stop, &items));
            }
        });
    thread.map_err(Error::Thread)?;
    let result = tokio::select! {
        () = shutdown => Ok(()),
        result = end => result.unwrap_or(Err(Error::Lost)),
    };
    stop.send_replace(true);
    while publishers.join_next().await.is_some() {}
    stop_thread.store(true, Ordering::Relaxed);
    result
}
