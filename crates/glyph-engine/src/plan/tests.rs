use bytesize::ByteSize;
use glyph_model::SCORES_AT_ONCE;
use glyph_model::config::{ModelConfig, PreprocessorConfig};
use glyph_model::preprocess::smart_resize;
use glyph_model::quantize::Quantization;
use glyph_model::text::KvPrecision;

use super::{
    DEFAULT_HEADROOM_BYTES, Footprint, Limits, MemoryPlan, ModelDoesNotFit, PlanRow, Shortfall,
    most_of,
};

const BF16_BYTES: u64 = 2;
const GIB: u64 = 1 << 30;

/// `config.json` of GLM-4.1V-9B.
const CONFIG_9B: &str = r#"{
    "model_type": "glm4v",
    "image_token_id": 151343,
    "tie_word_embeddings": false,
    "text_config": {
        "vocab_size": 151552, "hidden_size": 4096, "intermediate_size": 13696, "num_hidden_layers": 40,
        "num_attention_heads": 32, "num_key_value_heads": 2, "hidden_act": "silu", "rms_norm_eps": 1e-5,
        "max_position_embeddings": 65536, "rope_theta": 10000.0, "partial_rotary_factor": 0.5,
        "rope_scaling": {"rope_type": "default", "mrope_section": [8, 12, 12]}, "attention_bias": true
    },
    "vision_config": {
        "depth": 24, "hidden_size": 1536, "num_heads": 12, "in_channels": 3, "image_size": 336, "patch_size": 14,
        "temporal_patch_size": 2, "spatial_merge_size": 2, "out_hidden_size": 4096, "intermediate_size": 13696,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "attention_bias": false
    }
}"#;

fn footprint_9b() -> Footprint {
    Footprint::new(&ModelConfig::from_json(CONFIG_9B).unwrap(), BF16_BYTES)
}

fn patches(width_px: usize, height_px: usize) -> usize {
    let config = PreprocessorConfig::default();
    let (height_px, width_px) = smart_resize(height_px, width_px, &config).unwrap();
    (height_px / config.patch_size) * (width_px / config.patch_size)
}

fn limits(device_bytes: u64) -> Limits {
    Limits {
        max_batch: 4,
        max_pages: 16,
        max_context: None,
        buffer_tokens: None,
        device_bytes,
        headroom_bytes: DEFAULT_HEADROOM_BYTES,
        largest_page_patches: patches(1024, 1024),
    }
}

/// All shares of a plan, weights and headroom among them.
fn planned_bytes(plan: &MemoryPlan) -> u64 {
    let activations = plan.vision_bytes + plan.decoder_bytes;
    let held = plan.kv_bytes + plan.feature_bytes + plan.cache_bytes;
    plan.footprint.weight_bytes + plan.limits.headroom_bytes + activations + held
}

#[test]
fn the_figures_of_the_9b_model_are_those_that_are_published() {
    let footprint = footprint_9b();
    // The checkpoint's files are 20.6 GB in bf16, of 10.3 billion parameters.
    assert_eq!((footprint.weight_bytes + 50_000_000) / 100_000_000, 206);
    assert_eq!((footprint.n_parameters + 50_000_000) / 100_000_000, 103);
    // 40 layers · keys and values · 2 heads · 128 · 2 bytes: 2.5 GiB for 64 K tokens.
    assert_eq!(footprint.kv_bytes_per_token, 40 * 1024);
    assert_eq!(footprint.kv_bytes(65_536), 5 * GIB / 2);
    assert_eq!(footprint.context_tokens, 65_536);
    // A page of the official style, 595 × 842 px.
    assert_eq!(patches(595, 842), 2520);
    assert_eq!(footprint.vision_tokens(2520), 630);
}

