//! A quantised matrix in the host's memory, laid out as it is saved.

use burn::tensor::DType;
use half::{bf16, f16};

use super::block::{decode_scale, quantize, unpack};
use super::{BLOCK, Bits};
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
    /// Quantises stored values of a floating-point type, little-endian; `None` for another type, or where a row is no
    /// whole number of blocks or the bytes are not those of the shape.
    pub fn quantize(bytes: &[u8], dtype: DType, shape: [usize; 2], bits: Bits) -> Option<Self> {
        let read: ReadBlock = match dtype {
            DType::F32 => |bytes| read_block(bytes, f32::from_le_bytes),
            DType::F16 => |bytes| read_block(bytes, |b| f16::from_le_bytes(b).to_f32()),
            DType::BF16 => |bytes| read_block(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            _ => return None,
        };
        let [d_out, d_in] = shape;
        let n_values = d_out.checked_mul(d_in)?;
        let block_bytes = BLOCK * dtype.size();
        if d_in == 0
            || !d_in.is_multiple_of(BLOCK)
            || bytes.len() != n_values.checked_mul(dtype.size())?
        {
            return None;
        }
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
        Some(Self {
            bits,
            shape,
            values,
            scales,
        })
    }

    /// From what [`value_bytes`](Self::value_bytes) and [`scale_bytes`](Self::scale_bytes) gave; `None` where there are
    /// more or fewer of them than the shape has.
    pub fn from_parts(
        bits: Bits,
        shape: [usize; 2],
        values: Vec<u8>,
        scales: &[u8],
    ) -> Option<Self> {
        let n_values = shape[0].checked_mul(shape[1])?;
        let (scales, rest) = scales.as_chunks::<2>();
        let is_whole = shape[1].is_multiple_of(BLOCK)
            && values.len() == bits.value_bytes(n_values)
            && scales.len() == n_values / BLOCK
            && rest.is_empty();
        is_whole.then(|| Self {
            bits,
            shape,
            values,
            scales: scales.iter().map(|b| f16::from_le_bytes(*b)).collect(),
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

    use super::{Bits, PackedMatrix};

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
                assert!(
                    PackedMatrix::from_parts(bits, shape, values.clone(), &scales).is_none(),
                    "{shape:?}"
                );
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
            let matrix = PackedMatrix::quantize(&bytes, dtype, shape, Bits::Eight);
            assert!(matrix.is_none(), "{dtype:?} {shape:?}");
        }
    }
}
