//! Turns pictures upright that are stored lying on a side or mirrored.
//!
//! A phone stores what its sensor gives and says in the container how to hold it. Whoever encodes
//! the pictures anew has to turn them, because what delivers them says nothing of the kind.

use ffmpeg_next::format::Pixel;

use crate::{Error, Picture, Plane, picture::Pool, scale::Converter};

/// Samples of a side of the square that is turned at a time: two such squares fit the fastest cache
/// together.
const TILE: usize = 32;

/// How to hold a picture: by quarters, mirrored or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// Rows become columns.
    swaps: bool,
    /// The upright picture's columns come from the right, or from below where rows become columns.
    flips_x: bool,
    /// The upright picture's rows come from below, or from the right where rows become columns.
    flips_y: bool,
}

impl Rotation {
    /// Upright as it is.
    pub const NONE: Self = Self {
        swaps: false,
        flips_x: false,
        flips_y: false,
    };

    /// From the four numbers of a display matrix (ISO 14496-12 §8.3.2) that turn: a stored sample
    /// at `(p, q)` is shown at `(a·p + c·q, b·p + d·q)`. `None` where that is not by quarters.
    pub fn from_matrix(a: i32, b: i32, c: i32, d: i32) -> Option<Self> {
        match (a, b, c, d) {
            (_, 0, 0, _) if a != 0 && d != 0 => Some(Self {
                swaps: false,
                flips_x: a < 0,
                flips_y: d < 0,
            }),
            (0, _, _, 0) if b != 0 && c != 0 => Some(Self {
                swaps: true,
                flips_x: c < 0,
                flips_y: b < 0,
            }),
            _ => None,
        }
    }

    /// Pictures are upright as they are.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// The upright picture's width and height.
    pub fn size(self, (width, height): (u32, u32)) -> (u32, u32) {
        if self.swaps {
            (height, width)
        } else {
            (width, height)
        }
    }

    /// Where sample `(x, y)` of the upright plane is in the stored one of `width` by `height`.
    fn source(self, x: usize, y: usize, width: usize, height: usize) -> (usize, usize) {
        let flip = |is_flipped: bool, at: usize, size: usize| {
            if is_flipped {
                (size - 1).saturating_sub(at)
            } else {
                at
            }
        };
        if self.swaps {
            (flip(self.flips_y, y, width), flip(self.flips_x, x, height))
        } else {
            (flip(self.flips_x, x, width), flip(self.flips_y, y, height))
        }
    }
}

/// Turns pictures of one track.
pub(crate) struct Rotator {
    rotation: Rotation,
    converter: Converter,
    pool: Option<Pool>,
}

impl Rotator {
    pub(crate) fn new(rotation: Rotation) -> Self {
        Self {
            rotation,
            converter: Converter::new(Pixel::YUV420P),
            pool: None,
        }
    }

    /// The upright picture.
    pub(crate) fn run(&mut self, picture: &Picture) -> Result<Picture, Error> {
        let planar = match picture.frame().format() {
            // A full-range picture stays one: `color` says so.
            Pixel::YUV420P | Pixel::YUVJ420P => picture.share()?,
            _ => self.converter.run(picture)?,
        };
        let (width, height) = self.rotation.size((planar.width(), planar.height()));
        let pool = self.pool.get_or_insert_with(|| Pool::new(width, height));
        let mut upright = pool.take()?;
        for index in 0..3 {
            if let (Some(from), Some(to)) = (planar.plane(index), upright.plane_mut(index)) {
                rotate_plane(self.rotation, from, to);
            }
        }
        let mut color = planar.color();
        if self.rotation.swaps {
            color.sample_aspect = (color.sample_aspect.1, color.sample_aspect.0);
        }
        upright.set_color(color);
        let shared = upright.share()?;
        pool.give(upright);
        Ok(shared)
    }
}

fn rotate_plane(rotation: Rotation, (from, stride): (&[u8], usize), to: Plane<'_>) {
    let (width, height) = if rotation.swaps {
        (to.height, to.width)
    } else {
        (to.width, to.height)
    };
    for top in (0..to.height).step_by(TILE) {
        for left in (0..to.width).step_by(TILE) {
            for y in top..(top + TILE).min(to.height) {
                for x in left..(left + TILE).min(to.width) {
                    let (p, q) = rotation.source(x, y, width, height);
                    let sample = from.get(q * stride + p);
                    if let (Some(sample), Some(at)) = (sample, to.data.get_mut(y * to.stride + x)) {
                        *at = *sample;
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture whose every luma sample tells where it is.
    fn numbered(width: u32, height: u32) -> Picture {
        let mut picture = Picture::new(width, height).unwrap();
        for index in 0..3 {
            let plane = picture.plane_mut(index).unwrap();
            for y in 0..plane.height {
                for x in 0..plane.width {
                    plane.data[y * plane.stride + x] = (x * 7 + y * 31) as u8;
                }
            }
        }
        picture
    }

    fn at(picture: &Picture, plane: usize, x: usize, y: usize) -> u8 {
        let (data, stride) = picture.plane(plane).unwrap();
        data[y * stride + x]
    }

    #[test]
    fn each_of_the_eight_puts_samples_where_the_matrix_says() {
        let stored = numbered(48, 34);
        for (a, b, c, d) in [
            (1, 0, 0, 1),
            (0, 1, -1, 0),
            (-1, 0, 0, -1),
            (0, -1, 1, 0),
            (-1, 0, 0, 1),
            (1, 0, 0, -1),
            (0, 1, 1, 0),
            (0, -1, -1, 0),
        ] {
            let rotation = Rotation::from_matrix(a << 16, b << 16, c << 16, d << 16).unwrap();
            let upright = Rotator::new(rotation).run(&stored).unwrap();
            assert_eq!((upright.width(), upright.height()), rotation.size((48, 34)));
            for (plane, width, height) in [(0, 48, 34), (1, 24, 17), (2, 24, 17)] {
                for (p, q) in [(0, 0), (5, 2), (width - 1, height - 1), (0, height - 1)] {
                    // What leaves the picture on one side comes in on the other.
                    let (right, down) = (a * p + c * q, b * p + d * q);
                    let (wide, high) = (a * width + c * height, b * width + d * height);
                    let x = if wide < 0 { right - wide - 1 } else { right };
                    let y = if high < 0 { down - high - 1 } else { down };
                    assert_eq!(
                        at(&upright, plane, x as usize, y as usize),
                        at(&stored, plane, p as usize, q as usize),
                        "{a} {b} {c} {d}: plane {plane}, {p} {q}"
                    );
                }
            }
        }
    }

    #[test]
    fn other_angles_and_nonsense_are_none_of_them() {
        assert_eq!(Rotation::from_matrix(46_341, 46_341, -46_341, 46_341), None);
        assert_eq!(Rotation::from_matrix(0, 0, 0, 0), None);
        assert!(
            Rotation::from_matrix(65_536, 0, 0, 65_536)
                .unwrap()
                .is_none()
        );
    }
}
