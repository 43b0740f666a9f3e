//! Scales pictures and converts their sample layout.

use ffmpeg_next::{
    color::Range,
    format::Pixel,
    software::scaling::{Context, Flags},
};

use crate::{
    Error, Picture,
    downscale_half::{self, HalfDownscaler},
    error::Attempt,
    picture::Pool,
};

/// Scales to one size, and to planar 4:2:0 with 8 bits whatever comes in.
pub(crate) struct Scaler {
    width: u32,
    height: u32,
    pool: Pool,
    half_downscaler: HalfDownscaler,
    context: Swscale,
}

impl Scaler {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            pool: Pool::new(width, height),
            half_downscaler: HalfDownscaler::default(),
            context: Swscale(None),
        }
    }

    /// `picture` in this scaler's size; the same samples where it has that already.
    pub(crate) fn run(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let same_size = (picture.width(), picture.height()) == (self.width, self.height);
        if same_size && picture.frame().format() == Pixel::YUV420P {
            return picture.share();
        }
        let mut out = self.pool.take()?;
        if self.downscale_half(picture, &mut out).is_none() {
            let to = (Pixel::YUV420P, self.width, self.height);
            self.context.resize(picture, &mut out, to, Flags::BICUBIC)?;
        }
        let shared = out.share()?;
        self.pool.give(out);
        Ok(shared)
    }
}

impl Scaler {
    /// Fills `out` where it has exactly half the size; `None` where it has not.
    fn downscale_half(&mut self, picture: &Picture, out: &mut Picture) -> Option<()> {
        let is_half = picture.width() == self.width * 2 && picture.height() == self.height * 2;
        // A full-range picture stays one: `color` says so.
        let is_planar = matches!(picture.frame().format(), Pixel::YUV420P | Pixel::YUVJ420P);
        // Odd sizes have chroma planes that are not exactly halved.
        if !is_half || !is_planar || self.width % 2 + self.height % 2 > 0 {
            return None;
        }
        for index in 0..3 {
            let (data, stride) = picture.plane(index)?;
            let plane = out.plane_mut(index)?;
            let to = downscale_half::To {
                data: plane.data,
                stride: plane.stride,
                width: plane.width,
                height: plane.height,
            };
            self.half_downscaler
                .run(downscale_half::From { data, stride }, to)?;
        }
        out.set_color(picture.color());
        Some(())
    }
}

/// Changes the sample layout and keeps the size.
pub(crate) struct Converter {
    format: Pixel,
    context: Swscale,
}

impl Converter {
    pub(crate) fn new(format: Pixel) -> Self {
        Self {
            format,
            context: Swscale(None),
        }
    }

    pub(crate) fn run(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let (width, height) = (picture.width(), picture.height());
        let mut out = Picture::with_format(self.format, width, height)?;
        let to = (self.format, width, height);
        self.context
            .resize(picture, &mut out, to, Flags::BILINEAR)?;
        Ok(out)
    }
}

/// swscale's context for the sizes and layouts last seen.
struct Swscale(Option<Context>);

// SAFETY: the context is memory of its own that is tied to no thread, and only its one owner uses
// it.
unsafe impl Send for Swscale {}

impl Swscale {
    fn resize(
        &mut self,
        picture: &Picture,
        out: &mut Picture,
        to: (Pixel, u32, u32),
        flags: Flags,
    ) -> Result<(), Error> {
        let from = (picture.frame().format(), picture.width(), picture.height());
        let fits = |c: &Context| {
            let (input, output) = (c.input(), c.output());
            (input.format, input.width, input.height) == from
                && (output.format, output.width, output.height) == to
        };
        let action = || format!("scale {from:?} to {to:?}");
        let ready = match self.0.take().filter(fits) {
            Some(ready) => ready,
            None => {
                Context::get(from.0, from.1, from.2, to.0, to.1, to.2, flags).attempt(action)?
            }
        };
        let scaled = self.0.insert(ready).run(picture.frame(), out.frame_mut());
        scaled.attempt(action)?;
        let mut color = picture.color();
        if is_full_range_layout(from.0) && !is_full_range_layout(to.0) {
            // swscale converts these, and only these.
            color.range = Range::MPEG;
        }
        out.set_color(color);
        Ok(())
    }
}

/// Layouts whose very name means full range.
fn is_full_range_layout(format: Pixel) -> bool {
    matches!(
        format,
        Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P
    )
}
