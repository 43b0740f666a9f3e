//! Configurations and access units without an encoder: valid in form, and each says what it is.

use bytes::{BufMut, Bytes, BytesMut};
use media::{MediaKind, avc};

/// What a synthetic access unit holds instead of coded media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Content {
    /// Which session of the publisher made it.
    pub session: u32,
    /// Its number among the units of its kind in that session.
    pub serial: u64,
    /// When it was captured, in microseconds of the publisher's clock since the session began:
    /// exact, without the rounding, jitter and jumps of its time stamp.
    pub captured_us: i64,
}

const MAGIC: &[u8; 4] = b"PANO";
/// NAL length, NAL header, magic, and the three numbers.
const CONTENT_BYTES: usize = 4 + 1 + 4 + 4 + 8 + 8;

impl Content {
    /// The payload of an access unit of `kind` with this content, at least `bytes` long.
    pub fn payload(&self, kind: MediaKind, is_sync: bool, bytes: usize) -> Bytes {
        let length = bytes.max(CONTENT_BYTES);
        let mut payload = BytesMut::with_capacity(length);
        payload.put_u32((length - 4) as u32);
        payload.put_u8(match (kind, is_sync) {
            (MediaKind::Video, true) => 0x65,
            (MediaKind::Video, false) => 0x41,
            (MediaKind::Audio, _) => 0x21,
        });
        payload.put_slice(MAGIC);
        payload.put_u32(self.session);
        payload.put_u64(self.serial);
        payload.put_i64(self.captured_us);
        payload.resize(length, 0x55);
        payload.freeze()
    }

    /// Reads it back; `None` for a payload that is not synthetic.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let field = |from: usize, to: usize| payload.get(from..to);
        let number =
            |from: usize| Some(u64::from_be_bytes(field(from, from + 8)?.try_into().ok()?));
        if field(5, 9)? != MAGIC {
            return None;
        }
        Some(Self {
            session: u32::from_be_bytes(field(9, 13)?.try_into().ok()?),
            serial: number(13)?,
            captured_us: number(21)? as i64,
        })
    }
}

/// A Constrained Baseline configuration of `width` by `height` pixels, multiples of 16, that says
/// nothing of its rate. `None` where H.264 has no such picture.
pub fn avc_config(width: u32, height: u32) -> Option<avc::Config> {
    let macroblocks = |pixels: u32| (pixels / 16).checked_sub(1);
    let mut bits = String::new();
    // Set 0, 4-bit frame numbers, order type 2, one reference.
    for value in [0, 0, 2, 1] {
        bits += &exp_golomb(value);
    }
    bits += "0";
    bits += &exp_golomb(macroblocks(width)?);
    bits += &exp_golomb(macroblocks(height)?);
    // Frames only, 8x8 inference, no cropping, no VUI, stop bit.
    bits += "11001";
    let mut sps = vec![0x67, 0x42, 0xc0, 0x34];
    sps.extend(bits.as_bytes().chunks(8).map(|byte| {
        (0..8).fold(0, |value, i| {
            (value << 1) | u8::from(byte.get(i) == Some(&b'1'))
        })
    }));
    let pps = [0x68, 0xce, 0x3c, 0x80];
    let mut record = vec![1, 0x42, 0xc0, 0x34, 0xff, 0xe1, 0, sps.len() as u8];
    record.extend(sps);
    record.extend([1, 0, pps.len() as u8]);
    record.extend(pps);
    avc::Config::parse(Bytes::from(record)).ok()
}

fn exp_golomb(value: u32) -> String {
    let code = format!("{:b}", value + 1);
    "0".repeat(code.len() - 1) + &code
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configurations_have_the_size_asked_for() {
        for (width, height) in [(480, 240), (1920, 960), (3840, 1920)] {
            let config = avc_config(width, height).unwrap();
            assert_eq!((config.width(), config.height()), (width, height));
        }
        assert_eq!(avc_config(0, 0), None);
    }

    #[test]
    fn content_is_read_back_and_nothing_else_is() {
        let content = Content {
            session: 3,
            serial: 99,
            captured_us: -5,
        };
        let payload = content.payload(MediaKind::Video, true, 200);
        assert_eq!(payload.len(), 200);
        assert_eq!(Content::read(&payload), Some(content));
        assert_eq!(
            Content::read(b"anything else that is long enough to hold it"),
            None
        );
        assert_eq!(Content::read(b""), None);
    }
}
