//! An independent reader's verdict on playlists: does what a server publishes, reload after reload
//! and rendition beside rendition, obey bis and the rules players rely on?
//!
//! It shares nothing with the renderer: it parses text line by line itself, so that a
//! misunderstanding there is not repeated here. It backs `panocast probe` and the origin's check of
//! its own output. It reads playlists only; whether the media behind them keep their promises is
//! for others.
//!
//! ```
//! let mut checker = hls::check::Checker::new();
//! let found = checker.media("source", "#EXTM3U\n#EXT-X-VERSION:6\n");
//! assert!(found.iter().any(|violation| violation.rule.id() == "td-missing"));
//! ```

mod across;
mod multivariant;
mod parse;
mod reloads;
mod single;

use std::{collections::BTreeMap, fmt};

pub use multivariant::{Listed, Multivariant, check_multivariant};
pub use parse::{Attributes, ListedPart, Media, Syntax, Unit, parse_media};

/// Renditions one checker follows; more than any multivariant playlist of ours lists.
const RENDITIONS_MAX: usize = 64;

macro_rules! rules {
    ($($(#[doc = $text:literal])+ $name:ident = $id:literal, $section:literal;)+) => {
        /// What can be wrong. Ids are stable: dashboards and alerts name them.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Rule { $($(#[doc = $text])+ $name),+ }

        impl Rule {
            /// Every rule.
            pub const ALL: &'static [Rule] = &[$(Rule::$name),+];

            /// The stable id.
            pub const fn id(self) -> &'static str {
                match self { $(Rule::$name => $id),+ }
            }

            /// Where it is written: the section of bis.
            pub const fn section(self) -> &'static str {
                match self { $(Rule::$name => $section),+ }
            }

            /// What it says.
            pub const fn words(self) -> &'static str {
                match self { $(Rule::$name => concat!($($text),+).trim_ascii_start()),+ }
            }
        }
    };
}

rules! {
    /// Not a playlist, or a line that cannot be read.
    Syntax = "syntax", "4.1";
    /// No EXT-X-TARGETDURATION.
    TargetMissing = "td-missing", "4.4.3.1";
    /// EXT-X-TARGETDURATION changed between reloads.
    TargetChanged = "td-changed", "6.2.1";
    /// An EXTINF rounds to more than the target duration.
    TargetExceeded = "td-exceeded", "4.4.3.1";
    /// EXT-X-VERSION is below what the tags used need.
    Version = "version", "7";
    /// EXT-X-MEDIA-SEQUENCE, or the last segment's number, went back.
    MsnDecreased = "msn-decreased", "6.2.2";
    /// A number that was listed before now names another segment.
    SegmentChanged = "segment-changed", "6.2.1";
    /// EXT-X-DISCONTINUITY-SEQUENCE is missing although discontinuities are listed.
    DiscontinuitySequenceMissing = "discontinuity-sequence-missing", "4.4.3.3";
    /// EXT-X-DISCONTINUITY-SEQUENCE did not grow by the discontinuities that left.
    DiscontinuitySequence = "discontinuity-sequence", "6.2.2";
    /// A discontinuity that was announced after the last segment did not come.
    DiscontinuityTakenBack = "discontinuity-taken-back", "6.2.1";
    /// A discontinuity came unannounced before a hinted part: hls.js up to 1.6.16 gives up.
    DiscontinuityUnannounced = "discontinuity-unannounced", "4.4.5.3";
    /// No EXT-X-PROGRAM-DATE-TIME on the first segment or after a discontinuity.
    DateMissing = "pdt-missing", "4.4.4.6";
    /// EXT-X-PROGRAM-DATE-TIME and durations tell different times.
    DateDrift = "pdt-drift", "4.4.4.6";
    /// A segment without EXT-X-MAP before it.
    MapMissing = "map-missing", "4.4.4.5";
    /// A live playlist that removed segments lists less than three target durations.
    WindowShort = "window-short", "6.2.2";
    /// A final playlist changed.
    EndReopened = "end-reopened", "6.2.1";
    /// EXT-X-PART without EXT-X-PART-INF.
    PartTargetMissing = "part-target-missing", "4.4.3.7";
    /// PART-TARGET changed between reloads.
    PartTargetChanged = "part-target-changed", "4.4.3.7";
    /// A part longer than PART-TARGET.
    PartLong = "part-long", "4.4.3.7";
    /// A part below 85 % of PART-TARGET that may not be.
    PartShort = "part-short", "4.4.4.9";
    /// Parts claim more than their segment.
    PartSum = "part-sum", "4.4.4.9";
    /// Parts claim less than their segment: one is missing, or holds a frame that lasts longer than
    /// a part may claim.
    PartSumShort = "part-sum-short", "4.4.4.9";
    /// A lost part in a segment that is not marked lost.
    PartGap = "part-gap", "4.4.4.7";
    /// A part that was listed before is another now.
    PartChanged = "part-changed", "6.2.1";
    /// EXT-X-SERVER-CONTROL is missing, below its minimum, or changed.
    ServerControl = "server-control", "4.4.3.8";
    /// No EXT-X-PRELOAD-HINT in a low-latency playlist that can block.
    HintMissing = "hint-missing", "4.4.5.3";
    /// EXT-X-PRELOAD-HINT in a final playlist, or of a part already listed.
    HintWrong = "hint-wrong", "4.4.5.3";
    /// What was hinted never came.
    HintBroken = "hint-broken", "4.4.5.3";
    /// No EXT-X-RENDITION-REPORT of another rendition.
    ReportMissing = "report-missing", "4.4.5.4";
    /// EXT-X-SKIP leaves out what the reader cannot know.
    Skip = "skip", "6.2.5.1";
    /// Renditions declare different target durations.
    AcrossTarget = "across-td", "6.2.4";
    /// A number's segment starts at different times.
    AcrossDate = "across-pdt", "6.2.4";
    /// A number's segment has different lengths.
    AcrossDuration = "across-duration", "6.2.4";
    /// A number's segment has different discontinuity numbers.
    AcrossDiscontinuity = "across-discontinuity", "6.2.4";
    /// Not a multivariant playlist, or a line of it that cannot be read.
    MultivariantSyntax = "multivariant-syntax", "4.1";
    /// A variant without BANDWIDTH.
    BandwidthMissing = "bandwidth-missing", "4.4.6.2";
    /// A variant without CODECS.
    CodecsMissing = "codecs-missing", "4.4.6.2";
    /// A variant names a group that no EXT-X-MEDIA defines.
    GroupUnknown = "group-unknown", "4.4.6.2";
    /// No variant at all.
    VariantsMissing = "variants-missing", "4.4.6.2";
}

