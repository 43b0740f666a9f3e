//! Decodes the video of a file, whatever its codec, into upright progressive pictures of one size
//! with square pixels, each with its presentation time.
//!
//! A file may change its picture size, hold interlaced material, lie on its side or have pixels
//! that are not square; a ladder wants none of that. So everything is put right here, once, before
//! the ladder scales. What this does not do: fill holes or repair times.

use std::collections::VecDeque;

use ffmpeg_next::{self as ffmpeg, codec, decoder, ffi, frame};

use crate::{
    Error, Picture, Rotation,
    deinterlace::Deinterlacer,
    error::{Attempt, is_again},
    file_demuxer::{CodedPacket, VideoStream, to_ticks},
    picture::Pool,
    rotation::Rotator,
    scale::Scaler,
};

/// Shapes that differ by less than this part fill the frame: 1080 lines coded as 1088 and the like.
const SHAPE_TOLERANCE: f64 = 0.02;

/// A picture with its presentation time in [`media::VIDEO_TIMESCALE`].
#[derive(Debug)]
pub struct TimedPicture {
    /// The picture.
    pub picture: Picture,
    /// When it is shown.
    pub pts: i64,
}

/// See the module.
pub struct VideoDecoder {
    decoder: decoder::Opened,
    time_base: (i64, i64),
    sample_aspect: (i32, i32),
    deinterlacer: Deinterlacer,
    rotator: Option<Rotator>,
    fitter: Fitter,
    ready: VecDeque<TimedPicture>,
    damaged: u64,
    other_sizes: u64,
    coded_size: Option<(u32, u32)>,
}

impl std::fmt::Debug for VideoDecoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VideoDecoder")
            .field("damaged", &self.damaged)
            .finish_non_exhaustive()
    }
}

impl VideoDecoder {
    /// Opens a decoder with `threads` threads, 0 for as many as its pictures need; they come out in
    /// `size`.
    pub(crate) fn open(
        stream: &ffmpeg::Stream<'_>,
        about: &VideoStream,
        size: (u32, u32),
        threads: u8,
    ) -> Result<Self, Error> {
        let action = || format!("decode {} video", about.codec);
        let threads = match threads {
            0 => crate::ladder::threads_to_decode(about.size, about.frame_rate),
            asked => asked,
        };
        let mut context = codec::Context::from_parameters(stream.parameters()).attempt(action)?;
        // SAFETY: plain fields of a context that is not open yet.
        unsafe {
            let context = context.as_mut_ptr();
            (*context).thread_count = i32::from(threads.max(1));
            (*context).thread_type = ffi::FF_THREAD_FRAME | ffi::FF_THREAD_SLICE;
        }
        let mut context = context.decoder();
        context.set_packet_time_base(stream.time_base());
        let codec = decoder::find(about.id).ok_or(ffmpeg::Error::DecoderNotFound);
        let codec = codec.attempt(action)?;
        let decoder = context.open_as(codec).attempt(action)?;
        let rotation = about.rotation;
        Ok(Self {
            decoder,
            time_base: about.time_base,
            sample_aspect: about.sample_aspect,
            deinterlacer: Deinterlacer::new(),
            rotator: (rotation != Rotation::NONE).then(|| Rotator::new(rotation)),
            fitter: Fitter::new(size),
            ready: VecDeque::new(),
            damaged: 0,
            other_sizes: 0,
            coded_size: None,
        })
    }

    /// Packets and pictures that could not be decoded so far.
    pub fn damaged(&self) -> u64 {
        self.damaged
    }

    /// How often the coded size changed so far.
    pub fn size_changes(&self) -> u64 {
        self.other_sizes
    }

    /// Takes a packet; pictures that are ready then come from [`VideoDecoder::next`].
    pub fn push(&mut self, packet: &CodedPacket) -> Result<(), Error> {
        for _ in 0..2 {
            match self.decoder.send_packet(packet.packet()) {
                Ok(()) => break,
                Err(e) if is_again(&e) => self.receive()?,
                Err(_) => {
                    self.damaged += 1;
                    break;
                }
            }
        }
        self.receive()
    }

    /// No more packets come.
    pub fn finish(&mut self) -> Result<(), Error> {
        if self.decoder.send_eof().is_ok() {
            self.receive()?;
        }
        for (picture, pts) in self.deinterlacer.finish()? {
            self.put_right(picture, pts)?;
        }
        Ok(())
    }

    /// The next picture in presentation order, if one is ready.
    #[allow(clippy::should_implement_trait, reason = "more may come after `None`")]
    pub fn next(&mut self) -> Option<TimedPicture> {
        self.ready.pop_front()
    }

