//! How much memory a model takes, from its configuration alone.

use glyph_model::Glm4v;
use glyph_model::config::ModelConfig;
use glyph_model::preprocess::PatchGrid;
use glyph_model::text::KvCache;
use glyph_model::weights::tensor_specs;
use serde::Serialize;

/// Prompt positions that pass the decoder at once. More would go little faster and make the others wait.
pub const PREFILL_CHUNK: usize = 256;

/// Memory left untouched unless told otherwise: what driver, allocator and kernels take on a 24 GB card.
pub const DEFAULT_HEADROOM_BYTES: u64 = 4 << 30;

/// Of what is left beside weights and activations, the part that caches may take; requests have the rest.
const CACHE_SHARE: f64 = 0.25;

/// Bytes that a model takes for each of the things that it does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Footprint {
    /// Parameters.
    pub n_parameters: u64,
    /// Bytes of one weight, activation, key or value.
    pub bytes_per_value: u64,
    /// Bytes of all weights.
    pub weight_bytes: u64,
    /// Keys and values of one token.
    pub kv_bytes_per_token: u64,
    /// Activations of the decoder over one chunk of a prompt.
    pub prefill_bytes: u64,
    /// Tokens that the positions reach.
    pub context_tokens: usize,
    vision_width: u64,
    vision_ffn_width: u64,
    vision_out_width: u64,
    merge_size: usize,
    window_px: usize,
}

impl Footprint {
    /// Of a model whose values take `bytes_per_value`.
    pub fn new(config: &ModelConfig, bytes_per_value: u64) -> Self {
        let host = burn::tensor::Device::flex();
        let n_parameters = tensor_specs(&Glm4v::new(config, &host))
            .iter()
            .map(|(_, shape)| shape.iter().map(|n| *n as u64).product::<u64>())
            .sum::<u64>();
        let (text, vision) = (&config.text_config, &config.vision_config);
        let (d, ffn) = (text.hidden_size as u64, text.intermediate_size as u64);
        // At the widest place of a layer stand the residual stream, its normed copy, gate and up projections
        // together and their product; logits are of one position.
        let prefill_values = PREFILL_CHUNK as u64 * (3 * d + 3 * ffn) + text.vocab_size as u64;
        Self {
            n_parameters,
            bytes_per_value,
            weight_bytes: n_parameters * bytes_per_value,
            kv_bytes_per_token: KvCache::bytes_per_token(text, 1) as u64 * bytes_per_value,
            prefill_bytes: prefill_values * bytes_per_value,
            context_tokens: text.max_position_embeddings,
            vision_width: vision.hidden_size as u64,
            vision_ffn_width: vision.intermediate_size.max(vision.hidden_size) as u64,
            vision_out_width: vision.out_hidden_size as u64,
            merge_size: vision.spatial_merge_size,
            window_px: vision.spatial_merge_size * vision.patch_size,
        }
    }

    /// Activations of the vision tower over a page of `n_patches`, its input included.
    pub fn vision_bytes(&self, n_patches: usize) -> u64 {
        let Self {
            vision_width: d,
            vision_ffn_width: ffn,
            bytes_per_value,
            ..
        } = self;
        let input = (self.window_px * self.window_px * 3) as u64
            / (self.merge_size * self.merge_size) as u64;
        // Residual stream, normed copy, queries, keys, values and attended values, or gate, up and product.
        let widest = 2 * d + (4 * d).max(3 * ffn);
        n_patches as u64 * (input + widest) * bytes_per_value
    }

    /// Features of a page of `n_tokens`, as the cache keeps them.
    pub fn feature_bytes(&self, n_tokens: usize) -> u64 {
        n_tokens as u64 * self.vision_out_width * self.bytes_per_value
    }

    /// Patches of a page of that size in pixels, rounded up to whole windows.
    pub fn patches(&self, [width_px, height_px]: [usize; 2]) -> PatchGrid {
        let side = |px: usize| px.div_ceil(self.window_px).max(1) * self.merge_size;
        PatchGrid {
            rows: side(height_px),
            columns: side(width_px),
        }
    }

    /// Vision tokens of a grid.
    pub fn vision_tokens(&self, grid: PatchGrid) -> usize {
        grid.n_tokens(self.merge_size)
    }

    /// Bytes of a request while it is prefilled: keys and values of all its tokens.
    pub fn kv_bytes(&self, n_tokens: usize) -> u64 {
        n_tokens as u64 * self.kv_bytes_per_token
    }
}

/// What the person who starts a server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limits {
    /// Requests that run together, at most.
    pub max_batch: usize,
    /// Pages of one request, at most.
    pub max_pages: usize,
    /// Tokens of one request, at most; `None` for what the model and the memory hold.
    pub max_context: Option<usize>,
    /// Memory of the device that is free before the weights are loaded.
    pub device_bytes: u64,
    /// What is left untouched of it.
    pub headroom_bytes: u64,
    /// Patches of the largest page that is planned for.
    pub largest_page_patches: usize,
}

