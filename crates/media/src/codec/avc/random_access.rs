//! Tells where decoding may start (H.264 §7.4.1.2.4, recovery points §D.2.8).

use super::{
    bits::{Bits, End},
    nal::{self, kind},
};
use crate::RandomAccess;

/// `payloadType` of a recovery point.
const RECOVERY_POINT: u32 = 6;

/// What the NAL units of one access unit allow.
pub(super) fn of<'a>(units: impl Iterator<Item = &'a [u8]>) -> RandomAccess {
    let (mut recovery, mut intra) = (None, None);
    for unit in units {
        match nal::nal_type(unit) {
            kind::IDR => return RandomAccess::Idr,
            kind::SEI => recovery = recovery.or_else(|| recovery_frames(unit)),
            // Partition A holds the slice header; B and C follow it.
            kind::SLICE | kind::PARTITION_A => {
                intra = Some(intra.unwrap_or(true) && is_intra_slice(unit))
            }
            _ => {}
        }
    }
    match (recovery, intra) {
        (Some(frames), Some(_)) => RandomAccess::RecoveryPoint { frames },
        (None, Some(true)) => RandomAccess::Intra,
        _ => RandomAccess::No,
    }
}

/// Frames from a recovery point to the first right picture, where the SEI unit has such a message.
fn recovery_frames(unit: &[u8]) -> Option<u32> {
    let mut bits = Bits::new(unit.get(1..)?);
    // Each message takes 16 bits at least, so the unit bounds the loop.
    loop {
        let number = |bits: &mut Bits<'_>| -> Result<u32, End> {
            let mut number = 0u32;
            loop {
                let byte = bits.u(8)?;
                number = number.checked_add(byte).ok_or(End)?;
                if byte != 255 {
                    return Ok(number);
                }
            }
        };
        let kind = number(&mut bits).ok()?;
        let bytes = number(&mut bits).ok()?;
        if kind == RECOVERY_POINT {
            return bits.ue().ok();
        }
        for _ in 0..bytes {
            bits.u(8).ok()?;
        }
    }
}

/// Whether a slice is of type I or SI (§7.4.3, table 7-6).
fn is_intra_slice(unit: &[u8]) -> bool {
    let mut bits = Bits::new(unit.get(1..).unwrap_or_default());
    let slice_type = bits.ue().and_then(|_first_macroblock| bits.ue());
    matches!(slice_type, Ok(2 | 4 | 7 | 9))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(units: &[&[u8]]) -> RandomAccess {
        of(units.iter().copied())
    }

    // First macroblock 0, slice type 7 (I) or 5 (P): 1 0001000 or 1 00110.
    const I: &[u8] = &[0x61, 0b1000_1000, 0x80];
    const P: &[u8] = &[0x41, 0b1001_1010, 0x80];

    #[test]
    fn an_idr_slice_decides() {
        assert_eq!(access(&[&[9, 0xf0], &[0x65, 0x88]]), RandomAccess::Idr);
        assert_eq!(access(&[&[9, 0xf0]]), RandomAccess::No);
        assert_eq!(access(&[]), RandomAccess::No);
    }

    #[test]
    fn recovery_points_say_how_many_frames_they_take() {
        // x264's open GOP: recovery_frame_cnt 0 (1), exact (1), not broken (0), group 0, stop bit.
        let open: &[u8] = &[6, 6, 1, 0b1100_0100, 0x80];
        assert_eq!(
            access(&[open, I]),
            RandomAccess::RecoveryPoint { frames: 0 }
        );
        // Intra refresh over 59 frames behind another message: 00000111100.
        let refresh: &[u8] = &[6, 5, 2, 1, 2, 6, 2, 0b0000_0111, 0b1001_0001, 0x80];
        let found = access(&[refresh, P]);
        assert_eq!(found, RandomAccess::RecoveryPoint { frames: 59 });
        // An SEI unit alone is nothing to start at.
        assert_eq!(access(&[open]), RandomAccess::No);
        assert_eq!(access(&[&[6, 255, 255], P]), RandomAccess::No);
    }

    #[test]
    fn a_picture_is_intra_when_all_its_slices_are() {
        assert_eq!(access(&[I, I]), RandomAccess::Intra);
        assert_eq!(access(&[I, P]), RandomAccess::No);
        assert_eq!(access(&[&[0x41]]), RandomAccess::No);
    }
}
