//! Paints what never changes: sky and ground, the grid with its degrees, colour bars, names of the
//! directions.

use media::Projection;

use crate::{
    console,
    glyphs::Text,
    paint::{Canvas, Rgb, angle, line, mix},
    sphere::{Eye, Point},
};

const SKY_LOW: Rgb = [58.0, 88.0, 130.0];
const SKY_HIGH: Rgb = [14.0, 22.0, 48.0];
const GROUND_NEAR: Rgb = [12.0, 13.0, 18.0];
const GROUND_FAR: Rgb = [40.0, 44.0, 52.0];
const INK: Rgb = [236.0, 240.0, 245.0];
const SOFT: Rgb = [168.0, 184.0, 204.0];
const HORIZON: Rgb = [255.0, 176.0, 64.0];
const MERIDIAN: Rgb = [72.0, 214.0, 196.0];

/// 75 % bars (ITU-R BT.471): white, yellow, cyan, green, magenta, red, blue, black.
const BARS: [Rgb; 8] = [
    [191.0, 191.0, 191.0],
    [191.0, 191.0, 0.0],
    [0.0, 191.0, 191.0],
    [0.0, 191.0, 0.0],
    [191.0, 0.0, 191.0],
    [191.0, 0.0, 0.0],
    [0.0, 0.0, 191.0],
    [0.0, 0.0, 0.0],
];
/// Three sets of bars go round; the middle of one is straight ahead.
const BAR_DEGREES: f64 = 15.0;
const BARS_LOW: f64 = 24.0;
const BARS_HIGH: f64 = 40.0;
const RAMP_LOW: f64 = 21.0;

/// Where words stand on the meridian straight ahead and behind, it makes room for them.
const BEHIND_WORDS: [(f64, f64); 4] = [(0.3, 20.0), (43.0, 61.0), (-29.5, -3.0), (88.0, 90.0)];

/// Words on the scene.
#[derive(Clone, Debug)]
pub struct Words {
    /// Large, straight ahead.
    pub title: String,
    /// Small, below the title.
    pub subtitle: String,
}

/// Paints the scene as `eye` sees it.
pub fn paint(width: usize, words: &Words, eye: Eye, projection: Projection) -> Canvas {
    let mut canvas = Canvas::new(width);
    let dot = canvas.dot();
    let everywhere = ((-180.0, 180.0), (-90.0, 90.0));
    canvas.paint(everywhere.0, everywhere.1, |point| {
        (ground(point, dot), 1.0)
    });
    canvas.paint((-180.0, 180.0), (RAMP_LOW, BARS_HIGH), |point| {
        (bars(point), 1.0)
    });
    circles(&mut canvas, projection);
    degrees(&mut canvas);
    directions(&mut canvas);
    titles(&mut canvas, words, eye);
    console::paint(&mut canvas);
    canvas
}

fn ground(point: Point, dot: f64) -> Rgb {
    let height = (point.latitude.abs() / 90.0) as f32;
    let base = if point.latitude >= 0.0 {
        mix(SKY_LOW, SKY_HIGH, (height * 1.15).min(1.0))
    } else {
        mix(GROUND_FAR, GROUND_NEAR, (height * 1.4).min(1.0))
    };
    let mut colour = base;
    for (step, share, half) in [(10.0, 0.16, 0.05), (30.0, 0.38, 0.08)] {
        let cover = grid(point, step, half, dot) as f32;
        colour = mix(colour, INK, cover * share);
    }
    let shrink = point.latitude.to_radians().cos();
    let meridian = line(point.longitude * shrink, 0.14, dot).max(line(
        (180.0 - point.longitude.abs()) * shrink,
        0.14,
        dot,
    ));
    let written = BEHIND_WORDS
        .iter()
        .any(|(low, high)| (*low..*high).contains(&point.latitude));
    if !written {
        colour = mix(colour, MERIDIAN, meridian as f32 * 0.8);
    }
    mix(colour, HORIZON, line(point.latitude, 0.16, dot) as f32)
}

/// Lines of equal latitude and longitude; near the poles only as many as have room.
fn grid(point: Point, step: f64, half: f64, dot: f64) -> f64 {
    let off = |value: f64, step: f64| value - (value / step).round() * step;
    let parallel = line(off(point.latitude, step), half, dot);
    let shrink = point.latitude.to_radians().cos();
    let room = match step * shrink {
        room if room > 1.7 => step,
        _ => 90.0,
    };
    let meridian = line(off(point.longitude, room) * shrink, half, dot);
    parallel.max(meridian)
}

