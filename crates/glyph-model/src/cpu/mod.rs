//! What the model does on this machine's own cores between two tensors: kernels over plain f32 memory, for the steps
//! that burn's CPU backend takes in many small operations, or for which it copies weights, keys or values each time.
//!
//! The modules stay the definition of the model. A module that has a kernel here asks [`is_here`] and goes on with
//! burn's operations where the answer is no: on other devices, for other types, and where gradients are recorded.
//! A row's numbers do not depend on the rows beside it.

mod attention;
mod kv;
#[cfg(not(target_family = "wasm"))]
mod lockstep;
mod memory;
mod pointwise;
mod product;
mod strips;
mod weight;

use std::ops::{Deref, Range};

use burn::tensor::{DType, Device, Tensor, TensorData};
use pulp::{Simd, WithSimd};

pub(crate) use attention::{Seen, attend};
pub(crate) use kv::{HostKv, LEAST_STEP, MOST_EIGHT_BITS};
pub(crate) use pointwise::{gelu, layer_norm, rms_norm, silu_product, silu_product_of_rows};
pub(crate) use product::Rows;
pub(crate) use weight::PackedWeight;

#[cfg(not(target_family = "wasm"))]
pub use lockstep::in_lockstep;
/// Products by all cores that are in lockstep with this one, see [`in_lockstep`].
#[cfg(not(target_family = "wasm"))]
pub(crate) use lockstep::share as share_in_lockstep;

/// Whether a device's memory is this machine's, without records for gradients.
pub(crate) fn is_here(device: &Device) -> bool {
    *device == Device::flex() && !device.is_autodiff()
}

/// Whether a tensor's values can be worked on here.
pub(crate) fn has_values<const D: usize>(x: &Tensor<D>) -> bool {
    x.dtype() == DType::F32 && is_here(&x.device())
}

/// The values of a tensor of which [`has_values`] is true; a copy only where somebody else holds it, too.
#[allow(
    clippy::disallowed_methods,
    reason = "on the CPU nothing is waited for"
)]
pub(crate) fn values<const D: usize>(x: Tensor<D>) -> Values {
    Values(x.into_data())
}

/// Values of f32, of which there is no error to be had.
#[derive(Debug)]
pub(crate) struct Values(TensorData);

impl Deref for Values {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        self.0.as_slice().unwrap_or_default()
    }
}

impl Values {
    /// To be worked on in place.
    pub fn into_vec(self) -> Vec<f32> {
        self.0.try_into_vec().unwrap_or_default()
    }
}

/// A tensor of values that were worked out here.
pub(crate) fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
    Tensor::from_data(
        TensorData::new(values, shape),
        (&Device::flex(), DType::F32),
    )
}

/// Runs loops that the compiler makes vectors of, compiled for the widest that the processor has. The closure, and what it
/// calls, must be inlined: `#[inline(always)]`.
#[inline]
pub(crate) fn vectorised<R>(loops: impl FnMut() -> R) -> R {
    with_vectors(Loops(loops))
}

/// Not run as the function that is called once, which pulp would take as well: for a closure that could be called more
/// often, that is one around it, which nothing can have inlined. It would then be compiled for any processor.
struct Loops<F>(F);

impl<R, F: FnMut() -> R> WithSimd for Loops<F> {
    type Output = R;

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, _: S) -> R {
        (self.0)()
    }
}

/// Runs a kernel with the widest vectors that the processor has. What is to be compiled for them must be inlined into
/// it.
#[inline]
fn with_vectors<K: WithSimd>(kernel: K) -> K::Output {
    #[cfg(target_arch = "x86_64")]
    {
        if let Some(simd) = pulp::x86::V4::try_new() {
            return Simd::vectorize(simd, kernel);
        }
        if let Some(simd) = pulp::x86::V3::try_new() {
            return Simd::vectorize(simd, kernel);
        }
    }
    pulp::Arch::new().dispatch(kernel)
}

/// Threads that may share a piece of work.
fn n_threads() -> usize {
    #[cfg(not(target_family = "wasm"))]
    return rayon::current_num_threads();
    #[cfg(target_family = "wasm")]
    return 1;
}

/// Works out some outputs: gets rows `[all rows, d_in]`, which outputs, and room for them, `[all rows, outputs]`.
type OfOutputs<'a> = dyn Fn(&[f32], Range<usize>, &mut [f32]) + 'a;

/// A product `x · Wᵀ` that cores in lockstep have parts in.
#[cfg_attr(
    target_family = "wasm",
    expect(dead_code, reason = "one core shares with nobody")
)]
pub(crate) struct SharedProduct<'a> {
    /// Tells the weight from others: cores that are not at the same products go on alone.
    pub weight: usize,
    /// Outputs of a row.
    pub d_out: usize,
    /// Has a part of it worked out.
    pub of_outputs: &'a OfOutputs<'a>,
}

/// Where there is one core.
#[cfg(target_family = "wasm")]
pub(crate) fn share_in_lockstep<const N: usize>(
    _: &[f32],
    _: usize,
    _: &[SharedProduct<'_>; N],
) -> Option<[Vec<f32>; N]> {
    None
}

/// Calls `work` on chunks of `chunk_len` values, each with its number; on several threads where there are some and
/// `is_shared` says that it is worth waking them.
pub(crate) fn for_each_chunk(
    values: &mut [f32],
    chunk_len: usize,
    is_shared: bool,
    work: impl Fn(usize, &mut [f32]) + Sync,
) {
    #[cfg(not(target_family = "wasm"))]
    if is_shared {
        use rayon::prelude::*;
        let chunks = values.par_chunks_mut(chunk_len).enumerate();
        return chunks.for_each(|(n, chunk)| work(n, chunk));
    }
    let _ = is_shared;
    let chunks = values.chunks_mut(chunk_len).enumerate();
    chunks.for_each(|(n, chunk)| work(n, chunk));
}
