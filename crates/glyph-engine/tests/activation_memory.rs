//! The memory plan's activations against what encoding a page and prefilling a prompt really take on the CPU.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails, in its helpers too"
)]

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use burn::tensor::{DType, Device, Tensor};
use glyph_engine::{Footprint, PREFILL_CHUNK};
use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::generate::ImageEncoding;
use glyph_model::preprocess::{ImagePatches, PatchGrid};
use glyph_model::text::{KvCache, KvPrecision, Positions};
use peak_alloc::PeakAlloc;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// Waits until no other test of this file runs: all of them are counted together.
fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Most bytes that `work` had in use beyond those in use before it. The least of some runs: weights come into being
/// at their first use, and so do the workspaces of the threads' matrix products, which stay.
fn peak_bytes(mut work: impl FnMut()) -> u64 {
    let runs = (0..4).map(|_| {
        let before = HEAP.current_usage();
        HEAP.reset_peak_usage();
        work();
        (HEAP.peak_usage() - before) as u64
    });
    runs.min().unwrap()
}

/// A small model of the proportions of the large one. Heads share keys and values in groups of `group`.
fn config(group: usize) -> ModelConfig {
    let json = r#"{
        "model_type": "glm4v",
        "image_token_id": 900,
        "text_config": {
            "vocab_size": 1000, "hidden_size": 512, "intermediate_size": 1712, "num_hidden_layers": 2,
            "num_attention_heads": 8, "num_key_value_heads": KV_HEADS, "max_position_embeddings": 8192,
            "partial_rotary_factor": 0.5, "rope_scaling": {"mrope_section": [4, 6, 6]}
        },
        "vision_config": {
            "depth": 2, "hidden_size": 192, "num_heads": 3, "image_size": 336, "patch_size": 14,
            "out_hidden_size": 512, "intermediate_size": 1712
        }
    }"#;
    ModelConfig::from_json(&json.replace("KV_HEADS", &(8 / group).to_string())).unwrap()
}

const F32_BYTES: u64 = size_of::<f32>() as u64;

/// Holds an estimate against what was measured: never less, and no more than `most_times` as much. The plan is one for
/// all backends and counts copies that the CPU's kernels do not make.
#[track_caller]
fn check(what: &str, estimate: u64, measured: u64, most_times: f64) {
    println!(
        "{what}: planned {estimate} bytes, measured {measured}: {:.2} times",
        estimate as f64 / measured as f64
    );
    assert!(estimate >= measured, "{what}: {estimate} < {measured}");
    assert!(
        estimate as f64 <= most_times * measured as f64,
        "{what}: {estimate} > {most_times} · {measured}"
    );
}

#[test]
fn a_page_takes_what_is_planned_for_it() {
    let _alone = alone();
    let (config, device) = (config(4), Device::flex());
    let footprint = Footprint::new(&config, F32_BYTES);
    let glm = Glm4v::new(&config, &device);
    let cut = |side: usize| {
        let grid = PatchGrid {
            rows: side,
            columns: side,
        };
        let patch_len = config.vision_config.frame_patch_len();
        ImagePatches {
            grid,
            patch_len,
            values: vec![0.5; grid.n_patches() * patch_len],
        }
    };
    // As the engine does: the page is cut when its turn has come.
    let encode = |side: usize| {
        let patches = cut(side);
        let mut encoding = ImageEncoding::begin(&glm, &patches, &device);
        drop(patches);
        let features = loop {
            match encoding.advance(&glm) {
                ControlFlow::Continue(further) => encoding = further,
                ControlFlow::Break(features) => break features,
            }
        };
        assert_eq!(features.dims(), [side * side / 4, 512]);
        black_box(features.into_data());
    };
    for side in [16, 22, 36, 74] {
        let measured = peak_bytes(|| encode(side));
        let estimate = footprint.vision_bytes(side * side);
        check(&format!("{} patches", side * side), estimate, measured, 2.2);
    }
}

#[test]
fn a_prompt_takes_what_is_planned_for_it() {
    let _alone = alone();
    let device = Device::flex();
    for (group, precision) in [
        (1, KvPrecision::Full),
        (4, KvPrecision::Full),
        (4, KvPrecision::F16),
        (1, KvPrecision::Q8),
        (4, KvPrecision::Q8),
    ] {
        let config = config(group);
        let footprint = Footprint::new(&config, F32_BYTES).with_kv_precision(&config, precision);
        let glm = Glm4v::new(&config, &device);
        let chunk = |cache: &mut KvCache| {
            let ids = [1; PREFILL_CHUNK];
            let start = cache.len() as u32;
            let positions: Vec<[u32; 3]> = (start..).take(ids.len()).map(|at| [at; 3]).collect();
            let x = glm.embed(&ids, [1, ids.len()], None, &[]);
            let decoder = &glm.model.language_model;
            let hidden = decoder
                .forward_cached(x, Positions(&positions), &mut [cache])
                .unwrap();
            let last: Tensor<3> = hidden.narrow(1, ids.len() - 1, 1);
            black_box(glm.logits(last).into_data());
        };
        for context in [256, 1024, 2048] {
            let place = (&device, DType::F32);
            let mut cache = KvCache::with_precision(&config.text_config, 8192, precision, place);
            while cache.len() < context {
                chunk(&mut cache);
            }
            let measured = peak_bytes(|| {
                cache.truncate(context - PREFILL_CHUNK);
                chunk(&mut cache);
            });
            let estimate = footprint.decoder_bytes(1, context);
            let what = format!("{context} tokens, groups of {group}, {precision:?}");
            check(&what, estimate, measured, 4.0);
        }
    }
}
