//! Scales pictures to half their size: the step from each default rung to the next smaller one.
//!
//! The filter is the cubic that swscale takes for the same step, its 8 taps rounded to 1/128, but
//! without general tables it costs a third of swscale's time; scaling is a sixth of what a ladder
//! costs. Rows first, columns second: sums of 8 samples, centred on 0, fit 16 bits and lose nothing
//! in between.

use std::array;

/// Taps on either side of the new sample's centre, outermost first; both sides together sum up to
/// 128.
const TAPS: [i16; 4] = [-2, -5, 15, 56];

/// Samples the filter reaches beyond a pair on each side.
const REACH: usize = 3;

/// Samples past a row's end that a whole register may read.
const SLACK: usize = 16;

/// What makes sums of samples signed: 128 times 128.
const CENTRE: i16 = 16_384;

/// One plane to read.
#[derive(Clone, Copy)]
pub(crate) struct From<'a> {
    pub data: &'a [u8],
    pub stride: usize,
}

/// One plane to write.
pub(crate) struct To<'a> {
    pub data: &'a mut [u8],
    pub stride: usize,
    pub width: usize,
    pub height: usize,
}

/// Halves planes; keeps one row of memory between them.
#[derive(Default)]
pub(crate) struct HalfDownscaler {
    sums: Vec<i16>,
}

impl HalfDownscaler {
    /// Fills `to` from a plane of twice its width and height. `None` where that is too small for
    /// its sizes.
    pub(crate) fn run(&mut self, from: From<'_>, to: To<'_>) -> Option<()> {
        let (width, height) = (to.width * 2, to.height * 2);
        if to.width == 0 || to.height == 0 {
            return Some(());
        }
        self.sums.resize(REACH + width + SLACK, 0);
        let row = |y: usize| {
            let start = y * from.stride;
            from.data.get(start..start + width)
        };
        for (y, out) in to.data.chunks_mut(to.stride).take(to.height).enumerate() {
            let mut rows: [&[u8]; 8] = [&[]; 8];
            for (tap, slot) in rows.iter_mut().enumerate() {
                // Beyond an edge its samples repeat.
                *slot = row((2 * y + tap).saturating_sub(REACH).min(height - 1))?;
            }
            let sums = self.sums.get_mut(REACH..REACH + width)?;
            sum_rows(rows, sums);
            let (first, last) = (*sums.first()?, *sums.last()?);
            self.sums.get_mut(..REACH)?.fill(first);
            self.sums.get_mut(REACH + width..)?.fill(last);
            sum_columns(&self.sums, out.get_mut(..to.width)?);
        }
        Some(())
    }
}

/// Eight rows into one of sums; the compiler makes vector code of it.
#[inline(never)]
fn sum_rows(rows: [&[u8]; 8], sums: &mut [i16]) {
    let count = sums.len();
    let rows: [&[u8]; 8] = array::from_fn(|tap| rows[tap].get(..count).unwrap_or_default());
    if rows.iter().any(|row| row.len() != count) {
        return;
    }
    for (x, sum) in sums.iter_mut().enumerate() {
        let pair = |tap: usize| i16::from(rows[tap][x]) + i16::from(rows[7 - tap][x]);
        // Wraps in between; the result fits.
        *sum = (pair(0).wrapping_mul(TAPS[0]))
            .wrapping_add(pair(1).wrapping_mul(TAPS[1]))
            .wrapping_add(pair(2).wrapping_mul(TAPS[2]))
            .wrapping_add(pair(3).wrapping_mul(TAPS[3]))
            .wrapping_sub(CENTRE);
    }
}

/// Rounds a sum of 64 weighted samples, off centre by 128 times [`CENTRE`], to a sample.
fn to_sample(sum: i32) -> u8 {
    let centred = (sum + (1 << 13)) >> 14;
    (centred + 128).clamp(0, 255) as u8
}

/// One row of sums into half as many samples. `sums` starts [`REACH`] before the row and ends
/// [`SLACK`] after it.
#[inline(never)]
fn sum_columns(sums: &[i16], out: &mut [u8]) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: SSE2 is part of x86-64.
    let done = unsafe { columns_by_eight(sums, out) };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    let (Some(out), Some(sums)) = (out.get_mut(done..), sums.get(2 * done..)) else {
        return;
    };
    for (sample, window) in out.iter_mut().zip(sums.windows(8).step_by(2)) {
        let pair = |tap: usize| i32::from(window[tap]) + i32::from(window[7 - tap]);
        *sample = to_sample((0..4).map(|tap| pair(tap) * i32::from(TAPS[tap])).sum());
    }
}

