//! A quantised weight where it is used.

use std::ops::Range;
use std::sync::Arc;

use burn::tensor::quantization::{QuantScheme, QuantStore, QuantValue, ScaleDtype};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData, module};

use super::memory::{WIDE_SCALE_BYTES, gpu_matrix_bytes, gpu_row};
use super::product::product;
use super::{BLOCK, Bits, PackedMatrix, SCALE_BYTES};
use crate::cpu::{self, SharedProduct};

/// From so many rows on the CPU makes the weight f32 again and multiplies by that: its products of many rows are
/// faster than those of packed rows by more than that costs.
const DENSE_FROM_ROWS: usize = 64;

/// Values of a weight that are f32 at a time on the CPU: 4 MiB, which stay in its cache.
const DENSE_VALUES: usize = 1 << 20;

/// A matrix `[d_out, d_in]` of quantised values.
#[derive(Debug, Clone)]
pub struct QuantizedWeight {
    bits: Bits,
    shape: [usize; 2],
    place: Place,
}

#[derive(Debug, Clone)]
#[allow(
    clippy::large_enum_variant,
    reason = "one for each weight or layer, which are not moved about"
)]
enum Place {
    Host(Arc<PackedMatrix>),
    /// burn's, `[d_in, d_out]` by strides, the values of one output side by side; `d_in` may be longer than the
    /// weight's.
    Device(Tensor<2>),
}

impl QuantizedWeight {
    /// Puts a matrix where `device` computes.
    pub fn new(matrix: PackedMatrix, device: &Device) -> Self {
        let (bits, shape) = (matrix.bits(), matrix.shape());
        let place = if cpu::is_here(device) {
            Place::Host(Arc::new(matrix))
        } else {
            Place::Device(on_device(matrix, device))
        };
        Self { bits, shape, place }
    }

    /// Bits of a value.
    pub fn bits(&self) -> Bits {
        self.bits
    }

    /// `[d_out, d_in]`.
    pub fn shape(&self) -> [usize; 2] {
        self.shape
    }

    /// Bytes that it takes where it lies, with its scales; what
    /// [`TensorLayout`](super::TensorLayout) foretells.
    pub fn stored_bytes(&self) -> u64 {
        match &self.place {
            Place::Host(matrix) => {
                (matrix.value_bytes().len() + size_of_val(matrix.scales())) as u64
            }
            Place::Device(weight) => {
                let [d_in, d_out] = weight.dims();
                let scale_bytes = match weight.dtype() {
                    DType::QFloat(scheme) if scheme.scale_dtype() == ScaleDtype::F16 => {
                        SCALE_BYTES as u64
                    }
                    _ => WIDE_SCALE_BYTES,
                };
                gpu_matrix_bytes(self.bits, [d_out, d_in], scale_bytes)
            }
        }
    }

    /// The packed matrix where it is in the host's memory.
    pub fn packed(&self) -> Option<&PackedMatrix> {
        match &self.place {
            Place::Host(matrix) => Some(matrix),
            Place::Device(_) => None,
        }
    }

    /// `x · Wᵀ`.
    ///
    /// # Shapes
    /// `[n, d_in]` → `[n, d_out]`.
    pub fn forward(&self, x: Tensor<2>) -> Tensor<2> {
        match &self.place {
            Place::Host(matrix) => {
                let dtype = x.dtype();
                let x = x.cast(FloatDType::F32);
                let [n, _] = x.dims();
                let y = if n < DENSE_FROM_ROWS {
                    let [d_out, _] = self.shape;
                    let [y] = times_packed(&cpu::values(x), n, [matrix]);
                    cpu::tensor(y, [n, d_out])
                } else {
                    times_dense(x, matrix)
                };
                y.cast(dtype)
            }
            Place::Device(weight) => {
                let ([n, d_in], [padded, _]) = (x.dims(), weight.dims());
                let x = if padded > d_in {
                    let zeros = Tensor::zeros([n, padded - d_in], (&x.device(), x.dtype()));
                    Tensor::cat(vec![x, zeros], 1)
                } else {
                    x
                };
                // Not by the module's `linear`, which gives packed weights axes that they cannot have.
                x.matmul(weight.clone())
            }
        }
    }

    /// `x · Wᵀ` of a few rows in this machine's memory and each of some weights of as many inputs; `None` where one is
    /// elsewhere, or the rows are many.
    ///
    /// # Shapes
    /// flat `[n, d_in]` → each flat `[n, d_out]`.
    pub(crate) fn forward_each_here<const N: usize>(
        weights: [&Self; N],
        x: &[f32],
    ) -> Option<[Vec<f32>; N]> {
        let d_in = weights.first().map_or(0, |weight| weight.shape[1]);
        let n = x.len().checked_div(d_in)?;
        let matrices = weights.into_iter().filter_map(Self::packed);
        let matrices = matrices.collect::<Vec<_>>().try_into().ok()?;
        (n < DENSE_FROM_ROWS).then(|| times_packed(x, n, matrices))
    }

