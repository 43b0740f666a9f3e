//! One rendition, watched as a player would.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use hls::check::{Media, Unit};
use http::{StatusCode, header};
use tokio::task::JoinHandle;
use url::Url;

use super::{
    Findings, Options, Rule, Target,
    fetch::{Answer, Fetcher, PLAIN_LIMIT},
    report::{Figures, Latency},
};

/// Failures in a row after which a rendition is given up.
const FAILURES_MAX: u32 = 5;

/// URLs remembered as fetched; a window of an hour of half-second parts is below this.
const FETCHED_MAX: usize = 16_384;

/// Segments are judged against BANDWIDTH with this much grace: peaks are measured over a target
/// duration.
const PEAK_GRACE: f64 = 1.02;

/// Watches one rendition.
pub struct Watcher {
    target: Target,
    siblings: Arc<[Target]>,
    fetcher: Fetcher,
    findings: Findings,
    options: Options,
    figures: Figures,
    latencies: Vec<f64>,
    fetched: BTreeSet<String>,
    hint: Option<(String, JoinHandle<Option<Answer>>)>,
    tried_too_far: bool,
    /// When the playlist last had something new, and what.
    moved: (Instant, Option<(u64, usize)>),
}

impl Watcher {
    /// A watcher that has seen nothing.
    pub fn new(
        target: Target,
        siblings: Arc<[Target]>,
        fetcher: Fetcher,
        findings: Findings,
        options: Options,
    ) -> Self {
        let figures = Figures {
            name: target.name.clone(),
            url: target.url.to_string(),
            bandwidth: target.bandwidth,
            ..Figures::default()
        };
        Self {
            target,
            siblings,
            fetcher,
            findings,
            options,
            figures,
            latencies: Vec::new(),
            fetched: BTreeSet::new(),
            hint: None,
            tried_too_far: false,
            moved: (Instant::now(), None),
        }
    }

    /// Watches to the end.
    pub async fn run(mut self) -> Figures {
        let until = Instant::now() + self.options.duration;
        let mut latest: Option<Media> = None;
        let mut failures = 0;
        while failures < FAILURES_MAX {
            let asked = Ask::next(
                latest.as_ref(),
                self.options.low_latency,
                self.figures.reloads,
            );
            match self.reload(&asked, latest.as_ref()).await {
                Some(media) => {
                    failures = 0;
                    self.follow(&media).await;
                    let ended = media.ended;
                    latest = Some(media);
                    if ended {
                        break;
                    }
                }
                None => failures += 1,
            }
            if Instant::now() >= until {
                break;
            }
            self.rest(&asked, latest.as_ref(), failures).await;
        }
        self.figures.latency = Latency::of(self.latencies);
        self.figures
    }

    async fn reload(&mut self, ask: &Ask, before: Option<&Media>) -> Option<Media> {
        let url = ask.url(&self.target.url);
        let name = self.target.name.clone();
        let target = before.and_then(|media| media.target_duration).unwrap_or(2);
        let limit = PLAIN_LIMIT + Duration::from_secs(target * 3);
        let answer = match self.fetcher.get(&url, limit).await {
            Ok(answer) => answer,
            Err(error) => {
                self.findings
                    .note(Rule::Status, &name, format!("{error:#}"));
                return None;
            }
        };
        if answer.status != StatusCode::OK {
            let late = ask.place.is_some() && answer.status == StatusCode::SERVICE_UNAVAILABLE;
            let rule = if late { Rule::BlockLate } else { Rule::Status };
            self.findings
                .note(rule, &name, format!("{url} answers {}", answer.status));
            return None;
        }
        self.findings.headers(&name, &answer, true);
        let media = self.findings.playlist(&name, &answer.text())?;
        self.judge(ask, &answer, &media, target);
        self.figures.reloads += 1;
        self.figures.low_latency |= ask.place.is_some();
        self.figures.target_duration = media.target_duration;
        self.figures.part_target = media.part_target;
        self.figures.last_msn = media.last_msn();
        self.figures.ended = media.ended;
        Some(media)
    }

