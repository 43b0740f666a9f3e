//! Paints the time as large black and white blocks, so that a program can tell which moment a
//! picture shows.
//!
//! Sixty-four blocks in 4 rows of 16, each 3° by 3° of the sphere, lie straight ahead below the
//! horizon: longitude -24° to 24°, latitude -4.5° to -16.5°. In a mono equirectangular picture that
//! is x from 156/360 to 204/360 of the width and y from 94.5/180 to 106.5/180 of the height, so a
//! block has 4 x 4 pixels at a width of 480, whatever scaled or coded the picture on its way there.
//!
//! Row by row from the top left, most significant bit first, white is 1:
//!
//! | bits | meaning |
//! |---|---|
//! | 42 | Unix time in milliseconds, until the year 2109 |
//! | 12 | number of the picture, modulo 4096 |
//! | 10 | CRC-10 of the 54 bits before (polynomial 0x233, start 0x3ff, no reflection) |
//!
//! Black is told from white by the darkest and brightest blocks met, so range and gamma do not
//! matter. What it does not do: find the blocks in a picture it was not told the projection of.

use media::Immersive;

use crate::sphere::{self, Point};

/// Rows of blocks.
pub const ROWS: usize = 4;
/// Blocks in a row.
pub const COLUMNS: usize = 16;
/// Side of a block in degrees.
pub const BLOCK_DEGREES: f64 = 3.0;
/// Longitude of the left edge.
pub const LEFT_DEGREES: f64 = -24.0;
/// Latitude of the top edge.
pub const TOP_DEGREES: f64 = -4.5;

const MILLIS_BITS: u32 = 42;
const FRAME_BITS: u32 = 12;
const CRC_BITS: u32 = 10;
const CRC_POLYNOMIAL: u32 = 0x233;
const CRC_START: u32 = 0x3ff;
/// Brightest minus darkest block, of 255, below which a picture shows no blocks.
const CONTRAST_MIN: u32 = 40;

/// What the blocks say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Unix time in milliseconds.
    pub unix_ms: u64,
    /// Number of the picture, modulo 4096.
    pub frame: u16,
}

/// A luma plane: rows of `stride` bytes of which the first `width` are samples.
#[derive(Clone, Copy, Debug)]
pub struct Luma<'a> {
    /// The samples.
    pub data: &'a [u8],
    /// Samples in a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// Bytes from one row to the next.
    pub stride: usize,
}

impl Stamp {
    /// The blocks, row by row; `true` is white.
    pub fn blocks(self) -> [bool; ROWS * COLUMNS] {
        let millis = self.unix_ms & ((1 << MILLIS_BITS) - 1);
        let frame = u64::from(self.frame) & ((1 << FRAME_BITS) - 1);
        let message = (millis << FRAME_BITS) | frame;
        let word = (message << CRC_BITS) | u64::from(crc(message));
        std::array::from_fn(|index| (word >> (ROWS * COLUMNS - 1 - index)) & 1 == 1)
    }

    /// The stamp these blocks show; `None` where the checksum disagrees.
    pub fn from_blocks(blocks: &[bool; ROWS * COLUMNS]) -> Option<Self> {
        let word = blocks
            .iter()
            .fold(0u64, |word, white| (word << 1) | u64::from(*white));
        let message = word >> CRC_BITS;
        let sum = word & ((1 << CRC_BITS) - 1);
        (sum == u64::from(crc(message))).then_some(Self {
            unix_ms: message >> FRAME_BITS,
            frame: (message & ((1 << FRAME_BITS) - 1)) as u16,
        })
    }
}

/// Reads the stamp out of a picture; `None` where it shows none. Stereo pictures: the left eye's.
pub fn read(luma: Luma<'_>, immersive: &Immersive) -> Option<Stamp> {
    let mut values = [0u32; ROWS * COLUMNS];
    for (index, value) in values.iter_mut().enumerate() {
        *value = brightness(luma, immersive, index)?;
    }
    let (dark, bright) = (*values.iter().min()?, *values.iter().max()?);
    if bright - dark < CONTRAST_MIN {
        return None;
    }
    let middle = (dark + bright) / 2;
    Stamp::from_blocks(&values.map(|value| value > middle))
}

