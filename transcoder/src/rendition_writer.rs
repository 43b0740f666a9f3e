//! Writes one slice of one rendition: access units become segments in the egress store.

use media::{AccessUnit, Immersive, MediaKind, Track, VIDEO_TIMESCALE};
use service::http::fnv1a;
use urls::AssetFile;

use crate::{
    error::{Error, Result},
    layout::{self, RenditionSlice, SegmentInfo},
    plan::Segment,
    retrying_store::RetryingStore,
};

/// Takes a rendition's access units in decoding order and writes its segments.
pub(crate) struct RenditionWriter {
    asset: String,
    name: String,
    immersive: Immersive,
    rate: Option<f64>,
    segments: Vec<(u32, Segment)>,
    track: Option<Track>,
    init: String,
    /// The place of the open segment in `segments`.
    at: usize,
    open: Vec<AccessUnit>,
    made: Vec<SegmentInfo>,
    /// Units before this are there only to warm an encoder up.
    start: i64,
}

impl RenditionWriter {
    pub(crate) fn new(
        asset: &str,
        name: &str,
        immersive: Immersive,
        rate: Option<f64>,
        segments: Vec<(u32, Segment)>,
    ) -> Self {
        let start = segments.first().map_or(0, |(_, segment)| segment.start);
        Self {
            asset: asset.into(),
            name: name.into(),
            immersive,
            rate,
            segments,
            track: None,
            init: String::new(),
            at: 0,
            open: Vec::new(),
            made: Vec::new(),
            start,
        }
    }

    /// The track of the units that follow.
    pub(crate) async fn track(&mut self, store: &RetryingStore, track: Track) -> Result<()> {
        let bytes = cmaf::init_segment(&track, &self.immersive).map_err(|e| self.strange(&e))?;
        let file = AssetFile::Init {
            rendition: &self.name,
            hash: fnv1a(&bytes) as u32,
        };
        let key = layout::vod(&self.asset, file);
        store.put(&key, bytes, layout::INIT).await?;
        self.init = file.file_name();
        self.track = Some(track);
        Ok(())
    }

    pub(crate) async fn unit(&mut self, store: &RetryingStore, unit: AccessUnit) -> Result<()> {
        if unit.kind == MediaKind::Video && unit.dts < self.start {
            return Ok(());
        }
        while self.next_start().is_some_and(|next| unit.dts >= next) {
            self.close(store).await?;
        }
        self.open.push(unit);
        Ok(())
    }

    /// Where the segment after the open one begins, in the track's ticks.
    fn next_start(&self) -> Option<i64> {
        let (_, next) = self.segments.get(self.at + 1)?;
        Some(VIDEO_TIMESCALE.rescale(next.start, self.timescale()))
    }

    fn timescale(&self) -> media::Timescale {
        self.track
            .as_ref()
            .map_or(VIDEO_TIMESCALE, Track::timescale)
    }

    async fn close(&mut self, store: &RetryingStore) -> Result<()> {
        let Some((number, segment)) = self.segments.get(self.at).cloned() else {
            return Ok(());
        };
        let units = std::mem::take(&mut self.open);
        self.at += 1;
        let (Some(track), false) = (&self.track, units.is_empty()) else {
            let planned = segment.end - segment.start;
            let ticks = VIDEO_TIMESCALE.rescale(planned, self.timescale());
            self.made.push(SegmentInfo {
                number,
                ticks,
                bytes: 0,
            });
            return Ok(());
        };
        let ticks = units.iter().map(|unit| i64::from(unit.duration)).sum();
        let chunk = cmaf::chunk(track, number + 1, &units).map_err(|e| self.strange(&e))?;
        let bytes = chunk.len() as u64;
        let rendition = &self.name;
        let key = layout::vod(&self.asset, AssetFile::Segment { rendition, number });
        store.put(&key, chunk, layout::SEGMENT).await?;
        self.made.push(SegmentInfo {
            number,
            ticks,
            bytes,
        });
        Ok(())
    }

    /// Ends the slice. `None` where nothing ever came.
    pub(crate) async fn finish(mut self, store: &RetryingStore) -> Result<Option<RenditionSlice>> {
        while self.at < self.segments.len() {
            self.close(store).await?;
        }
        let Some(track) = &self.track else {
            return Ok(None);
        };
        let (resolution, channels) = match track {
            Track::Video(track) => (Some(track.config.dimensions()), None),
            Track::Audio(track) => (None, Some(track.config.channels())),
        };
        Ok(Some(RenditionSlice {
            codec: track.rfc6381(),
            resolution,
            frame_rate: self.rate.filter(|_| resolution.is_some()),
            channels,
            timescale: track.timescale().rate(),
            name: self.name,
            init: self.init,
            segments: self.made,
        }))
    }

    fn strange(&self, error: &cmaf::Error) -> Error {
        Error::Work {
            what: format!("{}/{}", self.asset, self.name),
            reason: error.to_string(),
        }
    }
}
