//! Who gets how much of a device's memory.

use bytesize::ByteSize;
use serde::Serialize;

use super::{Footprint, most_of};

/// Of what is left beside weights and activations, the part that caches may take; requests have the rest.
const CACHE_SHARE: f64 = 0.25;

/// Of what one request leaves beside weights and activations, the part that the activations of a batch may take. With more
/// of it a batch would wait for keys and values that memory has no room for.
const BATCH_SHARE: f64 = 0.5;

/// Fewer tokens than this are no context worth serving. As many are planned for question and answer beside a page.
const LEAST_CONTEXT_TOKENS: usize = 512;

/// What the person who starts a server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Limits {
    /// Requests that run together, at most.
    pub max_batch: usize,
    /// Pages of one request, at most.
    pub max_pages: usize,
    /// Tokens of one request, at most; `None` for what model, buffers and memory hold.
    pub max_context: Option<usize>,
    /// Tokens of one request that the device has buffers for; `None` where it has them for any number.
    pub buffer_tokens: Option<usize>,
    /// Memory of the device that is free before the weights are loaded.
    pub device_bytes: u64,
    /// What is left untouched of it.
    pub headroom_bytes: u64,
    /// Patches of the largest page that is planned for.
    pub largest_page_patches: usize,
}

/// Who gets how much of a device's memory. With weights and headroom the shares are never more than the device has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MemoryPlan {
    /// What the model takes.
    pub footprint: Footprint,
    /// What was asked for.
    pub limits: Limits,
    /// Activations of the tower over the largest page. They are kept free beside the decoder's, since an allocator
    /// does not always give the one's memory to the other.
    pub vision_bytes: u64,
    /// Activations of the decoder over the longest context.
    pub decoder_bytes: u64,
    /// Keys and values of all requests together.
    pub kv_bytes: u64,
    /// Features of the pages of all requests together, whose tokens may all be of pages.
    pub feature_bytes: u64,
    /// The caches of pages and of prompts, each half of it.
    pub cache_bytes: u64,
    /// Requests that run together, at most: as many as were asked for, or as memory has room for.
    pub max_batch: usize,
    /// Tokens of one request, at most.
    pub context_tokens: usize,
}

/// The weights and what one request needs at least do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the model needs {} ({} of weights, {} of activations, {} for a request of {request_tokens} tokens, {} of \
     headroom); {} are free. Close what uses the memory, lower --memory-headroom, choose a smaller model or another \
     device",
    ByteSize(self.needed_bytes()), ByteSize(*weight_bytes), ByteSize(*activation_bytes), ByteSize(*request_bytes),
    ByteSize(*headroom_bytes), ByteSize(*device_bytes)
)]
pub struct ModelDoesNotFit {
    /// Weights.
    pub weight_bytes: u64,
    /// Activations.
    pub activation_bytes: u64,
    /// Keys, values and features of the shortest request that is worth serving.
    pub request_bytes: u64,
    /// Its tokens.
    pub request_tokens: usize,
    /// Headroom.
    pub headroom_bytes: u64,
    /// Free memory.
    pub device_bytes: u64,
}

impl ModelDoesNotFit {
    /// All of it together.
    pub fn needed_bytes(&self) -> u64 {
        [
            self.weight_bytes,
            self.activation_bytes,
            self.request_bytes,
            self.headroom_bytes,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

impl MemoryPlan {
    /// Shares out a device's memory: first weights, headroom and the tower's activations, then caches and requests.
    /// Caches and batch give way to a context that was asked for, or else to one that holds the largest page with
    /// question and answer.
    ///
    /// # Errors
    /// [`ModelDoesNotFit`] with the figures.
    pub fn new(footprint: Footprint, limits: Limits) -> Result<Self, ModelDoesNotFit> {
        let buffer_tokens = limits.buffer_tokens.unwrap_or(usize::MAX);
        let possible_tokens = footprint.context_tokens.min(buffer_tokens).max(1);
        let asked_tokens = limits.max_context.map(|n| n.clamp(1, possible_tokens));
        let most_context = asked_tokens.unwrap_or(possible_tokens);
        let least_context = LEAST_CONTEXT_TOKENS.min(most_context);
        let page_context = footprint
            .vision_tokens(limits.largest_page_patches)
            .saturating_add(LEAST_CONTEXT_TOKENS)
            .min(most_context);
        let vision_bytes = footprint.vision_bytes(limits.largest_page_patches);
        // What the decoder and one request of so many tokens need.
        let need = |batch: usize, n_tokens: usize| {
            let decoder_bytes = footprint.decoder_bytes(batch, n_tokens);
            decoder_bytes.saturating_add(footprint.request_bytes(n_tokens))
        };
        let fixed_bytes = footprint
            .weight_bytes
            .saturating_add(limits.headroom_bytes)
            .saturating_add(vision_bytes);
        let left_bytes = limits.device_bytes.checked_sub(fixed_bytes);
        let Some(left_bytes) = left_bytes.filter(|left| *left >= need(1, least_context)) else {
            return Err(ModelDoesNotFit {
                weight_bytes: footprint.weight_bytes,
                activation_bytes: vision_bytes
                    .saturating_add(footprint.decoder_bytes(1, least_context)),
                request_bytes: footprint.request_bytes(least_context),
                request_tokens: least_context,
                headroom_bytes: limits.headroom_bytes,
                device_bytes: limits.device_bytes,
            });
        };
        // What a request has whatever batch and caches take.
        let fits_alone = |n_tokens: usize| need(1, n_tokens) <= left_bytes;
        let planned_context = asked_tokens
            .into_iter()
            .chain([page_context])
            .find(|n_tokens| fits_alone(*n_tokens))
            .unwrap_or_else(|| most_of(page_context, fits_alone));
        let alone_bytes = need(1, planned_context);
        let for_batch_bytes = ((left_bytes - alone_bytes) as f64 * BATCH_SHARE) as u64;
        let max_batch = most_of(limits.max_batch.max(1), |batch| {
            need(batch, planned_context) <= alone_bytes + for_batch_bytes
        });
        let before_caches = asked_tokens.unwrap_or(planned_context);
        let spare_bytes = left_bytes.saturating_sub(need(max_batch, before_caches));
        let cache_bytes = ((left_bytes as f64 * CACHE_SHARE) as u64).min(spare_bytes);
        let serving_bytes = left_bytes - cache_bytes;
        let context_tokens = most_of(most_context, |n| need(max_batch, n) <= serving_bytes);
        let decoder_bytes = footprint.decoder_bytes(max_batch, context_tokens);
        // No more than every place of the batch filled to the brim: what a small model leaves is not taken.
        let bytes_per_token = footprint.request_bytes(1).max(1);
        let held_tokens = ((serving_bytes - decoder_bytes) / bytes_per_token)
            .min((context_tokens as u64).saturating_mul(max_batch as u64));
        let held = |bytes_per_token: u64| held_tokens.saturating_mul(bytes_per_token);
        Ok(Self {
            vision_bytes,
            decoder_bytes,
            kv_bytes: held(footprint.kv_bytes_per_token),
            feature_bytes: held(footprint.feature_bytes_per_token),
            cache_bytes: cache_bytes.min(held(bytes_per_token)),
            max_batch,
            context_tokens,
            footprint,
            limits,
        })
    }
}
