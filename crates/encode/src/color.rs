//! How to show a picture's samples: colours and pixel shape, taken from the source, so that players
//! show a rung like the source.

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

impl ColorInfo {
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
