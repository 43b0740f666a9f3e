//! A careful observer: at every moment at which anybody could, it looks at every URL of both
//! origins.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use hls::{Lookup, MediaSnapshot, Segment};

use crate::stream::Stream;

/// What both origins carry bit for bit.
pub const PASS_THROUGH: [&str; 2] = ["source", "audio"];

/// What a playlist says of a whole segment, wherever it is listed.
#[derive(Clone, Debug, PartialEq)]
struct Description {
    duration: i64,
    program_date_time: i64,
    discontinuity: bool,
    discontinuity_sequence: u64,
    independent: bool,
    init: Option<u32>,
    /// Durations, independence and gaps of its parts.
    parts: Vec<(i64, bool, bool)>,
}

/// What one origin has shown.
#[derive(Default)]
struct Seen {
    /// By rendition, the last look.
    views: BTreeMap<&'static str, Arc<MediaSnapshot>>,
    /// Whole segments looked at: they never change at one origin, which other tests prove.
    whole: BTreeSet<String>,
    /// What playlists have shown last.
    numbers: BTreeMap<&'static str, Numbers>,
}

/// How far a playlist reaches, and in which run.
#[derive(Clone, Debug)]
struct Numbers {
    first: u64,
    last: u64,
    discontinuity_sequence: u64,
    run_id: String,
    /// By the process before.
    replaced: bool,
}

/// See the module's text.
#[derive(Default)]
pub struct Observer {
    seen: [Seen; 2],
    /// Every URL ever answered, and a digest of its bytes.
    served: BTreeMap<String, u64>,
    described: BTreeMap<String, Description>,
    /// Segments to come of which a playlist has said that a discontinuity lies before them.
    announced: BTreeSet<String>,
    /// Other bytes under a URL are counted by the origins alone.
    pub lenient: bool,
}

impl Observer {
    /// How many URLs were answered so far.
    pub fn urls(&self) -> usize {
        self.served.len()
    }

    /// A new process took an origin's place: the numbers that viewers know of it stay true.
    pub fn replaced(&mut self, index: usize) {
        let mut numbers = std::mem::take(&mut self.seen[index].numbers);
        for numbers in numbers.values_mut() {
            // It was on the disk.
            numbers.discontinuity_sequence = 0;
            numbers.replaced = true;
        }
        self.seen[index] = Seen {
            numbers,
            ..Seen::default()
        };
    }

    /// Looks at what an origin answers now.
    pub fn look(&mut self, now: Duration, index: usize, stream: &Stream) {
        for rendition in PASS_THROUGH {
            let Some(view) = stream.view(rendition) else {
                continue;
            };
            let media = Arc::clone(view.borrow().media());
            let last = self.seen[index].views.insert(rendition, Arc::clone(&media));
            if last.is_some_and(|last| Arc::ptr_eq(&last, &media)) {
                continue;
            }
            self.urls_of(now, index, &media);
            self.numbers(now, index, rendition, &media);
        }
    }

    /// Asks for every URL as HTTP does: segments and init segments, and each part, of gaps too.
    fn urls_of(&mut self, now: Duration, index: usize, media: &MediaSnapshot) {
        let folder = format!("{}/{}", media.name(), media.run_id());
        for segment in media.retained() {
            let url = format!("{folder}/{}", segment.msn);
            if !self.seen[index].whole.insert(url.clone()) {
                continue;
            }
            self.parts(now, index, &url, segment, media);
            if let Lookup::Found(found) = media.segment(segment.msn) {
                self.served(now, index, url.clone(), &found.to_bytes());
                let kept = found.discontinuity || !self.announced.contains(&url);
                assert!(
                    kept || self.lenient,
                    "{now:?}: no discontinuity before {url} at origin {index}"
                );
                self.described(now, index, url, describe(found));
            }
        }
        if let Some(last) = media.last_msn().filter(|_| media.announced().discontinuity) {
            self.announced.insert(format!("{folder}/{}", last + 1));
        }
        if let Some(open) = media.open() {
            self.parts(now, index, &format!("{folder}/{}", open.msn), open, media);
        }
        let segments = media.retained().iter().chain(media.open());
        let inits: BTreeSet<u32> = segments
            .filter_map(|segment| Some(segment.init.as_ref()?.index))
            .collect();
        for number in inits {
            let init = media.init(number).expect("what a segment needs is there");
            self.served(now, index, format!("{folder}/init-{number}"), &init.bytes);
        }
    }

    fn parts(
        &mut self,
        now: Duration,
        index: usize,
        url: &str,
        of: &Segment,
        media: &MediaSnapshot,
    ) {
        for number in 0..of.parts.len() {
            if let Lookup::Found(bytes) = media.part(of.msn, number as u64) {
                self.served(now, index, format!("{url}.{number}"), &bytes);
            }
        }
    }

    fn served(&mut self, now: Duration, index: usize, url: String, bytes: &Bytes) {
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        let digest = hasher.finish();
        let first = *self.served.entry(url.clone()).or_insert(digest);
        let same = first == digest || self.lenient;
        assert!(same, "{now:?}: {url} has other bytes at origin {index}");
    }

    fn described(&mut self, now: Duration, index: usize, url: String, is: Description) {
        let first = self
            .described
            .entry(url.clone())
            .or_insert_with(|| is.clone());
        let same = *first == is || self.lenient;
        assert!(
            same,
            "{now:?}: origin {index} lists {url} as {is:?}, not as {first:?}"
        );
    }

    fn numbers(
        &mut self,
        now: Duration,
        index: usize,
        rendition: &'static str,
        media: &MediaSnapshot,
    ) {
        let (Some(first), Some(last)) = (media.listed().first(), media.last_msn()) else {
            return;
        };
        let now_shown = Numbers {
            first: first.msn,
            last,
            discontinuity_sequence: first.discontinuity_sequence,
            run_id: media.run_id().to_owned(),
            replaced: false,
        };
        let shown = &mut self.seen[index].numbers;
        let Some(before) = shown.insert(rendition, now_shown.clone()) else {
            return;
        };
        // Two origins that were apart: nobody is left who knows how far the lost one had come.
        let elsewhere = self.seen[1 - index].numbers.get(rendition);
        let apart = before.replaced
            && before.run_id != now_shown.run_id
            && elsewhere.is_some_and(|other| other.run_id == now_shown.run_id);
        let goes_on = now_shown.first >= before.first
            && now_shown.last >= before.last
            && now_shown.discontinuity_sequence >= before.discontinuity_sequence;
        assert!(
            goes_on || apart,
            "{now:?}: {rendition} of origin {index} went from {before:?} to {now_shown:?}"
        );
    }
}

fn describe(segment: &Segment) -> Description {
    let parts = segment.parts.iter();
    Description {
        duration: segment.duration,
        program_date_time: segment.program_date_time,
        discontinuity: segment.discontinuity,
        discontinuity_sequence: segment.discontinuity_sequence,
        independent: segment.independent,
        init: segment.init.as_ref().map(|init| init.index),
        parts: parts
            .map(|part| (part.duration, part.independent, part.gap))
            .collect(),
    }
}
