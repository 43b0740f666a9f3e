//! A picture on the whole sphere for comparing projections: grey frames on standard output.
//!
//! ```text
//! sphere_source WIDTH FRAMES even|quiet | ffmpeg -f rawvideo -pixel_format gray -video_size … -i - …
//! ```
//!
//! Each pixel is fractal noise taken at its direction in space, so no projection and no face edge
//! is part of the content, and the detail per octave falls as it does in photographs. A third of
//! the sphere, in blobs, turns at [`DEGREES_PER_FRAME`] about a tilted axis; the rest stands still,
//! as before a camera on a tripod. `even` has the same detail everywhere; `quiet` has little of it
//! around the poles, as under a sky and above a floor. Equal arguments give equal bytes.

use std::{io::Write, num::NonZeroUsize, process::ExitCode};

/// Detail from a wavelength of a radian down to about five pixels of a 3840 wide picture.
const OCTAVES: u32 = 8;
/// How much weaker each finer octave is.
const GAIN: f32 = 0.72;
/// Octaves that stay around quiet poles.
const COARSE_OCTAVES: u32 = 2;
/// What is left of the others there.
const QUIET: f32 = 0.12;
/// Ten degrees a second at 30 frames a second.
const DEGREES_PER_FRAME: f32 = 1.0 / 3.0;
/// Of coarse noise: about a third of it lies above.
const MOVES_ABOVE: f32 = 0.09;
const AXIS: [f32; 3] = [0.36, 0.8, 0.48];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match words.as_slice() {
        [width, frames, kind] => width
            .parse()
            .ok()
            .zip(frames.parse().ok())
            .filter(|_| ["even", "quiet"].contains(&kind.as_str()))
            .map(|(width, frames)| (width, frames, kind == "quiet")),
        _ => None,
    };
    let Some((width, frames, quiet)) = parsed else {
        eprintln!("usage: sphere_source WIDTH FRAMES even|quiet");
        return ExitCode::from(64);
    };
    match write(width, frames, quiet) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: cannot write the frames: {error}");
            ExitCode::FAILURE
        }
    }
}

fn write(width: usize, frames: u32, quiet: bool) -> std::io::Result<()> {
    let height = width / 2;
    let mut picture = vec![0; width * height];
    let mut moves = vec![false; width * height];
    let threads = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let rows = height.div_ceil(threads);
    let mut out = std::io::stdout().lock();
    for frame in 0..frames {
        std::thread::scope(|scope| {
            let parts = picture.chunks_mut(rows * width);
            let parts = parts.zip(moves.chunks_mut(rows * width)).enumerate();
            for (index, (pixels, moves)) in parts {
                let part = Part {
                    pixels,
                    moves,
                    from: index * rows,
                };
                scope.spawn(move || part.paint((width, height), frame, quiet));
            }
        });
        out.write_all(&picture)?;
    }
    out.flush()
}

/// Some rows of the picture.
struct Part<'a> {
    pixels: &'a mut [u8],
    moves: &'a mut [bool],
    /// The first row's number.
    from: usize,
}

impl Part<'_> {
    /// Paints all of the first frame, and of the others what moves.
    fn paint(self, (width, height): (usize, usize), frame: u32, quiet: bool) {
        let turn = (frame as f32 * DEGREES_PER_FRAME).to_radians();
        let pixels = self.pixels.iter_mut().zip(self.moves).enumerate();
        for (index, (pixel, moves)) in pixels {
            if frame > 0 && !*moves {
                continue;
            }
            let (x, y) = (index % width, self.from + index / width);
            let up = (0.5 - (y as f32 + 0.5) / height as f32) * std::f32::consts::PI;
            let along = ((x as f32 + 0.5) / width as f32 - 0.5) * std::f32::consts::TAU;
            let place = [up.cos() * along.sin(), up.sin(), up.cos() * along.cos()];
            *moves = noise(place.map(|v| v * 2.0 + 40.0)) > MOVES_ABOVE;
            let seen = if *moves { rotated(place, turn) } else { place };
            let detail = if quiet { detail_at(up) } else { 1.0 };
            *pixel = texture(seen, detail);
        }
    }
}

/// 1 around the horizon, [`QUIET`] from 60° up and down.
fn detail_at(latitude: f32) -> f32 {
    let away = ((latitude.to_degrees().abs() - 35.0) / 25.0).clamp(0.0, 1.0);
    1.0 - smooth(away) * (1.0 - QUIET)
}

fn texture(place: [f32; 3], detail: f32) -> u8 {
    let mut sum = 0.0;
    let mut strength = 1.0;
    let mut frequency = 1.3;
    for octave in 0..OCTAVES {
        let share = if octave < COARSE_OCTAVES { 1.0 } else { detail };
        let offset = octave as f32 * 17.3 + 100.0;
        sum += strength * share * noise(place.map(|v| v * frequency + offset));
        strength *= GAIN;
        frequency *= 2.0;
    }
    (126.0 + sum * 110.0).clamp(16.0, 235.0) as u8
}

/// By Rodrigues' formula.
fn rotated(v: [f32; 3], angle: f32) -> [f32; 3] {
    let (sin, cos) = angle.sin_cos();
    let [a, b, c] = AXIS;
    let along = (a * v[0] + b * v[1] + c * v[2]) * (1.0 - cos);
    let cross = [
        b * v[2] - c * v[1],
        c * v[0] - a * v[2],
        a * v[1] - b * v[0],
    ];
    std::array::from_fn(|axis| v[axis] * cos + cross[axis] * sin + AXIS[axis] * along)
}

/// Gradient noise, about -0.7 to 0.7. Places are positive.
fn noise(place: [f32; 3]) -> f32 {
    let cell = place.map(|v| v as i32);
    let inside: [f32; 3] = std::array::from_fn(|axis| place[axis] - cell[axis] as f32);
    let [u, v, w] = inside.map(smooth);
    let corner = |x: i32, y: i32, z: i32| {
        let hash = hash(cell[0] + x, cell[1] + y, cell[2] + z);
        let [a, b, c] = [
            inside[0] - x as f32,
            inside[1] - y as f32,
            inside[2] - z as f32,
        ];
        let signed = |value: f32, bit: u32| if hash >> bit & 1 == 0 { value } else { -value };
        // Towards one of the twelve edges of a cube.
        match hash >> 8 & 3 {
            0 => signed(a, 0) + signed(b, 1),
            1 => signed(a, 0) + signed(c, 1),
            2 => signed(b, 0) + signed(c, 1),
            _ => signed(a, 0) + signed(b, 1),
        }
    };
    let mix = |a: f32, b: f32, share: f32| a + (b - a) * share;
    let row = |y, z| mix(corner(0, y, z), corner(1, y, z), u);
    mix(
        mix(row(0, 0), row(1, 0), v),
        mix(row(0, 1), row(1, 1), v),
        w,
    )
}

fn smooth(t: f32) -> f32 {
    t * t * t * (t * (t * 6.0 - 15.0) + 10.0)
}

fn hash(x: i32, y: i32, z: i32) -> u32 {
    let mixed = (x as u32).wrapping_mul(0x9e37_79b1)
        ^ (y as u32).wrapping_mul(0x85eb_ca77)
        ^ (z as u32).wrapping_mul(0xc2b2_ae3d);
    let mixed = (mixed ^ mixed >> 15).wrapping_mul(0x2c1b_3c6d);
    let mixed = (mixed ^ mixed >> 12).wrapping_mul(0x297a_2d39);
    mixed ^ mixed >> 15
}
