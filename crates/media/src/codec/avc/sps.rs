//! Sequence parameter sets (H.264 §7.3.2.1), read as far as they can be.
//!
//! Encoders get the end of this structure wrong: a level too small for the buffer sizes announced,
//! cropping beyond the picture, a VUI cut short. Decoders play such streams. So a fault up to the
//! picture size is an error; a fault behind it leaves out what follows and is noted.

use super::bits::{Bits, End};

/// Profiles whose sets carry chroma format, bit depths and scaling lists (§7.3.2.1.1).
const HIGH_PROFILES: [u8; 13] = [100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135];

/// What a sequence parameter set says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sps {
    /// `profile_idc`.
    pub profile: u8,
    /// The byte of constraint flags.
    pub constraints: u8,
    /// `level_idc`.
    pub level: u8,
    pub id: u32,
    pub chroma_format: u8,
    pub luma_depth: u8,
    pub chroma_depth: u8,
    /// Pixels after cropping.
    pub width: u32,
    /// Pixels after cropping.
    pub height: u32,
    /// Size in macroblocks, before cropping.
    pub macroblocks: (u32, u32),
    /// Frames per second as numerator and denominator, where they are declared.
    pub frame_rate: Option<(u32, u32)>,
    /// Something behind the picture size cannot be true; it and what follows it was ignored.
    pub is_faulty: bool,
}

impl Sps {
    /// Reads a set with its NAL header.
    pub(super) fn parse(unit: &[u8]) -> Result<Self, String> {
        let [_, profile, constraints, level, ref rest @ ..] = *unit else {
            return Err(format!("sequence parameter set of {} bytes", unit.len()));
        };
        let mut bits = Bits::new(rest);
        let ends = |End| "sequence parameter set is damaged before its picture size".to_owned();
        let mut set = Self {
            profile,
            constraints,
            level,
            id: 0,
            chroma_format: 1,
            luma_depth: 8,
            chroma_depth: 8,
            width: 0,
            height: 0,
            macroblocks: (0, 0),
            frame_rate: None,
            is_faulty: false,
        };
        set.id = bits.ue().map_err(ends)?;
        if set.id > 31 {
            return Err(format!(
                "sequence parameter set has id {}, of 0 to 31",
                set.id
            ));
        }
        if HIGH_PROFILES.contains(&profile) {
            set.read_high(&mut bits).map_err(ends)?;
        }
        skip_frame_numbers(&mut bits).map_err(ends)?;
        let frame_only = set.read_macroblocks(&mut bits).map_err(ends)?;
        let uncropped = (
            set.macroblocks.0.checked_mul(16),
            set.macroblocks.1.checked_mul(16),
        );
        let (Some(width), Some(height)) = uncropped else {
            return Err("sequence parameter set has a picture size beyond 32 bits".to_owned());
        };
        (set.width, set.height) = (width, height);
        let tail = set.read_cropping(&mut bits, frame_only);
        match tail.and_then(|()| read_frame_rate(&mut bits)) {
            Ok(frame_rate) => set.frame_rate = frame_rate,
            Err(End) => set.is_faulty = true,
        }
        Ok(set)
    }

    fn read_high(&mut self, bits: &mut Bits<'_>) -> Result<(), End> {
        let chroma_format = bits.ue()?;
        if chroma_format > 3 {
            return Err(End);
        }
        if chroma_format == 3 {
            bits.bit()?; // separate_colour_plane_flag
        }
        self.chroma_format = chroma_format as u8;
        let (luma, chroma) = (bits.ue()?, bits.ue()?);
        if luma > 6 || chroma > 6 {
            return Err(End);
        }
        (self.luma_depth, self.chroma_depth) = (8 + luma as u8, 8 + chroma as u8);
        bits.bit()?; // qpprime_y_zero_transform_bypass_flag
        if bits.bit()? {
            let lists = if chroma_format == 3 { 12 } else { 8 };
            for list in 0..lists {
                if bits.bit()? {
                    skip_scaling_list(bits, if list < 6 { 16 } else { 64 })?;
                }
            }
        }
        Ok(())
    }

