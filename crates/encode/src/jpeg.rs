//! Pictures -> JPEG files, for posters and thumbnails.

use bytes::Bytes;
use ffmpeg_next::{self as ffmpeg, Packet, Rational, codec, color, encoder, format::Pixel};

use crate::{Error, Picture, error::Attempt, scale::Scaler};

/// Quantiser scale, 2 (best) to 31: 5 is about what cameras call fine.
const QUALITY: i32 = 5;

/// A JPEG of `picture`, scaled down to `width` (even) where it is wider.
pub fn encode(picture: &Picture, width: u32) -> Result<Bytes, Error> {
    crate::init();
    let width = width.min(picture.width()).max(16) & !1;
    let high = u64::from(picture.height()) * u64::from(width);
    let pairs = high / (2 * u64::from(picture.width().max(1)));
    let height = u32::try_from(pairs * 2).unwrap_or(u32::MAX).max(16);
    let mut scaled = Scaler::new(width, height).run(picture)?;
    let codec = encoder::find(codec::Id::MJPEG).ok_or_else(|| Error::NoEncoder {
        name: "mjpeg".to_owned(),
        available: "no JPEG encoder".to_owned(),
    })?;
    let mut video = codec::Context::new_with_codec(codec)
        .encoder()
        .video()
        .attempt(|| "use the JPEG encoder for pictures".to_owned())?;
    video.set_width(width);
    video.set_height(height);
    // The old name for full-range 4:2:0 is the one that every FFmpeg version takes.
    video.set_format(Pixel::YUVJ420P);
    video.set_color_range(color::Range::JPEG);
    video.set_time_base(Rational(1, 25));
    video.set_flags(codec::Flags::QSCALE);
    video.set_global_quality(QUALITY * ffmpeg::ffi::FF_QP2LAMBDA);
    let action = || format!("write a JPEG of {width}x{height}");
    let mut encoder = video.open_as(codec).attempt(action)?;
    let mut full = crate::scale::Converter::new(Pixel::YUVJ420P).run(&scaled)?;
    if scaled.frame().color_range() == color::Range::JPEG {
        // Its samples have the full range already, whatever the layout's name.
        std::mem::swap(&mut full, &mut scaled);
        full = full.share()?;
        full.frame_mut().set_format(Pixel::YUVJ420P);
    }
    let frame = full.frame_mut();
    frame.set_pts(Some(0));
    encoder.send_frame(frame).attempt(action)?;
    encoder.send_eof().attempt(action)?;
    let mut packet = Packet::empty();
    encoder.receive_packet(&mut packet).attempt(action)?;
    Ok(Bytes::copy_from_slice(packet.data().unwrap_or_default()))
}