#[test]
fn values_of_twice_the_size_take_twice_the_weights_and_cache() {
    let config = ModelConfig::from_json(CONFIG_9B).unwrap();
    let (half, full) = (footprint_9b(), Footprint::new(&config, 4));
    assert_eq!(full.n_parameters, half.n_parameters);
    assert_eq!(full.weight_bytes, 2 * half.weight_bytes);
    assert_eq!(full.kv_bytes_per_token, 2 * half.kv_bytes_per_token);
    assert!(full.vision_bytes(2520) > half.vision_bytes(2520));
    assert!(full.decoder_bytes(1, 8192) > half.decoder_bytes(1, 8192));
}

#[test]
fn activations_grow_with_page_and_context() {
    let footprint = footprint_9b();
    let vision = [16, 1000, 2520, 21_316].map(|n| footprint.vision_bytes(n));
    assert!(vision.is_sorted_by(|a, b| a < b), "{vision:?}");
    let decoder = [512, 8192, 65_536].map(|n| footprint.decoder_bytes(1, n));
    assert!(decoder.is_sorted_by(|a, b| a < b), "{decoder:?}");
    // Keys and values of 32 heads of 128 for each token, though two are cached.
    let grown = decoder[2] - decoder[1];
    assert!(grown >= (65_536 - 8192) * 2 * 4096 * BF16_BYTES, "{grown}");
    assert!(footprint.decoder_bytes(64, 8192) > decoder[1]);
}

#[test]
fn off_the_cpu_scores_are_held_up_to_a_bound() {
    let (cpu, gpu) = (footprint_9b(), footprint_9b().on(false));
    assert_eq!(cpu.clone().on(true), cpu);
    // Two values in f32 and two in bf16 for each of the scores that are alive together.
    let bound = SCORES_AT_ONCE as u64 * (2 * 4 + 2 * BF16_BYTES);
    let more = |n| gpu.vision_bytes(n) - cpu.vision_bytes(n).min(gpu.vision_bytes(n));
    assert!(more(2520) <= bound);
    // All scores of a large page would be many times as much.
    assert!(gpu.vision_bytes(21_316) < cpu.vision_bytes(21_316) + bound);
    assert!(gpu.decoder_bytes(1, 65_536) < cpu.decoder_bytes(1, 65_536) + bound);
    assert!(gpu.decoder_bytes(1, 65_536) > cpu.decoder_bytes(1, 65_536));
}

#[test]
fn a_small_memory_is_refused_with_the_figures() {
    let footprint = footprint_9b();
    let refusal = MemoryPlan::new(footprint.clone(), limits(16 * GIB)).unwrap_err();
    let ModelDoesNotFit {
        weight_bytes,
        headroom_bytes,
        device_bytes,
        ..
    } = refusal;
    assert_eq!(weight_bytes, footprint.weight_bytes);
    assert_eq!(
        (headroom_bytes, device_bytes),
        (DEFAULT_HEADROOM_BYTES, 16 * GIB)
    );
    let message = refusal.to_string();
    for bytes in [
        refusal.needed_bytes(),
        weight_bytes,
        refusal.activation_bytes,
        refusal.request_bytes,
        headroom_bytes,
        device_bytes,
    ] {
        let figure = ByteSize(bytes).to_string();
        assert!(message.contains(&figure), "no {figure} in {message}");
    }
    assert!(message.contains("512 tokens"), "{message}");
    // One byte less than is needed is refused, that byte more is not.
    let needed = refusal.needed_bytes();
    assert_eq!(
        MemoryPlan::new(footprint.clone(), limits(needed - 1)),
        Err(ModelDoesNotFit {
            device_bytes: needed - 1,
            ..refusal
        })
    );
    let plan = MemoryPlan::new(footprint, limits(needed)).unwrap();
    assert_eq!((plan.context_tokens, plan.cache_bytes), (512, 0));
    assert_eq!(planned_bytes(&plan), needed);
}

