//! Matrices cut into strips of columns, the form in which products read them.

use half::f16;
use pulp::Simd;

use super::memory::AlignedValues;

/// Columns of a strip: of f32 a cache line, one vector of the widest processors and four of the narrowest.
pub(super) const STRIP: usize = 16;

/// What strips are made of.
pub(super) trait StripValue: Copy {
    /// A row of a strip, as it is multiplied with.
    fn vectors<S: Simd, const VECTORS: usize>(simd: S, row: &[Self]) -> [S::f32s; VECTORS];
}

impl StripValue for f32 {
    #[inline(always)]
    fn vectors<S: Simd, const VECTORS: usize>(_: S, row: &[Self]) -> [S::f32s; VECTORS] {
        let row = S::as_simd_f32s(row).0;
        std::array::from_fn(|vector| row[vector])
    }
}

impl StripValue for f16 {
    #[inline(always)]
    fn vectors<S: Simd, const VECTORS: usize>(simd: S, row: &[Self]) -> [S::f32s; VECTORS] {
        let row: [f32; STRIP] = std::array::from_fn(|column| widened(row[column]));
        f32::vectors::<S, VECTORS>(simd, &row)
    }
}

/// By how much numbers shrink when the exponent of 16 bits, whose bias is 15, is read as that of 32 bits, whose bias is
/// 127.
const EXPONENT_GAP: f32 = f32::from_bits((127 - 112) << 23);

/// Of 16 bits; smaller ones have fewer bits, and all the same distance.
const SMALLEST_NORMAL: f32 = 1.0 / 16_384.0;

/// In operations that exist for vectors, unlike `f32::from`, which asks the processor first. The value must be a
/// number.
#[inline(always)]
#[allow(
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss,
    reason = "the sign moves up with the other bits"
)]
fn widened(value: f16) -> f32 {
    let bits = i32::from(value.to_bits() as i16) << 13;
    f32::from_bits(bits as u32 & 0x8fff_e000) * EXPONENT_GAP.recip()
}

/// The nearest number of 16 bits to one that is no larger than the largest of them; of two the even one.
#[inline(always)]
#[allow(
    clippy::cast_possible_truncation,
    reason = "a number that is not too large has no more bits"
)]
pub(super) fn narrowed(value: f32) -> f16 {
    let size = value.abs();
    let rounded = if size < SMALLEST_NORMAL {
        // Numbers about a half are as far apart in 32 bits as these are in 16.
        (size + 0.5).to_bits() - 0.5_f32.to_bits()
    } else {
        let bits = size.to_bits() - (112 << 23);
        (bits + 0xfff + (bits >> 13 & 1)) >> 13
    };
    let sign = value.to_bits() >> 16 & 0x8000;
    f16::from_bits((rounded | sign) as u16)
}

impl StripValue for i8 {
    #[inline(always)]
    fn vectors<S: Simd, const VECTORS: usize>(simd: S, row: &[Self]) -> [S::f32s; VECTORS] {
        let row: [f32; STRIP] = std::array::from_fn(|column| f32::from(row[column]));
        f32::vectors::<S, VECTORS>(simd, &row)
    }
}

/// A matrix `[n_inner, n_columns]` cut into strips of columns, each of which lies row by row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Strips<'a, T> {
    pub memory: StripMemory<'a, T>,
    /// Rows.
    pub n_inner: usize,
    pub n_columns: usize,
    /// Whether strips are to be fetched ahead of their use.
    pub are_fetched: bool,
}

/// Where strips are.
#[derive(Debug, Clone, Copy)]
pub(super) enum StripMemory<'a, T> {
    /// One behind the other.
    InARow(&'a [T]),
    /// Each in memory of its own.
    Each(&'a [AlignedValues<T>]),
}

impl<'a, T> Strips<'a, T> {
    /// Where a value is, all of them counted strip by strip: to be fetched, not to be read, since there may be fewer.
    pub fn place(&self, value: usize) -> *const T {
        match self.memory {
            StripMemory::InARow(values) => values.as_ptr().wrapping_add(value),
            StripMemory::Each(strips) => {
                let len = (self.n_inner * STRIP).max(1);
                let strip = strips.get(value / len).map_or(&[][..], |strip| strip);
                strip.as_ptr().wrapping_add(value % len)
            }
        }
    }

    pub fn n_strips(&self) -> usize {
        self.n_columns.div_ceil(STRIP)
    }

    pub fn strip(&self, strip: usize) -> &'a [T] {
        let len = self.n_inner * STRIP;
        match self.memory {
            StripMemory::InARow(values) => &values[strip * len..(strip + 1) * len],
            StripMemory::Each(strips) => &strips[strip][..len],
        }
    }
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::{STRIP, StripMemory, Strips, narrowed, widened};
    use crate::cpu::memory::AlignedValues;

    #[test]
    fn places_are_those_of_the_values_strip_by_strip() {
        let n_inner = 3;
        let each = [(); 2].map(|()| AlignedValues::<f32>::zeros(n_inner * STRIP));
        let in_a_row = vec![0.0; 2 * n_inner * STRIP];
        for memory in [StripMemory::Each(&each), StripMemory::InARow(&in_a_row)] {
            let strips = Strips {
                memory,
                n_inner,
                n_columns: 2 * STRIP,
                are_fetched: false,
            };
            for value in [
                0,
                5,
                n_inner * STRIP - 1,
                n_inner * STRIP,
                2 * n_inner * STRIP - 1,
            ] {
                let (strip, at) = (value / (n_inner * STRIP), value % (n_inner * STRIP));
                assert_eq!(strips.place(value), &raw const strips.strip(strip)[at]);
            }
            // Beyond the last there is nothing to be read, and asking for it harms nobody.
            let _ = strips.place(9 * n_inner * STRIP);
        }
    }

    #[test]
    fn every_number_of_16_bits_is_widened_as_it_is_and_narrowed_back() {
        for bits in 0..=u16::MAX {
            let value = f16::from_bits(bits);
            if value.is_finite() {
                assert_eq!(widened(value).to_bits(), f32::from(value).to_bits());
                assert_eq!(narrowed(widened(value)).to_bits(), bits);
            }
        }
    }

    #[test]
    fn numbers_between_are_narrowed_to_the_nearest() {
        for i in 0..2_000_000_u32 {
            let value = f32::from_bits(i.wrapping_mul(2_654_435_761));
            if value.abs() <= f32::from(f16::MAX) {
                let want = f16::from_f32(value);
                assert_eq!(narrowed(value).to_bits(), want.to_bits(), "{value:e}");
            }
        }
    }
}
