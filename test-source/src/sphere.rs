//! Converts points on the sphere to places in a picture and back, for every projection.
//!
//! Pictures are measured from 0 to 1 to the right and down. Axes as in FFmpeg's `v360`, so that a
//! picture drawn here converts there without turning: x right, y down, z ahead.

use std::f64::consts::{FRAC_PI_2, FRAC_PI_4};

use media::{Immersive, Projection, StereoLayout};

/// A direction, in degrees: 0, 0 is straight ahead, longitude grows to the right, latitude upwards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// -180 to 180.
    pub longitude: f64,
    /// -90 to 90.
    pub latitude: f64,
}

/// Whose picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eye {
    /// Both eyes' (mono).
    Both,
    /// The left eye's.
    Left,
    /// The right eye's.
    Right,
}

/// A part of the frame, from 0 to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Region {
    /// Whose picture it holds.
    pub eye: Eye,
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
}

/// The eyes' parts of a frame, left first.
pub fn regions(stereo: StereoLayout) -> Vec<Region> {
    let region = |eye, x, y, width, height| Region {
        eye,
        x,
        y,
        width,
        height,
    };
    match stereo {
        StereoLayout::Mono => vec![region(Eye::Both, 0.0, 0.0, 1.0, 1.0)],
        StereoLayout::TopBottom => vec![
            region(Eye::Left, 0.0, 0.0, 1.0, 0.5),
            region(Eye::Right, 0.0, 0.5, 1.0, 0.5),
        ],
        StereoLayout::SideBySide => vec![
            region(Eye::Left, 0.0, 0.0, 0.5, 1.0),
            region(Eye::Right, 0.5, 0.0, 0.5, 1.0),
        ],
        StereoLayout::RightLeft => vec![
            region(Eye::Left, 0.5, 0.0, 0.5, 1.0),
            region(Eye::Right, 0.0, 0.0, 0.5, 1.0),
        ],
    }
}

/// Where a point lies in the frame (its left eye's picture); `None` where the frame does not show
/// it.
pub fn place(immersive: &Immersive, point: Point) -> Option<(f64, f64)> {
    let (x, y) = place_in_eye(immersive.projection, point)?;
    let region = regions(immersive.stereo).into_iter().next()?;
    Some((region.x + x * region.width, region.y + y * region.height))
}

/// Which point an eye's picture shows at a place; `None` outside the projected area.
pub fn point(projection: Projection, x: f64, y: f64) -> Option<Point> {
    let vector = match projection {
        Projection::Equirectangular => {
            return Some(Point {
                longitude: (x - 0.5) * 360.0,
                latitude: (0.5 - y) * 180.0,
            });
        }
        Projection::HalfEquirectangular => {
            return Some(Point {
                longitude: (x - 0.5) * 180.0,
                latitude: (0.5 - y) * 180.0,
            });
        }
        Projection::Cubemap => {
            let (face, u, v) = cell(x, y);
            FACES_CUBEMAP[face].vector(u, v)
        }
        Projection::EquiAngularCubemap => {
            let (face, u, v) = cell(x, y);
            let (u, v) = ((u * FRAC_PI_4).tan(), (v * FRAC_PI_4).tan());
            FACES_EAC[face].vector(u, v)
        }
        Projection::DualFisheye => fisheye(x, y)?,
        Projection::Rectilinear => [2.0 * x - 1.0, 2.0 * y - 1.0, 1.0],
    };
    Some(direction(vector))
}

fn place_in_eye(projection: Projection, point: Point) -> Option<(f64, f64)> {
    let vector = vector(point);
    match projection {
        Projection::Equirectangular => {
            Some((point.longitude / 360.0 + 0.5, 0.5 - point.latitude / 180.0))
        }
        Projection::HalfEquirectangular => (point.longitude.abs() <= 90.0)
            .then_some((point.longitude / 180.0 + 0.5, 0.5 - point.latitude / 180.0)),
        Projection::Cubemap => on_faces(&FACES_CUBEMAP, vector, |value| value),
        Projection::EquiAngularCubemap => {
            on_faces(&FACES_EAC, vector, |value| value.atan() / FRAC_PI_4)
        }
        Projection::DualFisheye => {
            let [x, y, z] = vector;
            let flat = x.hypot(y).max(f64::MIN_POSITIVE);
            let radius = z.abs().min(1.0).acos() / FRAC_PI_2;
            // The left circle looks back, so right and left change places there.
            let side = if z < 0.0 { -1.0 } else { 1.0 };
            let u = side * x / flat * radius;
            let v = y / flat * radius;
            let offset = if z < 0.0 { 0.0 } else { 0.5 };
            Some((offset + (u + 1.0) / 4.0, (v + 1.0) / 2.0))
        }
        Projection::Rectilinear => {
            let [x, y, z] = vector;
            let (u, v) = (x / z, y / z);
            let inside = z > 0.0 && u.abs() <= 1.0 && v.abs() <= 1.0;
            inside.then_some(((u + 1.0) / 2.0, (v + 1.0) / 2.0))
        }
    }
}

/// A cube's face: the directions in which its picture's u and v grow, and the one it looks in.
struct Face {
    right: [f64; 3],
    down: [f64; 3],
    ahead: [f64; 3],
}

impl Face {
    fn vector(&self, u: f64, v: f64) -> [f64; 3] {
        std::array::from_fn(|axis| self.ahead[axis] + u * self.right[axis] + v * self.down[axis])
    }
}

const fn face(right: [f64; 3], down: [f64; 3], ahead: [f64; 3]) -> Face {
    Face { right, down, ahead }
}

