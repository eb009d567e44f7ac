//! A token's keys and values are written where they lie, on the device that `GLYPH_TEST_DEVICE` names: a step takes no
//! memory for a second buffer.
//!
//! burn's `slice_assign` writes in place where nobody else holds the buffer, and else copies all of it first. Here each
//! buffer is far larger than all else that a step touches, and few of its positions are used. Were it copied, copy and
//! original would be there together, and the step would have to get a buffer's bytes more: on a CPU of the heap, which
//! is counted; elsewhere of the device, whose allocator says what it has, was left no room for another buffer by
//! [`fill`], and keeps what it got.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

#[allow(dead_code, reason = "the parity tests use the rest")]
#[path = "parity/common.rs"]
mod common;
mod counting;

use std::hint::black_box;

use burn::tensor::{DType, Device, Tensor};
use glyph_model::Checkpoint;
use glyph_model::text::{KvCache, KvPrecision, Positions};

use common::{fixture, floats, open_dir, opened};
use counting::{bytes_in_use, with_peak};

/// Keys or values of one layer.
const BUFFER_BYTES: usize = 32 << 20;

/// Half a buffer: smaller things may have a device's allocator get memory, too, some of it in pages of 8 MiB.
const DEVICE_SLACK_BYTES: usize = BUFFER_BYTES / 2;

/// On the heap every byte counts. No part of a cache is smaller than this: not the scales of keys in 8 bits, which are
/// one of 2 bytes for each 64 bytes of a buffer.
const HEAP_SLACK_BYTES: usize = 1 << 20;

const N_STEPS: usize = 6;

/// Makes all weights, kernels and workspaces that a step needs.
fn warm_up(checkpoint: &Checkpoint, mut cache: KvCache) {
    for _ in 0..N_STEPS {
        step(checkpoint, &mut cache);
    }
}

/// Writes one position and waits for what comes of it.
fn step(checkpoint: &Checkpoint, cache: &mut KvCache) {
    let at = cache.len() as u32;
    let embedded = checkpoint.model.embed(&[at], [1, 1], None, &[]);
    let decoder = &checkpoint.model.model.language_model;
    let hidden = decoder.forward_cached(embedded, Positions(&[[at; 3]]), &mut [cache]);
    black_box(floats(hidden.unwrap()));
}

/// Bytes of what there is, without what an allocator of the device has beside it.
fn bytes_of_tensors(device: &Device) -> usize {
    match device.memory_pool_usage() {
        Some(usage) => usage.bytes_in_use as usize,
        None => bytes_in_use(),
    }
}

/// Bytes that were got for it: of the device, or on a CPU of the heap.
fn bytes_taken(device: &Device) -> usize {
    match device.memory_pool_usage() {
        Some(usage) => usage.bytes_reserved as usize,
        None => bytes_in_use(),
    }
}

/// Tensors of the size of a buffer, as many as there was room for in what the allocator had, and one more. That it has
/// to get memory for the last shows that a copy of a buffer would be seen.
fn fill(device: &Device) -> Vec<Tensor<1>> {
    const MOST: usize = 16;
    let mut fillers = Vec::with_capacity(MOST);
    while fillers.len() < MOST {
        let before = bytes_taken(device);
        let n_values = BUFFER_BYTES / size_of::<f32>();
        fillers.push(Tensor::zeros([n_values], (device, DType::F32)));
        if bytes_taken(device) >= before + DEVICE_SLACK_BYTES {
            return fillers;
        }
    }
    panic!("{MOST} buffers more, and no memory was taken for any of them");
}

/// The most bytes that steps took beyond those taken before, and how many would be a copy's.
fn bytes_of_steps(device: &Device, mut step: impl FnMut()) -> (usize, usize) {
    if device.memory_pool_usage().is_some() {
        let before = bytes_taken(device);
        for _ in 0..N_STEPS {
            step();
        }
        // Behind the last step: what the allocator got for one of them it still has.
        let taken = bytes_taken(device).saturating_sub(before);
        return (taken, DEVICE_SLACK_BYTES);
    }
    // The least of them, since threads make workspaces for products when they first have to do with one, and a copy
    // would be in each.
    let steps = (0..N_STEPS).map(|_| with_peak(&mut step).1);
    (steps.min().unwrap(), HEAP_SLACK_BYTES)
}

#[test]
fn a_step_writes_into_its_cache_and_copies_none_of_it() {
    let opened = opened();
    for dtype in [DType::F32, DType::F16] {
        if !opened.dtypes.contains(dtype) {
            println!("{dtype:?} is not a type of this device");
            continue;
        }
        let checkpoint = open_dir(&fixture("mini-f16"), dtype).unwrap();
        let device = &checkpoint.device;
        let config = &checkpoint.settings.config.text_config;
        let n_buffers = 2 * config.num_hidden_layers;
        let n_channels = config.num_key_value_heads() * config.head_dim();
        for precision in [KvPrecision::Full, KvPrecision::F16, KvPrecision::Q8] {
            let is_by_own_kernels = opened.is_cpu() && dtype == DType::F32;
            let value_bytes = match precision.on(is_by_own_kernels) {
                KvPrecision::Full => dtype.size(),
                KvPrecision::F16 => 2,
                KvPrecision::Q8 => 1,
            };
            let cache = |capacity: usize| {
                KvCache::with_precision(config, capacity, precision, (device, dtype))
            };
            warm_up(&checkpoint, cache(N_STEPS));

            let before = bytes_of_tensors(device);
            let mut cache = cache(BUFFER_BYTES / (n_channels * value_bytes));
            let made = bytes_of_tensors(device).saturating_sub(before);
            let fillers = fill(device);
            let (taken, limit) = bytes_of_steps(device, || step(&checkpoint, &mut cache));
            drop(fillers);

            let what = format!("{dtype:?}, {} cache: {made} bytes", precision.name());
            println!("{what}, {taken} more for {N_STEPS} steps");
            let least = n_buffers * BUFFER_BYTES - DEVICE_SLACK_BYTES;
            assert!(made >= least, "{what}: not there before it is written to");
            assert_eq!(cache.len(), N_STEPS);
            assert!(taken < limit, "{what}: a step took {taken} more");
        }
    }
}