impl Rule {
    /// Whether it is a hint at trouble rather than trouble: the protocol does not forbid it, or
    /// players cope.
    pub const fn is_advice(self) -> bool {
        matches!(
            self,
            Rule::PartSumShort
                | Rule::ReportMissing
                | Rule::CodecsMissing
                | Rule::DiscontinuityUnannounced
        )
    }
}

/// One broken rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// Where.
    pub rendition: String,
    /// What was found, with values.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.rendition, self.rule.id(), self.detail)
    }
}

/// Collects violations of one rendition.
pub(crate) struct Findings {
    rendition: String,
    list: Vec<Violation>,
}

impl Findings {
    fn new(rendition: &str) -> Self {
        Self {
            rendition: rendition.to_owned(),
            list: Vec::new(),
        }
    }

    fn add(&mut self, rule: Rule, detail: impl Into<String>) {
        self.list.push(Violation {
            rule,
            rendition: self.rendition.clone(),
            detail: detail.into(),
        });
    }
}

/// Follows the renditions of one stream.
#[derive(Clone, Debug, Default)]
pub struct Checker {
    latest: BTreeMap<String, Media>,
    /// Names that every playlist must report on, where known.
    reported: Vec<String>,
}

impl Checker {
    /// A checker that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Names the renditions of the multivariant playlist: each must report on all others.
    pub fn expect_reports(&mut self, names: impl IntoIterator<Item = String>) {
        self.reported = names.into_iter().take(RENDITIONS_MAX).collect();
    }

    /// Judges the next playlist of `rendition`, full or delta, alone and against the one before.
    pub fn media(&mut self, rendition: &str, text: &str) -> Vec<Violation> {
        let mut findings = Findings::new(rendition);
        let mut media = match parse_media(text) {
            Ok(media) => media,
            Err(error) => {
                findings.add(Rule::Syntax, error.to_string());
                return findings.list;
            }
        };
        let before = self.latest.get(rendition);
        reloads::restore_skipped(&mut media, before, &mut findings);
        single::check(&media, &mut findings);
        single::check_reports(&media, rendition, &self.reported, &mut findings);
        if let Some(before) = before {
            reloads::check(before, &media, &mut findings);
        }
        if self.latest.len() < RENDITIONS_MAX || before.is_some() {
            self.latest.insert(rendition.to_owned(), media);
        }
        findings.list
    }

    /// Judges the newest playlists of all renditions against each other.
    pub fn across(&self) -> Vec<Violation> {
        across::check(&self.latest)
    }

    /// The newest playlist of `rendition`.
    pub fn latest(&self, rendition: &str) -> Option<&Media> {
        self.latest.get(rendition)
    }
}

#[cfg(test)]
mod tests;
