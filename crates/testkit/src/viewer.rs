//! A viewer that trusts nobody: it reads playlists and segments and notes whatever a player, or a
//! person, would suffer from.
//!
//! It is fed by its owner, from a simulated origin or over HTTP. Synthetic streams ([`Content`])
//! are judged for order and lip sync too.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use cmaf::Init;
use hls::check::{Checker, Rule};
use media::{MediaKind, Timescale};

use crate::synth::Content;

/// Findings kept; one is enough to fail, some help to see a pattern.
const FINDINGS_MAX: usize = 50;
/// Inits kept for a rendition: a broadcast that changes more often forgets the oldest.
const INITS_MAX: usize = 64;
/// Seconds of audio that may be missing beside video that is there.
const AUDIO_MISSING_MAX: f64 = 2.0;
/// Seconds by which a segment may be longer than listed: half a unit of HE-AAC, and rounding.
const AUDIO_BEYOND_MAX: f64 = 0.05;
/// A segment with fewer frames says nothing of lip sync: it may hold nothing but outliers.
const LIP_SYNC_FRAMES: usize = 10;
/// Where lip sync was measured, kept until the other track's segment comes.
const SKEWS_MAX: usize = 64;

/// What a viewer went through.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Whatever was wrong, in order, up to a limit.
    pub findings: Vec<String>,
    /// Segments fetched, all renditions.
    pub segments: u64,
    /// Segments listed as gaps.
    pub gaps: u64,
    /// Which, up to a limit.
    pub gap_places: Vec<String>,
    /// Discontinuities met, in the rendition that has the most.
    pub discontinuities: u64,
    /// Access units seen.
    pub units: u64,
    /// The widest distance between video and audio, in milliseconds (synthetic streams only).
    pub lip_sync_ms: f64,
    /// The longest time without a new segment, measured at the viewer's looks.
    pub wait: Duration,
    /// Seconds of media listed, gaps included, in the rendition that has the most.
    pub media_seconds: f64,
}

/// One segment, judged by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct Segment {
    /// Video or audio.
    pub kind: MediaKind,
    /// Ticks per second.
    pub timescale: Timescale,
    /// Decode time of its first unit.
    pub start: i64,
    /// End of its last unit.
    pub end: i64,
    /// Its units.
    pub units: Vec<media::AccessUnit>,
}

impl Segment {
    /// Reads a segment of a rendition with one track; says what is wrong with it.
    pub fn read(init: &Init, bytes: &Bytes) -> Result<Self, String> {
        let samples = cmaf::read_segment(init, bytes).map_err(|error| error.to_string())?;
        let first = samples.first().ok_or("it is empty")?;
        let track = init.track(first.track_id).ok_or("it belongs to no track")?;
        let (start, mut end) = (first.unit.dts, first.unit.dts);
        for sample in &samples {
            if sample.unit.dts != end {
                return Err(format!(
                    "a unit at {} follows one that ends at {end}",
                    sample.unit.dts
                ));
            }
            end += i64::from(sample.unit.duration);
        }
        Ok(Self {
            kind: track.kind(),
            timescale: track.timescale(),
            start,
            end,
            units: samples.into_iter().map(|sample| sample.unit).collect(),
        })
    }

    /// Its length in seconds.
    pub fn seconds(&self) -> f64 {
        self.timescale.seconds(self.end - self.start)
    }
}

#[derive(Debug, Default)]
struct Rendition {
    inits: BTreeMap<String, Init>,
    /// Wanted and not fetched: number, listed seconds, discontinuity before it, init.
    wanted: BTreeMap<String, Wanted>,
    next_msn: Option<u64>,
    end: Option<(u64, i64)>,
    last: Option<(u32, u64)>,
    last_key: Option<(u32, u64)>,
    skews: BTreeMap<u64, Vec<Skew>>,
    discontinuities: u64,
    media_seconds: f64,
}

#[derive(Clone, Debug)]
struct Wanted {
    msn: u64,
    seconds: f64,
    discontinuity: bool,
    map: String,
}

/// The viewer.
#[derive(Debug, Default)]
pub struct Viewer {
    checker: Checker,
    renditions: BTreeMap<String, Rendition>,
    progressed: Option<Duration>,
    tolerated: Vec<Rule>,
    report: Report,
}

