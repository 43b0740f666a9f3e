//! Makes posters and thumbnails: decodes keyframes, scales them and writes JPEG.
//!
//! A keyframe needs nothing before it, so each is decoded on its own and nothing else is.
//! What this does not do: choose keyframes, or name the pictures.

use bytes::Bytes;
use ffmpeg_next::{self as ffmpeg, Dictionary, Packet, Rational, codec, encoder, format::Pixel};
use media::{AccessUnit, Track};

use crate::{
    Error, Picture,
    decode::Decoder,
    error::Attempt,
    scale::{Converter, Scaler},
};

/// MJPEG's quantiser: 2 is best, 31 worst. At 5 a thumbnail has some 0.1 bytes per pixel and no
/// visible blocks.
const QUANTISER: u32 = 5;

/// Decodes single keyframes of one track to one size.
pub struct Stills {
    decoder: Decoder,
    scaler: Scaler,
}

impl std::fmt::Debug for Stills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stills")
    }
}

impl Stills {
    /// Opens a decoder for `track`; pictures come out `width` by `height`.
    pub fn open(track: &Track, width: u32, height: u32) -> Result<Self, Error> {
        let video = track.as_video().ok_or(Error::Track("stills need video"))?;
        let decoder = Decoder::open(&video.config, 1)?;
        Ok(Self {
            decoder,
            scaler: Scaler::new(width, height),
        })
    }

    /// The picture of a keyframe; `None` where it cannot be decoded.
    pub fn take(&mut self, keyframe: &AccessUnit) -> Result<Option<Picture>, Error> {
        let decoded = self
            .decoder
            .send(&keyframe.payload, 0)
            .and_then(|_| self.decoder.send_end())
            .and_then(|()| self.decoder.receive());
        // After its end a decoder takes new units only once it was flushed.
        self.decoder.flush();
        match decoded {
            Ok(Some((picture, _))) => self.scaler.run(&picture).map(Some),
            Ok(None) | Err(ffmpeg::Error::InvalidData) => Ok(None),
            Err(error) => Err(error).attempt(|| "decode a still".to_owned()),
        }
    }
}

/// Puts pictures of one size side by side, `columns` in a row; what is left over is black.
pub fn sheet(pictures: &[Picture], columns: u32) -> Result<Picture, Error> {
    let columns = columns.max(1);
    let first = pictures
        .first()
        .ok_or(Error::Track("a sheet needs a picture"))?;
    let (width, height) = (first.width(), first.height());
    let rows = u32::try_from(pictures.len())
        .unwrap_or(u32::MAX)
        .div_ceil(columns);
    let mut sheet = Picture::new(width * columns, height.saturating_mul(rows))?;
    for index in 0..3 {
        let Some(plane) = sheet.plane_mut(index) else {
            continue;
        };
        plane.data.fill(if index == 0 { 16 } else { 128 });
        let (cell_width, cell_height) = (
            plane.width / columns as usize,
            plane.height / rows.max(1) as usize,
        );
        for (n, picture) in pictures.iter().enumerate() {
            let Some((from, stride)) = picture.plane(index) else {
                continue;
            };
            let (column, row) = (n % columns as usize, n / columns as usize);
            for y in 0..cell_height {
                let to = (row * cell_height + y) * plane.stride + column * cell_width;
                let source = from
                    .get(y * stride..)
                    .and_then(|line| line.get(..cell_width));
                let target = plane
                    .data
                    .get_mut(to..)
                    .and_then(|line| line.get_mut(..cell_width));
                if let (Some(source), Some(target)) = (source, target) {
                    target.copy_from_slice(source);
                }
            }
        }
    }
    Ok(sheet)
}

/// A picture as JPEG.
pub fn jpeg(picture: &Picture) -> Result<Bytes, Error> {
    crate::init();
    let action = || format!("make a JPEG of {}x{}", picture.width(), picture.height());
    let codec = encoder::find(codec::Id::MJPEG).ok_or(ffmpeg::Error::EncoderNotFound);
    let codec = codec.attempt(action)?;
    let full_range = Converter::new(Pixel::YUVJ420P).run(picture)?;
    let context = codec::Context::new_with_codec(codec);
    let mut video = context.encoder().video().attempt(action)?;
    video.set_width(picture.width());
    video.set_height(picture.height());
    video.set_format(Pixel::YUVJ420P);
    video.set_time_base(Rational(1, 1));
    let mut options = Dictionary::new();
    options.set("qmin", &QUANTISER.to_string());
    options.set("qmax", &QUANTISER.to_string());
    options.set("threads", "1");
    let mut opened = video.open_as_with(codec, options).attempt(action)?;
    let mut packet = Packet::empty();
    opened
        .send_frame(full_range.frame())
        .and_then(|()| opened.send_eof())
        .and_then(|()| opened.receive_packet(&mut packet))
        .attempt(action)?;
    Ok(Bytes::copy_from_slice(packet.data().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::video;

    fn grey(width: u32, height: u32, luma: u8) -> Picture {
        let mut picture = Picture::new(width, height).unwrap();
        for index in 0..3 {
            let value = if index == 0 { luma } else { 128 };
            picture.plane_mut(index).unwrap().data.fill(value);
        }
        picture
    }

    #[test]
    fn every_keyframe_gives_its_own_picture_in_the_size_asked_for() {
        let mut encoder =
            video::Encoder::new(video::Config::new(64, 32, (25, 1), 200_000)).unwrap();
        let mut units = Vec::new();
        for n in 0..6 {
            units.extend(
                encoder
                    .encode(&grey(64, 32, 40 + n * 30), n % 2 == 0)
                    .unwrap(),
            );
        }
        let track = encoder.track().clone();
        units.extend(encoder.finish().unwrap());
        let mut stills = Stills::open(&track, 32, 16).unwrap();
        let keyframes = units
            .iter()
            .filter(|unit| unit.is_sync())
            .collect::<Vec<_>>();
        assert_eq!(keyframes.len(), 3);
        let mut lumas = Vec::new();
        for keyframe in keyframes {
            let picture = stills.take(keyframe).unwrap().unwrap();
            assert_eq!((picture.width(), picture.height()), (32, 16));
            lumas.push(picture.plane(0).unwrap().0[0]);
        }
        assert!(
            lumas.windows(2).all(|pair| pair[0] + 30 < pair[1]),
            "{lumas:?}"
        );
        let broken = AccessUnit {
            payload: Bytes::from_static(&[0, 0, 0, 9, 1]),
            ..units[0].clone()
        };
        assert!(stills.take(&broken).unwrap().is_none());
        assert!(stills.take(&units[0]).unwrap().is_some());
    }

    #[test]
    fn a_sheet_has_its_pictures_in_rows_and_a_jpeg_is_one() {
        let pictures = [grey(16, 16, 50), grey(16, 16, 100), grey(16, 16, 150)];
        let sheet = sheet(&pictures, 2).unwrap();
        assert_eq!((sheet.width(), sheet.height()), (32, 32));
        let (luma, stride) = sheet.plane(0).unwrap();
        let at = |x: usize, y: usize| luma[y * stride + x];
        assert_eq!(
            [at(0, 0), at(31, 15), at(0, 31), at(31, 31)],
            [50, 100, 150, 16]
        );
        let bytes = jpeg(&sheet).unwrap();
        assert!(bytes.starts_with(&[0xff, 0xd8]) && bytes.ends_with(&[0xff, 0xd9]));
    }
}
