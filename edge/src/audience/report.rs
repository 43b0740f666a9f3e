//! What a player reports with a request: its session, how well it plays, and where its viewer
//! looks.

/// What one request of a player says about its viewer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// `sid`: the viewing session.
    pub session: Option<String>,
    /// `bs`: the buffer ran empty.
    pub is_starved: bool,
    /// `mtp`: measured throughput, kb/s.
    pub throughput_kbps: Option<u32>,
    /// `ltc`: behind live, ms.
    pub latency_ms: Option<u32>,
    /// `msd`: start delay, ms.
    pub start_ms: Option<u32>,
    /// `panocast-view`: where the viewer looks.
    pub view: Option<View>,
}

/// Degrees between two cells of the table.
const STEP: i32 = 30;
pub(super) const COLUMNS: usize = 12;
pub(super) const ROWS: usize = 7;

/// A direction, to the nearest 30 degrees: a cell of a table of the sphere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// From straight up to straight down.
    pub(super) row: usize,
    /// From behind over the left to the right; straight up and down it is always 0.
    pub(super) column: usize,
}

impl View {
    /// Reads `yaw.pitch`: degrees, yaw counter-clockwise seen from above, pitch upwards.
    pub fn parse(text: &str) -> Option<Self> {
        let (yaw, pitch) = text.trim_matches('"').split_once('.')?;
        let (yaw, pitch) = (yaw.parse::<i32>().ok()?, pitch.parse::<i32>().ok()?);
        if !(-360..=360).contains(&yaw) || !(-90..=90).contains(&pitch) {
            return None;
        }
        let steps = |degrees: i32| (f64::from(degrees) / f64::from(STEP)).round() as i32;
        let row = usize::try_from(steps(90 - pitch)).ok()?;
        let around = usize::try_from(steps(180 - yaw).rem_euclid(COLUMNS as i32)).ok()?;
        let is_pole = row == 0 || row == ROWS - 1;
        Some(Self {
            row,
            column: if is_pole { 0 } else { around },
        })
    }

    /// Degrees counter-clockwise seen from above, of the cell's middle.
    pub(super) fn yaw(self) -> i32 {
        180 - self.column as i32 * STEP
    }

    /// Degrees upwards, of the cell's middle.
    pub(super) fn pitch(self) -> i32 {
        90 - self.row as i32 * STEP
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directions_are_read_coarsely() {
        for (text, expected) in [
            ("0.0", Some((3, 6))),
            ("\"90.-30\"", Some((4, 3))),
            ("-90.30", Some((2, 9))),
            ("180.0", Some((3, 0))),
            ("-180.0", Some((3, 0))),
            ("120.90", Some((0, 0))),
            ("-44.-80", Some((6, 0))),
            ("14.0", Some((3, 6))),
            ("0.91", None),
            ("0", None),
            ("here.there", None),
            ("99999999999.0", None),
        ] {
            let found = View::parse(text).map(|view| (view.row, view.column));
            assert_eq!(found, expected, "{text}");
        }
        let view = View::parse("90.-30").unwrap();
        assert_eq!((view.yaw(), view.pitch()), (90, -30));
    }

    proptest::proptest! {
        #[test]
        fn nothing_panics(text in "[-0-9.\"a]{0,12}") {
            let _ = View::parse(&text);
        }
    }
}
