//! Holds one uncompressed picture in planar 4:2:0 with 8 bits: what decoders fill, scalers resize
//! and encoders take.
//!
//! A picture is a counted reference to FFmpeg's buffer, so that handing one to several threads
//! copies no samples.

use ffmpeg_next::{ffi, format::Pixel, frame};

use crate::{
    Error,
    color::ColorInfo,
    error::{Attempt, check},
};

/// The largest picture side, in pixels (H.264 level 6.2 ends at 16,384 x 8,192).
pub const SIDE_PIXELS_MAX: u32 = media::avc::SIDE_PIXELS_MAX;

/// The smallest picture side an encoder is given: one macroblock.
pub const SIDE_PIXELS_MIN: u32 = 16;

/// One uncompressed picture, planar YUV 4:2:0 with 8 bits.
pub struct Picture {
    frame: frame::Video,
}

/// The samples of one plane of a [`Picture`].
#[derive(Debug)]
pub struct Plane<'a> {
    /// Rows of `stride` bytes; the first `width` of each are samples.
    pub data: &'a mut [u8],
    /// Bytes from one row to the next, at least `width`.
    pub stride: usize,
    /// Samples per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({}x{})", self.width(), self.height())
    }
}

impl Picture {
    /// A new picture with undefined samples.
    pub fn new(width: u32, height: u32) -> Result<Self, Error> {
        Self::with_format(Pixel::YUV420P, width, height)
    }

    pub(crate) fn with_format(format: Pixel, width: u32, height: u32) -> Result<Self, Error> {
        check_side("width", width)?;
        check_side("height", height)?;
        let mut frame = frame::Video::empty();
        // SAFETY: the frame was just made and has no buffer; sizes are in range.
        let code = unsafe {
            if frame.as_ptr().is_null() {
                ffi::AVERROR(libc::ENOMEM)
            } else {
                frame.set_format(format);
                frame.set_width(width);
                frame.set_height(height);
                ffi::av_frame_get_buffer(frame.as_mut_ptr(), 0)
            }
        };
        check(code).attempt(|| format!("allocate a picture of {width}x{height}"))?;
        Ok(Self { frame })
    }

    pub(crate) fn from_frame(frame: frame::Video) -> Self {
        Self { frame }
    }

    pub(crate) fn frame(&self) -> &frame::Video {
        &self.frame
    }

    pub(crate) fn frame_mut(&mut self) -> &mut frame::Video {
        &mut self.frame
    }

    pub(crate) fn color(&self) -> ColorInfo {
        ColorInfo::of(&self.frame)
    }

    pub(crate) fn set_color(&mut self, color: ColorInfo) {
        self.frame.set_color_range(color.range);
        self.frame.set_color_space(color.space);
        self.frame.set_color_primaries(color.primaries);
        self.frame.set_color_transfer_characteristic(color.transfer);
        let (num, den) = color.sample_aspect;
        // SAFETY: a plain field of a valid frame.
        unsafe {
            (*self.frame.as_mut_ptr()).sample_aspect_ratio = ffi::AVRational { num, den };
        }
    }

    /// Names the colours that players assume where the source names none.
    pub(crate) fn assume_color(&mut self) {
        let color = self.color().or_assumed(self.height());
        self.set_color(color);
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.frame.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.frame.height()
    }

