//! Draws what changes with every picture: blocks, timecode, a sweep of one second, the flash.
//!
//! It is grey throughout, so that a new picture needs new luma only, and only here. The canvas is
//! laid out in degrees and copied into each projection through a table made once.

use std::time::Duration;

use crate::{
    blocks::{self, Stamp},
    calendar,
    glyphs::{ADVANCE, Text},
    paint::{Canvas, Rgb, line},
};

/// Left edge in degrees of longitude; the right one is opposite.
pub const LEFT: f64 = -40.5;
/// Top edge in degrees of latitude.
pub const TOP: f64 = -3.0;
/// Bottom edge.
pub const BOTTOM: f64 = -27.0;

const BLACK: u8 = 16;
const WHITE: u8 = 235;
const PANEL: u8 = 30;
const RIM: u8 = 110;
const DIM: u8 = 160;
/// Longitude and latitude of the sweep's middle; the lamp is opposite.
const DISC: (f64, f64) = (-32.5, -10.5);
const DISC_RADIUS: f64 = 5.4;
/// Middle of the timecode, and of the line below.
const CLOCK_LATITUDE: f64 = -20.3;
const NOTE_LATITUDE: f64 = -24.6;
/// Letters' heights.
const CLOCK_HEIGHT: f64 = 3.4;
const NOTE_HEIGHT: f64 = 1.7;
/// The flash and the beep last this long from each full second on.
pub const FLASH: Duration = Duration::from_millis(100);

/// Clears the console's place on the scene: neutral grey has no colour to update.
pub fn paint(canvas: &mut Canvas) {
    let grey: Rgb = [f32::from(PANEL - 16) * 255.0 / 219.0; 3];
    canvas.paint((LEFT, -LEFT), (BOTTOM, TOP), |point| {
        let inside = point.longitude.abs() <= -LEFT;
        (grey, f64::from(u8::from(inside)))
    });
}

/// What one picture shows.
#[derive(Clone, Debug)]
pub struct Reading<'a> {
    /// Unix time of the picture.
    pub unix: Duration,
    /// Its number.
    pub frame: u64,
    /// Small print beside the number.
    pub note: &'a str,
}

/// The luma of the console's rectangle.
#[derive(Debug)]
pub struct Console {
    width: usize,
    height: usize,
    dot: f64,
    luma: Vec<u8>,
    clock: Glyphs,
    small: Glyphs,
    /// Where in the second each pixel of the sweep is, 0 to 255; `None` outside of it.
    sweep: Vec<(usize, u8)>,
    lamp: Vec<usize>,
}

impl Console {
    /// A console for a canvas with pixels of `dot` degrees.
    pub fn new(dot: f64) -> Self {
        let width = (-2.0 * LEFT / dot).round() as usize;
        let height = ((TOP - BOTTOM) / dot).round() as usize;
        let mut console = Self {
            width,
            height,
            dot,
            luma: vec![PANEL; width * height],
            clock: Glyphs::new(CLOCK_HEIGHT, dot),
            small: Glyphs::new(NOTE_HEIGHT, dot),
            sweep: Vec::new(),
            lamp: Vec::new(),
        };
        console.frame();
        console.discs();
        console
    }

    /// Index of the pixel that shows this direction.
    pub fn index(&self, longitude: f64, latitude: f64) -> Option<usize> {
        let x = ((longitude - LEFT) / self.dot).floor();
        let y = ((TOP - latitude) / self.dot).floor();
        let inside = x >= 0.0 && y >= 0.0 && x < self.width as f64 && y < self.height as f64;
        inside.then_some(y as usize * self.width + x as usize)
    }

    /// The luma, row by row.
    pub fn luma(&self) -> &[u8] {
        &self.luma
    }

    /// Redraws what changes.
    pub fn show(&mut self, reading: &Reading<'_>) {
        let stamp = Stamp {
            unix_ms: u64::try_from(reading.unix.as_millis()).unwrap_or(u64::MAX),
            frame: (reading.frame % 4096) as u16,
        };
        self.draw_blocks(stamp);
        let within = reading.unix.subsec_nanos() as f64 / 1e9;
        for (index, at) in &self.sweep {
            let passed = f64::from(*at) / 256.0 <= within;
            self.luma[*index] = if passed { 190 } else { 44 };
        }
        let lit = within < FLASH.as_secs_f64();
        for index in &self.lamp {
            self.luma[*index] = if lit { WHITE } else { 44 };
        }
        let clock = calendar::timecode(reading.unix);
        let clock_glyphs = &self.clock;
        write(
            &mut self.luma,
            self.width,
            clock_glyphs,
            &clock,
            self.dot,
            CLOCK_LATITUDE,
        );
        let note = format!(
            "UTC   FRAME {:07}   {}",
            reading.frame % 10_000_000,
            reading.note
        );
        write(
            &mut self.luma,
            self.width,
            &self.small,
            &note,
            self.dot,
            NOTE_LATITUDE,
        );
    }

