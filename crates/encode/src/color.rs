//! Carries a source's colours and pixel shape to its rungs, so that players show a rung like the
//! source.

use ffmpeg_next::{color, frame};

/// The colours and the pixel shape of a picture, as H.264's VUI carries them (Annex E.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ColorInfo {
    pub sample_aspect: (i32, i32),
    pub range: color::Range,
    pub space: color::Space,
    pub primaries: color::Primaries,
    pub transfer: color::TransferCharacteristic,
}

impl Default for ColorInfo {
    fn default() -> Self {
        Self {
            sample_aspect: (0, 1),
            range: color::Range::Unspecified,
            space: color::Space::Unspecified,
            primaries: color::Primaries::Unspecified,
            transfer: color::TransferCharacteristic::Unspecified,
        }
    }
}

/// Players take pictures that name no colours for BT.709 from this many lines on, and for BT.601
/// (SMPTE 170M) below (Chromium, and most others).
const HD_LINES: u32 = 720;

impl ColorInfo {
    /// With what players assume of pictures of `lines` that name no colours. A rung has another
    /// size than its source; left unnamed, its colours would be taken for others.
    pub(crate) fn or_assumed(mut self, lines: u32) -> Self {
        let names_none = self.space == color::Space::Unspecified
            && self.primaries == color::Primaries::Unspecified
            && self.transfer == color::TransferCharacteristic::Unspecified;
        if names_none && lines >= HD_LINES {
            self.space = color::Space::BT709;
            self.primaries = color::Primaries::BT709;
            self.transfer = color::TransferCharacteristic::BT709;
        } else if names_none {
            self.space = color::Space::SMPTE170M;
            self.primaries = color::Primaries::SMPTE170M;
            self.transfer = color::TransferCharacteristic::SMPTE170M;
        }
        if self.range == color::Range::Unspecified {
            self.range = color::Range::MPEG;
        }
        self
    }

    pub(crate) fn of(frame: &frame::Video) -> Self {
        let aspect = frame.aspect_ratio();
        let sample_aspect = (aspect.numerator(), aspect.denominator());
        Self {
            sample_aspect: if sample_aspect.0 > 0 && sample_aspect.1 > 0 {
                sample_aspect
            } else {
                (0, 1)
            },
            range: frame.color_range(),
            space: frame.color_space(),
            primaries: frame.color_primaries(),
            transfer: frame.color_transfer_characteristic(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unnamed_colours_are_what_players_assume_and_named_ones_stay() {
        let none = ColorInfo::default();
        let large = none.or_assumed(720);
        assert_eq!(large.space, color::Space::BT709);
        assert_eq!(large.primaries, color::Primaries::BT709);
        assert_eq!(large.transfer, color::TransferCharacteristic::BT709);
        assert_eq!(large.range, color::Range::MPEG);
        assert_eq!(none.or_assumed(719).space, color::Space::SMPTE170M);
        let named = ColorInfo {
            space: color::Space::BT470BG,
            range: color::Range::JPEG,
            ..none
        };
        assert_eq!(named.or_assumed(1080), named);
    }
}