impl Viewer {
    /// A viewer that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Leaves violations of these rules out of its findings.
    pub fn tolerate(&mut self, rules: &[Rule]) {
        self.tolerated.extend_from_slice(rules);
    }

    /// What it went through so far.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Judges a playlist; what to fetch next, in this order, for [`Viewer::deliver`].
    pub fn playlist(&mut self, name: &str, text: &str, now: Duration) -> Vec<String> {
        if let Err(error) = m3u8_rs::parse_media_playlist_res(text.as_bytes()) {
            self.note(format!(
                "{name}: another parser refuses the playlist: {error}"
            ));
        }
        for violation in self.checker.media(name, text) {
            // A hint is a forecast, and faults cannot be foreseen.
            let forecast = violation.rule == Rule::HintBroken;
            if !forecast && !self.tolerated.contains(&violation.rule) {
                self.note(violation.to_string());
            }
        }
        let Some(media) = self.checker.latest(name) else {
            return Vec::new();
        };
        let rendition = self.renditions.entry(name.to_owned()).or_default();
        let (mut fetch, mut holes, mut gaps) = (Vec::new(), Vec::new(), Vec::new());
        for segment in media
            .segments
            .iter()
            .filter(|segment| !segment.uri.is_empty())
        {
            match rendition.next_msn {
                Some(next) if segment.msn < next => continue,
                Some(next) if segment.msn > next => holes.push((next, segment.msn)),
                _ => {}
            }
            rendition.next_msn = Some(segment.msn + 1);
            rendition.discontinuities += u64::from(segment.discontinuity);
            rendition.media_seconds += segment.duration;
            self.progressed = Some(now);
            if segment.gap {
                self.report.gaps += 1;
                let msn = segment.msn;
                gaps.push(format!("{name} {msn}"));
                continue;
            }
            let map = segment.map.clone().unwrap_or_default();
            if !rendition.inits.contains_key(&map) && !fetch.contains(&map) {
                fetch.push(map.clone());
            }
            fetch.push(segment.uri.clone());
            let wanted = Wanted {
                msn: segment.msn,
                seconds: segment.duration,
                discontinuity: segment.discontinuity,
                map,
            };
            rendition.wanted.insert(segment.uri.clone(), wanted);
        }
        let report = &mut self.report;
        report.discontinuities = report.discontinuities.max(rendition.discontinuities);
        report.media_seconds = report.media_seconds.max(rendition.media_seconds);
        let waited = now.saturating_sub(*self.progressed.get_or_insert(now));
        report.wait = report.wait.max(waited);
        self.report.gap_places.extend(gaps);
        self.report.gap_places.truncate(FINDINGS_MAX);
        for (next, got) in holes {
            self.note(format!(
                "{name}: segments {next} to {} were never listed",
                got - 1
            ));
        }
        fetch
    }

    /// Takes what was asked for.
    pub fn deliver(&mut self, name: &str, uri: &str, bytes: &Bytes) {
        let rendition = self.renditions.entry(name.to_owned()).or_default();
        let outcome = match rendition.wanted.remove(uri) {
            Some(wanted) => {
                self.report.segments += 1;
                rendition
                    .take(&wanted, bytes)
                    .map(|units| self.report.units += units)
            }
            None => rendition.take_init(uri, bytes),
        };
        if let Err(reason) = outcome {
            self.note(format!("{name}: {uri}: {reason}"));
        }
    }

    /// What was asked for is not there.
    pub fn missed(&mut self, name: &str, uri: &str) {
        self.note(format!("{name}: {uri} is listed and cannot be fetched"));
    }

    /// Compares the renditions with each other; after all have been looked at.
    pub fn compare(&mut self) {
        for violation in self.checker.across() {
            self.note(violation.to_string());
        }
        let (mut video, mut audio) = (None, None);
        for (name, rendition) in &mut self.renditions {
            match name.as_str() {
                hls::packager::SOURCE => video = Some(rendition),
                hls::packager::AUDIO => audio = Some(rendition),
                _ => {}
            }
        }
        let (Some(video), Some(audio)) = (video, audio) else {
            return;
        };
        while let Some((msn, frames)) = video.skews.pop_first() {
            let Some(samples) = audio.skews.remove(&msn) else {
                continue;
            };
            let off_ms = lip_sync(&frames, &samples).unwrap_or(0.0) * 1000.0;
            self.report.lip_sync_ms = self.report.lip_sync_ms.max(off_ms);
        }
    }

