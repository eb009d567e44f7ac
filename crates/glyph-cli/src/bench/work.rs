//! What has to be computed and read at least, from the configuration.

use glyph_model::config::{ModelConfig, TextConfig};

use super::random::WeightBytes;

/// Operations of a product of `[m, k]` and `[k, n]`: a multiplication and an addition each.
fn product(m: usize, k: usize, n: usize) -> f64 {
    2.0 * m as f64 * k as f64 * n as f64
}

/// Operations of the vision tower over one image.
pub fn vision_flops(config: &ModelConfig, n_patches: usize) -> f64 {
    let vision = &config.vision_config;
    let (d, d_out, d_inner) = (
        vision.hidden_size,
        vision.out_hidden_size,
        vision.intermediate_size,
    );
    let n_tokens = n_patches / vision.merge_area().max(1);
    // Queries times keys, and scores times values.
    let attention = 2.0 * product(n_patches, d, n_patches);
    let block = product(n_patches, d, 4 * d) + attention + 3.0 * product(n_patches, d, d_out);
    let merger = product(n_tokens, d * vision.merge_area(), d_out)
        + product(n_tokens, d_out, d_out)
        + 3.0 * product(n_tokens, d_out, d_inner);
    product(n_patches, vision.frame_patch_len(), d) + vision.depth as f64 * block + merger
}

/// Operations of the decoder over a prompt, up to the scores behind its last position. A position attends to itself
/// and those before it.
pub fn prefill_flops(config: &TextConfig, n_tokens: usize) -> f64 {
    let (d, d_inner) = (config.hidden_size, config.intermediate_size);
    let d_heads = config.num_attention_heads * config.head_dim();
    let d_kv = config.num_key_value_heads() * config.head_dim();
    let linear = product(n_tokens, d, 2 * d_heads + 2 * d_kv) + 3.0 * product(n_tokens, d, d_inner);
    let n_pairs = n_tokens as f64 * (n_tokens as f64 + 1.0) / 2.0;
    let attention = 4.0 * n_pairs * d_heads as f64;
    config.num_hidden_layers as f64 * (linear + attention) + product(1, d, config.vocab_size)
}

/// Bytes that one token of an answer has to read: every weight of decoder and output head once, one row of the token
/// table, and all keys and values of a context.
pub fn decode_bytes(
    config: &ModelConfig,
    weights: WeightBytes,
    kv_bytes_per_token: u64,
    context_tokens: usize,
) -> f64 {
    let text = &config.text_config;
    let mut n_bytes = (weights.total - weights.vision) as f64;
    if !config.tied_embeddings() {
        let rows = text.vocab_size as f64;
        n_bytes -= weights.embeddings as f64 * (rows - 1.0) / rows;
    }
    n_bytes + kv_bytes_per_token as f64 * context_tokens as f64
}
