//! A quantised matrix in the host's memory, laid out as it is saved.

use burn::tensor::DType;
use half::{bf16, f16};

use super::block::{decode_scale, quantize, unpack};
use super::{BLOCK, Bits, PackError};
use crate::cpu::{for_each_chunk, vectorised};

/// `[d_out, d_in]`, row by row, the values of a row packed and its scales apart.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedMatrix {
    bits: Bits,
    shape: [usize; 2],
    values: Vec<u8>,
    scales: Vec<f16>,
}

impl PackedMatrix {
    /// Quantises stored values of a floating-point type, little-endian.
    ///
    /// # Errors
    /// [`PackError`], but for [`PackError::Scale`].
    pub fn quantize(
        bytes: &[u8],
        dtype: DType,
        shape: [usize; 2],
        bits: Bits,
    ) -> Result<Self, PackError> {
        let read: ReadBlock = match dtype {
            DType::F32 => |bytes| read_block(bytes, f32::from_le_bytes),
            DType::F16 => |bytes| read_block(bytes, |b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => |bytes| read_block(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => return Err(PackError::Type { dtype }),
        };
        let wrong_layout = PackError::Layout {
            shape,
            n_bytes: bytes.len(),
        };
        let [d_out, d_in] = shape;
        let n_values = d_out.checked_mul(d_in).ok_or(wrong_layout)?;
        let n_bytes = n_values.checked_mul(dtype.size()).ok_or(wrong_layout)?;
        if d_in == 0 || !d_in.is_multiple_of(BLOCK) || bytes.len() != n_bytes {
            return Err(wrong_layout);
        }
        let block_bytes = BLOCK * dtype.size();
        let mut values = vec![0; bits.value_bytes(n_values)];
        let mut scales = vec![f16::ZERO; n_values / BLOCK];
        let packed_bytes = bits.value_bytes(BLOCK);
        let quantize_row = |(row, packed, scales): (&[u8], &mut [u8], &mut [f16])| {
            vectorised(
                #[inline(always)]
                || {
                    let blocks = row
                        .chunks_exact(block_bytes)
                        .zip(packed.chunks_exact_mut(packed_bytes));
                    for ((stored, packed), scale) in blocks.zip(scales.iter_mut()) {
                        *scale = quantize(&read(stored), bits, packed);
                    }
                },
            );
        };
        let row_bytes = d_in * dtype.size();
        for_each_row(
            (bytes, row_bytes),
            (&mut values, bits.value_bytes(d_in)),
            (&mut scales, d_in / BLOCK),
            quantize_row,
        );
        if let Some(block) = first_not_finite(&scales) {
            let values = read(&bytes[block * block_bytes..][..block_bytes]);
            let row = block / (d_in / BLOCK);
            return Err(PackError::of_values(&values, row, bits));
        }
        Ok(Self {
            bits,
            shape,
            values,
            scales,
        })
    }

    /// From what [`value_bytes`](Self::value_bytes) and [`scale_bytes`](Self::scale_bytes) gave.
    ///
    /// # Errors
    /// [`PackError::Layout`] where there are more or fewer of them than the shape has; [`PackError::Scale`].
    pub fn from_parts(
        bits: Bits,
        shape: [usize; 2],
        values: Vec<u8>,
        scales: &[u8],
    ) -> Result<Self, PackError> {
        let wrong_layout = PackError::Layout {
            shape,
            n_bytes: values.len() + scales.len(),
        };
        let [d_out, d_in] = shape;
        let n_values = d_out.checked_mul(d_in).ok_or(wrong_layout)?;
        let (scales, rest) = scales.as_chunks::<2>();
        let is_whole = d_in.is_multiple_of(BLOCK)
            && values.len() == bits.value_bytes(n_values)
            && scales.len() == n_values / BLOCK
            && rest.is_empty();
        if !is_whole {
            return Err(wrong_layout);
        }
        let scales: Vec<f16> = scales.iter().map(|b| f16::from_le_bytes(*b)).collect();
        if let Some(block) = first_not_finite(&scales) {
            return Err(PackError::Scale {
                scale: scales[block],
                row: block / (d_in / BLOCK),
            });
        }
        Ok(Self {
            bits,
            shape,
            values,
            scales,
        })
    }

    /// Bits of a value.
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// `[d_out, d_in]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// All values, row by row.
    pub fn value_bytes(&self) -> &[u8] {
        &self.values
    }

    /// All scales, row by row, little-endian.
    pub fn scale_bytes(&self) -> Vec<u8> {
        self.scales
            .iter()
            .flat_map(|scale| scale.to_le_bytes())
            .collect()
    }

    /// All scales, row by row.
    pub fn scales(&self) -> &[f16] {
        &self.scales
    }

    /// The value that is farthest from 0.
    pub fn farthest(&self) -> f32 {
        let packed_bytes = self.bits.value_bytes(BLOCK);
        let blocks = self.values.chunks_exact(packed_bytes).zip(&self.scales);
        blocks.fold(0.0, |farthest: f32, (packed, scale)| {
            let values = unpack(packed, self.bits);
            let of_block = values
                .iter()
                .fold(0.0_f32, |most, value| most.max(value.abs()));
            let value = of_block * decode_scale(*scale).abs();
            if value > farthest.abs() {
                value
            } else {
                farthest
            }
        })
    }

    /// Values and scales of a row.
    pub(super) fn row(&self, row: usize) -> (&[u8], &[f16]) {
        let d_in = self.shape[1];
        let (n_bytes, n_scales) = (self.bits.value_bytes(d_in), d_in / BLOCK);
        (
            &self.values[row * n_bytes..(row + 1) * n_bytes],
            &self.scales[row * n_scales..(row + 1) * n_scales],
        )
    }

    /// The same matrix with zeros behind every row, up to `d_in` values.
    pub fn padded(&self, d_in: usize) -> Self {
        let [d_out, own] = self.shape;
        let mut values = vec![0; self.bits.value_bytes(d_out * d_in)];
        let mut scales = vec![f16::ZERO; d_out * d_in / BLOCK];
        let (n_bytes, n_scales) = (self.bits.value_bytes(d_in), d_in / BLOCK);
        for row in 0..d_out {
            let (from, from_scales) = self.row(row);
            values[row * n_bytes..][..from.len()].copy_from_slice(from);
            scales[row * n_scales..][..own / BLOCK].copy_from_slice(from_scales);
        }
        Self {
            bits: self.bits,
            shape: [d_out, d_in],
            values,
            scales,
        }
    }

    /// The values that rows stand for, one row after the other.
    pub fn dequantize(&self, rows: std::ops::Range<usize>) -> Vec<f32> {
        let d_in = self.shape[1];
        let mut dense = vec![0.0; rows.len() * d_in];
        let packed_bytes = self.bits.value_bytes(BLOCK);
        for_each_chunk(&mut dense, d_in.max(1), true, |offset, out| {
            let (values, scales) = self.row(rows.start + offset);
            let blocks = values.chunks_exact(packed_bytes).zip(scales);
            let (out, _) = out.as_chunks_mut::<BLOCK>();
            for (out, (packed, scale)) in out.iter_mut().zip(blocks) {
                let scale = decode_scale(*scale);
                *out = unpack(packed, self.bits).map(|q| q * scale);
            }
        });
        dense
    }
}

/// The first block whose scale is not finite.
fn first_not_finite(scales: &[f16]) -> Option<usize> {
    // Whole vectors of them are looked at; which one it is, is only asked where there is one.
    let are_finite = scales
        .iter()
        .fold(true, |all, scale| all & scale.is_finite());
    if are_finite {
        return None;
    }
    scales.iter().position(|scale| !scale.is_finite())
}

/// Makes a block of stored bytes f32.
type ReadBlock = fn(&[u8]) -> [f32; BLOCK];

#[inline(always)]
fn read_block<const N: usize>(bytes: &[u8], read: impl Fn([u8; N]) -> f32) -> [f32; BLOCK] {
    let mut block = [0.0; BLOCK];
    let (values, _) = bytes.as_chunks::<N>();
    for (value, bytes) in block.iter_mut().zip(values) {
        *value = read(*bytes);
    }
    block
}

/// Calls `f` with every row's stored bytes, packed bytes and scales, on all cores where there are threads.
fn for_each_row(
    (stored, stored_len): (&[u8], usize),
    (packed, packed_len): (&mut [u8], usize),
    (scales, n_scales): (&mut [f16], usize),
    f: impl Fn((&[u8], &mut [u8], &mut [f16])) + Sync,
) {
    #[cfg(not(target_family = "wasm"))]
    {
        use rayon::prelude::*;
        stored
            .par_chunks_exact(stored_len)
            .zip(packed.par_chunks_exact_mut(packed_len))
            .zip(scales.par_chunks_exact_mut(n_scales))
            .for_each(|((stored, packed), scales)| f((stored, packed, scales)));
    }
    #[cfg(target_family = "wasm")]
    stored
        .chunks_exact(stored_len)
        .zip(packed.chunks_exact_mut(packed_len))
        .zip(scales.chunks_exact_mut(n_scales))
        .for_each(|((stored, packed), scales)| f((stored, packed, scales)));
}

#[cfg(test)]
mod tests {
    use burn::tensor::DType;
    use half::{bf16, f16};

    use super::{Bits, PackError, PackedMatrix};

    fn bytes(n: usize) -> Vec<u8> {
        let value = |i: usize| (i as f32 * 0.37).sin() * 0.05;
        (0..n).flat_map(|i| value(i).to_le_bytes()).collect()
    }

    #[test]
    fn parts_make_the_same_matrix() {
        for bits in [Bits::Four, Bits::Eight] {
            let matrix = PackedMatrix::quantize(&bytes(5 * 96), DType::F32, [5, 96], bits).unwrap();
            let (values, scales) = (matrix.value_bytes().to_vec(), matrix.scale_bytes());
            let n_bytes = (values.len() + scales.len()) as u64;
            assert_eq!(n_bytes, bits.matrix_bytes(5 * 96));
            let again = PackedMatrix::from_parts(bits, [5, 96], values.clone(), &scales).unwrap();
            assert_eq!(again, matrix);
            for shape in [[5, 64], [4, 96], [15, 32 - 1]] {
                let other = PackedMatrix::from_parts(bits, shape, values.clone(), &scales);
                let n_bytes = values.len() + scales.len();
                assert_eq!(other, Err(PackError::Layout { shape, n_bytes }));
            }
            for scale in [f16::INFINITY, f16::NEG_INFINITY, f16::NAN] {
                // Three blocks make a row.
                let mut scales = scales.clone();
                scales[2 * 7..2 * 8].copy_from_slice(&scale.to_le_bytes());
                let damaged = PackedMatrix::from_parts(bits, [5, 96], values.clone(), &scales);
                let error = damaged.unwrap_err();
                assert!(matches!(error, PackError::Scale { row: 2, .. }), "{error}");
                assert!(error.to_string().contains(&scale.to_string()), "{error}");
            }
        }
    }

    #[test]
    fn padding_changes_no_value() {
        for bits in [Bits::Four, Bits::Eight] {
            let matrix = PackedMatrix::quantize(&bytes(3 * 64), DType::F32, [3, 64], bits).unwrap();
            let (plain, padded) = (matrix.dequantize(0..3), matrix.padded(128).dequantize(0..3));
            for (row, padded) in plain.chunks(64).zip(padded.chunks(128)) {
                assert_eq!(row, &padded[..64]);
                assert!(padded[64..].iter().all(|x| *x == 0.0));
            }
        }
    }

    #[test]
    fn values_of_16_bits_are_read() {
        let f32s: Vec<f32> = (0..64).map(|i| (i as f32 - 31.0) / 64.0).collect();
        let matrix = |bytes: Vec<u8>, dtype| {
            PackedMatrix::quantize(&bytes, dtype, [2, 32], Bits::Eight).unwrap()
        };
        let full = matrix(
            f32s.iter().flat_map(|x| x.to_le_bytes()).collect(),
            DType::F32,
        );
        let half = f32s.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes());
        assert_eq!(matrix(half.collect(), DType::F16), full);
        let brain = f32s.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes());
        assert_eq!(matrix(brain.collect(), DType::BF16), full);
    }

