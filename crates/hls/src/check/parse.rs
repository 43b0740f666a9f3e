//! Reads playlist text into plain structs: only what the rules need, and nothing assumed of the
//! writer.

use std::collections::BTreeMap;

use time::{OffsetDateTime, format_description::well_known::Rfc3339};

/// Lines of a playlist; a window of an hour of half-second parts is below this.
pub(super) const LINES_MAX: usize = 100_000;

/// Why text is no media playlist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {reason}")]
pub struct Syntax {
    /// From 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

/// An attribute list; quotes removed.
pub type Attributes = BTreeMap<String, String>;

/// EXT-X-PART.
#[derive(Clone, Debug, PartialEq)]
pub struct ListedPart {
    /// URI.
    pub uri: String,
    /// DURATION in seconds.
    pub duration: f64,
    /// INDEPENDENT=YES.
    pub independent: bool,
    /// GAP=YES.
    pub gap: bool,
}

/// A segment, or the parts of one that is not complete (`uri` is empty then).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Unit {
    /// Media Sequence Number.
    pub msn: u64,
    /// URI; empty while incomplete.
    pub uri: String,
    /// EXTINF in seconds.
    pub duration: f64,
    /// EXT-X-DISCONTINUITY before it.
    pub discontinuity: bool,
    /// URI of the EXT-X-MAP in force.
    pub map: Option<String>,
    /// EXT-X-PROGRAM-DATE-TIME in microseconds since 1970, where said.
    pub date: Option<i64>,
    /// EXT-X-GAP.
    pub gap: bool,
    /// Parts.
    pub parts: Vec<ListedPart>,
}

/// A media playlist.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Media {
    /// EXT-X-VERSION.
    pub version: u64,
    /// EXT-X-TARGETDURATION.
    pub target_duration: Option<u64>,
    /// EXT-X-MEDIA-SEQUENCE.
    pub media_sequence: u64,
    /// EXT-X-DISCONTINUITY-SEQUENCE, where said.
    pub discontinuity_sequence: Option<u64>,
    /// EXT-X-SERVER-CONTROL.
    pub server_control: Option<Attributes>,
    /// PART-TARGET.
    pub part_target: Option<f64>,
    /// SKIPPED-SEGMENTS.
    pub skipped: u64,
    /// Complete segments.
    pub segments: Vec<Unit>,
    /// Parts of the segment that grows.
    pub open: Option<Unit>,
    /// URI of the part hinted.
    pub hint: Option<String>,
    /// URI of the init segment hinted.
    pub map_hint: Option<String>,
    /// EXT-X-DISCONTINUITY before a segment of which nothing is listed yet.
    pub discontinuity_ahead: bool,
    /// EXT-X-RENDITION-REPORT.
    pub reports: Vec<Attributes>,
    /// EXT-X-ENDLIST.
    pub ended: bool,
}

impl Media {
    /// Whether nothing follows a complete segment, or another timeline. Each rendition ends where
    /// its last sample does, and a process that was killed had more of one than of another.
    pub fn ends_timeline(&self, index: usize) -> bool {
        let next = self.segments.get(index + 1).or(self.open.as_ref());
        next.map_or(self.discontinuity_ahead || self.ended, |next| {
            next.discontinuity
        })
    }

    /// The number of the last complete segment.
    pub fn last_msn(&self) -> Option<u64> {
        self.segments.last().map(|segment| segment.msn)
    }
}

/// Parses a media playlist.
pub fn parse_media(text: &str) -> Result<Media, Syntax> {
    let mut parser = Parser::default();
    for (index, line) in text.lines().enumerate() {
        let at = |reason: String| Syntax {
            line: index + 1,
            reason,
        };
        if index >= LINES_MAX {
            return Err(at(format!("more than {LINES_MAX} lines")));
        }
        if index == 0 && line != "#EXTM3U" {
            return Err(at("does not start with #EXTM3U".to_owned()));
        }
        parser.line(line).map_err(at)?;
    }
    if text.is_empty() {
        return Err(Syntax {
            line: 1,
            reason: "empty".to_owned(),
        });
    }
    Ok(parser.finish())
}

#[derive(Default)]
struct Parser {
    media: Media,
    unit: Unit,
    map: Option<String>,
    has_duration: bool,
}

impl Parser {
    fn line(&mut self, line: &str) -> Result<(), String> {
        let Some(tag) = line.strip_prefix('#') else {
            if !line.is_empty() {
                self.uri(line)?;
            }
            return Ok(());
        };
        let (name, value) = tag.split_once(':').unwrap_or((tag, ""));
        // "It MUST appear before the first Media Segment"; later it would renumber what stands
        // before it.
        let leads = [
            "EXT-X-MEDIA-SEQUENCE",
            "EXT-X-DISCONTINUITY-SEQUENCE",
            "EXT-X-SKIP",
        ];
        let begun = !self.media.segments.is_empty() || !self.unit.parts.is_empty();
        if begun && leads.contains(&name) {
            return Err(format!("{name} after the first segment"));
        }
        match name {
            "EXT-X-VERSION" => self.media.version = integer(value)?,
            "EXT-X-TARGETDURATION" => self.media.target_duration = Some(integer(value)?),
            "EXT-X-MEDIA-SEQUENCE" => self.media.media_sequence = integer(value)?,
            "EXT-X-DISCONTINUITY-SEQUENCE" => {
                self.media.discontinuity_sequence = Some(integer(value)?);
            }
            "EXT-X-SERVER-CONTROL" => self.media.server_control = Some(attributes(value)?),
            "EXT-X-PART-INF" => {
                self.media.part_target =
                    Some(decimal(required(&attributes(value)?, "PART-TARGET")?)?);
            }
            "EXT-X-SKIP" => {
                self.media.skipped = integer(required(&attributes(value)?, "SKIPPED-SEGMENTS")?)?;
            }
            "EXT-X-RENDITION-REPORT" => self.media.reports.push(attributes(value)?),
            "EXT-X-ENDLIST" => self.media.ended = true,
            "EXT-X-PRELOAD-HINT" => {
                let hint = attributes(value)?;
                let place = match hint.get("TYPE").map(String::as_str) {
                    Some("PART") => &mut self.media.hint,
                    Some("MAP") => &mut self.media.map_hint,
                    _ => return Ok(()),
                };
                *place = Some(required(&hint, "URI")?.to_owned());
            }
            _ => self.segment_tag(name, value)?,
        }
        Ok(())
    }