    /// What an answer promises beyond its text.
    fn judge(&mut self, ask: &Ask, answer: &Answer, media: &Media, target: u64) {
        let name = &self.target.name;
        if let Some((msn, part)) = ask.place
            && !media.ended
            && !has(media, msn, part)
        {
            let detail = format!(
                "asked for part {part} of segment {msn}, got {:?}",
                edge(media)
            );
            self.findings.note(Rule::BlockIgnored, name, detail);
        }
        if ask.place.is_some() && answer.took.as_secs() > target * 3 {
            let detail = format!("answered after {:.1} s", answer.took.as_secs_f64());
            self.findings.note(Rule::BlockLate, name, detail);
        }
        let lifetime = max_age(answer.header(header::CACHE_CONTROL));
        if ask.place.is_none() && !media.ended && lifetime.is_some_and(|age| age > target) {
            let detail = format!(
                "may be kept {} s, target duration {target} s",
                lifetime.unwrap_or(0)
            );
            self.findings.note(Rule::CacheLong, name, detail);
        }
        let now = Instant::now();
        if self.moved.1 != edge(media) {
            self.moved = (now, edge(media));
            if let Some(age) = age(media) {
                self.latencies.push(age);
            }
        } else if !media.ended {
            let still = now.duration_since(self.moved.0).as_secs_f64();
            if still > target as f64 * 1.5 {
                let detail =
                    format!("nothing new for {still:.1} s at a target duration of {target} s");
                self.findings.note(Rule::Stale, name, detail);
            }
        }
        self.judge_reports(media);
    }

    /// A player that switches needs to know how far the others are.
    fn judge_reports(&self, media: &Media) {
        if media.part_target.is_none() || media.ended {
            return;
        }
        let uris = media.reports.iter().filter_map(|report| report.get("URI"));
        let reported: BTreeSet<Url> = uris
            .filter_map(|uri| self.target.url.join(uri).ok())
            .collect();
        for sibling in self
            .siblings
            .iter()
            .filter(|sibling| sibling.url != self.target.url)
        {
            if !reported.contains(&sibling.url) {
                let rule = Rule::Text(hls::check::Rule::ReportMissing);
                let detail = format!("nothing on {}", sibling.name);
                self.findings.note(rule, &self.target.name, detail);
            }
        }
    }

    /// Fetches what is new, and what is hinted.
    async fn follow(&mut self, media: &Media) {
        self.settle_hint(media).await;
        if self.options.media {
            let newest = media.segments.last().filter(|unit| !unit.gap);
            if let Some(uri) = newest.and_then(|unit| unit.map.clone()) {
                self.fetch(&uri, None).await;
            }
            if let Some(unit) = newest {
                self.fetch(&unit.uri, Some((unit, media.target_duration)))
                    .await;
            }
        }
        if !self.options.low_latency || media.ended {
            return;
        }
        if media.part_target.is_some() && !self.tried_too_far {
            self.tried_too_far = true;
            self.try_too_far(media).await;
        }
        if let Some(hint) = media
            .hint
            .clone()
            .filter(|_| self.options.media && self.hint.is_none())
            && let Ok(url) = self.target.url.join(&hint)
        {
            let fetcher = self.fetcher.clone();
            let limit = PLAIN_LIMIT + Duration::from_secs(media.target_duration.unwrap_or(2) * 3);
            let task = tokio::spawn(async move { fetcher.get(&url, limit).await.ok() });
            self.hint = Some((hint, task));
        }
    }

    /// A hint that is listed by now must have been answered.
    async fn settle_hint(&mut self, media: &Media) {
        let pending = self
            .hint
            .as_ref()
            .is_some_and(|(uri, _)| media.hint.as_ref() == Some(uri));
        if pending {
            return;
        }
        let Some((uri, task)) = self.hint.take() else {
            return;
        };
        let mut units = media.segments.iter().chain(&media.open);
        let listed = units.any(|unit| unit.parts.iter().any(|part| part.uri == uri && !part.gap));
        let answer = task.await.ok().flatten();
        self.figures.media_fetched += 1;
        let good = answer
            .as_ref()
            .is_some_and(|a| a.status.is_success() && !a.body.is_empty());
        if listed && !good {
            let status = answer.map(|answer| answer.status);
            let detail = format!("{uri} is listed, its early request got {status:?}");
            self.findings
                .note(Rule::HintFailed, &self.target.name, detail);
        }
    }

    async fn fetch(&mut self, uri: &str, segment: Option<(&Unit, Option<u64>)>) {
        if self.fetched.contains(uri) || self.fetched.len() >= FETCHED_MAX {
            return;
        }
        self.fetched.insert(uri.to_owned());
        let Ok(url) = self.target.url.join(uri) else {
            return;
        };
        let name = self.target.name.clone();
        let answer = match self.fetcher.get(&url, PLAIN_LIMIT).await {
            Ok(answer) if answer.status.is_success() => answer,
            Ok(answer) => {
                let detail = format!("{url} is listed and answers {}", answer.status);
                return self.findings.note(Rule::Status, &name, detail);
            }
            Err(error) => {
                return self
                    .findings
                    .note(Rule::Status, &name, format!("{error:#}"));
            }
        };
        self.findings.headers(&name, &answer, false);
        self.figures.media_fetched += 1;
        let Some((unit, target)) = segment else {
            return;
        };
        // Peaks are measured over segments of half a target duration at least (4.4.6.2).
        let long_enough = unit.duration >= target.unwrap_or(0) as f64 * 0.5;
        if long_enough && unit.duration > 0.0 {
            let rate = answer.body.len() as f64 * 8.0 / unit.duration;
            self.figures.peak_bps = self.figures.peak_bps.max(rate as u64);
            let told = self.target.bandwidth;
            if told.is_some_and(|told| rate > told as f64 * PEAK_GRACE) {
                let detail = format!(
                    "segment {} has {rate:.0} b/s, BANDWIDTH is {}",
                    unit.msn,
                    told.unwrap_or(0)
                );
                self.findings.note(Rule::BandwidthExceeded, &name, detail);
            }
        }
    }

