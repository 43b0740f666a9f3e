//! The delivery directives of a media playlist request (rfc8216bis §6.2.5).

use std::fmt::{Display, Formatter, Result};

/// How old segments may be left out of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Skip {
    /// `_HLS_skip=YES`.
    Yes,
    /// `_HLS_skip=v2`: date ranges too.
    V2,
}

/// The `_HLS_` parameters of a request. Its text is canonical: the same directives have one
/// spelling, in the order of rfc8216bis §6.2.5.1, so that it may be part of a cache key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// `_HLS_msn`: the media sequence number that the answer must reach.
    pub msn: Option<u64>,
    /// `_HLS_part`: the part of it that the answer must reach.
    pub part: Option<u64>,
    /// `_HLS_skip`: the answer may be a delta update.
    pub skip: Option<Skip>,
}

/// Why directives are answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// No decimal integer, or one above 2^64 - 1.
    #[error("cannot read {0}: write a decimal integer below 2^64")]
    Number(&'static str),
    /// Neither YES nor v2.
    #[error("cannot read _HLS_skip: write YES or v2")]
    Skip,
    /// Which of the two is meant?
    #[error("cannot take {0} twice: write it once")]
    Twice(&'static str),
    /// A part of which segment?
    #[error("cannot use _HLS_part without _HLS_msn: add _HLS_msn")]
    PartWithoutMsn,
}

impl Directives {
    /// Reads a query (without `?`). Parameters of other names are nobody's business here, and
    /// unknown `_HLS_` ones belong to newer protocol versions: both are ignored.
    pub fn parse(query: &str) -> std::result::Result<Self, DirectiveError> {
        let mut found = Self::default();
        if !query.contains("_HLS_") {
            return Ok(found);
        }
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "_HLS_msn" => set(&mut found.msn, "_HLS_msn", number("_HLS_msn", value)?)?,
                "_HLS_part" => set(&mut found.part, "_HLS_part", number("_HLS_part", value)?)?,
                "_HLS_skip" => {
                    let skip = match value {
                        "YES" => Skip::Yes,
                        "v2" => Skip::V2,
                        _ => return Err(DirectiveError::Skip),
                    };
                    set(&mut found.skip, "_HLS_skip", skip)?;
                }
                _ => {}
            }
        }
        match found {
            Self {
                msn: None,
                part: Some(_),
                ..
            } => Err(DirectiveError::PartWithoutMsn),
            _ => Ok(found),
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        matches!(
            self,
            Self {
                msn: None,
                part: None,
                skip: None
            }
        )
    }
}

fn set<T>(
    place: &mut Option<T>,
    name: &'static str,
    value: T,
) -> std::result::Result<(), DirectiveError> {
    match place.replace(value) {
        Some(_) => Err(DirectiveError::Twice(name)),
        None => Ok(()),
    }
}

fn number(name: &'static str, value: &str) -> std::result::Result<u64, DirectiveError> {
    // `u64::from_str` would take a sign. Leading zeros are a decimal-integer too (§4.2).
    let digits = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let parsed = if digits { value.parse().ok() } else { None };
    parsed.ok_or(DirectiveError::Number(name))
}

impl Display for Directives {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut separator = "";
        for (name, value) in [("_HLS_msn", self.msn), ("_HLS_part", self.part)] {
            if let Some(value) = value {
                write!(f, "{separator}{name}={value}")?;
                separator = "&";
            }
        }
        match self.skip {
            Some(Skip::Yes) => write!(f, "{separator}_HLS_skip=YES"),
            Some(Skip::V2) => write!(f, "{separator}_HLS_skip=v2"),
            None => Ok(()),
        }
    }
}