    #[test]
    fn other_shapes_and_types_are_refused() {
        let bytes = bytes(64);
        for (dtype, shape) in [
            (DType::F32, [1, 65]),
            (DType::F32, [2, 64]),
            (DType::F32, [4, 16]),
            (DType::F32, [64, 0]),
            (DType::I32, [2, 32]),
        ] {
            let error = PackedMatrix::quantize(&bytes, dtype, shape, Bits::Eight).unwrap_err();
            let is_of_type = matches!(error, PackError::Type { .. });
            assert_eq!(is_of_type, dtype == DType::I32, "{shape:?}: {error}");
        }
    }

    #[test]
    fn values_that_cannot_be_kept_are_refused_by_value_and_row() {
        let stored = |value: f32, dtype: DType| -> Vec<u8> {
            match dtype {
                DType::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
                DType::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            }
        };
        for (dtype, value, is_finite) in [
            (DType::F32, f32::NAN, false),
            (DType::F16, f32::NAN, false),
            (DType::BF16, f32::NAN, false),
            (DType::F32, f32::INFINITY, false),
            (DType::F16, f32::NEG_INFINITY, false),
            (DType::BF16, f32::INFINITY, false),
            (DType::F32, 1e20, true),
            (DType::F32, -3e38, true),
            (DType::BF16, 1e20, true),
        ] {
            for bits in [Bits::Four, Bits::Eight] {
                let mut bytes: Vec<u8> = (0..3 * 64)
                    .flat_map(|i| stored(i as f32 / 64.0, dtype))
                    .collect();
                let odd = stored(value, dtype);
                bytes[100 * odd.len()..][..odd.len()].copy_from_slice(&odd);
                let error = PackedMatrix::quantize(&bytes, dtype, [3, 64], bits).unwrap_err();
                let what = format!("{dtype:?} {value} {bits:?}: {error}");
                match error {
                    PackError::NotFinite { value: found, row } => {
                        assert!(!is_finite && row == 1, "{what}");
                        assert_eq!(found.is_nan(), value.is_nan(), "{what}");
                    }
                    PackError::TooLarge {
                        value: found, row, ..
                    } => {
                        assert!(is_finite && row == 1, "{what}");
                        assert!((found / value - 1.0).abs() < 0.01, "{what}");
                    }
                    _ => panic!("{what}"),
                }
            }
        }
    }
}
