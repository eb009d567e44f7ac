//! Keys and values of 16 and of 8 bits, beside those that are kept as they are.

use burn::tensor::{DType, Tensor};
use glyph_model::text::{KvCache, KvPrecision, Positions};
use glyph_model::{Checkpoint, Glm4v};

use crate::common::{CONFIGS, device, open};

const N: usize = 40;

fn cache(checkpoint: &Checkpoint, precision: KvPrecision) -> KvCache {
    let config = &checkpoint.settings.config.text_config;
    KvCache::with_precision(config, N, precision, (&device(), DType::F32))
}

/// Scores of the positions of `range`, which are written behind what the cache holds.
fn logits(checkpoint: &Checkpoint, cache: &mut KvCache, range: std::ops::Range<usize>) -> Vec<f32> {
    let glm: &Glm4v = &checkpoint.model;
    let vocab_size = checkpoint.settings.config.text_config.vocab_size as u32;
    let ids: Vec<u32> = range
        .clone()
        .map(|i| (i * 11 + 5) as u32 % vocab_size)
        .collect();
    let positions: Vec<[u32; 3]> = range.map(|i| [i as u32; 3]).collect();
    let embedded = glm.embed(&ids, [1, ids.len()], None, &[]);
    let decoder = &glm.model.language_model;
    let hidden = decoder.forward_cached(embedded, Positions(&positions), &mut [cache]);
    let logits: Tensor<3> = glm.logits(hidden.unwrap());
    logits.into_data().iter().collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let pairs = a.iter().zip(b);
        pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    assert_eq!(a.len(), b.len());
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn scores_point_where_those_of_the_full_cache_do() {
    for config in CONFIGS {
        let checkpoint = open(config);
        let run = |precision| {
            let mut cache = cache(&checkpoint, precision);
            let mut all = logits(&checkpoint, &mut cache, 0..17);
            for i in 17..20 {
                all.extend(logits(&checkpoint, &mut cache, i..i + 1));
            }
            all.extend(logits(&checkpoint, &mut cache, 20..N));
            all
        };
        let full = run(KvPrecision::Full);
        let eight = run(KvPrecision::Q8);
        assert_ne!(full, eight, "{config}: nothing was quantised");
        for (fewer, least) in [(run(KvPrecision::F16), 0.999_999), (eight, 0.9995)] {
            let found = cosine(&full, &fewer);
            assert!(found > least, "{config}: {found}");
        }
    }
}

#[test]
fn a_prefix_is_taken_over_as_it_is() {
    let checkpoint = open("base");
    let mut whole = cache(&checkpoint, KvPrecision::Q8);
    logits(&checkpoint, &mut whole, 0..20);
    let prefix = whole.prefix(20);
    let expected = logits(&checkpoint, &mut whole, 20..30);

    let mut other = cache(&checkpoint, KvPrecision::Q8);
    logits(&checkpoint, &mut other, 7..12);
    other.restore(&prefix, 20).unwrap();
    assert_eq!(other.len(), 20);
    let found = logits(&checkpoint, &mut other, 20..30);
    assert!(cosine(&found, &expected) > 0.999_999);

    let mut full = cache(&checkpoint, KvPrecision::Full);
    assert!(full.restore(&prefix, 20).is_err());
}

#[test]
fn a_token_takes_two_bytes_for_each_value_or_one_and_a_scale() {
    let config = open("base").settings.config.text_config.clone();
    let full = KvPrecision::Full.bytes_per_token(&config, 4);
    assert_eq!(full, KvCache::bytes_per_token(&config, 4));
    let scales = full / config.head_dim();
    assert_eq!(
        KvPrecision::Q8.bytes_per_token(&config, 4),
        full / 4 + scales
    );
    assert_eq!(KvPrecision::F16.bytes_per_token(&config, 4), full / 2);
    for precision in [KvPrecision::Full, KvPrecision::F16, KvPrecision::Q8] {
        assert_eq!(precision.name().parse(), Ok(precision));
    }
}
