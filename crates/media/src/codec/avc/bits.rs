//! Reads the bits of an RBSP: a NAL unit's payload without its emulation prevention bytes (H.264
//! §7.3.1).

/// A reader over the bytes behind a NAL unit's header.
#[derive(Clone, Debug)]
pub(super) struct Bits<'a> {
    bytes: &'a [u8],
    /// Of the byte that is read next.
    at: usize,
    /// Bits of it already read.
    used: u32,
    /// Zero bytes right before it.
    zeros: u32,
}

/// The bits ended, or a number does not fit 32 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End;

impl<'a> Bits<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            at: 0,
            used: 0,
            zeros: 0,
        }
    }

    pub(super) fn bit(&mut self) -> Result<bool, End> {
        let mut byte = *self.bytes.get(self.at).ok_or(End)?;
        if self.used == 0 && self.zeros >= 2 && byte == 3 {
            // 00 00 03: the 3 is there so that no start code arises.
            (self.at, self.zeros) = (self.at + 1, 0);
            byte = *self.bytes.get(self.at).ok_or(End)?;
        }
        let bit = byte >> (7 - self.used) & 1 == 1;
        self.used += 1;
        if self.used == 8 {
            self.zeros = if byte == 0 { self.zeros + 1 } else { 0 };
            (self.at, self.used) = (self.at + 1, 0);
        }
        Ok(bit)
    }

    /// `u(n)`, up to 32 bits.
    pub(super) fn u(&mut self, count: u32) -> Result<u32, End> {
        (0..count).try_fold(0, |value: u32, _| Ok(value << 1 | u32::from(self.bit()?)))
    }

    /// `ue(v)`: Exp-Golomb (§9.1).
    pub(super) fn ue(&mut self) -> Result<u32, End> {
        let mut zeros = 0;
        while !self.bit()? {
            zeros += 1;
            if zeros == 32 {
                return Err(End);
            }
        }
        Ok((1 << zeros) - 1 + self.u(zeros)?)
    }

    /// `se(v)`.
    pub(super) fn se(&mut self) -> Result<i32, End> {
        let code = i64::from(self.ue()?);
        let value = (code + 1) / 2;
        Ok(if code % 2 == 0 { -value } else { value } as i32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_the_end() {
        // 1 | 010 | 011 | 00100 | 1 00001.. : 0, 1, 2, 3, 0 and then nothing whole.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_1000]);
        let read: Vec<_> = (0..5).map(|_| bits.ue()).collect();
        assert_eq!(read, [Ok(0), Ok(1), Ok(2), Ok(3), Ok(0)]);
        assert_eq!(bits.ue(), Err(End));
        // 1 | 010 | 011 | 00100 | 00101: 0, 1, -1, 2, -2.
        let mut bits = Bits::new(&[0b1010_0110, 0b0100_0010, 0b1000_0000]);
        let read: Vec<_> = (0..5).map(|_| bits.se()).collect();
        assert_eq!(read, [Ok(0), Ok(1), Ok(-1), Ok(2), Ok(-2)]);
        assert_eq!(Bits::new(&[0; 40]).ue(), Err(End));
        let largest = [0, 0, 0, 1, 0xff, 0xff, 0xff, 0xfe];
        assert_eq!(Bits::new(&largest).ue(), Ok(u32::MAX - 1));
    }

    #[test]
    fn emulation_prevention_bytes_are_skipped() {
        let mut bits = Bits::new(&[0, 0, 3, 0, 0, 3, 1, 3]);
        let read: Vec<_> = (0..6).map(|_| bits.u(8)).collect();
        assert_eq!(read, [Ok(0), Ok(0), Ok(0), Ok(0), Ok(1), Ok(3)]);
    }
}