#[test]
fn a_large_memory_gives_the_models_context() {
    let footprint = footprint_9b();
    let plan = MemoryPlan::new(footprint.clone(), limits(80 * GIB)).unwrap();
    assert_eq!((plan.context_tokens, plan.max_batch), (65_536, 4));
    // Every place of the batch is full, and no more is taken.
    assert_eq!(plan.kv_bytes, 4 * footprint.kv_bytes(65_536));
    assert_eq!(plan.feature_bytes, 4 * footprint.feature_bytes(65_536));
    assert!(plan.cache_bytes > 0);
    let larger = MemoryPlan::new(footprint, limits(u64::MAX)).unwrap();
    assert_eq!(larger.kv_bytes, plan.kv_bytes);
    assert!(larger.cache_bytes <= larger.kv_bytes + larger.feature_bytes);
}

#[test]
fn shares_are_never_more_than_the_device_has() {
    let footprint = footprint_9b();
    for device_gib in 24..=64 {
        for (max_batch, max_context) in [(1, None), (4, None), (64, Some(32_768)), (0, Some(0))] {
            let limits = Limits {
                max_batch,
                max_context,
                ..limits(device_gib * GIB)
            };
            let Ok(plan) = MemoryPlan::new(footprint.clone(), limits) else {
                assert_eq!(device_gib, 24, "{limits:?}");
                continue;
            };
            assert!(planned_bytes(&plan) <= limits.device_bytes, "{plan:?}");
            // A request of the whole context finds room.
            let n_tokens = plan.context_tokens;
            assert!(n_tokens >= 1, "{plan:?}");
            assert!(plan.kv_bytes >= footprint.kv_bytes(n_tokens), "{plan:?}");
        }
    }
}

/// What the decoder and one request of so many tokens take.
fn needed_bytes(footprint: &Footprint, batch: usize, n_tokens: usize) -> u64 {
    footprint.decoder_bytes(batch, n_tokens) + footprint.request_bytes(n_tokens)
}

/// What weights, headroom and tower take.
fn fixed_bytes(footprint: &Footprint) -> u64 {
    let Limits {
        headroom_bytes,
        largest_page_patches,
        ..
    } = limits(0);
    footprint.weight_bytes + headroom_bytes + footprint.vision_bytes(largest_page_patches)
}

/// The largest page of [`limits`], with question and answer.
const PAGE_CONTEXT: usize = 37 * 37 + 512;

#[test]
fn a_batch_is_lowered_and_not_the_context_that_was_asked_for() {
    let footprint = footprint_9b();
    let asked_tokens = 16_384;
    let asked = Limits {
        max_batch: 1 << 20,
        max_context: Some(asked_tokens),
        ..limits(32 * GIB)
    };
    let plan = MemoryPlan::new(footprint.clone(), asked).unwrap();
    assert_eq!(plan.context_tokens, asked_tokens);
    assert!((17..1 << 20).contains(&plan.max_batch), "{plan:?}");
    assert_eq!(plan.limits.max_batch, 1 << 20);
    assert!(planned_bytes(&plan) <= asked.device_bytes, "{plan:?}");
    // It takes half of what one such request leaves, and no more: caches and further requests have the rest.
    let left_bytes = asked.device_bytes - fixed_bytes(&footprint);
    let alone_bytes = needed_bytes(&footprint, 1, asked_tokens);
    let most_bytes = alone_bytes + (left_bytes - alone_bytes) / 2;
    let of_batch = |batch: usize| needed_bytes(&footprint, batch, asked_tokens);
    assert!(of_batch(plan.max_batch) <= most_bytes, "{plan:?}");
    assert!(of_batch(plan.max_batch + 1) > most_bytes, "{plan:?}");
    assert!(plan.cache_bytes > left_bytes / 8, "{plan:?}");
    let fitting = Limits {
        max_batch: 16,
        ..asked
    };
    let plan = MemoryPlan::new(footprint, fitting).unwrap();
    assert_eq!((plan.max_batch, plan.context_tokens), (16, asked_tokens));
}

