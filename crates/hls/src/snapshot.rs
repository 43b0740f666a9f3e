//! Says what viewers can be told at one instant: immutable, cheap to build for each part, shared by
//! every HTTP task.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use media::{Immersive, MediaKind, Projection, VIDEO_TIMESCALE};

use crate::{Init, Segment};

/// What must never change while a stream runs, nor between origins that carry it: players stop for
/// good when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PlaylistConstants {
    /// EXT-X-TARGETDURATION, in seconds.
    pub target_duration: u64,
    /// PART-TARGET in ticks of the video timescale; `None` without parts.
    pub part_target: Option<i64>,
}

impl PlaylistConstants {
    /// EXT-X-TARGETDURATION in ticks of the video timescale.
    pub fn target_ticks(&self) -> i64 {
        let seconds = i64::try_from(self.target_duration).unwrap_or(i64::MAX / 1_000_000);
        seconds.saturating_mul(i64::from(VIDEO_TIMESCALE.rate()))
    }

    /// PART-TARGET in seconds.
    pub fn part_target_seconds(&self) -> Option<f64> {
        self.part_target.map(|ticks| VIDEO_TIMESCALE.seconds(ticks))
    }

    /// How long a playlist request may be held: three target durations (bis §6.2.5.2), but below
    /// the 10 s after which hls.js gives up by default. Then 503.
    pub fn block_limit(&self) -> Duration {
        Duration::from_secs(self.target_duration.saturating_mul(3)).min(BLOCK_MAX)
    }
}

/// The longest a request is held, whatever the target duration.
pub const BLOCK_MAX: Duration = Duration::from_secs(9);

/// A place in a playlist: the newest part listed, or the next one to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// Media Sequence Number.
    pub msn: u64,
    /// Part index within it.
    pub part: u64,
}

/// The part that EXT-X-PRELOAD-HINT names.
pub type Hint = Position;

/// How far one rendition is: EXT-X-RENDITION-REPORT of all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The rendition.
    pub name: Arc<str>,
    /// LAST-MSN: the newest segment listed, complete or not.
    pub last_msn: u64,
    /// LAST-PART: the newest part of it; `None` without parts.
    pub last_part: Option<u64>,
}

/// The answer to "may I have this?".
#[derive(Clone, Debug, PartialEq)]
pub enum Lookup<T> {
    /// Here it is.
    Found(T),
    /// It is the next thing to come: hold the request, at most [`PlaylistConstants::block_limit`].
    Pending,
    /// It never existed, was lost, or is gone.
    Missing,
}

/// What is known of the next segment while no part of it exists.
#[derive(Clone, Debug, Default)]
pub struct Announced {
    /// A discontinuity comes before it.
    pub discontinuity: bool,
    /// Its init segment, where that is another than the last segment's: EXT-X-PRELOAD-HINT of type
    /// MAP.
    pub init: Option<Arc<Init>>,
}

/// Closed segments that can be fetched, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    pub segments: Vec<Arc<Segment>>,
    /// Index of the first that playlists list; those before it are only fetchable.
    pub first_listed: usize,
}

/// One rendition at one instant.
#[derive(Clone, Debug)]
pub struct MediaSnapshot {
    pub(crate) name: Arc<str>,
    pub(crate) kind: MediaKind,
    pub(crate) run_id: Arc<str>,
    pub(crate) constants: PlaylistConstants,
    pub(crate) listing: Arc<Listing>,
    pub(crate) open: Option<Arc<Segment>>,
    pub(crate) hint: Option<Hint>,
    pub(crate) announced: Announced,
    pub(crate) reports: Arc<[Report]>,
    pub(crate) ended: bool,
}

impl MediaSnapshot {
    /// `source`, `audio` or a rung's name: the last folder of its URL.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Video or audio.
    pub fn kind(&self) -> MediaKind {
        self.kind
    }

    /// The run, part of every media URL.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Target duration and part target.
    pub fn constants(&self) -> PlaylistConstants {
        self.constants
    }

    /// The stream is over: the playlist is final.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Closed segments that the playlist lists, oldest first.
    pub fn listed(&self) -> &[Arc<Segment>] {
        let all = &self.listing.segments;
        all.get(self.listing.first_listed..).unwrap_or(&[])
    }

    /// Closed segments that can be fetched, listed or not, oldest first.
    pub fn retained(&self) -> &[Arc<Segment>] {
        &self.listing.segments
    }

