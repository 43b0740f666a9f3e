//! One TOML file to the typed sections of each role, with errors that say where, what and how to
//! fix.
//!
//! One file may hold the sections of all roles; a process validates the sections it uses, and every
//! process refuses top-level names that no role has. Without a file every section takes its
//! defaults. What this does not do: know any role's keys, watch the file, or read the environment
//! behind the operator's back (only a [`Secret`] written as `env:NAME` does).

mod locate;
mod secret;
mod shared;
mod units;

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{
    Spanned,
    de::{DeTable, ValueDeserializer},
};

pub use secret::Secret;
pub use shared::{Jobs, Stores};
pub use units::{Bitrate, ByteSize, Duration, UnitError};

/// Every top-level section there is; anything else is a spelling mistake.
pub const SECTIONS: &[&str] = &[
    "origin",
    "edge",
    "transcoder",
    "test-source",
    "store",
    "jobs",
    "log",
];

/// A config file larger than this is not one: refuse before parsing.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why a configuration cannot be used. Always the operator's to fix; never retryable.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file is missing, unreadable or too large.
    #[error(
        "cannot read config {}: {reason}; give a readable TOML file with --config",
        path.display()
    )]
    Read {
        /// The path as given.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is not TOML, or a key is unknown, missing or has a bad value.
    #[error("config {place}: {message}")]
    Invalid {
        /// `file:line`, or the key's path when no file was given.
        place: String,
        /// Key, reason and remedy.
        message: String,
    },
}

/// A parsed configuration file (or the absence of one).
#[derive(Debug, Clone, Default)]
pub struct File {
    path: Option<PathBuf>,
    text: String,
}

impl File {
    /// No file: every section takes its defaults.
    pub fn defaults() -> Self {
        Self::default()
    }

    /// Reads and checks `path`, or takes the defaults when there is none.
    pub fn open(path: Option<&Path>) -> Result<Self, Error> {
        let Some(path) = path else {
            return Ok(Self::defaults());
        };
        let refuse = |reason: String| Error::Read {
            path: path.to_owned(),
            reason,
        };
        let length = std::fs::metadata(path)
            .map_err(|e| refuse(e.to_string()))?
            .len();
        if length > FILE_BYTES_MAX {
            return Err(refuse(format!(
                "it has {length} bytes, the limit is {FILE_BYTES_MAX}"
            )));
        }
        let text = std::fs::read_to_string(path).map_err(|e| refuse(e.to_string()))?;
        Self::parse(path, text)
    }

    /// Checks `text` as if it had been read from `path` (which only names it in errors).
    pub fn parse(path: impl Into<PathBuf>, text: impl Into<String>) -> Result<Self, Error> {
        let file = Self {
            path: Some(path.into()),
            text: text.into(),
        };
        let table = file.table()?;
        for key in table.get_ref().keys() {
            let name: &str = key.get_ref();
            if !SECTIONS.contains(&name) {
                let hint = locate::nearest_hint(name, SECTIONS);
                return Err(file.at(
                    key.span().start,
                    format!(
                        "section [{name}] is unknown{hint}; the sections are {}",
                        SECTIONS.join(", ")
                    ),
                ));
            }
        }
        Ok(file)
    }

    /// Where the configuration came from, for the log.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The section called `name`, or its defaults when the file has none.
    pub fn section<T: DeserializeOwned + Default>(&self, name: &str) -> Result<T, Error> {
        let mut table = self.table()?.into_inner();
        let Some(value) = table.remove(name) else {
            return Ok(T::default());
        };
        let start = value.span().start;
        T::deserialize(ValueDeserializer::from(value)).map_err(|error| self.explain(&error, start))
    }

    /// An error about the value at the dotted `key` (such as `origin.hls.part_target`) that a
    /// role's own check refuses: `reason` is value, limit and remedy.
    pub fn reject(&self, key: &str, reason: impl std::fmt::Display) -> Error {
        let offset = self
            .table()
            .ok()
            .and_then(|t| locate::offset_of(t.get_ref(), key));
        match offset {
            Some(offset) => self.at(offset, format!("{key} {reason}")),
            None => Error::Invalid {
                place: self.name(),
                message: format!("{key} {reason}"),
            },
        }
    }

    fn table(&self) -> Result<Spanned<DeTable<'_>>, Error> {
        DeTable::parse(&self.text).map_err(|error| self.explain(&error, 0))
    }

    fn explain(&self, error: &toml::de::Error, fallback: usize) -> Error {
        let offset = error.span().map_or(fallback, |span| span.start);
        let key = DeTable::parse(&self.text)
            .ok()
            .and_then(|table| locate::key_at(table.get_ref(), offset));
        self.at(offset, locate::message(key.as_deref(), error.message()))
    }

    fn at(&self, offset: usize, message: String) -> Error {
        let line = self
            .text
            .bytes()
            .take(offset)
            .filter(|b| *b == b'\n')
            .count()
            + 1;
        Error::Invalid {
            place: format!("{}:{line}", self.name()),
            message,
        }
    }

    fn name(&self) -> String {
        self.path
            .as_ref()
            .map_or_else(|| "(defaults)".to_owned(), |p| p.display().to_string())
    }
}

#[cfg(test)]
mod tests;
