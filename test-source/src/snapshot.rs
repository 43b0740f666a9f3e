//! Writes one picture as a binary PPM file, to look at the scene without a stream.

use std::{io::Write, time::Duration};

use crate::{Config, Error, Words, console::Reading, picture::Painter};

/// Writes the picture of `unix` to `out`.
pub fn write(config: &Config, unix: Duration, out: &mut impl Write) -> Result<(), SnapshotError> {
    config.check().map_err(Error::from)?;
    let (width, height) = (config.width, config.height());
    let words = Words {
        title: config.title.clone(),
        subtitle: format!("{} | {width}X{height}", config.projection),
    };
    let mut painter = Painter::new(width, height, &config.immersive(), &words);
    let mut picture = painter.picture().map_err(Error::from)?;
    let note = format!("{} FPS", config.frame_rate);
    let reading = Reading {
        unix,
        frame: 0,
        note: &note,
    };
    painter.show(&mut picture, &reading);
    let mut rgb = Vec::with_capacity(width as usize * height as usize * 3);
    let planes = [0, 1, 2].map(|index| picture.plane(index));
    let [Some(luma), Some(blue), Some(red)] = planes else {
        return Ok(());
    };
    for y in 0..height as usize {
        for x in 0..width as usize {
            let at = |(data, stride): (&[u8], usize), x: usize, y: usize| {
                f32::from(data.get(y * stride + x).copied().unwrap_or(128))
            };
            let luma = (at(luma, x, y) - 16.0) * 255.0 / 219.0;
            let blue = (at(blue, x / 2, y / 2) - 128.0) * 255.0 / 224.0;
            let red = (at(red, x / 2, y / 2) - 128.0) * 255.0 / 224.0;
            // BT.709.
            rgb.push((luma + 1.5748 * red) as u8);
            rgb.push((luma - 0.1873 * blue - 0.4681 * red) as u8);
            rgb.push((luma + 1.8556 * blue) as u8);
        }
    }
    write!(out, "P6\n{width} {height}\n255\n")?;
    out.write_all(&rgb)?;
    Ok(())
}

/// Why there is no picture.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SnapshotError {
    /// It cannot be drawn.
    #[error(transparent)]
    Draw(#[from] Error),
    /// It cannot be written.
    #[error("cannot write the picture: {0}")]
    Write(#[from] std::io::Error),
}