/// The same with SSE2, which every x86-64 has, for as many whole groups of eight as there are; how
/// many samples.
///
/// Neighbouring sums are the two taps of one sample, which is what `madd` multiplies and adds.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "sse2")]
fn columns_by_eight(sums: &[i16], out: &mut [u8]) -> usize {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi16, _mm_add_epi32, _mm_loadu_si128, _mm_madd_epi16, _mm_packs_epi32,
        _mm_packus_epi16, _mm_set1_epi16, _mm_set1_epi32, _mm_srai_epi32, _mm_storel_epi64,
    };
    const GROUP: usize = 8;
    // The last register read for a group starts 14 sums after the group's first and holds 8.
    const READ: usize = 2 * GROUP - 2 + 8;
    let pairs = |first: i16, second: i16| {
        _mm_set1_epi32((i32::from(second) << 16) | i32::from(first as u16))
    };
    let outer = [pairs(TAPS[0], TAPS[1]), pairs(TAPS[2], TAPS[3])];
    let inner = [pairs(TAPS[3], TAPS[2]), pairs(TAPS[1], TAPS[0])];
    let rounding = _mm_set1_epi32(1 << 13);
    let four = |window: &[i16; 14]| {
        // SAFETY: 8 sums are read at 0, 2, 4 and 6 of the window's 14.
        let at =
            |start: usize| unsafe { _mm_loadu_si128(window.as_ptr().add(start).cast::<__m128i>()) };
        let left = _mm_add_epi32(
            _mm_madd_epi16(at(0), outer[0]),
            _mm_madd_epi16(at(2), outer[1]),
        );
        let right = _mm_add_epi32(
            _mm_madd_epi16(at(4), inner[0]),
            _mm_madd_epi16(at(6), inner[1]),
        );
        let sum = _mm_add_epi32(_mm_add_epi32(left, right), rounding);
        _mm_srai_epi32::<14>(sum)
    };
    let mut done = 0;
    for (group, samples) in out.chunks_exact_mut(GROUP).enumerate() {
        let start = group * 2 * GROUP;
        let Some(window) = sums.get(start..start + READ) else {
            break;
        };
        let (Some(low), Some(high)) = (window.first_chunk::<14>(), window[8..].first_chunk::<14>())
        else {
            break;
        };
        let centred = _mm_packs_epi32(four(low), four(high));
        let packed = _mm_add_epi16(centred, _mm_set1_epi16(128));
        let packed = _mm_packus_epi16(packed, packed);
        // SAFETY: 8 bytes are written to a slice of 8.
        unsafe { _mm_storel_epi64(samples.as_mut_ptr().cast::<__m128i>(), packed) };
        done += GROUP;
    }
    done
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The definition, without any art.
    fn plainly(from: &[u8], width: usize, height: usize) -> Vec<u8> {
        let tap = |index: usize| i32::from(TAPS[index.min(7 - index)]);
        let at = |x: usize, y: usize| {
            let x = x.saturating_sub(REACH).min(width - 1);
            let y = y.saturating_sub(REACH).min(height - 1);
            i32::from(from[y * width + x])
        };
        let mut out = Vec::new();
        for y in 0..height / 2 {
            for x in 0..width / 2 {
                let taps = (0..8).flat_map(|v| (0..8).map(move |h| (v, h)));
                let sum: i32 = taps
                    .map(|(v, h)| tap(v) * tap(h) * at(2 * x + h, 2 * y + v))
                    .sum();
                out.push(((sum + (1 << 13)) >> 14).clamp(0, 255) as u8);
            }
        }
        out
    }

    proptest! {
        #[test]
        fn equals_the_definition(
            width in 1usize..40, height in 1usize..6, seed in any::<u64>(), extreme: bool,
        ) {
            let mut state = seed | 1;
            let from: Vec<u8> = (0..width * height * 4).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let byte = (state >> 56) as u8;
                if extreme { if byte > 127 { 255 } else { 0 } } else { byte }
            }).collect();
            let mut out = vec![0; width * height];
            let to = To { data: &mut out, stride: width, width, height };
            let source = From { data: &from, stride: width * 2 };
            prop_assert_eq!(HalfDownscaler::default().run(source, to), Some(()));
            prop_assert_eq!(out, plainly(&from, width * 2, height * 2));
        }
    }

    #[test]
    fn too_little_to_read_is_no_picture() {
        let mut out = [0; 4];
        let to = To {
            data: &mut out,
            stride: 2,
            width: 2,
            height: 2,
        };
        assert_eq!(
            HalfDownscaler::default().run(
                From {
                    data: &[0; 15],
                    stride: 4
                },
                to
            ),
            None
        );
    }
}
