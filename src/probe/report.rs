//! What was seen, for people and for programs.

use std::fmt;

use serde::Serialize;
use url::Url;

use super::{findings::Finding, rule::Level};

/// What is known of one rendition after watching it.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Figures {
    /// Short name.
    pub name: String,
    /// Its playlist.
    pub url: String,
    /// Playlists read.
    pub reloads: u64,
    /// Whether they were asked for before they existed.
    pub low_latency: bool,
    /// EXT-X-TARGETDURATION.
    pub target_duration: Option<u64>,
    /// PART-TARGET.
    pub part_target: Option<f64>,
    /// The last complete segment.
    pub last_msn: Option<u64>,
    /// EXT-X-ENDLIST was seen.
    pub ended: bool,
    /// How old the newest listed media was when its playlist arrived; by EXT-X-PROGRAM-DATE-TIME
    /// and this machine's clock.
    pub latency: Option<Latency>,
    /// Segments and parts fetched.
    pub media_fetched: u64,
    /// The fastest segment, bits per second.
    pub peak_bps: u64,
    /// BANDWIDTH, of variants.
    pub bandwidth: Option<u64>,
}

/// Seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Latency {
    /// The best.
    pub min: f64,
    /// Half were below.
    pub median: f64,
    /// The worst.
    pub max: f64,
}

impl Latency {
    /// Of samples; `None` without any.
    pub fn of(mut samples: Vec<f64>) -> Option<Self> {
        samples.sort_by(f64::total_cmp);
        Some(Self {
            min: *samples.first()?,
            median: *samples.get(samples.len() / 2)?,
            max: *samples.last()?,
        })
    }
}

/// A stream's conduct.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    url: String,
    seconds: f64,
    violations: u64,
    renditions: Vec<Figures>,
    findings: Vec<Finding>,
}

impl Report {
    /// Puts it together.
    pub fn new(url: &Url, seconds: f64, renditions: Vec<Figures>, findings: Vec<Finding>) -> Self {
        let broken = findings
            .iter()
            .filter(|finding| finding.level == Level::Violation);
        Self {
            url: url.to_string(),
            seconds,
            violations: broken.map(|finding| finding.count).sum(),
            renditions,
            findings,
        }
    }

    /// What was found.
    #[cfg(test)]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// 1 when a rule was broken, 0 otherwise; advice does not count.
    pub fn exit_code(&self) -> u8 {
        u8::from(self.violations > 0)
    }

    /// For programs.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} watched for {:.0} s", self.url, self.seconds)?;
        for one in &self.renditions {
            write!(f, "  {:<10} {:>4} reloads", one.name, one.reloads)?;
            if let Some(target) = one.target_duration {
                write!(f, ", target {target} s")?;
            }
            if let Some(part) = one.part_target {
                write!(f, ", parts {part} s")?;
            }
            if let Some(latency) = one.latency {
                let Latency { min, median, max } = latency;
                write!(f, ", live edge {median:.2} s old ({min:.2} to {max:.2})")?;
            }
            if one.peak_bps > 0 {
                write!(f, ", peak {} kb/s", one.peak_bps / 1000)?;
            }
            if let Some(bandwidth) = one.bandwidth {
                write!(f, " of {}", bandwidth / 1000)?;
            }
            writeln!(f, "{}", if one.ended { ", ended" } else { "" })?;
        }
        for finding in &self.findings {
            let Finding {
                rule,
                section,
                rendition,
                count,
                first_at,
                detail,
                ..
            } = finding;
            let level = match finding.level {
                Level::Violation => "VIOLATION",
                Level::Advice => "advice   ",
            };
            writeln!(
                f,
                "{level} {rule} ({section}) {rendition}: {detail} \
                 [{count}x, first at {first_at:.1} s]"
            )?;
        }
        let advice = self
            .findings
            .iter()
            .filter(|finding| finding.level == Level::Advice)
            .count();
        writeln!(
            f,
            "{} violations, {advice} pieces of advice",
            self.violations
        )
    }
}