    /// The segment that still grows, once it has a part.
    pub fn open(&self) -> Option<&Arc<Segment>> {
        self.open.as_ref()
    }

    /// The part that comes next.
    pub fn hint(&self) -> Option<Hint> {
        self.hint
    }

    /// What is known of the next segment; nothing where there are no parts to hint at.
    pub fn announced(&self) -> &Announced {
        &self.announced
    }

    /// The run that made segment `msn`: this one, unless an earlier one left it.
    pub fn run_id_of(&self, msn: u64) -> &str {
        let segment = self.closed(msn);
        let own = segment.and_then(|segment| segment.run_id.as_deref());
        own.unwrap_or(&self.run_id)
    }

    /// Whether `run_id` names this run, or an earlier one that left some of these segments.
    pub fn knows(&self, run_id: &str) -> bool {
        let segments = &self.listing.segments;
        *self.run_id == *run_id
            || segments
                .iter()
                .any(|segment| segment.run_id.as_deref() == Some(run_id))
    }

    /// The last closed segment's number.
    pub fn last_msn(&self) -> Option<u64> {
        self.listing.segments.last().map(|segment| segment.msn)
    }

    /// A closed segment, while it is fetchable. A gap is missing; a segment still growing is
    /// pending.
    pub fn segment(&self, msn: u64) -> Lookup<&Arc<Segment>> {
        if let Some(segment) = self.closed(msn) {
            return if segment.gap {
                Lookup::Missing
            } else {
                Lookup::Found(segment)
            };
        }
        match self.last_msn() {
            Some(last) if !self.ended && msn == last.saturating_add(1) => Lookup::Pending,
            _ => Lookup::Missing,
        }
    }

    /// A part, while it is fetchable. The next part of the open segment and the first of the one
    /// after are pending.
    pub fn part(&self, msn: u64, part: u64) -> Lookup<Bytes> {
        let index = usize::try_from(part).unwrap_or(usize::MAX);
        let open = self.open.as_ref().filter(|open| open.msn == msn);
        if let Some(segment) = self.closed(msn).or(open) {
            match segment.parts.get(index) {
                Some(part) if part.gap => return Lookup::Missing,
                Some(part) => return Lookup::Found(part.bytes.clone()),
                None => {}
            }
        }
        match self.is_next(Position { msn, part }) && self.constants.part_target.is_some() {
            true => Lookup::Pending,
            false => Lookup::Missing,
        }
    }

    /// An init segment of this rendition, from its announcement for as long as anything fetchable
    /// needs it.
    pub fn init(&self, index: u32) -> Option<&Arc<Init>> {
        let known = self.open.iter().chain(self.listing.segments.iter().rev());
        let mut all = known
            .filter_map(|segment| segment.init.as_ref())
            .chain(&self.announced.init);
        all.find(|init| init.index == index)
    }

    fn closed(&self, msn: u64) -> Option<&Arc<Segment>> {
        let first = self.listing.segments.first()?.msn;
        let index = usize::try_from(msn.checked_sub(first)?).ok()?;
        self.listing.segments.get(index)
    }

    fn is_next(&self, place: Position) -> bool {
        if self.ended {
            return false;
        }
        let next = match (&self.open, self.last_msn()) {
            (Some(open), _) => Position {
                msn: open.msn,
                part: open.parts.len() as u64,
            },
            (None, Some(last)) => Position {
                msn: last.saturating_add(1),
                part: 0,
            },
            (None, None) => return false,
        };
        let after = Position {
            msn: next.msn.saturating_add(1),
            part: 0,
        };
        // A forecast hint may name it, and still does to whoever waits for it after the forecast
        // failed.
        place == next || place == after
    }
}

/// One variant stream.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Variant {
    /// The rendition of its video, or of its audio where there is no video.
    pub rendition: Arc<str>,
    /// Peak bits per second, audio included.
    pub bandwidth: u64,
    /// Average bits per second, audio included.
    pub average_bandwidth: u64,
    /// RFC 6381 strings of video and audio.
    pub codecs: String,
    /// Width and height in pixels.
    pub resolution: Option<(u32, u32)>,
    /// Frames per second.
    pub frame_rate: Option<f64>,
    /// Where it differs from the stream's.
    pub projection: Option<Projection>,
}

/// One rendition of the audio group.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct AudioRendition {
    /// Its rendition.
    pub rendition: Arc<str>,
    /// Channels.
    pub channels: u8,
    /// What a player's menu shows, unique within the group.
    pub name: String,
    /// BCP 47, where it is known.
    pub language: Option<String>,
    /// Played unless somebody chooses; exactly one of a group is.
    pub is_default: bool,
}