#[test]
fn a_batch_gives_way_to_a_page_with_question_and_answer() {
    let footprint = footprint_9b();
    let plan = |left_bytes: u64, max_batch: usize| {
        let limits = Limits {
            max_batch,
            ..limits(fixed_bytes(&footprint) + left_bytes)
        };
        MemoryPlan::new(footprint.clone(), limits).unwrap()
    };
    let needed = |batch: usize, n_tokens: usize| needed_bytes(&footprint, batch, n_tokens);
    // An official page has 630 tokens.
    let official_context = 630 + 512;
    let mut batches = Vec::new();
    for step in 0..100 {
        let left_bytes = needed(1, official_context) + step * (4 << 20);
        let (batch, alone) = (plan(left_bytes, 16), plan(left_bytes, 1));
        assert!(batch.context_tokens >= official_context, "{batch:?}");
        let most_context = alone.context_tokens.min(PAGE_CONTEXT);
        assert!(batch.context_tokens >= most_context, "{batch:?} {alone:?}");
        batches.push(batch.max_batch);
    }
    assert_eq!((batches[0], batches[99]), (1, 16), "{batches:?}");
    assert!(batches.is_sorted(), "{batches:?}");
    // Sixteen short requests do not fit, and one page does.
    let tight = plan(needed(16, 512) - 1, 16);
    assert!(tight.context_tokens >= official_context, "{tight:?}");
    // What one short request needs is enough to start with.
    let least = plan(needed(1, 512), 1 << 20);
    assert_eq!((least.max_batch, least.context_tokens), (1, 512));
    // However many were asked for.
    let many = plan(8 * GIB, 1 << 20);
    assert!(many.context_tokens >= PAGE_CONTEXT, "{many:?}");
    assert!(many.cache_bytes > GIB, "{many:?}");
}

#[test]
fn a_context_that_memory_does_not_hold_is_as_long_as_it_may_be_beside_the_batch() {
    let footprint = footprint_9b();
    let plan = |max_batch: usize| {
        let limits = Limits {
            max_batch,
            max_context: Some(65_536),
            ..limits(26 * GIB)
        };
        MemoryPlan::new(footprint.clone(), limits).unwrap()
    };
    let [alone, some, many] = [1, 16, 1 << 20].map(plan);
    assert!((PAGE_CONTEXT..65_536).contains(&alone.context_tokens));
    assert_eq!(some.max_batch, 16);
    assert!(10 * some.context_tokens > 9 * alone.context_tokens);
    assert!(2 * many.context_tokens > alone.context_tokens, "{many:?}");
    for plan in [alone, some, many] {
        assert_eq!(plan.cache_bytes, 0, "{plan:?}");
    }
}

#[test]
fn buffers_bound_the_context_and_leave_the_caches_their_share() {
    let footprint = footprint_9b();
    let plan = |max_context: Option<usize>, buffer_tokens: Option<usize>| {
        let limits = Limits {
            max_context,
            buffer_tokens,
            ..limits(28 * GIB)
        };
        MemoryPlan::new(footprint.clone(), limits).unwrap()
    };
    let any = plan(None, None);
    assert!((16_384..60_000).contains(&any.context_tokens), "{any:?}");
    // Nobody asked for a context: buffers that hold more than memory change nothing.
    let large = plan(None, Some(60_000));
    assert_eq!(
        (large.context_tokens, large.cache_bytes),
        (any.context_tokens, any.cache_bytes)
    );
    let asked = plan(Some(60_000), None);
    assert!(asked.cache_bytes < large.cache_bytes, "{asked:?}");
    let small = plan(None, Some(16_384));
    assert_eq!(
        (small.context_tokens, small.cache_bytes),
        (16_384, any.cache_bytes)
    );
    for (max_context, buffer_tokens, context_tokens) in [
        (4096, 16_384, 4096),
        (32_768, 16_384, 16_384),
        (4096, 1 << 20, 4096),
        (4096, 0, 1),
    ] {
        let plan = plan(Some(max_context), Some(buffer_tokens));
        assert_eq!(plan.context_tokens, context_tokens, "{plan:?}");
    }
}