    fn draw_blocks(&mut self, stamp: Stamp) {
        let blocks = stamp.blocks();
        let side = blocks::BLOCK_DEGREES / self.dot;
        let (left, top) = self.corner();
        for (index, white) in blocks.into_iter().enumerate() {
            let (row, column) = (index / blocks::COLUMNS, index % blocks::COLUMNS);
            let edge = |start: f64, n: usize| (start + side * n as f64).round() as usize;
            let columns = edge(left, column)..edge(left, column + 1);
            for y in edge(top, row)..edge(top, row + 1) {
                let from = y * self.width;
                if let Some(row) = self.luma.get_mut(from + columns.start..from + columns.end) {
                    row.fill(if white { WHITE } else { BLACK });
                }
            }
        }
    }

    /// Left and top of the blocks, in pixels.
    fn corner(&self) -> (f64, f64) {
        let left = (blocks::LEFT_DEGREES - LEFT) / self.dot;
        (left, (TOP - blocks::TOP_DEGREES) / self.dot)
    }

    /// Rim of the panel, and black around the blocks.
    fn frame(&mut self) {
        let (left, top) = self.corner();
        let side = blocks::BLOCK_DEGREES / self.dot;
        let margin = 0.75 / self.dot;
        let right = left + side * blocks::COLUMNS as f64;
        let bottom = top + side * blocks::ROWS as f64;
        let rim = (0.18 / self.dot).max(1.0) as usize;
        for y in 0..self.height {
            for x in 0..self.width {
                let (fx, fy) = (x as f64 + 0.5, y as f64 + 0.5);
                let quiet = fx > left - margin
                    && fx < right + margin
                    && fy > top - margin
                    && fy < bottom + margin;
                let edge = x.min(y).min(self.width - 1 - x).min(self.height - 1 - y) < rim;
                let value = match (quiet, edge) {
                    (true, _) => BLACK,
                    (_, true) => RIM,
                    _ => continue,
                };
                self.luma[y * self.width + x] = value;
            }
        }
    }

    fn discs(&mut self) {
        for y in 0..self.height {
            for x in 0..self.width {
                let longitude = LEFT + (x as f64 + 0.5) * self.dot;
                let latitude = TOP - (y as f64 + 0.5) * self.dot;
                let left = longitude < 0.0;
                let (dx, dy) = (longitude.abs() + DISC.0, latitude - DISC.1);
                let dx = if left { -dx } else { dx };
                let off = dx.hypot(dy);
                let index = y * self.width + x;
                let ring = line(off - DISC_RADIUS, 0.22, self.dot);
                if ring > 0.0 {
                    let value = f64::from(PANEL) + ring * f64::from(DIM - PANEL);
                    self.luma[index] = value as u8;
                }
                if off > DISC_RADIUS - 0.7 {
                    continue;
                }
                if left {
                    // Clockwise from the top.
                    let turn = (dx.atan2(dy) / std::f64::consts::TAU).rem_euclid(1.0);
                    self.sweep.push((index, (turn * 256.0) as u8));
                } else {
                    self.lamp.push(index);
                }
            }
        }
    }
}

/// Letters of one height, drawn once: 0 to 255 of ink.
#[derive(Debug)]
struct Glyphs {
    width: usize,
    height: usize,
    /// By ASCII code.
    letters: Vec<Vec<u8>>,
}

impl Glyphs {
    fn new(degrees: f64, dot: f64) -> Self {
        let width = (degrees * ADVANCE / dot).round().max(1.0) as usize;
        let height = (degrees * 1.3 / dot).round().max(1.0) as usize;
        let letters = (0..128u8).map(|code| {
            let text = Text::new(&char::from(code).to_string(), degrees);
            let ink = |index: usize| {
                let x = ((index % width) as f64 + 0.5 - width as f64 / 2.0) * dot;
                let y = (height as f64 / 2.0 - (index / width) as f64 - 0.5) * dot;
                (text.ink(x, y, dot) * 255.0) as u8
            };
            (0..width * height).map(ink).collect()
        });
        Self {
            width,
            height,
            letters: letters.collect(),
        }
    }
}

/// Writes a line around the middle of the console.
fn write(luma: &mut [u8], width: usize, glyphs: &Glyphs, text: &str, dot: f64, latitude: f64) {
    let length = text.len() * glyphs.width;
    let Some(left) = width.checked_sub(length) else {
        return;
    };
    let middle = ((TOP - latitude) / dot) as usize;
    let top = middle.saturating_sub(glyphs.height / 2);
    for (place, code) in text.bytes().enumerate() {
        let Some(letter) = glyphs.letters.get(usize::from(code)) else {
            continue;
        };
        let x = left / 2 + place * glyphs.width;
        for (row, ink) in letter.chunks_exact(glyphs.width).enumerate() {
            let from = (top + row) * width + x;
            let Some(pixels) = luma.get_mut(from..from + glyphs.width) else {
                return;
            };
            for (pixel, ink) in pixels.iter_mut().zip(ink) {
                let share = u32::from(*ink) * u32::from(WHITE - PANEL) / 255;
                *pixel = PANEL + share as u8;
            }
        }
    }
}
