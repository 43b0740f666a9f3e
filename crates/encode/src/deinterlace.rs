//! Makes whole pictures of interlaced ones; what is progressive passes untouched.
//!
//! Two fields of an interlaced picture are half a picture's time apart, so a screen that shows both
//! at once shows combs wherever something moves. FFmpeg's `bwdif` rebuilds the second field from
//! its neighbours in time; the rate stays that of the pictures, and so do their times.

use ffmpeg_next::{self as ffmpeg, filter, format::Pixel, frame};

use crate::{
    Error, Picture,
    error::{Attempt, is_again},
};

/// One output picture per input picture, and only where the picture says that it is interlaced.
const FILTER: &str = "bwdif=mode=send_frame:parity=auto:deint=interlaced";

/// Ticks per second inside the filter. Any would do: times go in and come out unchanged.
const TICKS: i64 = 90_000;

/// Deinterlaces the pictures of one track in presentation order.
pub(crate) struct Deinterlacer {
    running: Option<Running>,
}

struct Running {
    graph: filter::Graph,
    shape: (Pixel, u32, u32),
}

impl Deinterlacer {
    /// Nothing runs until the first interlaced picture.
    pub(crate) fn new() -> Self {
        Self { running: None }
    }

    /// Takes the next picture and gives those that are ready. After the first interlaced picture
    /// each comes out when the next one goes in.
    pub(crate) fn push(
        &mut self,
        picture: Picture,
        pts: i64,
    ) -> Result<Vec<(Picture, i64)>, Error> {
        let shape = (picture.frame().format(), picture.width(), picture.height());
        let mut out = Vec::new();
        if self
            .running
            .as_ref()
            .is_some_and(|running| running.shape != shape)
        {
            out = self.finish()?;
        }
        let running = match &mut self.running {
            Some(running) => running,
            None if !picture.frame().is_interlaced() => {
                out.push((picture, pts));
                return Ok(out);
            }
            none => none.insert(Running::open(shape)?),
        };
        running.send(picture, pts)?;
        running.drain(&mut out)?;
        Ok(out)
    }

    /// No more pictures come; gives what was still inside.
    pub(crate) fn finish(&mut self) -> Result<Vec<(Picture, i64)>, Error> {
        let mut out = Vec::new();
        if let Some(mut running) = self.running.take() {
            running.end()?;
            running.drain(&mut out)?;
        }
        Ok(out)
    }
}

impl Running {
    fn open(shape: (Pixel, u32, u32)) -> Result<Self, Error> {
        let action = || "deinterlace".to_owned();
        let mut graph = filter::Graph::new();
        let find = |name| filter::find(name).ok_or(ffmpeg::Error::FilterNotFound);
        let (format, width, height) = shape;
        let format: ffmpeg::ffi::AVPixelFormat = format.into();
        let arguments = format!(
            "video_size={width}x{height}:pix_fmt={}:time_base=1/{TICKS}:pixel_aspect=1/1",
            format as i32
        );
        let opened = find("buffer")
            .and_then(|filter| graph.add(&filter, "in", &arguments).map(|_| ()))
            .and_then(|()| find("buffersink"))
            .and_then(|filter| graph.add(&filter, "out", "").map(|_| ()))
            .and_then(|()| graph.output("in", 0)?.input("out", 0)?.parse(FILTER))
            .and_then(|()| graph.validate());
        opened.attempt(action)?;
        Ok(Self { graph, shape })
    }

    fn send(&mut self, mut picture: Picture, pts: i64) -> Result<(), Error> {
        picture.frame_mut().set_pts(Some(pts));
        let mut source = self.source()?;
        source
            .source()
            .add(picture.frame())
            .attempt(|| "deinterlace a picture".to_owned())
    }

    fn end(&mut self) -> Result<(), Error> {
        let mut source = self.source()?;
        source
            .source()
            .flush()
            .attempt(|| "end deinterlacing".to_owned())
    }

    fn source(&mut self) -> Result<filter::Context, Error> {
        let found = self.graph.get("in").ok_or(ffmpeg::Error::FilterNotFound);
        found.attempt(|| "deinterlace".to_owned())
    }

    fn drain(&mut self, out: &mut Vec<(Picture, i64)>) -> Result<(), Error> {
        let found = self.graph.get("out").ok_or(ffmpeg::Error::FilterNotFound);
        let mut sink = found.attempt(|| "deinterlace".to_owned())?;
        // The filter counts in halves of the ticks it is given.
        let per_tick = i64::from(sink.sink().time_base().denominator()).max(TICKS) / TICKS;
        loop {
            let mut frame = frame::Video::empty();
            match sink.sink().frame(&mut frame) {
                Ok(()) => {
                    let pts = frame.pts().unwrap_or_default() / per_tick;
                    out.push((Picture::from_frame(frame), pts));
                }
                Err(e) if is_again(&e) || e == ffmpeg::Error::Eof => return Ok(()),
                Err(e) => return Err(e).attempt(|| "deinterlace".to_owned()),
            }
        }
    }
}
