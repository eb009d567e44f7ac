//! One block: its values to a scale and whole numbers, and back.

use half::f16;

use super::{BLOCK, Bits};

/// The largest whole number of 8 bits; the smallest is as far from 0.
const MOST_OF_8: f32 = 127.0;

/// Whole numbers of 4 bits.
const RANGE_OF_4: (f32, f32) = (-8.0, 7.0);

/// Whole numbers that a block's largest value may be given in 4 bits. The first uses the range up; one that stops
/// short of it, or cuts the largest value off, has smaller steps or larger ones, which can suit the other values
/// better.
const PEAKS_OF_4: [f32; 7] = [-8.0, -7.0, -7.33, -7.67, -8.33, -8.67, -9.0];

/// The largest scale that can be stored, an f16's largest value.
const MOST_SCALE: f32 = 65_504.0;

/// Adding this to an f32 leaves the nearest whole number in its lowest bits, in any instruction set.
const ROUNDING: f32 = 12_582_912.0;

#[inline(always)]
fn round(x: f32) -> f32 {
    (x + ROUNDING) - ROUNDING
}

/// The lowest 8 bits of the nearest whole number.
#[inline(always)]
fn whole(x: f32) -> u8 {
    (x + ROUNDING).to_bits() as u8
}

/// Within a range; neither end has to be compared with what is not a number.
#[inline(always)]
fn within(x: f32, (least, most): (f32, f32)) -> f32 {
    let x = if x < least { least } else { x };
    if x > most { most } else { x }
}

/// The value of an f16, without a call or a branch.
#[inline(always)]
pub(super) fn decode_scale(scale: f16) -> f32 {
    // The exponent's bias differs by 112.
    const REBIAS: f32 = f32::from_bits((127 + 112) << 23);
    let bits = u32::from(scale.to_bits());
    f32::from_bits((bits & 0x7fff) << 13 | (bits & 0x8000) << 16) * REBIAS
}

/// The value farthest from 0 that a block can hold, whose scale is the largest.
#[inline(always)]
pub(super) fn reach(bits: Bits) -> f32 {
    match bits {
        Bits::Eight => MOST_SCALE * MOST_OF_8,
        Bits::Four => MOST_SCALE * -RANGE_OF_4.0,
    }
}

/// Scale and whole numbers of a block. The scale is no number where one of the values is not finite or beyond
/// [`reach`]; the whole numbers are then left as they were.
#[inline(always)]
pub(super) fn quantize(values: &[f32; BLOCK], bits: Bits, packed: &mut [u8]) -> f16 {
    let peak = peak(values);
    // What is no number is within no reach.
    let is_held = peak.abs() <= reach(bits);
    if !is_held {
        return f16::NAN;
    }
    match bits {
        Bits::Eight => {
            let scale = storable(peak.abs() / MOST_OF_8);
            let inverse = inverse(scale);
            let (packed, _) = packed.as_chunks_mut::<BLOCK>();
            for packed in packed {
                for i in 0..BLOCK {
                    packed[i] = whole(within(values[i] * inverse, (-MOST_OF_8, MOST_OF_8)));
                }
            }
            scale
        }
        Bits::Four => {
            let scale = best_scale_of_4(values, peak);
            let inverse = inverse(scale);
            let mut bytes = [0_u8; BLOCK];
            for i in 0..BLOCK {
                bytes[i] = whole(within(values[i] * inverse, RANGE_OF_4));
            }
            let (pairs, _) = bytes.as_chunks::<2>();
            for (byte, [low, high]) in packed.iter_mut().zip(pairs) {
                *byte = low & 0x0f | high << 4;
            }
            scale
        }
    }
}

/// The whole numbers of a block, first values first.
#[inline(always)]
pub(super) fn unpack(packed: &[u8], bits: Bits) -> [f32; BLOCK] {
    let mut values = [0.0; BLOCK];
    match bits {
        Bits::Eight => {
            for (value, byte) in values.iter_mut().zip(packed) {
                *value = f32::from(*byte as i8);
            }
        }
        Bits::Four => {
            let (pairs, _) = values.as_chunks_mut::<2>();
            for ([low, high], byte) in pairs.iter_mut().zip(packed) {
                (*low, *high) = halves(*byte);
            }
        }
    }
    values
}

/// The two whole numbers of 4 bits in a byte.
#[inline(always)]
pub(super) fn halves(byte: u8) -> (f32, f32) {
    let bits = u32::from(byte);
    (
        ((bits << 28) as i32 >> 28) as f32,
        ((bits << 24) as i32 >> 28) as f32,
    )
}

/// The value farthest from 0, with its sign; no number where one of the values is not finite.
#[inline(always)]
fn peak(values: &[f32; BLOCK]) -> f32 {
    let (mut least, mut most) = ([0.0_f32; 8], [0.0_f32; 8]);
    // 0 times what is not finite is no number, and a sum with it is none.
    let mut zeros = [0.0_f32; 8];
    let (groups, _) = values.as_chunks::<8>();
    for group in groups {
        for i in 0..8 {
            least[i] = if group[i] < least[i] {
                group[i]
            } else {
                least[i]
            };
            most[i] = if group[i] > most[i] {
                group[i]
            } else {
                most[i]
            };
            zeros[i] += group[i] * 0.0;
        }
    }
    let least = least.into_iter().fold(0.0, f32::min);
    let most = most.into_iter().fold(0.0, f32::max);
    let zero: f32 = zeros.iter().sum();
    zero + if most >= -least { most } else { least }
}