#[test]
fn caches_give_way_to_a_context_that_was_asked_for() {
    let footprint = footprint_9b();
    let any = limits(28 * GIB);
    let asked = Limits {
        max_context: Some(65_536),
        ..any
    };
    let [any, asked] =
        [any, asked].map(|limits| MemoryPlan::new(footprint.clone(), limits).unwrap());
    assert!(asked.context_tokens > any.context_tokens, "{any:?}");
    assert!(asked.cache_bytes < any.cache_bytes, "{asked:?}");
    let small = Limits {
        max_context: Some(4096),
        ..limits(28 * GIB)
    };
    let small = MemoryPlan::new(footprint, small).unwrap();
    assert_eq!(small.context_tokens, 4096);
    assert!(small.cache_bytes > 0);
}

fn row(device_gib: u64, page_patches: usize, batch: usize, context_tokens: usize) -> PlanRow {
    let memory = (device_gib * GIB, DEFAULT_HEADROOM_BYTES);
    let requests = (batch, context_tokens);
    PlanRow::new(&footprint_9b(), page_patches, requests, memory)
}

#[test]
fn a_row_says_what_fits_and_what_keeps_the_rest_from_fitting() {
    let page = patches(1024, 1024);
    let small = row(24, page, 1, 65_536);
    assert_eq!(
        (small.fits, small.shortfall),
        (false, Some(Shortfall::Memory))
    );
    assert!(small.largest_context_tokens < 65_536);
    let large = row(32, page, 1, 65_536);
    assert_eq!((large.fits, large.shortfall), (true, None));
    assert_eq!(large.largest_context_tokens, 65_536);
    let beyond = row(32, page, 1, 65_537);
    assert_eq!(beyond.shortfall, Some(Shortfall::ModelContext));
    let page_tokens = large.vision_tokens;
    assert_eq!(page_tokens, 37 * 37);
    assert_eq!(row(32, page, 1, page_tokens).shortfall, None);
    let short = row(32, page, 1, page_tokens - 1);
    assert_eq!(short.shortfall, Some(Shortfall::Page));
    // Not even the weights.
    assert_eq!(row(16, page, 1, 8192).largest_context_tokens, 0);
}

#[test]
fn the_largest_context_fits_and_one_token_more_does_not() {
    let page = patches(2048, 2048);
    for batch in [1, 2, 4] {
        let largest = row(27, page, batch, 8192).largest_context_tokens;
        assert!((8192..65_536).contains(&largest), "{batch}: {largest}");
        assert!(row(27, page, batch, largest).fits);
        let more = row(27, page, batch, largest + 1);
        assert_eq!(more.shortfall, Some(Shortfall::Memory));
    }
}

#[test]
fn the_total_of_a_row_is_the_sum_of_its_parts() {
    let footprint = footprint_9b();
    let row = row(24, patches(512, 512), 2, 8192);
    let activations = row.vision_bytes + row.decoder_bytes;
    let held = row.kv_bytes + row.feature_bytes;
    let sum = footprint.weight_bytes + DEFAULT_HEADROOM_BYTES + activations + held;
    assert_eq!(row.total_bytes, sum);
    assert_eq!(row.kv_bytes, 2 * 8192 * 40 * 1024);
    assert_eq!(row.feature_bytes, 2 * 8192 * 4096 * BF16_BYTES);
}

#[test]
fn the_most_that_fits_is_found_at_both_ends() {
    for (limit, most) in [(0, 0), (1, 1), (10, 0), (10, 3), (10, 10)] {
        assert_eq!(most_of(limit, |n| n <= most), most, "of {limit}");
    }
    assert_eq!(most_of(10, |_| true), 10);
}

