//! Sets up `tracing` once per process, and keeps hot errors from flooding it.
//!
//! Text for a terminal, JSON for a collector. What this does not do: rotate files (the journal or
//! the container runtime does).

use std::{
    io::IsTerminal,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use tracing_subscriber::{
    filter::{ParseError, Targets},
    layer::SubscriberExt,
    util::SubscriberInitExt,
};

/// The `[log]` section.
#[derive(Debug, Clone, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// How lines look: text with colours on a terminal, plain text, or one JSON object a line.
    pub format: Format,
    /// What is kept, as a `tracing` filter: a level, or `target=level` pairs with commas.
    pub level: String,
}

/// How a log line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Text; with colours when standard error is a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            format: Format::Text,
            level: "info".to_owned(),
        }
    }
}

/// Why logging cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `log.level` is not a filter.
    #[error("cannot read log.level {level:?}: {reason}; write a level such as \"info\"")]
    Level {
        /// The text as configured.
        level: String,
        /// The parser's words.
        reason: String,
    },
}

impl Config {
    /// The filter this configuration asks for, so that `--check-config` can refuse a bad one.
    pub fn filter(&self) -> Result<Targets, Error> {
        self.level.parse().map_err(|e: ParseError| Error::Level {
            level: self.level.clone(),
            reason: e.to_string(),
        })
    }
}

/// Starts logging to standard error. A second call in the same process changes nothing.
pub fn init(config: &Config) -> Result<(), Error> {
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(config.format == Format::Text && std::io::stderr().is_terminal());
    // Levels by target need no regular expressions, and those are a good part of a first build.
    let kept = tracing_subscriber::registry().with(config.filter()?);
    let started = match config.format {
        Format::Text => kept.with(lines).try_init(),
        Format::Json => kept.with(lines.json().flatten_event(true)).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging had been set up before");
    }
    Ok(())
}

/// Counts an error that may come thousands of times a second and lets one line through each second.
///
/// ```
/// # use service::log::RateLimited;
/// # use std::time::Duration;
/// static REFUSED: RateLimited = RateLimited::new();
/// let now = Duration::from_secs(7);
/// if let Some(count) = REFUSED.note(now) {
///     tracing::warn!(count, "refused connections");
/// }
/// ```
#[derive(Debug)]
pub struct RateLimited {
    pending: AtomicU64,
    /// Milliseconds (plus one) of the last line; zero before the first.
    last_ms: AtomicU64,
}

impl RateLimited {
    /// One line a second is readable and still shows the rate.
    const EVERY_MS: u64 = 1_000;

    /// A counter with nothing in it; `const`, so that it can be a static beside its log line.
    pub const fn new() -> Self {
        Self {
            pending: AtomicU64::new(0),
            last_ms: AtomicU64::new(0),
        }
    }

    /// Counts one; gives the number since the last line when it is time to write one.
    pub fn note(&self, now: Duration) -> Option<u64> {
        self.pending.fetch_add(1, Ordering::Relaxed);
        let now_ms = u64::try_from(now.as_millis())
            .unwrap_or(u64::MAX - 1)
            .saturating_add(1);
        let last_ms = self.last_ms.load(Ordering::Relaxed);
        if last_ms != 0 && now_ms.saturating_sub(last_ms) < Self::EVERY_MS {
            return None;
        }
        self.last_ms
            .compare_exchange(last_ms, now_ms, Ordering::Relaxed, Ordering::Relaxed)
            .ok()
            .map(|_| self.pending.swap(0, Ordering::Relaxed))
    }
}

impl Default for RateLimited {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hot_errors_come_once_a_second_with_their_count() {
        let limited = RateLimited::new();
        assert_eq!(limited.note(Duration::ZERO), Some(1));
        assert_eq!(limited.note(Duration::from_millis(10)), None);
        assert_eq!(limited.note(Duration::from_millis(999)), None);
        assert_eq!(limited.note(Duration::from_millis(1_000)), Some(3));
    }

    #[test]
    fn a_bad_filter_is_refused() {
        let config = Config {
            level: "edge=loud=very".to_owned(),
            ..Config::default()
        };
        assert!(
            config
                .filter()
                .unwrap_err()
                .to_string()
                .contains("log.level")
        );
    }
}