    fn segment_tag(&mut self, name: &str, value: &str) -> Result<(), String> {
        // "MUST precede its first EXT-X-PART".
        let leads = [
            "EXT-X-DISCONTINUITY",
            "EXT-X-MAP",
            "EXT-X-PROGRAM-DATE-TIME",
            "EXT-X-KEY",
        ];
        if leads.contains(&name) && !self.unit.parts.is_empty() {
            return Err(format!("{name} after a part of the same segment"));
        }
        match name {
            "EXT-X-DISCONTINUITY" => self.unit.discontinuity = true,
            "EXT-X-GAP" => self.unit.gap = true,
            "EXT-X-MAP" => self.map = Some(required(&attributes(value)?, "URI")?.to_owned()),
            "EXT-X-PROGRAM-DATE-TIME" => self.unit.date = Some(date(value)?),
            "EXTINF" => {
                let seconds = value.split_once(',').map_or(value, |(seconds, _)| seconds);
                self.unit.duration = decimal(seconds)?;
                self.has_duration = true;
            }
            "EXT-X-PART" => {
                let part = attributes(value)?;
                let yes = |name: &str| part.get(name).is_some_and(|value| value == "YES");
                self.unit.parts.push(ListedPart {
                    uri: required(&part, "URI")?.to_owned(),
                    duration: decimal(required(&part, "DURATION")?)?,
                    independent: yes("INDEPENDENT"),
                    gap: yes("GAP"),
                });
            }
            _ => {}
        }
        Ok(())
    }

    fn uri(&mut self, uri: &str) -> Result<(), String> {
        if !std::mem::take(&mut self.has_duration) {
            return Err("a segment without EXTINF".to_owned());
        }
        let mut unit = std::mem::take(&mut self.unit);
        unit.uri = uri.to_owned();
        unit.map = self.map.clone();
        unit.msn = self.next_msn();
        self.media.segments.push(unit);
        Ok(())
    }

    fn next_msn(&self) -> u64 {
        let before = self
            .media
            .skipped
            .saturating_add(self.media.segments.len() as u64);
        self.media.media_sequence.saturating_add(before)
    }

    fn finish(mut self) -> Media {
        if self.unit.parts.is_empty() {
            self.media.discontinuity_ahead = self.unit.discontinuity;
        } else {
            self.unit.map = self.map.clone();
            self.unit.msn = self.next_msn();
            self.media.open = Some(self.unit);
        }
        self.media
    }
}

fn integer(value: &str) -> Result<u64, String> {
    value
        .trim()
        .parse()
        .map_err(|_| format!("\"{value}\" is no decimal integer"))
}

fn decimal(value: &str) -> Result<f64, String> {
    let parsed: Option<f64> = value.trim().parse().ok();
    parsed
        .filter(|number| number.is_finite() && *number >= 0.0)
        .ok_or_else(|| format!("\"{value}\" is no decimal number"))
}

fn date(value: &str) -> Result<i64, String> {
    let date = OffsetDateTime::parse(value.trim(), &Rfc3339)
        .map_err(|error| format!("\"{value}\" is no date: {error}"))?;
    i64::try_from(date.unix_timestamp_nanos() / 1000)
        .map_err(|_| format!("\"{value}\" is out of range"))
}

fn required<'a>(attributes: &'a Attributes, name: &str) -> Result<&'a str, String> {
    attributes
        .get(name)
        .map(String::as_str)
        .ok_or_else(|| format!("{name} is missing"))
}

/// `NAME=value,NAME="quoted, value"`.
pub(super) fn attributes(text: &str) -> Result<Attributes, String> {
    let mut list = Attributes::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, after) = rest
            .split_once('=')
            .ok_or_else(|| format!("\"{rest}\" is no attribute"))?;
        let (value, after) = match after.strip_prefix('"') {
            Some(quoted) => {
                let (value, after) = quoted
                    .split_once('"')
                    .ok_or_else(|| format!("{name} is not closed"))?;
                (value, after.strip_prefix(',').unwrap_or(after))
            }
            None => after.split_once(',').unwrap_or((after, "")),
        };
        if list
            .insert(name.trim().to_owned(), value.to_owned())
            .is_some()
        {
            return Err(format!("{name} is given twice"));
        }
        rest = after;
    }
    Ok(list)
}
