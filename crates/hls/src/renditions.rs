//! All renditions of a stream: the source, its rungs, and the audio they share.

use media::MediaKind;

use crate::{Error, RungSpec, rendition::Rendition};

/// Name of the pass-through rendition.
pub const SOURCE: &str = "source";
/// Name of the audio rendition.
pub const AUDIO: &str = "audio";

/// A rung and what was planned of it.
#[derive(Debug)]
pub(crate) struct Rung {
    pub spec: RungSpec,
    pub rendition: Rendition,
}

/// The renditions, and which of them the source has media for.
#[derive(Debug)]
pub(crate) struct Renditions {
    pub source: Rendition,
    pub rungs: Vec<Rung>,
    pub audio: Rendition,
    /// The source has a video track.
    pub has_video: bool,
    /// The source has an audio track.
    pub has_audio: bool,
    /// The video configuration has changed in this run: see [`crate::rendition`].
    pub has_inband_parameter_sets: bool,
}

impl Renditions {
    pub fn new() -> Self {
        Self {
            source: Rendition::new(SOURCE, MediaKind::Video),
            rungs: Vec::new(),
            audio: Rendition::new(AUDIO, MediaKind::Audio),
            has_video: false,
            has_audio: false,
            has_inband_parameter_sets: false,
        }
    }

    /// All of them, in the order of snapshots.
    pub fn iter(&self) -> impl Iterator<Item = &Rendition> {
        let rungs = self.rungs.iter().map(|rung| &rung.rendition);
        std::iter::once(&self.source)
            .chain(rungs)
            .chain(std::iter::once(&self.audio))
    }

    /// As [`Renditions::iter`].
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Rendition> {
        let rungs = self.rungs.iter_mut().map(|rung| &mut rung.rendition);
        std::iter::once(&mut self.source)
            .chain(rungs)
            .chain(std::iter::once(&mut self.audio))
    }

    /// Those that hold video; rungs with what was planned of them.
    pub fn video(&self) -> impl Iterator<Item = (&Rendition, Option<&RungSpec>)> {
        let rungs = self.rungs.iter();
        std::iter::once((&self.source, None))
            .chain(rungs.map(|rung| (&rung.rendition, Some(&rung.spec))))
    }

    /// Those that follow the source's video or audio: rungs, and audio where the source has it.
    pub fn followers(&self) -> impl Iterator<Item = &Rendition> {
        let audio = self.has_audio.then_some(&self.audio);
        self.rungs.iter().map(|rung| &rung.rendition).chain(audio)
    }

    /// Those that the source has media for.
    pub fn present(&self) -> impl Iterator<Item = &Rendition> {
        let source = self.has_video.then_some(&self.source);
        source.into_iter().chain(self.followers())
    }

    /// As [`Renditions::present`].
    pub fn present_mut(&mut self) -> impl Iterator<Item = &mut Rendition> {
        let source = self.has_video.then_some(&mut self.source);
        let audio = self.has_audio.then_some(&mut self.audio);
        let rungs = self.rungs.iter_mut().map(|rung| &mut rung.rendition);
        source.into_iter().chain(rungs).chain(audio)
    }

    /// The rendition that decides where segments start.
    pub fn leader(&self) -> &Rendition {
        match self.has_video {
            true => &self.source,
            false => &self.audio,
        }
    }

    /// The rung at `index`.
    pub fn rung(&mut self, index: usize) -> Result<&mut Rung, Error> {
        let count = self.rungs.len();
        self.rungs
            .get_mut(index)
            .ok_or(Error::Rung { index, count })
    }
}
