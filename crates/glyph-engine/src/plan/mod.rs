//! How much memory a model takes, from its configuration alone, and who gets how much of a device's.

mod activations;
mod footprint;
mod row;
mod shares;
#[cfg(test)]
mod tests;

pub use footprint::Footprint;
pub use row::{PlanRow, Shortfall};
pub use shares::{Limits, MemoryPlan, ModelDoesNotFit};

/// Prompt positions that pass the decoder at once. More would go little faster and make the others wait.
pub const PREFILL_CHUNK: usize = 256;

/// Memory left untouched unless told otherwise: what driver, allocator and kernels take on a 24 GB card.
pub const DEFAULT_HEADROOM_BYTES: u64 = 4 << 30;

/// The most of `limit` tokens that `fits`, which holds up to some count and for none beyond it.
fn most_tokens(limit: usize, fits: impl Fn(usize) -> bool) -> usize {
    let (mut most, mut beyond) = (0, limit.saturating_add(1));
    while most + 1 < beyond {
        let middle = most + (beyond - most) / 2;
        if fits(middle) {
            most = middle;
        } else {
            beyond = middle;
        }
    }
    most
}