#[test]
fn figures_without_bound_do_not_overflow() {
    let json = CONFIG_9B
        .replace("\"num_hidden_layers\": 40", "\"num_hidden_layers\": 1024")
        .replace("65536", "16777216");
    let footprint = Footprint::new(&ModelConfig::from_json(&json).unwrap(), 4);
    let requests = (usize::MAX, usize::MAX);
    let row = PlanRow::new(&footprint, 1 << 25, requests, (u64::MAX, u64::MAX));
    assert_eq!(row.total_bytes, u64::MAX);
    let limits = Limits {
        max_batch: usize::MAX,
        headroom_bytes: u64::MAX,
        ..limits(u64::MAX)
    };
    assert!(MemoryPlan::new(footprint.clone(), limits).is_err());
    let limits = Limits {
        headroom_bytes: 0,
        ..limits
    };
    let plan = MemoryPlan::new(footprint, limits).unwrap();
    assert!(plan.max_batch > 1 << 20, "{}", plan.max_batch);
}

#[test]
fn quantised_weights_make_the_9b_model_fit_24_gib() {
    let config = CONFIG_9B.replace(": 65536", ": 131072");
    let config = ModelConfig::from_json(&config).unwrap();
    let on_cpu =
        |quantization| Footprint::new(&config, BF16_BYTES).quantized(&config, quantization, None);
    let footprint = |quantization| on_cpu(quantization).on(false);
    let plain = footprint(None);
    assert_eq!(plain, Footprint::new(&config, BF16_BYTES).on(false));
    let [q8, q4] = Quantization::ALL.map(|quantization| footprint(Some(quantization)));
    // 8.16 billion weights of the decoder's layers at 8.5 or 4.5 bits, 0.62 of the head at 8.5, and in bf16 as many of
    // the table and 0.89 of the tower.
    let [q8_on_cpu, q4_on_cpu] = Quantization::ALL.map(|q| on_cpu(Some(q)).weight_bytes);
    assert_eq!(q8_on_cpu / 10_000_000, 1235);
    assert_eq!(q4_on_cpu / 10_000_000, 827);
    // Of 13,696 values of a row a GPU keeps 13,824 in bf16, in 8 bits as many with 512 scales for 428, and in 4 bits
    // room for 14,336 and 512 scales; the kernel of a patch has rows of 1176 values, which take room for 1280.
    let (layers, rows) = (40, 4096);
    let in_bf16 = rows * (13_824 - 13_696) * BF16_BYTES + 1536 * (1280 - 1176) * BF16_BYTES;
    let scales = (512 - 428) * 2;
    let longer = |footprint: &Footprint, on_cpu: u64| footprint.weight_bytes - on_cpu;
    let plain_on_cpu = on_cpu(None).weight_bytes;
    assert_eq!(
        longer(&plain, plain_on_cpu),
        in_bf16 + layers * rows * (13_824 - 13_696) * BF16_BYTES
    );
    assert_eq!(
        longer(&q8, q8_on_cpu),
        in_bf16 + layers * rows * (13_824 - 13_696 + scales)
    );
    assert_eq!(
        longer(&q4, q4_on_cpu),
        in_bf16 + layers * rows * ((14_336 - 13_696) / 2 + scales)
    );
    let memory = (24 * GIB, DEFAULT_HEADROOM_BYTES);
    let fits = |footprint: &Footprint, context_tokens| {
        PlanRow::new(footprint, 2520, (1, context_tokens), memory).fits
    };
    let contexts = [8192, 32_768, 65_536, 131_072];
    let rows = [&plain, &q8, &q4].map(|footprint| contexts.map(|context| fits(footprint, context)));
    assert_eq!(
        rows,
        [
            [false, false, false, false],
            [true, true, true, false],
            [true, true, true, true]
        ]
    );
    // Activations, keys and values are none of the weights.
    assert_eq!(q4.kv_bytes_per_token, plain.kv_bytes_per_token);
    assert_eq!(q4.vision_bytes(2520), plain.vision_bytes(2520));
    assert_eq!(q4.n_parameters, plain.n_parameters);
}