    fn receive(&mut self) -> Result<(), Error> {
        loop {
            let mut frame = frame::Video::empty();
            let base: &mut frame::Frame = &mut frame;
            match self.decoder.receive_frame(base) {
                Ok(()) => {}
                Err(e) if is_again(&e) || e == ffmpeg::Error::Eof => return Ok(()),
                Err(_) => {
                    self.damaged += 1;
                    return Ok(());
                }
            }
            let Some(time) = frame.timestamp().or(frame.pts()) else {
                self.damaged += 1;
                continue;
            };
            let pts = to_ticks(time, media::VIDEO_TIMESCALE, self.time_base);
            self.note_size(&frame);
            for (picture, pts) in self.deinterlacer.push(Picture::from_frame(frame), pts)? {
                self.put_right(picture, pts)?;
            }
        }
    }

    fn note_size(&mut self, frame: &frame::Video) {
        let size = (frame.width(), frame.height());
        if self.coded_size.is_some_and(|coded| coded != size) {
            self.other_sizes += 1;
        }
        self.coded_size = Some(size);
    }

    fn put_right(&mut self, mut picture: Picture, pts: i64) -> Result<(), Error> {
        picture.assume_color();
        // What the container says of the pixels counts where the pictures say nothing.
        let mut color = picture.color();
        if color.sample_aspect.0 <= 0 {
            color.sample_aspect = self.sample_aspect;
            picture.set_color(color);
        }
        let upright = match &mut self.rotator {
            Some(rotator) => rotator.run(&picture)?,
            None => picture,
        };
        let picture = self.fitter.run(&upright)?;
        self.ready.push_back(TimedPicture { picture, pts });
        Ok(())
    }
}

/// Puts pictures of any size and pixel shape into one size with square pixels.
struct Fitter {
    size: (u32, u32),
    scaler: Option<((u32, u32), Scaler)>,
    pool: Pool,
}

impl Fitter {
    fn new(size: (u32, u32)) -> Self {
        Self {
            size,
            scaler: None,
            pool: Pool::new(size.0, size.1),
        }
    }

    fn run(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let inner = inner_size(picture, self.size);
        let scaler = match &mut self.scaler {
            Some((of, scaler)) if *of == inner => scaler,
            other => &mut other.insert((inner, Scaler::new(inner.0, inner.1))).1,
        };
        let mut scaled = scaler.run(picture)?;
        if inner != self.size {
            scaled = self.frame(&scaled)?;
        }
        let mut color = picture.color();
        color.sample_aspect = (1, 1);
        color.range = scaled.color().range;
        // The samples may be shared with the decoder; what is said of them is not.
        let mut own = scaled.share()?;
        own.set_color(color);
        Ok(own)
    }

    /// `picture` in the middle of a black one.
    fn frame(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let mut out = self.pool.take()?;
        let (left, top) = (
            ((self.size.0 - picture.width()) / 4 * 2) as usize,
            ((self.size.1 - picture.height()) / 4 * 2) as usize,
        );
        for index in 0..3 {
            let (Some((from, stride)), Some(to)) = (picture.plane(index), out.plane_mut(index))
            else {
                continue;
            };
            to.data.fill(if index == 0 { 16 } else { 128 });
            let half = usize::from(index > 0);
            let (left, top) = (left >> half, top >> half);
            let width = (picture.width() as usize).div_ceil(1 + half);
            for (row, line) in from.chunks(stride).enumerate() {
                let at = (top + row) * to.stride + left;
                let count = width.min(to.width - left);
                if let (Some(to), Some(from)) = (to.data.get_mut(at..at + count), line.get(..count))
                {
                    to.copy_from_slice(from);
                }
            }
        }
        out.set_color(picture.color());
        let shared = out.share()?;
        self.pool.give(out);
        Ok(shared)
    }
}

/// The even size within `size` that keeps the shape in which `picture` is shown.
fn inner_size(picture: &Picture, size: (u32, u32)) -> (u32, u32) {
    let (num, den) = match picture.color().sample_aspect {
        (num, den) if num > 0 && den > 0 => (f64::from(num), f64::from(den)),
        _ => (1.0, 1.0),
    };
    let shape = f64::from(picture.width()) * num / (f64::from(picture.height().max(1)) * den);
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    let wanted = width / height;
    if (shape / wanted - 1.0).abs() <= SHAPE_TOLERANCE {
        return size;
    }
    let even = |value: f64, most: u32| ((value / 2.0).round() as u32 * 2).clamp(2, most.max(2));
    if shape > wanted {
        (size.0, even(width / shape, size.1))
    } else {
        (even(height * shape, size.0), size.1)
    }
}