    /// The luma (0), Cb (1) or Cr (2) plane to write. `None` for another index, and while the
    /// picture is shared.
    pub fn plane_mut(&mut self, index: usize) -> Option<Plane<'_>> {
        let shared = !self.is_sole_owner();
        if index > 2 || shared || self.frame.planes() <= index {
            return None;
        }
        let (width, height) = (
            self.frame.plane_width(index),
            self.frame.plane_height(index),
        );
        let (width, height) = (width as usize, height as usize);
        let stride = self.frame.stride(index);
        // SAFETY: as in `plane`; nobody else refers to the samples (checked above) and `self` is
        // borrowed mutably.
        let data = unsafe {
            let start = (*self.frame.as_ptr()).data[index];
            std::slice::from_raw_parts_mut(start, plane_bytes(stride, width, height))
        };
        Some(Plane {
            data,
            stride,
            width,
            height,
        })
    }

    /// The luma (0), Cb (1) or Cr (2) plane: its samples and its stride. `None` for another index.
    pub fn plane(&self, index: usize) -> Option<(&[u8], usize)> {
        if index >= self.frame.planes().min(3) {
            return None;
        }
        let (width, height) = (
            self.frame.plane_width(index),
            self.frame.plane_height(index),
        );
        let stride = self.frame.stride(index);
        // SAFETY: FFmpeg allocated the plane with `height` rows of `stride` bytes, of which a
        // cropped picture may start inside; so the slice ends with the last sample of the last row,
        // not with that row's stride.
        let data = unsafe {
            let start = (*self.frame.as_ptr()).data[index];
            std::slice::from_raw_parts(start, plane_bytes(stride, width as usize, height as usize))
        };
        Some((data, stride))
    }

    /// Another reference to the same samples.
    pub fn share(&self) -> Result<Self, Error> {
        let mut frame = frame::Video::empty();
        // SAFETY: both frames are valid, the new one is empty; FFmpeg counts the reference.
        let code = unsafe {
            if frame.as_ptr().is_null() {
                ffi::AVERROR(libc::ENOMEM)
            } else {
                ffi::av_frame_ref(frame.as_mut_ptr(), self.frame.as_ptr())
            }
        };
        check(code).attempt(|| "share a picture".to_owned())?;
        Ok(Self { frame })
    }

    /// No other reference to the samples exists, so they may be overwritten.
    pub(crate) fn is_sole_owner(&self) -> bool {
        // SAFETY: the call only reads reference counts; FFmpeg declares the pointer mutable for
        // history's sake.
        unsafe { ffi::av_frame_is_writable(self.frame.as_ptr().cast_mut()) > 0 }
    }
}

/// Bytes from a plane's first sample to its last.
fn plane_bytes(stride: usize, width: usize, height: usize) -> usize {
    stride * height.saturating_sub(1) + width.min(stride)
}

fn check_side(what: &'static str, pixels: u32) -> Result<(), Error> {
    if (1..=SIDE_PIXELS_MAX).contains(&pixels) {
        Ok(())
    } else {
        let reason = format!("pictures have 1 to {SIDE_PIXELS_MAX} pixels a side");
        Err(Error::setting(what, pixels, reason))
    }
}

/// Pictures of one size that are written again once nobody looks at them any more.
///
/// Fresh 4K pictures cost page faults (3,000 each), which is more than scaling into them.
pub(crate) struct Pool {
    width: u32,
    height: u32,
    pictures: Vec<Picture>,
}

/// Pictures a pool keeps: more than all queues behind it hold at once is never needed.
const POOL_PICTURES_MAX: usize = 64;

impl Pool {
    pub(crate) fn new(width: u32, height: u32) -> Self {
        Self {
            width,
            height,
            pictures: Vec::new(),
        }
    }

    /// A picture nobody else refers to, with undefined samples.
    pub(crate) fn take(&mut self) -> Result<Picture, Error> {
        if let Some(free) = self.pictures.iter().position(Picture::is_sole_owner) {
            return Ok(self.pictures.swap_remove(free));
        }
        Picture::new(self.width, self.height)
    }

    /// Keeps `picture`, whose other references are in use, for when they are gone.
    pub(crate) fn give(&mut self, picture: Picture) {
        if self.pictures.len() < POOL_PICTURES_MAX {
            self.pictures.push(picture);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_samples_cannot_be_written() {
        let mut picture = Picture::new(32, 16).unwrap();
        assert_eq!(
            picture.plane_mut(1).map(|p| (p.width, p.height)),
            Some((16, 8))
        );
        let other = picture.share().unwrap();
        assert!(picture.plane_mut(0).is_none());
        drop(other);
        assert!(picture.plane_mut(0).is_some() && picture.plane_mut(3).is_none());
    }

    #[test]
    fn a_pool_hands_out_only_free_pictures() {
        let mut pool = Pool::new(32, 16);
        let first = pool.take().unwrap();
        let shared = first.share().unwrap();
        let address = first.plane(0).map(|(data, _)| data.as_ptr());
        pool.give(first);
        let second = pool.take().unwrap();
        assert_ne!(second.plane(0).map(|(data, _)| data.as_ptr()), address);
        drop(shared);
        let third = pool.take().unwrap();
        assert_eq!(third.plane(0).map(|(data, _)| data.as_ptr()), address);
    }
}
