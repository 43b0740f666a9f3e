//! Ingest figures, once a second, over the last ten minutes: what plots are drawn from.
//!
//! Kept here rather than in the page, so that whoever opens it after something happened still sees
//! it. All streams share one count of samples; a stream without a publisher has holes.

use std::collections::{BTreeMap, VecDeque};

use crate::api::{Figures, HistoryReport};

/// Samples kept of each stream: ten minutes, 16 kB.
const SAMPLES_MAX: usize = 600;

/// One second of a publisher.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// Bits per second.
    pub bitrate_bps: f64,
    /// Pictures per second.
    pub frame_rate: f64,
    /// Seconds between keyframes.
    pub gop_seconds: f64,
    /// Milliseconds.
    pub jitter_ms: f64,
}

/// One stream's samples, oldest first; `None` while nobody published.
#[derive(Debug, Default)]
pub struct History(VecDeque<Option<Sample>>);

impl History {
    /// The newest samples, newest first, up to the first hole.
    pub fn unbroken(&self) -> impl Iterator<Item = Sample> {
        self.0.iter().rev().map_while(|sample| *sample)
    }
}

/// All streams' samples.
#[derive(Debug, Default)]
pub struct Histories {
    newest: u64,
    streams: BTreeMap<String, History>,
}

impl Histories {
    /// Takes one sample of every stream; streams that are not there any more are forgotten.
    pub fn sample(&mut self, figures: impl Iterator<Item = (String, Option<Figures>)>) {
        self.newest += 1;
        let mut kept = std::mem::take(&mut self.streams);
        for (name, figures) in figures {
            let mut history = kept.remove(&name).unwrap_or_default();
            if history.0.len() == SAMPLES_MAX {
                history.0.pop_front();
            }
            history.0.push_back(figures.map(|figures| Sample {
                bitrate_bps: figures.bitrate_bps as f64,
                frame_rate: figures.frame_rate,
                gop_seconds: figures.gop_seconds,
                jitter_ms: figures.jitter_ms,
            }));
            self.streams.insert(name, history);
        }
    }

    /// The number of the newest sample.
    pub fn newest(&self) -> u64 {
        self.newest
    }

    /// One stream's.
    pub fn of(&self, stream: &str) -> Option<&History> {
        self.streams.get(stream)
    }

    /// Samples after number `since`, or all: `first` is the number of the first one.
    pub fn report(&self, history: &History, since: Option<u64>) -> HistoryReport {
        let kept = history.0.len();
        let wanted = since.map_or(kept, |since| {
            usize::try_from(self.newest.saturating_sub(since))
                .map_or(kept, |wanted| wanted.min(kept))
        });
        let rounded = |value: f64| (value * 1e3).round() / 1e3;
        let figures = |sample: &Sample| {
            [
                sample.bitrate_bps.round(),
                rounded(sample.frame_rate),
                rounded(sample.gop_seconds),
                rounded(sample.jitter_ms),
            ]
        };
        let samples = history.0.range(kept - wanted..);
        let samples: Vec<_> = samples.map(|sample| sample.as_ref().map(figures)).collect();
        HistoryReport {
            first: self.newest + 1 - samples.len() as u64,
            samples,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(frame_rate: f64) -> Option<Figures> {
        Some(Figures {
            frame_rate,
            ..Figures::default()
        })
    }

    fn one(histories: &mut Histories, figures: Option<Figures>) {
        histories.sample(std::iter::once(("a".to_owned(), figures)));
    }

    #[test]
    fn it_keeps_ten_minutes_and_tells_what_is_new() {
        let mut histories = Histories::default();
        for second in 0..700 {
            one(&mut histories, figures(f64::from(second)));
        }
        let history = histories.of("a").unwrap();
        let all = histories.report(history, None);
        assert_eq!((all.samples.len(), all.first), (600, 101));
        let new = histories.report(history, Some(698));
        let expected = HistoryReport {
            first: 699,
            samples: vec![Some([0.0, 698.0, 0.0, 0.0]), Some([0.0, 699.0, 0.0, 0.0])],
        };
        assert_eq!(new, expected);
        // Of an earlier process's count.
        assert_eq!(histories.report(history, Some(9_000)).samples, []);
    }

    #[test]
    fn a_second_without_a_publisher_is_a_hole() {
        let mut histories = Histories::default();
        for figures in [figures(30.0), None, figures(29.0), figures(28.0)] {
            one(&mut histories, figures);
        }
        let history = histories.of("a").unwrap();
        let rates: Vec<f64> = history.unbroken().map(|sample| sample.frame_rate).collect();
        assert_eq!(rates, [28.0, 29.0]);
        assert_eq!(histories.report(history, Some(1)).samples[0], None);
    }

    #[test]
    fn streams_that_are_gone_are_forgotten() {
        let mut histories = Histories::default();
        one(&mut histories, figures(30.0));
        histories.sample(std::iter::empty());
        assert!(histories.of("a").is_none());
    }
}
