//! Decides which keyframes start segments, and whether players can start the pass-through there.
//!
//! A player starts at an IDR picture (ISO/IEC 14496-10 §7.4.1.2.4). Encoders that use an open GOP
//! or intra refresh send few or none after the first: their keyframes are recovery points, at which
//! a decoder that has what came before goes on, and which browsers refuse to start at. Segments
//! start at those all the same, so that the ladder's rungs, which get real IDR pictures there, are
//! cut in time; the pass-through itself is not offered then.

use media::VIDEO_TIMESCALE;
use serde::{Deserialize, Serialize};

/// Keyframes without an IDR picture for this long, and the pass-through cannot be started: longer
/// than one keyframe interval of 2 s, so that a single other keyframe decides nothing, and short
/// enough to tell the operator within 5 s.
const WITHOUT_IDR_MAX_MS: i64 = 3_500;

/// IDR pictures in a row, with no other keyframe between them, until they are believed to be the
/// rule again: an encoder with an open GOP sends single ones at scene cuts.
const IDRS_AGAIN: u32 = 3;

/// What kind of frame a unit is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// A decoder can start here and shows everything that follows.
    Idr,
    /// A decoder can go on from here: a recovery point, or intra coded.
    Other,
    /// Neither.
    No,
}

/// What is known of an encoder's keyframes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Keyframes {
    /// Not enough yet.
    #[default]
    Unknown,
    /// IDR pictures come in time: they alone start segments.
    Idr,
    /// They are not IDR pictures, or only now and then.
    NotIdr,
}

/// Follows the keyframes of a stream.
#[derive(Debug, Default)]
pub(super) struct KeyframeWatch {
    state: Keyframes,
    /// Decode time of the last IDR picture of this timeline.
    last_idr: Option<i64>,
    /// Decode time of the first keyframe of this timeline, where that was no IDR picture.
    first_other: Option<i64>,
    /// IDR pictures since the last other keyframe.
    in_row: u32,
}

impl KeyframeWatch {
    /// Starts with what a peer knows.
    pub fn new(state: Keyframes) -> Self {
        Self {
            state,
            ..Self::default()
        }
    }

    pub fn state(&self) -> Keyframes {
        self.state
    }

    /// A new timeline starts; encoders keep their settings.
    pub fn interrupt(&mut self) {
        self.last_idr = None;
        self.first_other = None;
        self.in_row = 0;
    }

    /// Takes the next frame; whether a segment may start with it.
    pub fn note(&mut self, dts: i64, access: Access) -> bool {
        match access {
            Access::No => false,
            Access::Idr => {
                let before = self.last_idr.replace(dts);
                self.in_row = self.in_row.saturating_add(1);
                let believed = match self.state {
                    Keyframes::NotIdr => self.in_row >= IDRS_AGAIN,
                    Keyframes::Unknown | Keyframes::Idr => before.is_some(),
                };
                if believed {
                    self.state = Keyframes::Idr;
                }
                true
            }
            Access::Other => {
                self.in_row = 0;
                let first = *self.first_other.get_or_insert(dts);
                let since = dts - self.last_idr.unwrap_or(first);
                if since >= VIDEO_TIMESCALE.from_millis(WITHOUT_IDR_MAX_MS) {
                    self.state = Keyframes::NotIdr;
                }
                self.state != Keyframes::Idr
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 360_000;

    /// Which of the keyframes at whole multiples of `interval` seconds start segments, and what is
    /// known in the end.
    fn watched(watch: &mut KeyframeWatch, from: i64, interval: i64, kinds: &str) -> String {
        let mut starts = String::new();
        for (index, kind) in kinds.chars().enumerate() {
            let dts = from + index as i64 * interval * SECOND;
            let access = match kind {
                'I' => Access::Idr,
                'r' => Access::Other,
                _ => Access::No,
            };
            starts.push(if watch.note(dts, access) { '|' } else { '-' });
        }
        starts
    }

    #[test]
    fn idr_pictures_alone_start_segments_once_they_are_the_rule() {
        let mut watch = KeyframeWatch::default();
        assert_eq!(watched(&mut watch, 0, 1, "I.I.IrIrI"), "|-|-|-|-|");
        assert_eq!(watch.state(), Keyframes::Idr);
        let mut mixed = KeyframeWatch::default();
        assert_eq!(watched(&mut mixed, 0, 1, "I.r.I.r.I"), "|-|-|---|");
        assert_eq!(mixed.state(), Keyframes::Idr);
    }

    #[test]
    fn an_open_gop_is_known_after_two_keyframes() {
        let mut watch = KeyframeWatch::default();
        assert_eq!(watched(&mut watch, 0, 2, "Ir"), "||");
        assert_eq!(watch.state(), Keyframes::Unknown);
        assert_eq!(watched(&mut watch, 4 * SECOND, 2, "r"), "|");
        assert_eq!(watch.state(), Keyframes::NotIdr, "4 s after the only one");
    }

    #[test]
    fn single_idr_pictures_at_scene_cuts_change_nothing_and_a_changed_encoder_does() {
        let mut watch = KeyframeWatch::new(Keyframes::NotIdr);
        assert_eq!(watched(&mut watch, 0, 2, "rIrIIrr"), "|||||||");
        assert_eq!(watch.state(), Keyframes::NotIdr);
        assert_eq!(watched(&mut watch, 20 * SECOND, 2, "III"), "|||");
        assert_eq!(watch.state(), Keyframes::Idr);
    }

    #[test]
    fn an_encoder_that_stops_to_send_idr_pictures_is_noticed() {
        let mut watch = KeyframeWatch::default();
        assert_eq!(watched(&mut watch, 0, 2, "III"), "|||");
        assert_eq!(watched(&mut watch, 6 * SECOND, 2, "rrr"), "-||");
        assert_eq!(watch.state(), Keyframes::NotIdr);
    }

    #[test]
    fn a_stream_without_any_is_known_in_time() {
        let mut watch = KeyframeWatch::default();
        assert_eq!(watched(&mut watch, 0, 2, "rrr"), "|||");
        assert_eq!(watch.state(), Keyframes::NotIdr);
    }
}