impl AudioRendition {
    /// The only audio of a stream, of which nothing more is known.
    pub fn only(rendition: Arc<str>, channels: u8) -> Self {
        Self {
            rendition,
            channels,
            name: "Audio".to_owned(),
            language: None,
            is_default: true,
        }
    }
}

/// All that a multivariant playlist says.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Multivariant {
    /// Variants, in the order listed.
    pub variants: Vec<Variant>,
    /// INSTREAM-ID of the closed captions in the pass-through; rungs have none.
    #[serde(default)]
    pub captions: Option<String>,
    /// Audio that all variants with video share, one entry for each language.
    pub audio: Vec<AudioRendition>,
    /// Projection and stereo layout.
    pub immersive: Immersive,
    /// Every segment of every rendition begins with a keyframe, now and ever: VOD.
    #[serde(default)]
    pub independent_segments: bool,
}

/// A stream at one instant.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) revision: u64,
    pub(crate) run_id: Arc<str>,
    pub(crate) constants: Option<PlaylistConstants>,
    pub(crate) ended: bool,
    pub(crate) immersive: Immersive,
    pub(crate) renditions: Vec<Arc<MediaSnapshot>>,
    pub(crate) multivariant: Option<Arc<Multivariant>>,
}

impl Snapshot {
    /// Grows with each change that a viewer could see.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// The run, part of every media URL.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Known once the first playlist exists.
    pub fn constants(&self) -> Option<PlaylistConstants> {
        self.constants
    }

    /// The stream is over.
    pub fn is_ended(&self) -> bool {
        self.ended
    }

    /// Projection and stereo layout.
    pub fn immersive(&self) -> Immersive {
        self.immersive
    }

    /// Renditions whose playlists can be fetched: the source, rungs in the order given, audio.
    pub fn renditions(&self) -> &[Arc<MediaSnapshot>] {
        &self.renditions
    }

    /// The rendition `name`, once its playlist can be fetched.
    pub fn media(&self, name: &str) -> Option<&Arc<MediaSnapshot>> {
        self.renditions.iter().find(|media| &*media.name == name)
    }

    /// What a run that goes on from here starts with: the next segment's number, and the
    /// discontinuities before it.
    pub fn next_numbers(&self) -> (u64, u64) {
        let last = |media: &Arc<MediaSnapshot>| {
            let newest = media.open.as_ref().or(media.listing.segments.last())?;
            let announced = u64::from(newest.discontinuity);
            let discontinuities = newest.discontinuity_sequence.saturating_add(announced);
            Some((newest.msn + 1, discontinuities))
        };
        let all = self.renditions.iter().filter_map(last);
        all.max().unwrap_or_default()
    }

    /// The end of the newest segment, microseconds since 1970; 0 without any.
    pub fn end_micros(&self) -> i64 {
        let newest = self.renditions.iter().filter_map(|media| {
            let newest = media.open.as_ref().or(media.listing.segments.last())?;
            Some(newest.end_micros())
        });
        newest.max().unwrap_or(0)
    }

    /// The media time of the end of the newest segment, in seconds: of that of any rendition; 0
    /// without any.
    pub fn end_seconds(&self) -> f64 {
        let newest = self.renditions.iter().filter_map(|media| {
            let mut segments = media.listing.segments.iter().chain(&media.open);
            segments.rfind(|segment| !segment.gap)?.end_seconds()
        });
        newest.fold(0.0, f64::max)
    }

    /// The same, with nothing more to come.
    pub fn ended(&self) -> Self {
        let end = |media: &Arc<MediaSnapshot>| {
            Arc::new(MediaSnapshot {
                hint: None,
                announced: Announced::default(),
                ended: true,
                ..(**media).clone()
            })
        };
        Self {
            ended: true,
            renditions: self.renditions.iter().map(end).collect(),
            ..self.clone()
        }
    }

    /// What the multivariant playlist says, once it can be fetched.
    pub fn multivariant(&self) -> Option<&Arc<Multivariant>> {
        self.multivariant.as_ref()
    }

    /// Bytes of everything fetchable.
    pub fn retained_bytes(&self) -> u64 {
        let segments = self.renditions.iter().flat_map(|media| {
            let open = media.open.iter();
            media.listing.segments.iter().chain(open)
        });
        segments.map(|segment| segment.byte_length()).sum()
    }
}