#[test]
fn scales_in_f32_are_planned_for_where_there_may_be_no_f16() {
    let config = ModelConfig::from_json(CONFIG_9B).unwrap();
    let q4 = Footprint::new(&config, 4).quantized(&config, Some(Quantization::Q4), None);
    let longer = q4.clone().on(false).weight_bytes - q4.weight_bytes;
    // Two bytes more for each 32 of the weights of the decoder and the head.
    assert!(longer >= 8_778_678_272 / 32 * 2, "{longer}");
    assert_eq!(q4.clone().on(false).on(true), q4);
}

#[test]
fn the_token_table_of_a_quantised_model_is_planned_for_as_it_is_stored() {
    let config = ModelConfig::from_json(CONFIG_9B).unwrap();
    let n_table = 151_552 * 4096;
    for is_cpu in [true, false] {
        let weight_bytes = |quantization: Option<Quantization>, table_bytes: Option<u64>| {
            let footprint = Footprint::new(&config, 4).on(is_cpu);
            footprint
                .quantized(&config, quantization, table_bytes)
                .weight_bytes
        };
        for quantization in Quantization::ALL {
            let of_table = |table_bytes| weight_bytes(Some(quantization), table_bytes);
            // Where nobody knows yet, it is counted as wide as it may be.
            assert_eq!(of_table(None), of_table(Some(4)));
            assert_eq!(of_table(None) - of_table(Some(2)), 2 * n_table);
        }
        // One that is not quantised has all of one type.
        assert_eq!(weight_bytes(None, Some(2)), weight_bytes(None, None));
    }
}

#[test]
fn keys_and_values_of_8_bits_take_half_of_bf16() {
    let config = ModelConfig::from_json(CONFIG_9B).unwrap();
    let plain = footprint_9b();
    let eight = plain.clone().with_kv_precision(&config, KvPrecision::Q8);
    // 128 bytes and a scale for each head of each layer, twice.
    assert_eq!(eight.kv_bytes_per_token, 40 * 2 * 2 * (128 + BF16_BYTES));
    assert_eq!(eight.weight_bytes, plain.weight_bytes);
    // What attention sees of a layer is unpacked.
    assert!(eight.decoder_bytes(1, 65_536) > plain.decoder_bytes(1, 65_536));
    let back = eight.with_kv_precision(&config, KvPrecision::Full);
    assert_eq!(back, plain);
    // A CPU's kernels for f32 read it as it is.
    let plain = Footprint::new(&config, size_of::<f32>() as u64);
    let eight = plain.clone().with_kv_precision(&config, KvPrecision::Q8);
    assert_eq!(
        eight.decoder_bytes(1, 65_536),
        plain.decoder_bytes(1, 65_536)
    );
    let on_gpu = |footprint: &Footprint| footprint.clone().on(false).decoder_bytes(1, 65_536);
    assert!(on_gpu(&eight) > on_gpu(&plain));
}

#[test]
fn keys_and_values_of_16_bits_take_half_of_f32_on_a_cpu_and_what_is_computed_with_elsewhere() {
    let config = ModelConfig::from_json(CONFIG_9B).unwrap();
    let plain = Footprint::new(&config, size_of::<f32>() as u64);
    let half = plain.clone().with_kv_precision(&config, KvPrecision::F16);
    assert_eq!(2 * half.kv_bytes_per_token, plain.kv_bytes_per_token);
    assert_eq!(
        half.decoder_bytes(1, 65_536),
        plain.decoder_bytes(1, 65_536)
    );
    for elsewhere in [plain.on(false), footprint_9b()] {
        let half = elsewhere
            .clone()
            .with_kv_precision(&config, KvPrecision::F16);
        assert_eq!(half, elsewhere);
    }
}
