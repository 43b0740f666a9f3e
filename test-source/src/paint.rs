//! Paints shapes on a canvas around the viewer, an equirectangular picture in RGB.

use crate::{glyphs::Text, sphere::Point};

/// Red, green, blue, 0 to 255.
pub type Rgb = [f32; 3];

/// The canvas.
#[derive(Clone, Debug)]
pub struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<Rgb>,
}

impl Canvas {
    /// A black canvas, half as high as wide.
    pub fn new(width: usize) -> Self {
        let height = width / 2;
        Self {
            width,
            height,
            pixels: vec![[0.0; 3]; width * height],
        }
    }

    /// Degrees of one pixel.
    pub fn dot(&self) -> f64 {
        360.0 / self.width as f64
    }

    /// Paints every pixel within the bounds (degrees; longitude may pass 180): the shape gives
    /// colour and how much of the pixel it covers, 0 to 1.
    pub fn paint(
        &mut self,
        longitudes: (f64, f64),
        latitudes: (f64, f64),
        shape: impl Fn(Point) -> (Rgb, f64),
    ) {
        let dot = self.dot();
        let row = |latitude: f64| ((90.0 - latitude) / dot).clamp(0.0, self.height as f64) as usize;
        let columns = (longitudes.1 - longitudes.0).min(360.0) / dot;
        let first = ((longitudes.0 + 180.0) / dot).floor();
        for y in row(latitudes.1)..row(latitudes.0 - dot).min(self.height) {
            let latitude = 90.0 - (y as f64 + 0.5) * dot;
            for step in 0..columns.ceil() as usize {
                let x = (first + step as f64).rem_euclid(self.width as f64);
                let longitude = (x + 0.5) * dot - 180.0;
                let (colour, cover) = shape(Point {
                    longitude,
                    latitude,
                });
                if cover > 0.0 {
                    self.blend(x as usize, y, colour, cover as f32);
                }
            }
        }
    }

    /// Writes a line of text, upright and undistorted for whoever looks at `at`.
    pub fn write(&mut self, at: Point, text: &Text, colour: Rgb) {
        let reach = text.width() / 2.0 + text.height();
        let top = (at.latitude.abs() + reach).min(90.0);
        let wide = if top > 80.0 {
            180.0
        } else {
            reach / top.to_radians().cos()
        };
        let dot = self.dot();
        let rows = text.height() * 1.2 + reach * at.latitude.abs() / 90.0;
        self.paint(
            (at.longitude - wide, at.longitude + wide),
            (at.latitude - rows, at.latitude + rows),
            |point| match tangent(at, point) {
                Some((x, y)) => (colour, text.ink(x, y, dot)),
                None => (colour, 0.0),
            },
        );
    }

    /// The colour at a place of the canvas, from 0 to 1, blended from its four neighbours.
    pub fn sample(&self, point: Point) -> Rgb {
        let x = (point.longitude + 180.0) / self.dot() - 0.5;
        let y = ((90.0 - point.latitude) / self.dot() - 0.5).clamp(0.0, (self.height - 1) as f64);
        let (left, top) = (x.floor(), y.floor());
        let (right_share, lower_share) = ((x - left) as f32, (y - top) as f32);
        let column = |x: f64| x.rem_euclid(self.width as f64) as usize;
        let lower = (top as usize + 1).min(self.height - 1);
        let row = |y: usize| {
            let (a, b) = (self.at(column(left), y), self.at(column(left + 1.0), y));
            mix(a, b, right_share)
        };
        mix(row(top as usize), row(lower), lower_share)
    }

    fn at(&self, x: usize, y: usize) -> Rgb {
        self.pixels[(y * self.width + x).min(self.pixels.len() - 1)]
    }

    fn blend(&mut self, x: usize, y: usize, colour: Rgb, cover: f32) {
        if let Some(pixel) = self.pixels.get_mut(y * self.width + x) {
            *pixel = mix(*pixel, colour, cover);
        }
    }
}

/// `share` of `b` in `a`.
pub fn mix(a: Rgb, b: Rgb, share: f32) -> Rgb {
    std::array::from_fn(|i| a[i] + (b[i] - a[i]) * share)
}

/// How much of a dot at `distance` from a line is covered by the line, `half` its half width.
pub fn line(distance: f64, half: f64, dot: f64) -> f64 {
    ((half - distance.abs()) / dot + 0.5).clamp(0.0, 1.0)
}

/// Degrees between two points.
pub fn angle(a: Point, b: Point) -> f64 {
    let (lat_a, lat_b) = (a.latitude.to_radians(), b.latitude.to_radians());
    let dlon = (a.longitude - b.longitude).to_radians();
    let (dlat, half) = ((lat_a - lat_b) / 2.0, dlon / 2.0);
    let h = dlat.sin().powi(2) + lat_a.cos() * lat_b.cos() * half.sin().powi(2);
    2.0 * h.sqrt().min(1.0).asin().to_degrees()
}

/// Where `point` lies on the plane that touches the sphere at `at`: degrees right and up.
fn tangent(at: Point, point: Point) -> Option<(f64, f64)> {
    let (sin_at, cos_at) = at.latitude.to_radians().sin_cos();
    let (sin, cos) = point.latitude.to_radians().sin_cos();
    let (sin_lon, cos_lon) = (point.longitude - at.longitude).to_radians().sin_cos();
    let depth = sin_at * sin + cos_at * cos * cos_lon;
    if depth < 0.3 {
        return None;
    }
    let x = cos * sin_lon / depth;
    let y = (cos_at * sin - sin_at * cos * cos_lon) / depth;
    Some((x.to_degrees(), y.to_degrees()))
}
