//! Stream names to streams: who publishes where, who is watched, and what time does to them.
//!
//! A stream enters with its first accepted publisher, or with what an earlier process left of it,
//! and leaves some time after its run has ended, when nothing of it can be listed any more. The
//! number of streams is bounded by config; there is no third way in.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use hls::Snapshot;
use tokio::sync::Notify;
use tracing::info;

use super::{Claim, Environment, Events, Publication, Publisher, Stream};
use crate::{
    config::{Config, OnConflict},
    recorder::Recorder,
};

/// How often streams look at the clock: reconnect windows are whole seconds, and a quarter of one
/// goes unnoticed.
pub const TICK: Duration = Duration::from_millis(250);

/// Why a name cannot be had.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Conflict {
    /// Somebody publishes there and the policy is to reject.
    #[error(
        "cannot publish {stream}: it already has a publisher (since {since}, from {address}); stop it or use another name"
    )]
    Taken {
        /// The stream.
        stream: String,
        /// Since when, RFC 3339.
        since: String,
        /// From where.
        address: String,
    },
    /// No room for another stream.
    #[error(
        "cannot publish {stream}: {limit} streams is this server's limit; end one or raise max_streams"
    )]
    Full {
        /// The stream.
        stream: String,
        /// The limit.
        limit: usize,
    },
}

/// All streams of this origin.
#[derive(Debug)]
pub struct Registry {
    config: Arc<Config>,
    environment: Environment,
    streams: Mutex<BTreeMap<String, Arc<Stream>>>,
}

impl Registry {
    /// No streams yet.
    pub fn new(config: Arc<Config>, environment: Environment) -> Self {
        Self {
            config,
            environment,
            streams: Mutex::new(BTreeMap::new()),
        }
    }

    /// What happened to streams lately.
    pub fn events(&self) -> &Events {
        &self.environment.events
    }

    /// Told whenever viewers of any stream can see something new.
    pub fn published(&self) -> Arc<Notify> {
        Arc::clone(&self.environment.published)
    }

    /// Shows what an earlier process left of `name`, and waits for its publisher. What there is no
    /// room for is not shown.
    pub fn restore(&self, name: &str, restored: Arc<Snapshot>) {
        let mut streams = self.lock();
        if streams.len() < self.config.max_streams {
            let stream = Stream::new(name, self.config.stream(name), self.environment.clone());
            stream.restore(restored);
            streams.insert(name.to_owned(), stream);
        }
    }

    /// Takes the publisher's place of `name` for `publisher`.
    pub fn claim(
        &self,
        name: &str,
        publisher: Publisher,
        policy: OnConflict,
    ) -> Result<Publication, Conflict> {
        let stream = {
            let mut streams = self.lock();
            match streams.get(name) {
                Some(stream) => Arc::clone(stream),
                None if streams.len() >= self.config.max_streams => {
                    return Err(Conflict::Full {
                        stream: name.to_owned(),
                        limit: self.config.max_streams,
                    });
                }
                None => {
                    let config = self.config.stream(name);
                    let stream = Stream::new(name, config, self.environment.clone());
                    streams.insert(name.to_owned(), Arc::clone(&stream));
                    stream
                }
            }
        };
        match stream.claim(publisher, policy) {
            Claim::Granted(publication) => {
                self.count();
                Ok(publication)
            }
            Claim::Taken { since, address } => Err(Conflict::Taken {
                stream: name.to_owned(),
                since,
                address: address.to_string(),
            }),
        }
    }

    /// The stream `name`, live or lately ended.
    pub fn find(&self, name: &str) -> Option<Arc<Stream>> {
        self.lock().get(name).cloned()
    }

    /// All streams, by name.
    pub fn streams(&self) -> Vec<Arc<Stream>> {
        self.lock().values().cloned().collect()
    }

    /// Tells every stream the time; forgets those that are over.
    pub fn tick(&self) {
        let over: Vec<String> = {
            let streams = self.streams();
            streams
                .iter()
                .filter(|stream| stream.tick())
                .map(|stream| stream.name().to_owned())
                .collect()
        };
        if !over.is_empty() {
            let mut streams = self.lock();
            for name in over {
                // Whoever claimed it meanwhile keeps it.
                if streams.get(&name).is_some_and(|stream| stream.is_over()) {
                    info!(stream = name, "stream forgotten: its run is over");
                    streams.remove(&name);
                }
            }
        }
        self.count();
    }

    /// Sends every publisher away and closes every recording. Playlists get no end: a successor of
    /// this process, or the other origin, goes on with the stream, and a player that saw an end
    /// would never look again.
    pub fn seal_all(&self) {
        for stream in self.streams() {
            stream.seal();
        }
    }

    fn count(&self) {
        let streams = self.streams();
        let count = |is: fn(&Stream) -> bool| {
            let number = streams.iter().filter(|stream| is(stream)).count();
            i64::try_from(number).unwrap_or(i64::MAX)
        };
        let metrics = &self.environment.metrics;
        metrics.streams.set(count(Stream::has_publisher));
        metrics.streams_unlocked.set(count(Stream::is_unlocked));
        let recorder = self.environment.recorder.as_ref();
        let waiting = recorder.map_or(0, Recorder::unconfirmed_bytes);
        metrics
            .recorder_unconfirmed
            .set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Arc<Stream>>> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
