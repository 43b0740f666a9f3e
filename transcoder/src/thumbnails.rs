//! Poster and thumbnails of a slice, from keyframes that its rungs have anyway.
//!
//! The smallest rung's keyframes are decoded, not the source's: for a thumbnail they are as good
//! and cost a hundredth.

use encode::stills::{self, Stills};
use media::{AccessUnit, Track, VIDEO_TIMESCALE};
use urls::AssetFile;

use crate::{
    error::{Error, Result},
    layout::{self, Sheet},
    plan::Plan,
    retrying_store::RetryingStore,
};

/// Pixels of a thumbnail's width: what players show above a seek bar.
const THUMBNAIL_WIDTH: u32 = 160;

/// Thumbnails in a row of a sheet.
const COLUMNS: u32 = 5;

/// Thumbnails are at least this far apart: closer ones are under the same pixel of a seek bar.
const THUMBNAIL_SECONDS: f64 = 3.9;

/// Thumbnails of one slice at most: ten minutes of them.
const THUMBNAILS_MAX: usize = 150;

/// A poster is made of the largest rung up to this width.
const POSTER_WIDTH_MAX: u32 = 1280;

/// Chooses and keeps the keyframes of one slice.
pub(crate) struct Thumbnails {
    /// RenditionWriter and size of the rung that thumbnails are made of.
    thumbnails: Option<(usize, (u32, u32))>,
    /// RenditionWriter and size of the poster, in the one slice that makes it.
    poster: Option<(usize, (u32, u32))>,
    tracks: Vec<(usize, Track)>,
    keyframes: Vec<AccessUnit>,
    poster_keyframe: Option<AccessUnit>,
    start: i64,
}

impl Thumbnails {
    pub(crate) fn of(plan: &Plan, number: u32) -> Result<Self> {
        let rungs = plan.rungs().map_err(Error::Ladder)?;
        let first = usize::from(plan.copy);
        let mut sizes: Vec<(usize, (u32, u32))> = Vec::new();
        if let (true, Some((width, height, _))) = (plan.copy, plan.video) {
            sizes.push((0, (width, height)));
        }
        sizes.extend(
            rungs
                .iter()
                .enumerate()
                .map(|(n, r)| (first + n, (r.width, r.height))),
        );
        let fits = |(_, (width, _)): &&(usize, (u32, u32))| *width <= POSTER_WIDTH_MAX;
        let poster = sizes.iter().find(fits).or(sizes.last()).copied();
        // Not the first moments, which are often black or a title.
        let has_poster = number == plan.slices.len() as u32 / 3;
        let start = plan
            .slice(number)
            .next()
            .map_or(0, |(_, segment)| segment.start);
        Ok(Self {
            thumbnails: sizes.last().copied(),
            poster: poster.filter(|_| has_poster),
            tracks: Vec::new(),
            keyframes: Vec::new(),
            poster_keyframe: None,
            start,
        })
    }

    fn is_wanted(writer: usize, choice: Option<(usize, (u32, u32))>) -> bool {
        choice.is_some_and(|(chosen, _)| chosen == writer)
    }

    /// A rendition writer's track.
    pub(crate) fn track(&mut self, writer: usize, track: &Track) {
        if Self::is_wanted(writer, self.thumbnails) || Self::is_wanted(writer, self.poster) {
            self.tracks.push((writer, track.clone()));
        }
    }

    /// A rendition writer's unit.
    pub(crate) fn unit(&mut self, writer: usize, unit: &AccessUnit) {
        if !unit.is_sync() || unit.dts < self.start {
            return;
        }
        if Self::is_wanted(writer, self.poster) {
            self.poster_keyframe.get_or_insert_with(|| unit.clone());
        }
        let last = self
            .keyframes
            .last()
            .map_or(i64::MIN / 2, |keyframe| keyframe.dts);
        let apart = VIDEO_TIMESCALE.seconds(unit.dts - last) >= THUMBNAIL_SECONDS;
        let room = self.keyframes.len() < THUMBNAILS_MAX;
        if Self::is_wanted(writer, self.thumbnails) && apart && room {
            self.keyframes.push(unit.clone());
        }
    }

