//! Pictures of one size or layout -> another.

use ffmpeg_next::{
    format::Pixel,
    software::scaling::{Context, Flags},
};

use crate::{Error, Picture, error::Attempt};

/// Changes the sample layout and keeps the size.
pub(crate) struct Converter {
    format: Pixel,
    context: Option<(u32, u32, Context)>,
}

impl Converter {
    pub(crate) fn new(format: Pixel) -> Self {
        Self {
            format,
            context: None,
        }
    }

    pub(crate) fn run(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let (width, height) = (picture.width(), picture.height());
        let stale = !matches!(&self.context, Some((w, h, c))
            if (*w, *h) == (width, height) && c.input().format == picture.frame().format());
        let from = picture.frame().format();
        if stale {
            let action = || format!("convert {from:?} to {:?}", self.format);
            let context = Context::get(
                from,
                width,
                height,
                self.format,
                width,
                height,
                Flags::BILINEAR,
            );
            self.context = Some((width, height, context.attempt(action)?));
        }
        let mut out = Picture::with_format(self.format, width, height)?;
        if let Some((_, _, context)) = &mut self.context {
            let scaled = context.run(picture.frame(), out.frame_mut());
            scaled.attempt(|| format!("convert a picture of {width}x{height}"))?;
        }
        Ok(out)
    }
}