    /// Reads the size in macroblocks; gives whether all pictures are frames.
    fn read_macroblocks(&mut self, bits: &mut Bits<'_>) -> Result<bool, End> {
        let width = bits.ue()?.checked_add(1).ok_or(End)?;
        let map_units = bits.ue()?.checked_add(1).ok_or(End)?;
        let frame_only = bits.bit()?;
        let fields = if frame_only { 1 } else { 2 };
        self.macroblocks = (width, map_units.checked_mul(fields).ok_or(End)?);
        if !frame_only {
            bits.bit()?; // mb_adaptive_frame_field_flag
        }
        bits.bit()?; // direct_8x8_inference_flag
        Ok(frame_only)
    }

    fn read_cropping(&mut self, bits: &mut Bits<'_>, frame_only: bool) -> Result<(), End> {
        if !bits.bit()? {
            return Ok(());
        }
        let mut sides = [0; 4];
        for side in &mut sides {
            *side = bits.ue()?;
        }
        let [left, right, top, bottom] = sides.map(u64::from);
        // §7.4.2.1.1, table 6-1: in chroma samples, and in pairs of lines where there are fields.
        let across = if matches!(self.chroma_format, 1 | 2) {
            2
        } else {
            1
        };
        let down = if self.chroma_format == 1 { 2 } else { 1 } * if frame_only { 1 } else { 2 };
        let less = |pixels: u32, cut: u64| {
            let left = u64::from(pixels).checked_sub(cut)?;
            u32::try_from(left).ok().filter(|left| *left > 0)
        };
        let width = less(self.width, (left + right) * across);
        let height = less(self.height, (top + bottom) * down);
        (self.width, self.height) = width.zip(height).ok_or(End)?;
        Ok(())
    }
}

fn skip_frame_numbers(bits: &mut Bits<'_>) -> Result<(), End> {
    bits.ue()?; // log2_max_frame_num_minus4
    match bits.ue()? {
        0 => {
            bits.ue()?;
        }
        1 => {
            bits.bit()?;
            bits.se()?;
            bits.se()?;
            let cycle = bits.ue()?;
            // §7.4.2.1.1: at most 255; the bits bound the loop anyway.
            for _ in 0..cycle.min(255) {
                bits.se()?;
            }
        }
        _ => {}
    }
    bits.ue()?; // max_num_ref_frames
    bits.bit()?; // gaps_in_frame_num_value_allowed_flag
    Ok(())
}

fn skip_scaling_list(bits: &mut Bits<'_>, size: u32) -> Result<(), End> {
    let (mut last, mut next) = (8i32, 8i32);
    for _ in 0..size {
        if next != 0 {
            next = last.wrapping_add(bits.se()?).rem_euclid(256);
        }
        if next != 0 {
            last = next;
        }
    }
    Ok(())
}

/// Reads the VUI up to its timing information (§E.1.1); what follows that is nobody's business
/// here.
fn read_frame_rate(bits: &mut Bits<'_>) -> Result<Option<(u32, u32)>, End> {
    const EXTENDED_SAR: u32 = 255;
    if !bits.bit()? {
        return Ok(None);
    }
    if bits.bit()? && bits.u(8)? == EXTENDED_SAR {
        bits.u(32)?;
    }
    if bits.bit()? {
        bits.bit()?; // overscan_appropriate_flag
    }
    if bits.bit()? {
        bits.u(4)?; // video_format, video_full_range_flag
        if bits.bit()? {
            bits.u(24)?; // colour description
        }
    }
    if bits.bit()? {
        bits.ue()?;
        bits.ue()?;
    }
    if !bits.bit()? {
        return Ok(None);
    }
    let (units, scale) = (bits.u(32)?, bits.u(32)?);
    // One frame is two field ticks (§E.2.1).
    let Some(denominator) = units.checked_mul(2).filter(|units| *units > 0) else {
        return Ok(None);
    };
    let rate = f64::from(scale) / f64::from(denominator);
    // Encoders write nonsense here when they have a variable rate (for example 1000 fps).
    Ok((1.0..=240.0)
        .contains(&rate)
        .then_some((scale, denominator)))
}

