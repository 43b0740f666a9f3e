//! Frames of silence (ISO/IEC 14496-3 §4.4.2, `raw_data_block`).

use bytes::Bytes;

/// A frame whose elements carry no spectral data at all.
pub(super) fn frame(channels: u8) -> Bytes {
    // Element kinds in the order of the channel configuration (§1.6.3.4): single, pair, LFE.
    const SINGLE: u32 = 0;
    const PAIR: u32 = 1;
    const LFE: u32 = 3;
    let elements: &[u32] = match channels {
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
