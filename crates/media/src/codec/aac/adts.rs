//! ADTS headers (ISO/IEC 13818-7 §6.2): what AAC has around each frame in broadcasts and files.

use bytes::Bytes;

use super::{Config, Error, RATES, specific_config::object_type};

/// Bytes of a header without its checksum.
const HEADER_BYTES: usize = 7;
const CHECKSUM_BYTES: usize = 2;

/// What a header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub object_type: u8,
    pub sample_rate: u32,
    /// 0: a program config element in the frame says it.
    pub layout: u8,
    /// Bytes before the raw frame.
    pub header_bytes: usize,
    /// Bytes with the header.
    pub frame_bytes: usize,
}

/// Whether bytes begin as a header does. A raw frame cannot: twelve ones would be its end element.
pub(super) fn begins(bytes: &[u8]) -> bool {
    matches!(*bytes, [0xff, second, ..] if second & 0xf6 == 0xf0)
}

impl Header {
    /// Reads a header; `None` where it is none, or its frame holds several raw blocks.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = bytes
            .first_chunk::<HEADER_BYTES>()
            .filter(|_| begins(bytes))?;
        let &[_, second, third, fourth, fifth, sixth, seventh] = header;
        let has_checksum = second & 1 == 0;
        let checksum_bytes = if has_checksum { CHECKSUM_BYTES } else { 0 };
        let header_bytes = HEADER_BYTES + checksum_bytes;
        let frame_bytes =
            usize::from(fourth & 3) << 11 | usize::from(fifth) << 3 | usize::from(sixth >> 5);
        let is_one_block = seventh & 3 == 0;
        Some(Self {
            object_type: (third >> 6) + 1,
            sample_rate: *RATES.get(usize::from(third >> 2 & 0x0f))?,
            layout: (third & 1) << 2 | fourth >> 6,
            header_bytes,
            frame_bytes,
        })
        .filter(|_| is_one_block && frame_bytes > header_bytes)
    }

    /// The AudioSpecificConfig that says the same.
    pub(super) fn config(&self) -> Result<Config, Error> {
        if self.layout == 0 {
            return Err(Error::Channels(0));
        }
        let index = RATES.iter().position(|rate| *rate == self.sample_rate);
        let index = index.unwrap_or_default() as u8;
        let bytes = [
            self.object_type << 3 | index >> 1,
            index << 7 | self.layout << 3,
        ];
        Config::parse(Bytes::copy_from_slice(&bytes))
    }

    /// Whether a configuration is of frames with such headers; SBR is not told in them.
    pub(super) fn agrees(&self, config: &Config) -> bool {
        let is_object_type = config.object_type == self.object_type
            || (config.object_type >= object_type::SBR && self.object_type == object_type::LC);
        is_object_type && config.core == (self.sample_rate, self.layout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_headers_with_and_without_checksum() {
        // FFmpeg: LC, 44.1 kHz, stereo, 23 bytes in all.
        let plain = [0xff, 0xf1, 0x50, 0x80, 0x02, 0xff, 0xfc, 0x21];
        let header = Header::parse(&plain).unwrap();
        let expected = Header {
            object_type: 2,
            sample_rate: 44_100,
            layout: 2,
            header_bytes: 7,
            frame_bytes: 23,
        };
        assert_eq!(header, expected);
        assert_eq!(header.config().unwrap().bytes().as_ref(), [0x12, 0x10]);
        let mut checked = plain;
        checked[1] = 0xf0;
        assert_eq!(Header::parse(&checked).unwrap().header_bytes, 9);
    }

    #[test]
    fn what_is_no_header_is_refused() {
        let good = [0xff, 0xf1, 0x50, 0x80, 0x02, 0xff, 0xfc];
        assert!(Header::parse(&good[..6]).is_none());
        // Layer 1, a reserved rate, no bytes behind the header, two raw blocks.
        for (at, byte) in [(1, 0xf3), (2, 0x74), (4, 0x00), (6, 0xfd)] {
            let mut bytes = good;
            bytes[at] = byte;
            assert!(Header::parse(&bytes).is_none(), "{at}");
        }
        assert!(!begins(&[0xff]) && !begins(&[0x21, 0x10]));
    }
}