/// Who gets how much of a device's memory.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryPlan {
    /// What the model takes.
    pub footprint: Footprint,
    /// What was asked for.
    pub limits: Limits,
    /// Activations that are kept free: the decoder's over a chunk, and the tower's over the largest page.
    pub activation_bytes: u64,
    /// Keys and values of all requests together.
    pub kv_bytes: u64,
    /// The caches of pages and of prompts, each half of it.
    pub cache_bytes: u64,
    /// Requests that run together, at most.
    pub max_batch: usize,
    /// Tokens of one request, at most.
    pub context_tokens: usize,
}

/// The weights and what one request needs at least do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the model needs {} ({} of weights, {} of activations, {} of headroom); {} are free. Close what uses the memory, \
     lower --memory-headroom, choose a smaller model or another device",
    bytesize::ByteSize(*.weight_bytes + *.activation_bytes + *.headroom_bytes),
    bytesize::ByteSize(*.weight_bytes), bytesize::ByteSize(*.activation_bytes),
    bytesize::ByteSize(*.headroom_bytes), bytesize::ByteSize(*.device_bytes)
)]
pub struct ModelDoesNotFit {
    /// Weights.
    pub weight_bytes: u64,
    /// Activations.
    pub activation_bytes: u64,
    /// Headroom.
    pub headroom_bytes: u64,
    /// Free memory.
    pub device_bytes: u64,
}

/// Fewer tokens than this are no context worth serving.
const LEAST_CONTEXT_TOKENS: usize = 512;

impl MemoryPlan {
    /// Shares out a device's memory.
    ///
    /// # Errors
    /// [`ModelDoesNotFit`] with the figures.
    pub fn new(footprint: Footprint, limits: Limits) -> Result<Self, ModelDoesNotFit> {
        let activation_bytes =
            footprint.prefill_bytes + footprint.vision_bytes(limits.largest_page_patches);
        let fixed = footprint.weight_bytes + activation_bytes + limits.headroom_bytes;
        let left = limits.device_bytes.saturating_sub(fixed);
        let least = footprint.kv_bytes(LEAST_CONTEXT_TOKENS.min(footprint.context_tokens));
        if left < least {
            return Err(ModelDoesNotFit {
                weight_bytes: footprint.weight_bytes,
                activation_bytes,
                headroom_bytes: limits.headroom_bytes,
                device_bytes: limits.device_bytes,
            });
        }
        let wanted_tokens = limits
            .max_context
            .unwrap_or(footprint.context_tokens)
            .min(footprint.context_tokens);
        // No more than every place of the batch filled to the brim: what a small model leaves is not taken.
        let most_kv_bytes = footprint
            .kv_bytes(wanted_tokens)
            .saturating_mul(limits.max_batch.max(1) as u64);
        let cache_bytes = ((left as f64 * CACHE_SHARE) as u64).min(left - least);
        let kv_bytes = (left - cache_bytes).min(most_kv_bytes).max(least);
        let fitting_tokens = (kv_bytes / footprint.kv_bytes_per_token.max(1)) as usize;
        Ok(Self {
            activation_bytes,
            kv_bytes,
            cache_bytes: cache_bytes.min(most_kv_bytes),
            max_batch: limits.max_batch.max(1),
            context_tokens: wanted_tokens.min(fitting_tokens),
            footprint,
            limits,
        })
    }
}

/// Whether a number of equal requests fits a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanRow {
    /// Size of the pages.
    pub page_px: [usize; 2],
    /// Vision tokens of a page.
    pub vision_tokens: usize,
    /// Requests at once.
    pub batch: usize,
    /// Tokens of each.
    pub context_tokens: usize,
    /// Activations of the vision tower over a page.
    pub vision_bytes: u64,
    /// Keys and values of all requests.
    pub kv_bytes: u64,
    /// All of it with weights, decoder activations and headroom.
    pub total_bytes: u64,
    /// Whether the device holds it.
    pub fits: bool,
    /// The most tokens that each of the requests may have.
    pub most_context_tokens: usize,
}

impl PlanRow {
    /// For `batch` requests of `context_tokens` about pages of a size.
    pub fn new(
        footprint: &Footprint,
        page_px: [usize; 2],
        batch: usize,
        context_tokens: usize,
        (device_bytes, headroom_bytes): (u64, u64),
    ) -> Self {
        let grid = footprint.patches(page_px);
        let vision_bytes = footprint.vision_bytes(grid.n_patches());
        let kv_bytes = footprint.kv_bytes(context_tokens) * batch as u64;
        let fixed =
            footprint.weight_bytes + footprint.prefill_bytes + vision_bytes + headroom_bytes;
        let total_bytes = fixed + kv_bytes;
        let per_token = footprint.kv_bytes_per_token * batch.max(1) as u64;
        let most = device_bytes.saturating_sub(fixed) / per_token.max(1);
        Self {
            page_px,
            vision_tokens: footprint.vision_tokens(grid),
            batch,
            context_tokens,
            vision_bytes,
            kv_bytes,
            total_bytes,
            fits: total_bytes <= device_bytes,
            most_context_tokens: (most as usize).min(footprint.context_tokens),
        }
    }
}
