//! Makes encoder pictures of scene and console: the scene is projected once, the console for each.

use encode::Picture;
use media::{Immersive, Projection};

use crate::{
    console::{Console, Reading},
    paint::{Canvas, Rgb},
    scene::{self, Words},
    sphere,
};

/// The scene is painted at most this wide, in pixels: 8K all around.
const CANVAS_WIDTH_MAX: usize = 8192;

/// Planes in 4:2:0, BT.709, limited range.
#[derive(Clone, Debug)]
struct Planes {
    luma: Vec<u8>,
    blue: Vec<u8>,
    red: Vec<u8>,
}

/// Draws pictures of one size and layout.
#[derive(Debug)]
pub struct Painter {
    width: usize,
    height: usize,
    still: Planes,
    console: Console,
    /// Which pixel of the console goes where in the luma plane.
    copies: Vec<(u32, u32)>,
}

impl Painter {
    /// Paints the scene; takes a second or so for 4K.
    pub fn new(width: u32, height: u32, immersive: &Immersive, words: &Words) -> Self {
        let (width, height) = (width as usize, height as usize);
        let canvas_width = canvas_width(width, immersive);
        let mut painter = Self {
            width,
            height,
            still: Planes {
                luma: vec![16; width * height],
                blue: vec![128; width.div_ceil(2) * height.div_ceil(2)],
                red: vec![128; width.div_ceil(2) * height.div_ceil(2)],
            },
            console: Console::new(360.0 / canvas_width as f64),
            copies: Vec::new(),
        };
        for region in sphere::regions(immersive.stereo) {
            let canvas = scene::paint(canvas_width, words, region.eye, immersive.projection);
            painter.project(&canvas, immersive.projection, region);
        }
        painter
    }

    /// The picture's width and height.
    pub fn size(&self) -> (usize, usize) {
        (self.width, self.height)
    }

    /// A new picture with the scene on it.
    pub fn picture(&self) -> Result<Picture, encode::Error> {
        let mut picture = Picture::new(self.width as u32, self.height as u32)?;
        let planes = [&self.still.luma, &self.still.blue, &self.still.red];
        for (index, still) in planes.into_iter().enumerate() {
            if let Some(plane) = picture.plane_mut(index) {
                let rows = plane.data.chunks_mut(plane.stride);
                for (to, from) in rows.zip(still.chunks_exact(plane.width)) {
                    to[..from.len()].copy_from_slice(from);
                }
            }
        }
        Ok(picture)
    }

    /// Draws what changes on a picture that has the scene. `false` if it is still in use elsewhere.
    pub fn show(&mut self, picture: &mut Picture, reading: &Reading<'_>) -> bool {
        let Some(plane) = picture.plane_mut(0) else {
            return false;
        };
        self.console.show(reading);
        let luma = self.console.luma();
        let (width, stride) = (self.width as u32, plane.stride);
        for (to, from) in &self.copies {
            let at = (to / width) as usize * stride + (to % width) as usize;
            if let (Some(to), Some(from)) = (plane.data.get_mut(at), luma.get(*from as usize)) {
                *to = *from;
            }
        }
        true
    }

    /// Moving grain in the lowest eighth of the picture: it makes the encoder spend its bit rate.
    pub fn grain(&self, picture: &mut Picture, frame: u64) {
        let Some(plane) = picture.plane_mut(0) else {
            return;
        };
        let from = self.height * 7 / 8 * plane.stride;
        let mut noise = frame.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        for samples in plane.data.get_mut(from..).unwrap_or_default().chunks_mut(8) {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            for (sample, value) in samples.iter_mut().zip(noise.to_le_bytes()) {
                *sample = 48 + value / 2;
            }
        }
    }

