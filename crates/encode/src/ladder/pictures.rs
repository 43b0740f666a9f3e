//! A ladder for pictures that somebody else has decoded: files of any codec, with their holes
//! filled.
//!
//! Everything behind the decoder is the same as for a live source: scaling in cascade, an encoder
//! for each rung, keyframes exactly where told.

use std::sync::mpsc;

use media::{Timescale, VIDEO_TIMESCALE};

use super::{
    Event, Ladder, Options, Pace, Rung, Shared, grid::Slot, open_encoder, source::Decoded,
};
use crate::{Error, Picture};

/// A running ladder that is fed with pictures; it never leaves one out.
#[derive(Debug)]
pub struct PictureLadder {
    ladder: Ladder,
    pictures: mpsc::SyncSender<Decoded>,
}

impl PictureLadder {
    /// Times of its pictures.
    pub const TIMESCALE: Timescale = VIDEO_TIMESCALE;

    /// Starts a ladder. `sink` is called from its threads, one at a time.
    pub fn spawn(
        rungs: Vec<Rung>,
        options: Options,
        sink: impl FnMut(Event) + Send + 'static,
    ) -> Result<Self, Error> {
        let options = Options {
            pace: Pace::Offline,
            ..options
        };
        let shared = Shared::new(Self::TIMESCALE, options.pace, Box::new(sink));
        let (ladder, pictures, _alive) =
            Ladder::spawn_rungs(&shared, rungs, options, open_encoder())?;
        Ok(Self { ladder, pictures })
    }

    /// Takes the next picture in presentation order; waits for room. `opens_segment` asks for a
    /// keyframe, which the first picture needs. Whether anybody is left to take it.
    pub fn push(&self, picture: Picture, pts: i64, opens_segment: bool) -> bool {
        let slot = Slot {
            dts: pts,
            pts,
            opens_segment,
            hole_from: None,
        };
        self.pictures.send(Decoded::Picture(picture, slot)).is_ok()
    }

    /// No more pictures come, and the last one is shown until `end`. Returns when all of them have
    /// been encoded and told.
    pub fn finish(self, end: i64) {
        let _ = self.pictures.send(Decoded::End(end));
        drop(self.pictures);
        self.ladder.finish();
    }
}