/// The nearest scale that can be stored.
#[inline(always)]
fn storable(scale: f32) -> f16 {
    f16::from_f32(scale.clamp(-MOST_SCALE, MOST_SCALE))
}

/// What values are multiplied by to be whole; 0 where all of them are.
#[inline(always)]
fn inverse(scale: f16) -> f32 {
    if scale == f16::ZERO {
        0.0
    } else {
        decode_scale(scale).recip()
    }
}

/// Of the scales that give the peak each of [`PEAKS_OF_4`] the one with the least squared error.
#[inline(always)]
fn best_scale_of_4(values: &[f32; BLOCK], peak: f32) -> f16 {
    let mut best = (f32::INFINITY, f16::ZERO);
    for whole in PEAKS_OF_4 {
        let scale = storable(peak / whole);
        let (step, inverse) = (decode_scale(scale), inverse(scale));
        let mut errors = [0.0_f32; 8];
        let (groups, _) = values.as_chunks::<8>();
        for group in groups {
            for i in 0..8 {
                let q = round(within(group[i] * inverse, RANGE_OF_4));
                let off = group[i] - q * step;
                errors[i] += off * off;
            }
        }
        let error: f32 = errors.iter().sum();
        if error < best.0 {
            best = (error, scale);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use half::f16;

    use super::{BLOCK, Bits, decode_scale, quantize, reach, unpack};

    fn through(values: [f32; BLOCK], bits: Bits) -> [f32; BLOCK] {
        let mut packed = vec![0; bits.value_bytes(BLOCK)];
        let scale = decode_scale(quantize(&values, bits, &mut packed));
        unpack(&packed, bits).map(|q| q * scale)
    }

    #[test]
    fn scales_are_decoded_exactly() {
        for bits in 0..=u16::MAX {
            let scale = f16::from_bits(bits);
            if scale.is_finite() {
                assert_eq!(decode_scale(scale), scale.to_f32(), "{bits:04x}");
            }
        }
    }

    #[test]
    fn whole_numbers_of_a_scale_come_back_as_they_were() {
        let eighths: [f32; BLOCK] = std::array::from_fn(|i| (i as f32 * 8.0 - 127.0) / 1024.0);
        assert_eq!(through(eighths, Bits::Eight), eighths);
        let mut quarters: [f32; BLOCK] = std::array::from_fn(|i| (i % 16) as f32 - 8.0);
        assert_eq!(through(quarters, Bits::Four), quarters);
        quarters = quarters.map(|x| -x / 4.0);
        assert_eq!(through(quarters, Bits::Four), quarters);
    }

    #[test]
    fn errors_stay_below_half_a_step() {
        let values: [f32; BLOCK] = std::array::from_fn(|i| (i as f32 * 0.7).sin() * 0.02);
        for (bits, step) in [(Bits::Eight, 0.02 / 127.0), (Bits::Four, 0.02 / 7.0)] {
            for (x, y) in values.iter().zip(through(values, bits)) {
                assert!((x - y).abs() <= 0.51 * step, "{bits:?} {x} {y}");
            }
        }
    }

    #[test]
    fn values_far_from_1_do_no_harm() {
        for bits in [Bits::Eight, Bits::Four] {
            assert_eq!(through([0.0; BLOCK], bits), [0.0; BLOCK]);
            let tiny = through([1e-30; BLOCK], bits);
            assert!(tiny.iter().all(|x| x.abs() < 1e-6), "{tiny:?}");
            for farthest in [reach(bits), -reach(bits)] {
                let huge = through([farthest; BLOCK], bits);
                assert_eq!(huge, [farthest; BLOCK], "{bits:?}");
                let mut values = [farthest / 4.0; BLOCK];
                values[9] = farthest;
                let found = through(values, bits);
                assert_eq!(found[9], farthest, "{bits:?}");
                let off = found[0] / (farthest / 4.0) - 1.0;
                assert!(off.abs() < 0.02, "{bits:?} {off}");
            }
        }
    }

    #[test]
    fn values_that_cannot_be_held_have_no_scale() {
        for bits in [Bits::Eight, Bits::Four] {
            let beyond = reach(bits) * 1.001;
            let not_finite = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY];
            for value in not_finite.into_iter().chain([beyond, -beyond, 1e20, -3e38]) {
                for (place, rest) in [(0, 0.0), (7, 0.5), (8, -0.5), (31, 1e-30)] {
                    let mut values = [rest; BLOCK];
                    values[place] = value;
                    let mut packed = vec![0; bits.value_bytes(BLOCK)];
                    let scale = quantize(&values, bits, &mut packed);
                    assert!(scale.is_nan(), "{bits:?} {value} at {place}: {scale}");
                }
            }
            let mut packed = vec![0; bits.value_bytes(BLOCK)];
            let scale = quantize(&[f32::NAN; BLOCK], bits, &mut packed);
            assert!(scale.is_nan(), "{bits:?}: {scale}");
        }
    }
}