    /// A request for the far future is a mistake and must not be held.
    async fn try_too_far(&self, media: &Media) {
        let Some(last) = media.last_msn() else { return };
        let ask = Ask {
            place: Some((last + 1000, 0)),
            skip: false,
        };
        let url = ask.url(&self.target.url);
        if let Ok(answer) = self.fetcher.get(&url, PLAIN_LIMIT).await
            && answer.status != StatusCode::BAD_REQUEST
        {
            let detail = format!("{url} answers {}, not 400", answer.status);
            self.findings
                .note(Rule::BlockTooFar, &self.target.name, detail);
        }
    }

    /// Between reloads: nothing after a blocking one, otherwise as 6.3.4 says.
    async fn rest(&self, asked: &Ask, latest: Option<&Media>, failures: u32) {
        let target = latest.and_then(|media| media.target_duration).unwrap_or(2) as f64;
        let moved = latest.is_some_and(|media| edge(media) == self.moved.1)
            && self.moved.0.elapsed() < Duration::from_secs(1);
        let can_block = latest.is_some_and(can_block) && self.options.low_latency;
        let pause = match (failures, can_block || asked.place.is_some(), moved) {
            (0, true, _) => return,
            (0, false, true) => target,
            _ => target / 2.0,
        };
        tokio::time::sleep(Duration::from_secs_f64(pause.clamp(0.2, 10.0))).await;
    }
}

/// A playlist request.
struct Ask {
    /// Segment and part to wait for.
    place: Option<(u64, usize)>,
    skip: bool,
}

impl Ask {
    fn next(latest: Option<&Media>, low_latency: bool, reloads: u64) -> Self {
        let blocking = latest.filter(|media| low_latency && can_block(media));
        let Some(media) = blocking else {
            return Self {
                place: None,
                skip: false,
            };
        };
        let place = match (&media.open, media.last_msn()) {
            (Some(open), _) => Some((open.msn, open.parts.len())),
            (None, Some(last)) => Some((last + 1, 0)),
            (None, None) => None,
        };
        let control = media.server_control.as_ref();
        let can_skip = control.is_some_and(|control| control.contains_key("CAN-SKIP-UNTIL"));
        // Every second one, so that both forms are judged.
        Self {
            place,
            skip: can_skip && reloads % 2 == 1,
        }
    }

    fn url(&self, playlist: &Url) -> Url {
        let mut url = playlist.clone();
        if let Some((msn, part)) = self.place {
            let mut query = url.query_pairs_mut();
            query.append_pair("_HLS_msn", &msn.to_string());
            query.append_pair("_HLS_part", &part.to_string());
            if self.skip {
                query.append_pair("_HLS_skip", "YES");
            }
        }
        url
    }
}

fn can_block(media: &Media) -> bool {
    let control = media.server_control.as_ref();
    let says = control.and_then(|control| control.get("CAN-BLOCK-RELOAD"));
    media.part_target.is_some() && says.is_some_and(|says| says == "YES")
}

/// The newest segment and how many of its parts are listed; a whole one counts as the start of the
/// next.
fn edge(media: &Media) -> Option<(u64, usize)> {
    match &media.open {
        Some(open) => Some((open.msn, open.parts.len())),
        None => media.last_msn().map(|last| (last + 1, 0)),
    }
}

fn has(media: &Media, msn: u64, part: usize) -> bool {
    edge(media).is_some_and(|(open, parts)| open > msn || (open == msn && parts > part))
}

/// How old the newest listed media is, in seconds.
fn age(media: &Media) -> Option<f64> {
    let dated = media
        .segments
        .iter()
        .rposition(|unit| unit.date.is_some())?;
    let units = media.segments.get(dated..)?;
    let date = units.first()?.date? as f64 / 1e6;
    let listed: f64 = units.iter().map(|unit| unit.duration).sum();
    let open = media.open.iter().flat_map(|open| &open.parts);
    let parts: f64 = open.map(|part| part.duration).sum();
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()?
        .as_secs_f64();
    Some(now - date - listed - parts)
}

fn max_age(cache_control: &str) -> Option<u64> {
    let directive = |name: &str| {
        let mut all = cache_control.split(',').map(str::trim);
        all.find_map(|one| one.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
    };
    directive("s-maxage").or_else(|| directive("max-age"))
}