fn bars(point: Point) -> Rgb {
    let along = (point.longitude + 60.0).rem_euclid(120.0);
    if point.latitude < BARS_LOW {
        // Eleven steps of grey.
        let level = (along / 120.0 * 11.0).floor() / 10.0;
        return [(level * 255.0).min(255.0) as f32; 3];
    }
    let index = (along / BAR_DEGREES) as usize;
    BARS.get(index).copied().unwrap_or(BARS[7])
}

/// Circles that look round wherever the projection is right.
fn circles(canvas: &mut Canvas, projection: Projection) {
    let dot = canvas.dot();
    let mut centres = vec![(90.0, 0.0), (-90.0, 0.0), (180.0, 0.0)];
    if projection == Projection::HalfEquirectangular {
        centres.clear();
    }
    for (longitude, latitude) in centres {
        let centre = Point {
            longitude,
            latitude,
        };
        canvas.paint(
            (longitude - 20.0, longitude + 20.0),
            (-20.0, 20.0),
            |point| {
                let off = angle(centre, point);
                let ring = line(off - 18.0, 0.14, dot).max(line(off - 9.0, 0.09, dot));
                (SOFT, ring * 0.75)
            },
        );
    }
    for pole in [90.0, -90.0] {
        let centre = Point {
            longitude: 0.0,
            latitude: pole,
        };
        let rows = if pole > 0.0 {
            (70.0, 90.0)
        } else {
            (-90.0, -70.0)
        };
        canvas.paint((-180.0, 180.0), rows, |point| {
            (SOFT, line(angle(centre, point) - 18.0, 0.14, dot) * 0.75)
        });
    }
}

fn degrees(canvas: &mut Canvas) {
    for longitude in (-180_i32..180).step_by(30) {
        let text = match longitude {
            0 | -180 => format!("{}\u{b0}", longitude.abs()),
            east if east > 0 => format!("{east}\u{b0}E"),
            west => format!("{}\u{b0}W", -west),
        };
        let at = Point {
            longitude: f64::from(longitude),
            latitude: 1.9,
        };
        canvas.write(at, &Text::new(&text, 1.7), INK);
    }
    for longitude in [-135.0, -45.0, 45.0, 135.0] {
        for latitude in [-60, -30, 60] {
            let side = if latitude > 0 { 'N' } else { 'S' };
            let text = format!("{}\u{b0}{side}", i32::abs(latitude));
            let at = Point {
                longitude,
                latitude: f64::from(latitude) + 1.8,
            };
            canvas.write(at, &Text::new(&text, 1.7), SOFT);
        }
    }
}

fn directions(canvas: &mut Canvas) {
    for (longitude, name) in [
        (0.0, "FRONT"),
        (90.0, "RIGHT"),
        (180.0, "BACK"),
        (-90.0, "LEFT"),
    ] {
        let at = Point {
            longitude,
            latitude: 47.0,
        };
        canvas.write(at, &Text::new(name, 5.0), INK);
        if longitude != 0.0 {
            let at = Point {
                longitude,
                latitude: -26.0,
            };
            canvas.write(at, &Text::new(name, 5.0), SOFT);
        }
    }
    for (latitude, name) in [(90.0, "UP"), (-90.0, "DOWN")] {
        let at = Point {
            longitude: 0.0,
            latitude,
        };
        canvas.write(at, &Text::new(name, 6.0), INK);
    }
}

fn titles(canvas: &mut Canvas, words: &Words, eye: Eye) {
    let mut line = |latitude: f64, text: &str, height: f64, colour: Rgb| {
        let at = Point {
            longitude: 0.0,
            latitude,
        };
        canvas.write(at, &Text::new(text, height), colour);
    };
    line(14.0, &words.title, 5.2, INK);
    line(8.0, &words.subtitle, 2.2, SOFT);
    match eye {
        Eye::Both => {}
        Eye::Left => line(55.5, "L", 8.0, [255.0, 96.0, 96.0]),
        Eye::Right => line(55.5, "R", 8.0, [96.0, 160.0, 255.0]),
    }
}
