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
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::quantize::{Quantization, model_bytes};
use glyph_model::weights::{LoadAs, WeightFiles, load_model, tensor_specs};

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

/// What burn's bookkeeping takes.
const SLACK: usize = 256 * 1024;

#[test]
fn loading_holds_the_model_and_a_few_copies_of_one_tensor() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini");
    let weights = WeightFiles::open(&dir).unwrap();
    let json = std::fs::read_to_string(dir.join("config.json")).unwrap();
    let config = ModelConfig::from_json(&json).unwrap();
    let load = |quantization| {
        let model = Glm4v::new(&config, &Device::flex());
        let load_as = LoadAs {
            dtype: DType::F32,
            quantization,
        };
        load_model(model, &weights, &Device::flex(), load_as, |_| true, |_| {}).unwrap()
    };
    let specs = tensor_specs(&Glm4v::new(&config, &Device::flex()));
    let sizes = specs
        .iter()
        .map(|(_, shape)| 4 * shape.iter().product::<usize>());
    let largest = sizes.max().unwrap();
    // Threads that stay come into being at the first use.
    drop(load(Some(Quantization::Q4)));
    for quantization in [None, Some(Quantization::Q8), Some(Quantization::Q4)] {
        let before = IN_USE.load(Ordering::Relaxed);
        PEAK.store(before, Ordering::Relaxed);
        let loaded = load(quantization);
        let peak = PEAK.load(Ordering::Relaxed) - before;
        let held = IN_USE.load(Ordering::Relaxed) - before;
        drop(loaded);
        let model = model_bytes(&specs, quantization, 4) as usize;
        let what = format!("{quantization:?}: {held} held, {model} of weights, {peak} at once");
        assert!(held >= model && held <= model + SLACK, "{what}");
        // As stored, as f32, and with its columns side by side.
        assert!(peak <= held + 3 * largest, "{what}, {largest} of a tensor");
    }
}
