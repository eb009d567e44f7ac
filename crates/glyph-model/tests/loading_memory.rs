//! What loading takes of the heap beyond the model itself: a tensor at a time, and no second copy of the model.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{DType, Device};
use glyph_model::Checkpoint;
use glyph_model::quantize::{Quantization, model_bytes};
use glyph_model::weights::{LoadAs, tensor_specs};

/// Counts the bytes in use and the most that were.
struct Counting;

static IN_USE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let in_use = IN_USE.fetch_add(layout.size(), Ordering::Relaxed) + layout.size();
        PEAK.fetch_max(in_use, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        IN_USE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `dealloc`, and `memory` is the system's.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What the small files and burn's own bookkeeping take.
const SLACK: usize = 256 * 1024;

#[test]
fn loading_holds_the_model_and_a_few_copies_of_one_tensor() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini");
    let load = |quantization| {
        let load_as = LoadAs {
            dtype: DType::F32,
            quantization,
        };
        Checkpoint::open(&dir, &Device::flex(), load_as, |_| {}).unwrap()
    };
    // Threads and tables that stay come into being at the first use.
    let specs = tensor_specs(&load(Some(Quantization::Q4)).model);
    let sizes = specs.iter().map(|(_, shape)| 4 * shape.iter().product::<usize>());
    let largest = sizes.max().unwrap();
    for quantization in [None, Some(Quantization::Q8), Some(Quantization::Q4)] {
        let before = IN_USE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let checkpoint = load(quantization);
        let peak = PEAK.load(Ordering::Relaxed) - before;
        let held = IN_USE.load(Ordering::Relaxed) - before;
        let model = model_bytes(&specs, quantization, 4) as usize;
        // The tokenizer belongs to the checkpoint, but not to the model.
        assert!(held >= model, "{quantization:?}: {held} held, {model} of weights");
        assert!(held <= model + 4 * SLACK, "{quantization:?}: {held} held, {model} of weights");
        // As stored, as f32, and with its columns side by side.
        let most = held + 3 * largest + SLACK;
        assert!(peak <= most, "{quantization:?}: {peak} at once, {held} held, {largest} of a tensor");
        drop(checkpoint);
    }
}
