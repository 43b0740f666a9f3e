//! What the probe judges beyond the playlists' text: answers, headers, pace.

use hls::check;

/// How much a finding weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Players or caches will be hurt.
    Violation,
    /// Works, and could be better.
    Advice,
}

/// A rule about the delivery, or one of [`check::Rule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// One about the text.
    Text(check::Rule),
    /// Something listed is not answered with 200.
    Status,
    /// A playlist's Content-Type.
    ContentType,
    /// No page on another host may play this.
    Cors,
    /// Playlists are sent as they are although the client takes gzip.
    Gzip,
    /// Caches are told nothing.
    CacheControl,
    /// A live playlist may be kept longer than it is true.
    CacheLong,
    /// Nothing new for more than 1.5 target durations.
    Stale,
    /// A blocking request was answered without what it asked for.
    BlockIgnored,
    /// A blocking request was not answered within three target durations.
    BlockLate,
    /// A request far ahead of the stream was not refused.
    BlockTooFar,
    /// A hinted part was listed but its request failed.
    HintFailed,
    /// A segment is larger than BANDWIDTH allows.
    BandwidthExceeded,
}

impl Rule {
    /// The stable id.
    pub const fn id(self) -> &'static str {
        match self {
            Rule::Text(rule) => rule.id(),
            Rule::Status => "http-status",
            Rule::ContentType => "http-content-type",
            Rule::Cors => "http-cors",
            Rule::Gzip => "http-gzip",
            Rule::CacheControl => "http-cache-control",
            Rule::CacheLong => "http-cache-long",
            Rule::Stale => "stale",
            Rule::BlockIgnored => "block-ignored",
            Rule::BlockLate => "block-late",
            Rule::BlockTooFar => "block-too-far",
            Rule::HintFailed => "hint-failed",
            Rule::BandwidthExceeded => "bandwidth-exceeded",
        }
    }

    /// The section of draft-pantos-hls-rfc8216bis it comes from.
    pub const fn section(self) -> &'static str {
        match self {
            Rule::Text(rule) => rule.section(),
            Rule::Status | Rule::Stale => "6.2.2",
            Rule::ContentType | Rule::Gzip => "4",
            Rule::Cors | Rule::CacheControl | Rule::CacheLong => "B.1",
            Rule::BlockIgnored | Rule::BlockLate | Rule::BlockTooFar => "6.2.5.2",
            Rule::HintFailed => "4.4.5.3",
            Rule::BandwidthExceeded => "4.4.6.2",
        }
    }

    /// How much it weighs.
    pub const fn level(self) -> Level {
        match self {
            Rule::Cors | Rule::Gzip | Rule::CacheControl | Rule::BlockTooFar => Level::Advice,
            Rule::Text(rule) if rule.is_advice() => Level::Advice,
            _ => Level::Violation,
        }
    }
}
