//! Turns a clean clip into a valid but odd stream: what real encoders send and no specification
//! forbids, or what everybody has learned to live with.
//!
//! ```text
//! clip (tags) --Recipe: some of [`Oddity`], by seed--> tags in the order they are sent
//! ```
//!
//! A recipe combines oddities of different groups, so that each seed is another combination that
//! makes sense: one way to lose audio, one way to lose video, one clock, one dress for each codec's
//! access units, and tags that mean nothing.
//!
//! What it does not do: damage. Every picture of what comes out can be decoded once it is put
//! right, so a decoder's warning is a fault of whoever packaged it.

mod dress;
mod media;

use std::fmt;

use flv::Tag;

/// One way in which a stream is odd. Times are milliseconds from its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Oddity {
    /// No audio tags from the first to the second.
    Mute(u32, u32),
    /// No audio for the second number of each five seconds.
    Mutes(u32),
    /// Audio tags without a byte of payload from the first to the second.
    EmptyAudio(u32, u32),
    /// The header announces audio, and none comes.
    SilentTrack,
    /// Neither header nor audio.
    NoAudio,
    /// Audio, its header included, begins at this time.
    LateAudio(u32),
    /// Time stamps of audio are off by this much.
    ApartAudio(i32),
    /// Time stamps of audio stand still from the first to the second.
    StillAudio(u32, u32),
    /// No video from the first to the keyframe at or after the second.
    Freeze(u32, u32),
    /// Nothing but audio until the keyframe at or after this.
    LateVideo(u32),
    /// Time stamps of video stand still from the first to the second.
    StillVideo(u32, u32),
    /// Neither from the first to the keyframe at or after the second.
    Pause(u32, u32),
    /// All time stamps jump at the first by the second.
    Jump(u32, i32),
    /// Each AAC frame has an ADTS header.
    Adts,
    /// Start codes instead of lengths before NAL units.
    AnnexB,
    /// A tag of its own with nothing but SEI before some pictures.
    SeiTags,
    /// An access unit delimiter before each picture, in a tag of its own for some.
    Delimiters,
    /// NAL units without a byte, and up to three bytes after the last.
    StrayBytes,
    /// The header's profile bytes are zero.
    ZeroProfile,
    /// Headers before every keyframe.
    RepeatedHeaders,
    /// Parameter sets before every keyframe, in band.
    InBandSets,
    /// Some pictures that are no keyframes are flagged as such, and some keyframes are not.
    WrongFlags,
    /// Tags of unknown types, codecs and tracks.
    UnknownTags,
}

/// What to do to a clip.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipe {
    /// Where it came from; names it.
    pub seed: u64,
    /// All that is odd, in the order it is applied.
    pub oddities: Vec<Oddity>,
}

impl fmt::Display for Recipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {:?}", self.seed, self.oddities)
    }
}

impl Recipe {
    /// The recipe of a seed for a clip of `length_ms`, ten seconds at least.
    pub fn from_seed(seed: u64, length_ms: u32) -> Self {
        let mut dice = Dice::new(seed);
        // Something happens after a first segment, and there is time for it to pass.
        let from = dice.between(2_000, length_ms / 2);
        let to = (from + dice.between(100, length_ms / 3)).min(length_ms - 2_000);
        let mut oddities = Vec::new();
        oddities.extend(match dice.below(12) {
            0 => Some(Oddity::Mute(from, to)),
            1 => Some(Oddity::Mute(0, to)),
            2 => Some(Oddity::Mute(from, u32::MAX)),
            3 => Some(Oddity::Mutes(dice.between(100, 4_500))),
            4 => Some(Oddity::EmptyAudio(from, to)),
            5 => Some(Oddity::SilentTrack),
            6 => Some(Oddity::NoAudio),
            7 => Some(Oddity::LateAudio(from)),
            8 => Some(Oddity::ApartAudio(dice.between(0, 2_000) as i32 - 1_000)),
            9 => Some(Oddity::StillAudio(from, to)),
            _ => None,
        });
        let has_audio = !matches!(
            oddities.first(),
            Some(Oddity::SilentTrack | Oddity::NoAudio | Oddity::Mute(0, _) | Oddity::LateAudio(_))
        );
        let from = dice.between(2_000, length_ms / 2);
        let to = (from + dice.between(100, length_ms / 3)).min(length_ms - 2_000);
        oddities.extend(match dice.below(8) {
            0 => Some(Oddity::Freeze(from, to)),
            1 => Some(Oddity::Freeze(from, u32::MAX)),
            2 if has_audio => Some(Oddity::LateVideo(dice.between(500, 6_000))),
            3 => Some(Oddity::StillVideo(from, to)),
            4 => Some(Oddity::Pause(from, to)),
            5 => Some(Oddity::Jump(from, dice.between(6_000, 900_000) as i32)),
            6 => Some(Oddity::Jump(from, -(dice.between(1_000, 900_000) as i32))),
            _ => None,
        });
        for _ in 0..dice.below(4) {
            let dress = [
                Oddity::Adts,
                Oddity::AnnexB,
                Oddity::SeiTags,
                Oddity::Delimiters,
                Oddity::StrayBytes,
                Oddity::ZeroProfile,
                Oddity::RepeatedHeaders,
                Oddity::InBandSets,
                Oddity::WrongFlags,
                Oddity::UnknownTags,
            ][dice.below(10) as usize];
            if !oddities.contains(&dress) {
                oddities.push(dress);
            }
        }
        // Start codes come last: everything else reads lengths.
        oddities.sort_by_key(|oddity| *oddity == Oddity::AnnexB);
        Self { seed, oddities }
    }

    /// Whether audio is announced at all.
    pub fn has_audio(&self) -> bool {
        !self.oddities.contains(&Oddity::NoAudio)
    }

    /// Applies it to a clip (headers first, then media in the order of its times): the tags as they
    /// are sent, each with its due time, whatever its own stamp says.
    pub fn apply(&self, clip: &[Tag]) -> Vec<Sent> {
        let mut tags = clip.to_vec();
        let mut dice = Dice::new(self.seed ^ 0x5bd1_e995);
        for oddity in &self.oddities {
            tags = match media::apply(*oddity, tags) {
                Ok(tags) => tags,
                Err(tags) => dress::apply(*oddity, tags, &mut dice),
            };
        }
        let due: Vec<u32> = tags.iter().map(|tag| tag.timestamp_ms).collect();
        for oddity in &self.oddities {
            media::stamp(*oddity, &mut tags);
        }
        let sent = due.into_iter().zip(tags);
        sent.map(|(due_ms, tag)| Sent { due_ms, tag }).collect()
    }
}

/// A tag and when to send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Milliseconds after the first.
    pub due_ms: u32,
    /// With the stamp that the publisher's clock gives it.
    pub tag: Tag,
}

/// Numbers by chance, the same ones for the same seed.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    fn new(seed: u64) -> Self {
        // Spread, so that seeds that follow each other have nothing in common.
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32
    }

    fn below(&mut self, bound: u32) -> u32 {
        (self.next() % u64::from(bound.max(1))) as u32
    }

    fn between(&mut self, least: u32, most: u32) -> u32 {
        least + self.below(most.saturating_sub(least) + 1)
    }
}

#[cfg(test)]
mod tests;
