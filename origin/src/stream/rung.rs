//! The rungs of a run: which of the configured ones a source gets, and what became of each.

use encode::{
    Reprojection,
    ladder::{self, Rung as LadderRung, RungConfig},
};
use hls::RungSpec;
use media::{Immersive, Track};

use crate::{
    api::{RungReport, RungState},
    config::Rung as ConfiguredRung,
};

/// Stands for a place in the configured ladder: the rung that a source gets whose keyframes are no
/// IDR pictures where the ladder has none for it.
pub(super) const AUTOMATIC: usize = usize::MAX;

/// One rung of the ladder and what became of it.
#[derive(Debug)]
pub(super) struct Rung {
    /// Its place in the configured ladder.
    pub configured: usize,
    pub spec: RungSpec,
    state: RungState,
    /// Why it does not run.
    reason: Option<String>,
    /// Times it was shed.
    pub sheds: u64,
    /// Times its encoder failed.
    pub failures: u64,
}

impl Rung {
    /// One that has yet to show something; `configured` is its place in the configured ladder.
    pub fn new(configured: usize, rung: &LadderRung) -> Self {
        let spec = RungSpec {
            name: rung.name.clone(),
            width: rung.width,
            height: rung.height,
            bitrate: rung.bitrate_max.into(),
            projection: rung.reprojection.map(|reprojection| reprojection.to),
        };
        Self {
            configured,
            spec,
            state: RungState::Starting,
            reason: None,
            sheds: 0,
            failures: 0,
        }
    }

    /// The source has another shape: the rung has another size, and the same name.
    pub fn resize(&mut self, rung: &LadderRung) {
        self.spec.width = rung.width;
        self.spec.height = rung.height;
        self.spec.bitrate = rung.bitrate_max.into();
    }

    /// What it does from now on, and why.
    pub fn change(&mut self, state: RungState, reason: Option<String>) {
        self.state = state;
        self.reason = reason;
    }

    /// For `/api/streams`.
    pub fn report(&self) -> RungReport {
        RungReport {
            name: self.spec.name.clone(),
            width: self.spec.width,
            height: self.spec.height,
            bitrate_max: self.spec.bitrate,
            projection: self.spec.projection,
            state: self.state,
            reason: self.reason.clone(),
            sheds: self.sheds,
            failures: self.failures,
        }
    }
}

/// The rungs a source gets, each with its place in the configured ladder.
pub(super) fn plan(
    video: Option<&Track>,
    configured: &[ConfiguredRung],
    immersive: &Immersive,
) -> Result<Vec<(usize, LadderRung)>, encode::Error> {
    let Some(video) = video.and_then(Track::as_video) else {
        return Ok(Vec::new());
    };
    let configs = configured.iter().map(|rung| rung_config(rung, immersive));
    let configs: Vec<_> = configs.collect();
    let (width, height) = video.config.dimensions();
    let rungs = ladder::plan(width, height, video.config.frame_rate(), &configs)?;
    let mut free: Vec<usize> = (0..configs.len()).collect();
    let mut place = |rung: &LadderRung| {
        let alike = |index: &usize| {
            let config = &configs[*index];
            config.width & !1 == rung.width && config.bitrate == rung.bitrate
        };
        let found = free.iter().position(alike)?;
        Some(free.remove(found))
    };
    let placed = rungs
        .into_iter()
        .filter_map(|rung| Some((place(&rung)?, rung)));
    Ok(placed.collect())
}

/// The rung of the source's own size that carries a stream whose pass-through cannot be started, if
/// this machine has the cores for it.
pub(super) fn automatic(video: &Track) -> Result<Vec<(usize, LadderRung)>, encode::Error> {
    let Some(media::VideoTrack { config, .. }) = video.as_video() else {
        return Ok(Vec::new());
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let size = config.dimensions();
    let rung = ladder::source_size(size, config.frame_rate(), None, cores)?;
    Ok(rung.into_iter().map(|rung| (AUTOMATIC, rung)).collect())
}

/// A name for a further rung that none of `known` has.
pub(super) fn unused_name(name: &str, known: &[Rung]) -> String {
    let taken = |name: &String| known.iter().any(|rung| rung.spec.name == *name);
    let mut names = std::iter::once(name.to_owned()).chain((2..).map(|n| format!("{name}-{n}")));
    names.find(|name| !taken(name)).unwrap_or_default()
}

/// A configured rung of a source that lies on the sphere as `immersive` says, in the encoder's
/// words.
fn rung_config(rung: &ConfiguredRung, immersive: &Immersive) -> RungConfig {
    RungConfig {
        reprojection: rung
            .projection
            .and_then(|to| Reprojection::of(immersive, to)),
        max_fps: rung.max_fps.map(f64::from),
        preset: rung.preset.clone(),
        encoder: rung.encoder.clone(),
        ..RungConfig::new(
            rung.width,
            u32::try_from(rung.bitrate.0).unwrap_or(u32::MAX),
        )
    }
}
