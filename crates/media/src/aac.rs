//! AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1): what an AAC encoder says of itself.
//!
//! It reads the fields that packaging needs (object type, rate, channels, frame length) and keeps the bytes as sent.
//! It does not parse program config elements: channel configuration 0 is refused with a reason.

use bytes::Bytes;

use crate::Timescale;

/// An AudioSpecificConfig longer than this is not one: real ones have 2 to 7 bytes, 64 leaves room for extensions.
pub const CONFIG_BYTES_MAX: usize = 64;

const RATES: [u32; 13] = [
    96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025, 8_000,
    7_350,
];

/// Why an AudioSpecificConfig cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Ends before the fields it announces.
    #[error("AudioSpecificConfig ends after {0} bytes")]
    Truncated(usize),
    /// More than [`CONFIG_BYTES_MAX`].
    #[error("AudioSpecificConfig of {0} bytes exceeds {CONFIG_BYTES_MAX}")]
    TooLong(usize),
    /// Not an AAC object type that players decode.
    #[error("audio object type {0} is not AAC-LC or HE-AAC; set the encoder to AAC-LC")]
    ObjectType(u8),
    /// Reserved index or a rate of 0.
    #[error("sampling frequency index {0} is reserved")]
    Rate(u8),
    /// 0 (program config element) or reserved.
    #[error("channel configuration {0} is not supported; use mono, stereo or 5.1")]
    Channels(u8),
}

/// A parsed AudioSpecificConfig.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    bytes: Bytes,
    object_type: u8,
    sample_rate: u32,
    channels: u8,
    frame_samples: u32,
}

impl Config {
    /// Parses the bytes of an AudioSpecificConfig.
    pub fn parse(bytes: Bytes) -> Result<Self, Error> {
        if bytes.len() > CONFIG_BYTES_MAX {
            return Err(Error::TooLong(bytes.len()));
        }
        let mut bits = Bits {
            bytes: &bytes,
            position: 0,
        };
        let mut object_type = object_type(&mut bits)?;
        let mut sample_rate = rate(&mut bits)?;
        let channel_config = bits.take(4)? as u8;
        let signalled = object_type;
        if object_type == 5 || object_type == 29 {
            // Explicit SBR: the extension's rate is the output rate, the core's frames stay 1024 of the core rate.
            sample_rate = rate(&mut bits)?;
            object_type = self::object_type(&mut bits)?;
        }
        if !matches!(object_type, 1 | 2 | 4) {
            return Err(Error::ObjectType(signalled));
        }
        let channels = match channel_config {
            1..=6 => channel_config,
            7 => 8,
            other => return Err(Error::Channels(other)),
        };
        let core_samples = if bits.take(1)? == 1 { 960 } else { 1024 };
        let sbr = signalled == 5 || signalled == 29;
        let frame_samples = if sbr { core_samples * 2 } else { core_samples };
        Ok(Self {
            object_type: signalled,
            sample_rate,
            channels,
            frame_samples,
            bytes,
        })
    }

    /// An AAC-LC configuration, for encoders of ours and tests. `None` where the rate or channel count has no index.
    pub fn lc(sample_rate: u32, channels: u8) -> Option<Self> {
        let index = RATES.iter().position(|rate| *rate == sample_rate)? as u8;
        let bytes = [(2 << 3) | (index >> 1), (index << 7) | (channels << 3)];
        Self::parse(Bytes::copy_from_slice(&bytes)).ok()
    }

    /// The bytes as sent, for `esds`.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Samples per second of the decoded audio.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// Decoded channels.
    pub fn channels(&self) -> u8 {
        self.channels
    }

    /// Decoded samples per access unit: 1024 or 960, twice that with SBR. Always positive.
    pub fn frame_samples(&self) -> u32 {
        self.frame_samples
    }

    /// The sample rate as a timescale.
    pub fn timescale(&self) -> Timescale {
        Timescale::new(self.sample_rate).unwrap_or(crate::VIDEO_TIMESCALE)
    }