    fn project(&mut self, canvas: &Canvas, projection: Projection, region: sphere::Region) {
        let (left, top) = (region.x * self.width as f64, region.y * self.height as f64);
        let (columns, rows) = (
            region.width * self.width as f64,
            region.height * self.height as f64,
        );
        let mut chroma = vec![[0.0f32; 3]; self.still.blue.len()];
        let half = self.width.div_ceil(2);
        for row in 0..rows as usize {
            for column in 0..columns as usize {
                let (x, y) = (left as usize + column, top as usize + row);
                let place = ((column as f64 + 0.5) / columns, (row as f64 + 0.5) / rows);
                let Some(point) = sphere::point(projection, place.0, place.1) else {
                    continue;
                };
                let colour = canvas.sample(point);
                let index = y * self.width + x;
                self.still.luma[index] = luma(colour);
                let sum = &mut chroma[y / 2 * half + x / 2];
                let (blue, red) = differences(colour);
                *sum = [sum[0] + blue, sum[1] + red, sum[2] + 1.0];
                if let Some(from) = self.console.index(point.longitude, point.latitude) {
                    self.copies.push((index as u32, from as u32));
                }
            }
        }
        for (index, [blue, red, count]) in chroma.into_iter().enumerate() {
            if count > 0.0 {
                self.still.blue[index] = (128.5 + blue / count) as u8;
                self.still.red[index] = (128.5 + red / count) as u8;
            }
        }
    }
}

/// As many pixels around as the picture shows straight ahead.
fn canvas_width(width: usize, immersive: &Immersive) -> usize {
    let region = sphere::regions(immersive.stereo);
    let share = region.first().map_or(1.0, |region| region.width);
    let eye = width as f64 * share;
    let around = match immersive.projection {
        Projection::Equirectangular | Projection::DualFisheye => eye,
        Projection::HalfEquirectangular => eye * 2.0,
        Projection::Cubemap | Projection::EquiAngularCubemap => eye * 4.0 / 3.0,
        Projection::Rectilinear => eye * 3.0,
    };
    (around as usize).clamp(64, CANVAS_WIDTH_MAX)
}

fn luma([red, green, blue]: Rgb) -> u8 {
    let value = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    (16.5 + value * 219.0 / 255.0) as u8
}

fn differences([red, green, blue]: Rgb) -> (f32, f32) {
    let value = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
    let scale = 224.0 / 255.0;
    (
        (blue - value) / 1.8556 * scale,
        (red - value) / 1.5748 * scale,
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use media::StereoLayout;

    use super::*;
    use crate::blocks::{self, Luma, Stamp};

    #[test]
    fn blocks_are_read_back_from_every_projection_and_stereo_layout() {
        let words = Words {
            title: "PANOCAST".to_owned(),
            subtitle: "TEST".to_owned(),
        };
        let stereo = StereoLayout::ALL
            .iter()
            .map(|stereo| (Projection::default(), *stereo));
        let mono = Projection::ALL.iter().map(|all| (*all, StereoLayout::Mono));
        for (projection, stereo) in mono.chain(stereo) {
            let immersive = Immersive {
                projection,
                stereo,
                ..Immersive::default()
            };
            let (width, height) = (640, 320);
            let mut painter = Painter::new(width, height, &immersive, &words);
            let mut picture = painter.picture().unwrap();
            let reading = Reading {
                unix: Duration::from_millis(1_795_241_312_345),
                frame: 5_000,
                note: "30 FPS",
            };
            assert!(painter.show(&mut picture, &reading));
            let (data, stride) = picture.plane(0).unwrap();
            let luma = Luma {
                data,
                width: width as usize,
                height: height as usize,
                stride,
            };
            let stamp = Stamp {
                unix_ms: 1_795_241_312_345,
                frame: 904,
            };
            let read = blocks::read(luma, &immersive);
            assert_eq!(read, Some(stamp), "{projection} {stereo}");
        }
    }

    #[test]
    fn a_picture_in_use_is_not_drawn_on() {
        let words = Words {
            title: String::new(),
            subtitle: String::new(),
        };
        let mut painter = Painter::new(128, 64, &Immersive::default(), &words);
        let mut picture = painter.picture().unwrap();
        let other = picture.share().unwrap();
        let reading = Reading {
            unix: Duration::ZERO,
            frame: 0,
            note: "",
        };
        assert!(!painter.show(&mut picture, &reading));
        drop(other);
        assert!(painter.show(&mut picture, &reading));
    }
}