    /// Writes the slice's pictures. What cannot be decoded is left out: no asset fails for a
    /// picture.
    pub(crate) async fn write(
        self,
        store: &RetryingStore,
        plan: &Plan,
        number: u32,
    ) -> Result<Vec<Sheet>> {
        let times: Vec<f64> = self
            .keyframes
            .iter()
            .map(|unit| media_time(plan, unit.dts))
            .collect();
        let drawn = tokio::task::spawn_blocking(move || self.draw(&times)).await;
        let (poster, sheet) = match drawn {
            Ok(Ok(drawn)) => drawn,
            Ok(Err(error)) => {
                tracing::warn!(asset = plan.asset, slice = number, %error, "no thumbnails");
                return Ok(Vec::new());
            }
            Err(error) => {
                tracing::warn!(asset = plan.asset, slice = number, %error, "no thumbnails");
                return Ok(Vec::new());
            }
        };
        if let Some(poster) = poster {
            let key = layout::vod(&plan.asset, AssetFile::Poster);
            store.put(&key, poster, layout::JPEG).await?;
        }
        let Some((bytes, mut sheet)) = sheet else {
            return Ok(Vec::new());
        };
        let file = AssetFile::ThumbnailSheet(number);
        let key = layout::vod(&plan.asset, file);
        store.put(&key, bytes, layout::JPEG).await?;
        sheet.name = file.file_name();
        Ok(vec![sheet])
    }

    fn draw(&self, times: &[f64]) -> Result<Drawn, encode::Error> {
        let track = |writer| {
            self.tracks
                .iter()
                .find(|(n, _)| *n == writer)
                .map(|(_, track)| track)
        };
        let mut poster = None;
        if let (Some((writer, (width, height))), Some(keyframe)) =
            (self.poster, &self.poster_keyframe)
            && let Some(track) = track(writer)
            && let Some(picture) = Stills::open(track, width, height)?.take(keyframe)?
        {
            poster = Some(stills::jpeg(&picture)?);
        }
        let Some((writer, size)) = self.thumbnails else {
            return Ok((poster, None));
        };
        let Some(track) = track(writer) else {
            return Ok((poster, None));
        };
        let (width, height) = thumbnail_size(size);
        let mut decoder = Stills::open(track, width, height)?;
        let (mut pictures, mut at) = (Vec::new(), Vec::new());
        for (keyframe, time) in self.keyframes.iter().zip(times) {
            if let Some(picture) = decoder.take(keyframe)? {
                pictures.push(picture);
                at.push(*time);
            }
        }
        if pictures.is_empty() {
            return Ok((poster, None));
        }
        let bytes = stills::jpeg(&stills::sheet(&pictures, COLUMNS)?)?;
        let sheet = Sheet {
            name: String::new(),
            size: (width, height),
            columns: COLUMNS,
            at,
        };
        Ok((poster, Some((bytes, sheet))))
    }
}

type Drawn = (Option<bytes::Bytes>, Option<(bytes::Bytes, Sheet)>);

fn thumbnail_size((width, height): (u32, u32)) -> (u32, u32) {
    let scaled = u64::from(height) * u64::from(THUMBNAIL_WIDTH) / u64::from(width.max(1));
    (
        THUMBNAIL_WIDTH,
        (scaled as u32).clamp(2, 4 * THUMBNAIL_WIDTH) & !1,
    )
}

/// Seconds of media before `dts`: what a player counts, without the pauses between.
fn media_time(plan: &Plan, dts: i64) -> f64 {
    let before = plan
        .segments
        .iter()
        .take_while(|segment| segment.start <= dts);
    let ticks = before
        .map(|segment| segment.end.min(dts) - segment.start)
        .sum();
    VIDEO_TIMESCALE.seconds(ticks)
}