const RIGHT: [f64; 3] = [1.0, 0.0, 0.0];
const LEFT: [f64; 3] = [-1.0, 0.0, 0.0];
const DOWN: [f64; 3] = [0.0, 1.0, 0.0];
const UP: [f64; 3] = [0.0, -1.0, 0.0];
const AHEAD: [f64; 3] = [0.0, 0.0, 1.0];
const BACK: [f64; 3] = [0.0, 0.0, -1.0];

/// Right, left, up; down, front, back.
const FACES_CUBEMAP: [Face; 6] = [
    face(BACK, DOWN, RIGHT),
    face(AHEAD, DOWN, LEFT),
    face(RIGHT, AHEAD, UP),
    face(RIGHT, BACK, DOWN),
    face(RIGHT, DOWN, AHEAD),
    face(LEFT, DOWN, BACK),
];

/// Left, front, right; down, back and up, lying on their sides.
const FACES_EAC: [Face; 6] = [
    face(AHEAD, DOWN, LEFT),
    face(RIGHT, DOWN, AHEAD),
    face(BACK, DOWN, RIGHT),
    face(BACK, LEFT, DOWN),
    face(UP, LEFT, BACK),
    face(AHEAD, LEFT, UP),
];

/// Which of the 3 x 2 faces a place is in, and where in it, from -1 to 1.
fn cell(x: f64, y: f64) -> (usize, f64, f64) {
    let (x, y) = (x.clamp(0.0, 1.0) * 3.0, y.clamp(0.0, 1.0) * 2.0);
    let (column, row) = (x.floor().min(2.0), y.floor().min(1.0));
    let index = column as usize + 3 * row as usize;
    (index, (x - column) * 2.0 - 1.0, (y - row) * 2.0 - 1.0)
}

fn on_faces(faces: &[Face; 6], vector: [f64; 3], bend: fn(f64) -> f64) -> Option<(f64, f64)> {
    let dot = |a: [f64; 3]| a[0] * vector[0] + a[1] * vector[1] + a[2] * vector[2];
    let nearest =
        |a: &(usize, &Face), b: &(usize, &Face)| dot(a.1.ahead).total_cmp(&dot(b.1.ahead));
    let (index, face) = faces.iter().enumerate().max_by(nearest)?;
    let depth = dot(face.ahead);
    let u = bend(dot(face.right) / depth).clamp(-1.0, 1.0);
    let v = bend(dot(face.down) / depth).clamp(-1.0, 1.0);
    let (column, row) = ((index % 3) as f64, (index / 3) as f64);
    Some((
        (column + (u + 1.0) / 2.0) / 3.0,
        (row + (v + 1.0) / 2.0) / 2.0,
    ))
}

fn fisheye(x: f64, y: f64) -> Option<[f64; 3]> {
    let (side, x) = if x < 0.5 { (-1.0, x) } else { (1.0, x - 0.5) };
    let (u, v) = (x * 4.0 - 1.0, y * 2.0 - 1.0);
    let radius = u.hypot(v);
    if radius > 1.0 {
        return None;
    }
    let (flat, depth) = (radius * FRAC_PI_2).sin_cos();
    let scale = flat / radius.max(f64::MIN_POSITIVE);
    Some([side * u * scale, v * scale, side * depth])
}

fn vector(point: Point) -> [f64; 3] {
    let (sin_lon, cos_lon) = point.longitude.to_radians().sin_cos();
    let (sin_lat, cos_lat) = point.latitude.to_radians().sin_cos();
    [cos_lat * sin_lon, -sin_lat, cos_lat * cos_lon]
}

fn direction([x, y, z]: [f64; 3]) -> Point {
    Point {
        longitude: x.atan2(z).to_degrees(),
        latitude: (-y).atan2(x.hypot(z)).to_degrees(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_projection_places_its_points_back() {
        for projection in Projection::ALL {
            for i in 0..40 {
                for j in 0..40 {
                    let (x, y) = (0.0125 + f64::from(i) / 40.0, 0.0125 + f64::from(j) / 40.0);
                    let Some(point) = point(*projection, x, y) else {
                        continue;
                    };
                    let (u, v) = place_in_eye(*projection, point).unwrap();
                    let off = (u - x).abs().max((v - y).abs());
                    assert!(off < 1e-9, "{projection} {x} {y}: {point:?} {u} {v}");
                }
            }
        }
    }

    #[test]
    fn straight_ahead_is_where_players_look() {
        let ahead = Point {
            longitude: 0.0,
            latitude: 0.0,
        };
        let at = |projection| place_in_eye(projection, ahead).unwrap();
        let near = |(x, y): (f64, f64), (u, v): (f64, f64)| {
            assert!((x - u).abs() < 1e-9 && (y - v).abs() < 1e-9, "{x} {y}");
        };
        near(at(Projection::Equirectangular), (0.5, 0.5));
        near(at(Projection::HalfEquirectangular), (0.5, 0.5));
        near(at(Projection::Cubemap), (0.5, 0.75));
        near(at(Projection::EquiAngularCubemap), (0.5, 0.25));
        near(at(Projection::DualFisheye), (0.75, 0.5));
        near(at(Projection::Rectilinear), (0.5, 0.5));
    }

    #[test]
    fn stereo_layouts_put_the_left_eye_where_their_name_says() {
        let ahead = Point {
            longitude: 0.0,
            latitude: 0.0,
        };
        for (stereo, expected) in [
            (StereoLayout::Mono, (0.5, 0.5)),
            (StereoLayout::TopBottom, (0.5, 0.25)),
            (StereoLayout::SideBySide, (0.25, 0.5)),
            (StereoLayout::RightLeft, (0.75, 0.5)),
        ] {
            let immersive = Immersive {
                stereo,
                ..Immersive::default()
            };
            assert_eq!(place(&immersive, ahead), Some(expected));
        }
    }
}
