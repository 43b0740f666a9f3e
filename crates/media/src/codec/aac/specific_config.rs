//! Reads an AudioSpecificConfig (ISO/IEC 14496-3 §1.6.2.1) and the program config element in it
//! (§4.5.1.2).

use bytes::Bytes;

use super::{Error, RATES};

/// Audio object types (§1.5.1).
pub(super) mod object_type {
    pub const LC: u8 = 2;
    pub const SBR: u8 = 5;
    pub const PS: u8 = 29;
}

/// AAC in all its kinds: Main, LC, SSR, LTP, scalable, their error resilient forms, ELD, USAC.
const AAC_OBJECT_TYPES: [u8; 10] = [1, 2, 3, 4, 6, 17, 19, 20, 23, 39];
const USAC: u8 = 42;
/// The extension of a configuration that older decoders read without it (§1.6.5).
const SYNC_EXTENSION: u32 = 0x2b7;

/// What a configuration says.
#[derive(Debug, Default)]
pub(super) struct Read {
    /// The one signalled first: that of SBR or PS where they are explicit.
    pub object_type: u8,
    pub core_object_type: u8,
    /// Samples per second of the core.
    pub rate: u32,
    /// Samples per second with SBR, where it is signalled.
    pub sbr_rate: Option<u32>,
    /// Channel configuration of 1 to 7; also of a program config element that is like one.
    pub layout: Option<u8>,
    /// Channels of a program config element.
    pub channels: u8,
    pub has_program_config: bool,
    pub has_960_samples: bool,
}

impl Read {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Error> {
        let mut bits = Bits { bytes, position: 0 };
        let signalled = object_type(&mut bits)?;
        let mut read = Self {
            object_type: signalled,
            core_object_type: signalled,
            rate: rate(&mut bits)?,
            ..Self::default()
        };
        let channel_config = bits.take(4)? as u8;
        if matches!(signalled, object_type::SBR | object_type::PS) {
            // The extension's rate is the output rate, the core's frames stay 1024 of the core
            // rate.
            read.sbr_rate = Some(rate(&mut bits)?);
            read.core_object_type = object_type(&mut bits)?;
        }
        let core = read.core_object_type;
        if core != USAC && !AAC_OBJECT_TYPES.contains(&core) {
            return Err(Error::ObjectType(core));
        }
        match channel_config {
            0 => {}
            1..=7 => read.layout = Some(channel_config),
            11 | 12 | 14 => read.channels = if channel_config == 11 { 7 } else { 8 },
            other => return Err(Error::Channels(other)),
        }
        // GASpecificConfig (§4.4.1); those of other kinds begin otherwise, and are not played.
        if matches!(core, 1..=4) {
            read.has_960_samples = bits.take(1)? == 1;
            // Configurations of one byte and a half exist; what they leave out is 0.
            let depends_on_core = bits.take(1).unwrap_or(0) == 1;
            bits.take(if depends_on_core { 14 } else { 0 })?;
            bits.take(1).unwrap_or(0);
            if channel_config == 0 {
                read.program_config(&mut bits)?;
            }
            read.sync_extension(&mut bits);
        }
        if read.layout.is_none() && read.channels == 0 {
            return Err(Error::Channels(0));
        }
        Ok(read)
    }

    /// SBR told behind a configuration of LC.
    fn sync_extension(&mut self, bits: &mut Bits<'_>) {
        if self.sbr_rate.is_some() || bits.take(11) != Ok(SYNC_EXTENSION) {
            return;
        }
        let has_sbr = object_type(bits) == Ok(object_type::SBR) && bits.take(1) == Ok(1);
        if has_sbr && self.core_object_type == object_type::LC {
            self.sbr_rate = rate(bits).ok();
        }
    }

    fn program_config(&mut self, bits: &mut Bits<'_>) -> Result<(), Error> {
        bits.take(4 + 2 + 4)?; // tag, object type, rate: those of the configuration hold
        let [front, side, back] = [bits.take(4)?, bits.take(4)?, bits.take(4)?];
        let [low, data, coupling] = [bits.take(2)?, bits.take(3)?, bits.take(4)?];
        for mixdown_bits in [4, 4, 3] {
            if bits.take(1)? == 1 {
                bits.take(mixdown_bits)?;
            }
        }
        let mut pairs = Vec::new();
        for _ in 0..front + side + back {
            pairs.push(bits.take(1)? == 1);
            bits.take(4)?;
        }
        bits.take(4 * low as usize + 4 * data as usize + 5 * coupling as usize)?;
        bits.align();
        let comment = bits.take(8)? as usize;
        bits.take(8 * comment)?;
        let elements = pairs.iter().map(|pair| if *pair { 2 } else { 1 });
        self.channels = elements.sum::<u8>() + low as u8;
        self.has_program_config = true;
        // The order of table 1.19: a centre, pairs from front to back, low frequencies.
        self.layout = match (pairs.as_slice(), low) {
            ([false], 0) => Some(1),
            ([true], 0) => Some(2),
            ([false, true], 0) => Some(3),
            ([false, true, false], 0) => Some(4),
            ([false, true, true], 0) => Some(5),
            ([false, true, true], 1) => Some(6),
            _ => None,
        };
        Ok(())
    }

    /// The configuration with the number of a layout in place of its program config element.
    /// `None` where it says more than two bytes can.
    pub(super) fn with_layout(&self, layout: u8) -> Option<Bytes> {
        let index = RATES.iter().position(|rate| *rate == self.rate)? as u8;
        let is_plain = self.sbr_rate.is_none() && self.core_object_type == object_type::LC;
        let bytes = [
            (object_type::LC << 3) | (index >> 1),
            (index << 7) | (layout << 3),
        ];
        is_plain.then(|| Bytes::copy_from_slice(&bytes))
    }
}

struct Bits<'a> {
    bytes: &'a [u8],
    position: usize,
}

impl Bits<'_> {
    /// Up to 32 bits; of more only the last 32 are given.
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

    fn align(&mut self) {
        self.position = self.position.next_multiple_of(8);
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