    fn note(&mut self, finding: String) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(finding);
        }
    }
}

impl Rendition {
    fn take_init(&mut self, uri: &str, bytes: &Bytes) -> Result<(), String> {
        let init = cmaf::read_init(bytes).map_err(|error| error.to_string())?;
        if self.inits.len() >= INITS_MAX {
            self.inits.pop_first();
        }
        self.inits.insert(uri.to_owned(), init);
        Ok(())
    }

    /// Judges a segment by itself and against the one before; the number of its units.
    fn take(&mut self, wanted: &Wanted, bytes: &Bytes) -> Result<u64, String> {
        let init = self
            .inits
            .get(&wanted.map)
            .ok_or("its init segment is missing")?;
        let segment = Segment::read(init, bytes)?;
        let missing = wanted.seconds - segment.seconds();
        // Audio ends with units of its own, and may begin late where a timeline breaks.
        let bound = match segment.kind {
            MediaKind::Audio => AUDIO_MISSING_MAX,
            MediaKind::Video => 0.001,
        };
        if !(-AUDIO_BEYOND_MAX..=bound).contains(&missing) {
            let (listed, real) = (wanted.seconds, segment.seconds());
            return Err(format!("listed with {listed} s, holds {real} s"));
        }
        let before = self.end.replace((wanted.msn, segment.end));
        if let Some((msn, end)) = before
            && msn + 1 == wanted.msn
            && !wanted.discontinuity
            && segment.start != end
        {
            return Err(format!(
                "starts at {}, the one before ended at {end}",
                segment.start
            ));
        }
        let skews = self.fresh(&segment)?;
        self.keep_skews(wanted.msn, skews);
        Ok(segment.units.len() as u64)
    }

    /// Nothing is shown twice or out of order, but for a keyframe that stands in for missing video.
    /// Gives the units that are new.
    fn fresh(&mut self, segment: &Segment) -> Result<Vec<Skew>, String> {
        let mut fresh = Vec::new();
        for unit in &segment.units {
            let Some(content) = Content::read(&unit.payload) else {
                continue;
            };
            let now = (content.session, content.serial);
            if unit.is_sync() && segment.kind == MediaKind::Video {
                if self.last_key == Some(now) {
                    continue;
                }
                self.last_key = Some(now);
            }
            if self.last.is_some_and(|last| last >= now) {
                return Err(format!("unit {now:?} follows {:?}", self.last));
            }
            self.last = Some(now);
            let at = segment.timescale.seconds(unit.dts);
            fresh.push(Skew {
                session: content.session,
                at,
                late: at - content.captured_us as f64 / 1e6,
            });
        }
        Ok(fresh)
    }

    /// Keeps media time minus capture time of every unit until the other track's segment comes.
    fn keep_skews(&mut self, msn: u64, skews: Vec<Skew>) {
        self.skews.insert(msn, skews);
        if self.skews.len() > SKEWS_MAX {
            self.skews.pop_first();
        }
    }
}

/// How late one unit is shown.
#[derive(Clone, Copy, Debug)]
struct Skew {
    session: u32,
    /// Media time in seconds.
    at: f64,
    /// Media time minus capture time in seconds.
    late: f64,
}

/// Video against the audio beside it, in seconds: the middle of all in a segment, so that the few
/// units which a jump of the clock takes to be believed do not count.
fn lip_sync(frames: &[Skew], samples: &[Skew]) -> Option<f64> {
    let beside = |picture: &Skew| {
        let after = samples.partition_point(|sample| sample.at < picture.at);
        let sample = samples.get(after).or(samples.last())?;
        (sample.session == picture.session).then_some((picture.late - sample.late).abs())
    };
    if frames.len() < LIP_SYNC_FRAMES {
        return None;
    }
    let mut off: Vec<f64> = frames.iter().filter_map(beside).collect();
    off.sort_by(f64::total_cmp);
    off.get(off.len() / 2).copied()
}
