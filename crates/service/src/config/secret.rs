//! A value that never reaches a log: written literally, as `env:NAME`, or as `{ file = "…" }`.

use std::{fmt, path::PathBuf};

use serde::{Deserialize, Deserializer, de};

/// A secret file larger than this is something else.
const FILE_BYTES_MAX: usize = 64 << 10;

/// A token, key or password. `Debug` prints no part of it; comparison takes the same time for all.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value that is already in memory.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself; the name is meant to stand out in review.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is nothing to keep secret.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Compares without telling by its duration how much was right.
    pub fn matches(&self, candidate: &[u8]) -> bool {
        let own = self.0.as_bytes();
        let mut difference = usize::from(own.len() != candidate.len());
        for (index, byte) in candidate.iter().enumerate() {
            difference |= usize::from(own.get(index).copied().unwrap_or_default() ^ byte);
        }
        difference == 0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self::new(value)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Reference {
    file: PathBuf,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a string, \"env:NAME\" or { file = \"path\" }")]
enum Written {
    Literal(String),
    Reference(Reference),
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = match Written::deserialize(deserializer)? {
            Written::Literal(text) => match text.strip_prefix("env:") {
                Some(name) => std::env::var(name).map_err(|_| {
                    de::Error::custom(format!("environment variable {name} is not set; set it"))
                })?,
                None => text,
            },
            Written::Reference(Reference { file }) => read(&file).map_err(de::Error::custom)?,
        };
        if value.is_empty() {
            return Err(de::Error::custom("the secret is empty; give it a value"));
        }
        Ok(Self(value))
    }
}

fn read(file: &std::path::Path) -> Result<String, String> {
    let shown = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|e| format!("cannot read secret file {shown}: {e}; make it readable"))?;
    if text.len() > FILE_BYTES_MAX {
        return Err(format!(
            "secret file {shown} has {} bytes, the limit is {FILE_BYTES_MAX}; name another",
            text.len()
        ));
    }
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
