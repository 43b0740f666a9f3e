//! Draws capital letters and digits as strokes, sharp at any size and in any projection.
//!
//! A glyph is a few polylines on a grid 4 wide and 6 high. A point is as dark as it is near to the
//! nearest stroke, so the same few numbers serve 480 pixels and 8K.

/// Width of the grid.
const GRID_WIDTH: f64 = 4.0;
/// Height of the grid: the height of a letter.
const GRID_HEIGHT: f64 = 6.0;
/// The grid is drawn this narrow.
const NARROW: f64 = 0.78;
/// From one letter to the next, in heights.
pub const ADVANCE: f64 = 0.76;
/// Half the width of a stroke, in heights.
const STROKE: f64 = 0.075;

/// Polylines: points as two digits, x and y (upwards) on the grid; `;` lifts the pen.
fn strokes(letter: char) -> &'static str {
    match letter {
        '0' | 'O' => "10 30 41 45 36 16 05 01 10",
        '1' => "14 26 20;10 30",
        '2' => "05 16 36 45 44 00 40",
        '3' => "05 16 36 45 44 33 23;33 42 41 30 10 01",
        '4' => "30 36 02 42",
        '5' => "46 06 04 34 43 41 30 10 01",
        '6' => "45 36 16 05 01 10 30 41 42 33 13 02",
        '7' => "06 46 10",
        '8' => "13 04 05 16 36 45 44 33 13 02 01 10 30 41 42 33",
        '9' => "01 10 30 41 45 36 16 05 04 13 33 44",
        'A' => "00 04 26 44 40;02 42",
        'B' => "00 06 36 45 44 33 03;33 42 41 30 00",
        'C' => "45 36 16 05 01 10 30 41",
        'D' => "00 06 26 44 42 20 00",
        'E' => "46 06 00 40;03 33",
        'F' => "46 06 00;03 33",
        'G' => "45 36 16 05 01 10 30 41 43 23",
        'H' => "00 06;40 46;03 43",
        'I' => "10 30;20 26;16 36",
        'J' => "46 41 30 10 01",
        'K' => "00 06;46 03 40",
        'L' => "06 00 40",
        'M' => "00 06 23 46 40",
        'N' => "00 06 40 46",
        'P' => "00 06 36 45 44 33 03",
        'Q' => "10 30 41 45 36 16 05 01 10;22 40",
        'R' => "00 06 36 45 44 33 03;23 40",
        'S' => "45 36 16 05 04 13 33 42 41 30 10 01",
        'T' => "06 46;26 20",
        'U' => "06 01 10 30 41 46",
        'V' => "06 20 46",
        'W' => "06 10 23 30 46",
        'X' => "00 46;06 40",
        'Y' => "06 23 46;23 20",
        'Z' => "06 46 00 40",
        '\u{b0}' => "14 05 16 25 14",
        ':' => "21 21;25 25",
        '.' => "20 20",
        '-' => "13 33",
        '+' => "03 43;21 25",
        '/' => "00 46",
        '|' => "20 26",
        _ => "",
    }
}

/// A line of text, laid out around its middle. Lower case is drawn as upper case.
#[derive(Clone, Debug)]
pub struct Text {
    letters: Vec<Vec<[f64; 4]>>,
    height: f64,
}

impl Text {
    /// `height` is that of a letter, in the unit in which points are asked for.
    pub fn new(text: &str, height: f64) -> Self {
        let letters = text.chars().map(|c| segments(c.to_ascii_uppercase()));
        Self {
            letters: letters.collect(),
            height,
        }
    }

    /// Width of the whole line.
    pub fn width(&self) -> f64 {
        self.letters.len() as f64 * ADVANCE * self.height
    }

    /// Height of a letter.
    pub fn height(&self) -> f64 {
        self.height
    }

    /// How much of a dot of size `dot` at `x` (right) and `y` (up) from the middle is ink, 0 to 1.
    pub fn ink(&self, x: f64, y: f64, dot: f64) -> f64 {
        let (x, y) = (x / self.height, y / self.height + 0.5);
        let along = x / ADVANCE + self.letters.len() as f64 / 2.0;
        let index = along.floor();
        if index < 0.0 {
            return 0.0;
        }
        let Some(letter) = self.letters.get(index as usize) else {
            return 0.0;
        };
        let x = (along - index) * ADVANCE;
        let nearest = letter
            .iter()
            .map(|segment| distance(*segment, x, y))
            .fold(f64::INFINITY, f64::min);
        let dot = dot / self.height;
        ((STROKE - nearest) / dot + 0.5).clamp(0.0, 1.0)
    }
}

/// Segments in heights: x from the left edge of the letter's cell, y from its foot.
fn segments(letter: char) -> Vec<[f64; 4]> {
    let left = (ADVANCE - GRID_WIDTH / GRID_HEIGHT * NARROW) / 2.0;
    let point = |digits: &str| {
        let mut digits = digits.bytes().map(|b| f64::from(b.saturating_sub(b'0')));
        let (x, y) = (digits.next().unwrap_or(0.0), digits.next().unwrap_or(0.0));
        (left + x / GRID_HEIGHT * NARROW, y / GRID_HEIGHT)
    };
    let mut segments = Vec::new();
    for line in strokes(letter).split(';') {
        let points: Vec<_> = line.split_whitespace().map(point).collect();
        let pairs = points.iter().zip(points.iter().skip(1));
        segments.extend(pairs.map(|(a, b)| [a.0, a.1, b.0, b.1]));
    }
    segments
}

fn distance([ax, ay, bx, by]: [f64; 4], x: f64, y: f64) -> f64 {
    let (dx, dy) = (bx - ax, by - ay);
    let length = dx * dx + dy * dy;
    let along = if length > 0.0 {
        (((x - ax) * dx + (y - ay) * dy) / length).clamp(0.0, 1.0)
    } else {
        0.0
    };
    (x - ax - along * dx).hypot(y - ay - along * dy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_have_ink_where_their_strokes_are() {
        let text = Text::new("H", 1.0);
        assert_eq!(text.ink(0.0, 0.0, 0.01), 1.0, "the bar");
        assert_eq!(text.ink(0.0, 0.4, 0.01), 0.0, "between the legs");
        assert_eq!(text.ink(9.0, 0.0, 0.01), 0.0, "beside the line");
    }

    #[test]
    fn every_sign_used_has_strokes() {
        for sign in "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ\u{b0}:.-+/|".chars() {
            assert!(!segments(sign).is_empty(), "{sign}");
        }
    }
}