    /// The values that it stands for, f32, where it lies.
    ///
    /// # Shapes
    /// → `[d_out, d_in]`.
    pub fn dequantize(&self) -> Tensor<2> {
        let [d_out, d_in] = self.shape;
        match &self.place {
            Place::Host(matrix) => cpu::tensor(matrix.dequantize(0..d_out), self.shape),
            Place::Device(weight) => {
                let weight = weight.clone().transpose().dequantize();
                weight.narrow(1, 0, d_in)
            }
        }
    }
}

/// `x · Wᵀ` for a few rows and each of some weights, together with the cores that are in lockstep with this one.
///
/// # Shapes
/// flat `[n, d_in]` → each flat `[n, d_out]`.
fn times_packed<const N: usize>(
    x: &[f32],
    n: usize,
    matrices: [&PackedMatrix; N],
) -> [Vec<f32>; N] {
    let of_outputs = matrices.map(|matrix| {
        move |rows: &[f32], outputs: Range<usize>, out: &mut [f32]| {
            let [_, d_in] = matrix.shape();
            let n = rows.len() / d_in;
            turn(&product(matrix, outputs, rows, n), n, out);
        }
    });
    let products = std::array::from_fn(|n| SharedProduct {
        weight: matrices[n].value_bytes().as_ptr().addr(),
        d_out: matrices[n].shape()[0],
        of_outputs: &of_outputs[n],
    });
    let d_in = matrices.first().map_or(0, |matrix| matrix.shape()[1]);
    cpu::share_in_lockstep(x, d_in, &products).unwrap_or_else(|| {
        matrices.map(|matrix| {
            let [d_out, _] = matrix.shape();
            let turned = product(matrix, 0..d_out, x, n);
            if n == 1 {
                return turned;
            }
            let mut y = vec![0.0; turned.len()];
            turn(&turned, n, &mut y);
            y
        })
    })
}

/// # Shapes
/// `[outputs, n]` → `[n, outputs]`.
fn turn(from: &[f32], n: usize, to: &mut [f32]) {
    if from.is_empty() {
        return;
    }
    for (row, to) in to.chunks_exact_mut(from.len() / n).enumerate() {
        let column = from[row..].iter().step_by(n);
        to.iter_mut().zip(column).for_each(|(to, from)| *to = *from);
    }
}

fn times_dense(x: Tensor<2>, matrix: &PackedMatrix) -> Tensor<2> {
    let [d_out, d_in] = matrix.shape();
    let rows = (DENSE_VALUES / d_in).max(1);
    let panels = (0..d_out).step_by(rows).map(|first| {
        let last = (first + rows).min(d_out);
        let dense: Tensor<2> = cpu::tensor(matrix.dequantize(first..last), [last - first, d_in]);
        module::linear(x.clone(), dense.transpose(), None)
    });
    let mut panels: Vec<Tensor<2>> = panels.collect();
    match panels.len() {
        1 => panels.remove(0),
        _ => Tensor::cat(panels, 1),
    }
}

/// burn's name for values of so many bits, packed into words along a row, whose blocks have scales of a type.
pub(super) fn packed_dtype(bits: Bits, scale: ScaleDtype) -> DType {
    let value = match bits {
        Bits::Four => QuantValue::Q4F,
        Bits::Eight => QuantValue::Q8S,
    };
    let scheme = QuantScheme::default()
        .with_value(value)
        .with_store(QuantStore::PackedU32(0))
        .per_block([BLOCK as u8], scale);
    DType::QFloat(scheme)
}

fn on_device(matrix: PackedMatrix, device: &Device) -> Tensor<2> {
    let (bits, [_, d_in]) = (matrix.bits(), matrix.shape());
    let on_gpu = gpu_row(bits, d_in);
    let matrix = if on_gpu > d_in {
        matrix.padded(on_gpu)
    } else {
        matrix
    };
    let half = packed_dtype(bits, ScaleDtype::F16);
    let (dtype, scales) = if device.supports_dtype(half) {
        (half, matrix.scale_bytes())
    } else {
        let scales = matrix.scales().iter();
        let scales = scales.flat_map(|scale| scale.to_f32().to_ne_bytes());
        (packed_dtype(bits, ScaleDtype::F32), scales.collect())
    };
    let mut bytes = Vec::with_capacity(matrix.value_bytes().len() + scales.len());
    bytes.extend_from_slice(matrix.value_bytes());
    bytes.extend_from_slice(&scales);
    let data = TensorData::from_bytes_vec(bytes, matrix.shape(), dtype);
    Tensor::<2>::from_data(data, device).transpose()
}
