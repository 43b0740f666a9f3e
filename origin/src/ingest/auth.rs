//! Decides whether a publish request is allowed, and what happens to a publisher that is there
//! already.
//!
//! Keys belong to stream names; the name `*` stands for every stream without a key of its own.
//! Without any key the origin is open, which suits one machine on loopback and is warned about
//! elsewhere. Comparison takes the same time whichever byte differs. Not here: limits on how often
//! one may guess (the ingest closes the connection each time).

use crate::config::{Key, Keys, OnConflict};

/// The entry for every stream that has none of its own.
pub const ANY_STREAM: &str = "*";

/// Why a publish request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The stream needs a key and none came.
    #[error("stream {0} needs a key: append ?key=<secret> to the stream key")]
    KeyMissing(String),
    /// The key is not the stream's.
    #[error("wrong key for stream {0}: check the secret after ?key=")]
    KeyWrong(String),
    /// Keys are configured and this name has none.
    #[error("stream {0} is not allowed here: no key is configured for it")]
    StreamUnknown(String),
}

/// Judges `presented` for `stream`; the answer carries the conflict policy that holds for it.
pub fn authorize(
    keys: &Keys,
    default_policy: OnConflict,
    stream: &str,
    presented: Option<&str>,
) -> Result<OnConflict, Refusal> {
    if keys.is_empty() {
        return Ok(default_policy);
    }
    let key = keys
        .get(stream)
        .or_else(|| keys.get(ANY_STREAM))
        .ok_or_else(|| Refusal::StreamUnknown(stream.to_owned()))?;
    let (secret, policy) = match key {
        Key::Secret(secret) => (secret, None),
        Key::Detailed {
            secret,
            on_conflict,
        } => (secret, *on_conflict),
    };
    match presented {
        None => Err(Refusal::KeyMissing(stream.to_owned())),
        Some(presented) if secret.matches(presented.as_bytes()) => {
            Ok(policy.unwrap_or(default_policy))
        }
        Some(_) => Err(Refusal::KeyWrong(stream.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    fn keys() -> Keys {
        toml_keys("stage = \"abc\"\nbackup = { secret = \"def\", on_conflict = \"reject\" }\n")
    }

    fn toml_keys(text: &str) -> Keys {
        #[derive(Default, Deserialize)]
        struct Section {
            keys: Keys,
        }
        let file = service::config::File::parse("t.toml", format!("[origin.keys]\n{text}"));
        file.and_then(|file| file.section::<Section>("origin"))
            .expect("keys parse")
            .keys
    }

    #[test]
    fn without_keys_anybody_publishes() {
        assert_eq!(
            authorize(&Keys::new(), OnConflict::Reject, "x", None),
            Ok(OnConflict::Reject)
        );
    }

    #[test]
    fn a_key_belongs_to_its_stream_and_carries_its_policy() {
        let verdict = |stream, key| authorize(&keys(), OnConflict::Takeover, stream, key);
        assert_eq!(verdict("stage", Some("abc")), Ok(OnConflict::Takeover));
        assert_eq!(verdict("backup", Some("def")), Ok(OnConflict::Reject));
        assert_eq!(
            verdict("backup", Some("abc")),
            Err(Refusal::KeyWrong("backup".into()))
        );
        assert_eq!(
            verdict("stage", None),
            Err(Refusal::KeyMissing("stage".into()))
        );
        assert_eq!(
            verdict("other", Some("abc")),
            Err(Refusal::StreamUnknown("other".into()))
        );
    }

    #[test]
    fn the_star_stands_for_every_other_stream() {
        let keys = toml_keys("stage = \"abc\"\n\"*\" = \"common\"\n");
        assert!(authorize(&keys, OnConflict::Takeover, "foo", Some("common")).is_ok());
        assert!(authorize(&keys, OnConflict::Takeover, "stage", Some("common")).is_err());
    }
}