/// Levels with the macroblocks per second and per frame they allow (table A-1). Level 1b is left
/// out: it differs from 1 in bitrate alone.
const LEVELS: [(u8, u64, u64); 19] = [
    (10, 1_485, 99),
    (11, 3_000, 396),
    (12, 6_000, 396),
    (13, 11_880, 396),
    (20, 11_880, 396),
    (21, 19_800, 792),
    (22, 20_250, 1_620),
    (30, 40_500, 1_620),
    (31, 108_000, 3_600),
    (32, 216_000, 5_120),
    (40, 245_760, 8_192),
    (41, 245_760, 8_192),
    (42, 522_240, 8_704),
    (50, 589_824, 22_080),
    (51, 983_040, 36_864),
    (52, 2_073_600, 36_864),
    (60, 4_177_920, 139_264),
    (61, 8_355_840, 139_264),
    (62, 16_711_680, 139_264),
];

impl Sps {
    /// The level its size and rate need, where the one it names is smaller or does not exist.
    pub(super) fn needed_level(&self) -> Option<u8> {
        let (width, height) = (u64::from(self.macroblocks.0), u64::from(self.macroblocks.1));
        let size = width * height;
        let (frames, seconds) = self.frame_rate.unwrap_or((0, 1));
        let rate = size.saturating_mul(frames.into()) / u64::from(seconds.max(1));
        // §A.3.1 h: no side beyond the root of eight times the frame's macroblocks.
        let carries = |(_, rate_max, size_max): &(u8, u64, u64)| {
            let side = width.max(height);
            rate <= *rate_max && size <= *size_max && side * side <= size_max * 8
        };
        const LEVEL_1B: u8 = 9;
        let named = LEVELS.iter().find(|level| level.0 == self.level);
        let named = named.or_else(|| LEVELS.first().filter(|_| self.level == LEVEL_1B));
        if named.is_some_and(carries) {
            return None;
        }
        let least = LEVELS.iter().find(|level| carries(level));
        let needed = least.or(LEVELS.last()).map(|level| level.0)?;
        (named.is_none() || needed > self.level).then_some(needed)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Writes the bits of a set, for tests.
    #[derive(Clone, Default)]
    pub(in super::super) struct Writer(Vec<bool>);

    impl Writer {
        pub(in super::super) fn u(mut self, value: u32, count: u32) -> Self {
            self.0
                .extend((0..count).rev().map(|bit| value >> bit & 1 == 1));
            self
        }

        pub(in super::super) fn ue(self, value: u32) -> Self {
            let length = 32 - (value + 1).leading_zeros();
            self.u(0, length - 1).u(value + 1, length)
        }

        /// With a header, a stop bit and emulation prevention.
        pub(in super::super) fn unit(self, header: &[u8]) -> Vec<u8> {
            let mut bits = self.u(1, 1).0;
            bits.resize(bits.len().next_multiple_of(8), false);
            let mut unit = header.to_vec();
            let mut zeros = 0;
            for byte in bits.chunks(8) {
                let byte = byte
                    .iter()
                    .fold(0u8, |value, bit| value << 1 | u8::from(*bit));
                if zeros >= 2 && byte <= 3 {
                    unit.push(3);
                    zeros = 0;
                }
                zeros = if byte == 0 { zeros + 1 } else { 0 };
                unit.push(byte);
            }
            unit
        }
    }

    /// Main profile, set 0, `width` by `height` macroblocks, up to and without the cropping flag.
    fn begun(width: u32, height: u32) -> Writer {
        let numbers = Writer::default().ue(0).ue(0).ue(2).ue(1).u(0, 1);
        numbers.ue(width - 1).ue(height - 1).u(1, 1).u(1, 1)
    }

    fn main(level: u8, bits: Writer) -> Sps {
        Sps::parse(&bits.unit(&[0x67, 77, 0, level])).unwrap()
    }

    #[test]
    fn a_set_without_vui_has_its_size_and_no_rate() {
        let set = main(30, begun(40, 20).u(0, 2));
        assert_eq!((set.width, set.height, set.frame_rate), (640, 320, None));
        assert!(!set.is_faulty && set.needed_level().is_none());
    }

    #[test]
    fn cropping_counts_in_chroma_samples_and_pairs_of_lines() {
        // 1920x1088 cropped by 4 x 2 lines: 1080.
        let cropped = begun(120, 68).u(1, 1).ue(0).ue(0).ue(0).ue(4).u(0, 1);
        let set = main(40, cropped);
        assert_eq!((set.width, set.height), (1920, 1080));
        // Fields: 34 map units are 68 rows, and each count cuts four lines.
        let fields = Writer::default().ue(0).ue(0).ue(2).ue(1).u(0, 1);
        let fields = fields.ue(119).ue(33).u(0, 1).u(1, 1).u(1, 1);
        let set = main(40, fields.u(1, 1).ue(1).ue(0).ue(0).ue(2).u(0, 1));
        assert_eq!((set.width, set.height), (1918, 1080));
    }

    #[test]
    fn a_fault_behind_the_size_costs_only_what_follows() {
        // Cropping beyond the picture, and a rate behind it that is not believed.
        let set = main(30, begun(40, 20).u(1, 1).ue(400).ue(0).ue(0).ue(0).u(0, 1));
        assert_eq!((set.width, set.height, set.is_faulty), (640, 320, true));
        // A VUI that announces timing and ends.
        let cut = begun(40, 20).u(0, 1).u(1, 1).u(0, 4).u(1, 1).u(1, 20);
        let set = main(30, cut);
        assert_eq!(
            (set.width, set.frame_rate, set.is_faulty),
            (640, None, true)
        );
        let text = Sps::parse(&[0x67, 77, 0, 30, 0xff]).unwrap_err();
        assert!(text.contains("before its picture size"), "{text}");
    }

    #[test]
    fn timing_is_frames_and_nonsense_is_none() {
        let with = |units: u32, scale: u32| {
            let vui = begun(40, 20).u(0, 1).u(1, 1).u(0, 4).u(1, 1);
            main(30, vui.u(units, 32).u(scale, 32).u(1, 1)).frame_rate
        };
        assert_eq!(with(1001, 60_000), Some((60_000, 2002)));
        assert_eq!(with(1, 2000), None);
        assert_eq!(with(0, 50), None);
        assert_eq!(with(u32::MAX, 50), None);
    }

    #[test]
    fn high_profile_with_scaling_lists_and_422() {
        let high = Writer::default().ue(0).ue(2).ue(2).ue(2).u(0, 1).u(1, 1);
        // The first list falls back at once (delta -8: next 0), seven are absent.
        let high = high.u(1, 1).ue(16).u(0, 7).ue(0).ue(2).ue(4).u(0, 1);
        let bits = high.ue(119).ue(67).u(1, 1).u(1, 1).u(1, 1);
        let bits = bits.ue(0).ue(0).ue(0).ue(8).u(0, 1);
        let set = Sps::parse(&bits.unit(&[0x67, 122, 0, 41])).unwrap();
        assert_eq!((set.width, set.height), (1920, 1080));
        assert_eq!(
            (set.chroma_format, set.luma_depth, set.chroma_depth),
            (2, 10, 10)
        );
    }

    #[test]
    fn a_level_too_small_or_unknown_is_raised_to_what_size_and_rate_need() {
        let level = |level, width, height| main(level, begun(width, height).u(0, 2)).needed_level();
        // 640x320: 800 macroblocks, more than the 792 of level 2.1.
        assert_eq!(level(21, 40, 20), Some(22));
        assert_eq!(level(22, 40, 20), None);
        assert_eq!(level(0, 40, 20), Some(22));
        assert_eq!(level(255, 240, 120), Some(51));
        assert_eq!(level(9, 11, 9), None);
        assert_eq!(level(62, 1024, 512), None);
        let vui = begun(240, 120).u(0, 1).u(1, 1).u(0, 4).u(1, 1);
        let fast = main(51, vui.u(1, 32).u(120, 32).u(1, 1));
        assert_eq!(
            (fast.frame_rate, fast.needed_level()),
            (Some((120, 2)), Some(52))
        );
    }
}