/// Mean of the middle of a block, where neighbours do not bleed in.
fn brightness(luma: Luma<'_>, immersive: &Immersive, index: usize) -> Option<u32> {
    const PROBES: [f64; 5] = [0.3, 0.4, 0.5, 0.6, 0.7];
    let (row, column) = (index / COLUMNS, index % COLUMNS);
    let mut sum = 0;
    for down in PROBES {
        for right in PROBES {
            let point = Point {
                longitude: LEFT_DEGREES + BLOCK_DEGREES * (column as f64 + right),
                latitude: TOP_DEGREES - BLOCK_DEGREES * (row as f64 + down),
            };
            let (x, y) = sphere::place(immersive, point)?;
            let x = ((x * luma.width as f64) as usize).min(luma.width.checked_sub(1)?);
            let y = ((y * luma.height as f64) as usize).min(luma.height.checked_sub(1)?);
            sum += u32::from(*luma.data.get(y * luma.stride + x)?);
        }
    }
    Some(sum / (PROBES.len() * PROBES.len()) as u32)
}

fn crc(message: u64) -> u32 {
    let bits = MILLIS_BITS + FRAME_BITS;
    (0..bits).rev().fold(CRC_START, |crc, bit| {
        let top = (crc >> (CRC_BITS - 1)) & 1;
        let shifted = (crc << 1) & ((1 << CRC_BITS) - 1);
        let differs = top ^ ((message >> bit) & 1) as u32 == 1;
        if differs {
            shifted ^ CRC_POLYNOMIAL
        } else {
            shifted
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(width: usize, stamp: Stamp, dark: u8, bright: u8) -> Vec<u8> {
        let blocks = stamp.blocks();
        let mut luma = vec![128; width * width / 2];
        for (index, sample) in luma.iter_mut().enumerate() {
            let longitude = ((index % width) as f64 + 0.5) / width as f64 * 360.0 - 180.0;
            let latitude = 90.0 - ((index / width) as f64 + 0.5) / width as f64 * 360.0;
            let column = ((longitude - LEFT_DEGREES) / BLOCK_DEGREES).floor();
            let row = ((TOP_DEGREES - latitude) / BLOCK_DEGREES).floor();
            if (0.0..16.0).contains(&column) && (0.0..4.0).contains(&row) {
                let white = blocks[row as usize * COLUMNS + column as usize];
                *sample = if white { bright } else { dark };
            }
        }
        luma
    }

    #[test]
    fn what_was_written_is_read_back_at_every_width() {
        let stamp = Stamp {
            unix_ms: 1_795_241_312_345,
            frame: 4_001,
        };
        for width in [480, 640, 960, 1280, 1920] {
            for (dark, bright) in [(16, 235), (0, 255), (60, 120)] {
                let data = painted(width, stamp, dark, bright);
                let luma = Luma {
                    data: &data,
                    width,
                    height: width / 2,
                    stride: width,
                };
                assert_eq!(read(luma, &Immersive::default()), Some(stamp), "{width}");
            }
        }
    }

    #[test]
    fn one_wrong_block_is_noticed_anywhere() {
        let blocks = Stamp {
            unix_ms: 1_700_000_000_000,
            frame: 7,
        }
        .blocks();
        for index in 0..blocks.len() {
            let mut damaged = blocks;
            damaged[index] = !damaged[index];
            assert_eq!(Stamp::from_blocks(&damaged), None);
        }
    }

    #[test]
    fn pictures_without_blocks_have_no_stamp() {
        for value in [0, 128, 255] {
            let data = vec![value; 480 * 240];
            let luma = Luma {
                data: &data,
                width: 480,
                height: 240,
                stride: 480,
            };
            assert_eq!(read(luma, &Immersive::default()), None);
        }
        let short = Luma {
            data: &[1, 2, 3],
            width: 480,
            height: 240,
            stride: 480,
        };
        assert_eq!(read(short, &Immersive::default()), None);
        let empty = Luma {
            width: 0,
            height: 0,
            ..short
        };
        assert_eq!(read(empty, &Immersive::default()), None);
    }
}