    /// An access unit of silence, to fill a hole with: its elements carry no spectral data at all
    /// (ISO/IEC 14496-3 §4.4.2, `raw_data_block`).
    pub fn silence(&self) -> Bytes {
        // Element kinds in the order of the channel configuration (§1.6.3.4): single, pair, LFE.
        const SINGLE: u32 = 0;
        const PAIR: u32 = 1;
        const LFE: u32 = 3;
        let elements: &[u32] = match self.channels {
            1 => &[SINGLE],
            2 => &[PAIR],
            3 => &[SINGLE, PAIR],
            4 => &[SINGLE, PAIR, SINGLE],
            5 => &[SINGLE, PAIR, PAIR],
            6 => &[SINGLE, PAIR, PAIR, LFE],
            _ => &[SINGLE, PAIR, PAIR, PAIR, LFE],
        };
        let mut bits = Writer::default();
        let mut instances = [0; 4];
        for element in elements {
            bits.put(*element, 3);
            bits.put(instances[*element as usize], 4);
            instances[*element as usize] += 1;
            if *element == PAIR {
                bits.put(0, 1);
            }
            for _ in 0..1 + u32::from(*element == PAIR) {
                // Global gain, a long window with no bands, neither pulses nor shaping nor control.
                bits.put(0, 8);
                bits.put(0, 11);
                bits.put(0, 3);
            }
        }
        bits.put(7, 3);
        Bytes::from(bits.bytes)
    }

    /// `mp4a.40.2`, `mp4a.40.5`, …
    pub fn rfc6381(&self) -> String {
        format!("mp4a.40.{}", self.object_type)
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    fn take(&mut self, count: usize) -> Result<u32, Error> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self
                .bytes
                .get(self.position / 8)
                .ok_or(Error::Truncated(self.bytes.len()))?;
            value = (value << 1) | u32::from((byte >> (7 - self.position % 8)) & 1);
            self.position += 1;
        }
        Ok(value)
    }
}

#[derive(Default)]
struct Writer {
    bytes: Vec<u8>,
    used: usize,
}

impl Writer {
    fn put(&mut self, value: u32, count: usize) {
        for bit in (0..count).rev() {
            if self.used.is_multiple_of(8) {
                self.bytes.push(0);
            }
            if let Some(last) = self.bytes.last_mut() {
                *last |= (((value >> bit) & 1) as u8) << (7 - self.used % 8);
            }
            self.used += 1;
        }
    }
}

fn object_type(bits: &mut Bits<'_>) -> Result<u8, Error> {
    match bits.take(5)? {
        31 => Ok(32 + bits.take(6)? as u8),
        short => Ok(short as u8),
    }
}

fn rate(bits: &mut Bits<'_>) -> Result<u32, Error> {
    let index = bits.take(4)? as u8;
    let rate = match index {
        15 => bits.take(24)?,
        index => RATES
            .get(usize::from(index))
            .copied()
            .ok_or(Error::Rate(index))?,
    };
    if rate == 0 {
        Err(Error::Rate(index))
    } else {
        Ok(rate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lc_stereo_and_mono() {
        let config = Config::parse(Bytes::from_static(&[0x12, 0x10])).unwrap();
        assert_eq!(
            (
                config.sample_rate(),
                config.channels(),
                config.frame_samples()
            ),
            (44_100, 2, 1024)
        );
        assert_eq!(config.rfc6381(), "mp4a.40.2");
        assert_eq!(
            Config::lc(48_000, 1).unwrap().bytes().as_ref(),
            [0x11, 0x88]
        );
    }

    #[test]
    fn reads_explicit_he_aac_with_the_output_rate() {
        // AOT 5, core 24 kHz, stereo, extension 48 kHz, AOT 2.
        let config = Config::parse(Bytes::from_static(&[0x2b, 0x11, 0x88, 0x00])).unwrap();
        assert_eq!(
            (config.sample_rate(), config.frame_samples()),
            (48_000, 2048)
        );
        assert_eq!(config.rfc6381(), "mp4a.40.5");
    }

    #[test]
    fn silence_has_the_elements_of_its_channels() {
        let silence = |channels| Config::lc(48_000, channels).unwrap().silence();
        assert_eq!(silence(1).as_ref(), [0, 0, 0, 0b111]);
        assert_eq!(silence(2).len(), 7);
        assert_eq!(silence(2)[0] >> 5, 1);
        assert!(silence(6).len() > silence(5).len());
    }

    #[test]
    fn refuses_what_no_player_decodes() {
        assert_eq!(Config::parse(Bytes::new()), Err(Error::Truncated(0)));
        assert_eq!(
            Config::parse(Bytes::from_static(&[0x12, 0x00])),
            Err(Error::Channels(0))
        );
        assert_eq!(
            Config::parse(Bytes::from_static(&[0x17, 0x00])),
            Err(Error::Rate(14))
        );
        assert_eq!(
            Config::parse(Bytes::from(vec![0; 65])),
            Err(Error::TooLong(65))
        );
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..80)) {
            if let Ok(config) = Config::parse(Bytes::from(bytes)) {
                assert!(config.sample_rate() > 0 && config.channels() > 0);
            }
        }
    }
}
