//! Whether a number of equal requests fits a device.

use serde::Serialize;

use super::{Footprint, most_of};

/// Whether a number of equal requests fits a device: all of them as long as is said, at once, and no caches.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlanRow {
    /// Vision tokens of a page.
    pub vision_tokens: usize,
    /// Requests at once.
    pub batch: usize,
    /// Tokens of each, prompt and answer.
    pub context_tokens: usize,
    /// Activations of the vision tower over a page.
    pub vision_bytes: u64,
    /// Activations of the decoder.
    pub decoder_bytes: u64,
    /// Keys and values of all requests.
    pub kv_bytes: u64,
    /// Features of the pages of all requests, whose tokens are all of pages.
    pub feature_bytes: u64,
    /// All of it with weights and headroom.
    pub total_bytes: u64,
    /// Whether device and model hold it.
    pub fits: bool,
    /// What keeps it from fitting.
    pub shortfall: Option<Shortfall>,
    /// The most tokens that each of the requests may have; 0 when not even a page fits.
    pub largest_context_tokens: usize,
}

/// Why requests do not fit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortfall {
    /// The model's positions do not reach so far.
    ModelContext,
    /// A page has more tokens than the context.
    Page,
    /// The device has less memory.
    Memory,
}

impl PlanRow {
    /// For `batch` requests of `context_tokens` about pages of `page_patches`.
    pub fn new(
        footprint: &Footprint,
        page_patches: usize,
        (batch, context_tokens): (usize, usize),
        (device_bytes, headroom_bytes): (u64, u64),
    ) -> Self {
        let vision_tokens = footprint.vision_tokens(page_patches);
        let vision_bytes = footprint.vision_bytes(page_patches);
        let of_all = |bytes: u64| bytes.saturating_mul(batch as u64);
        let total = |n_tokens: usize| {
            [
                footprint.weight_bytes,
                headroom_bytes,
                vision_bytes,
                footprint.decoder_bytes(batch, n_tokens),
                of_all(footprint.request_bytes(n_tokens)),
            ]
            .into_iter()
            .fold(0, u64::saturating_add)
        };
        let total_bytes = total(context_tokens);
        let shortfall = if context_tokens > footprint.context_tokens {
            Some(Shortfall::ModelContext)
        } else if vision_tokens > context_tokens {
            Some(Shortfall::Page)
        } else if total_bytes > device_bytes {
            Some(Shortfall::Memory)
        } else {
            None
        };
        let largest = most_of(footprint.context_tokens, |n| total(n) <= device_bytes);
        Self {
            vision_tokens,
            batch,
            context_tokens,
            vision_bytes,
            decoder_bytes: footprint.decoder_bytes(batch, context_tokens),
            kv_bytes: of_all(footprint.kv_bytes(context_tokens)),
            feature_bytes: of_all(footprint.feature_bytes(context_tokens)),
            total_bytes,
            fits: shortfall.is_none(),
            shortfall,
            largest_context_tokens: if largest < vision_tokens { 0 } else { largest },
        }
    }
}
