//! How much memory a model takes, from its configuration alone, and who gets how much of a device's.

mod activations;
mod footprint;
mod row;
mod shares;
#[cfg(test)]
mod tests;

pub use footprint::Footprint;
pub use glyph_model::generate::PREFILL_CHUNK;
pub use row::{PlanRow, Shortfall};
pub use shares::{Limits, MemoryPlan, ModelDoesNotFit};

/// Memory left untouched on a GPU unless told otherwise: what driver, allocator and kernels take on a 24 GB card.
pub const DEFAULT_HEADROOM_BYTES: u64 = 4 << 30;

/// Of a CPU's memory the part that is left untouched unless told otherwise, where it is less than on a GPU. There is no
/// driver; the allocator, the threads' workspaces, the tokenizer and the requests' bodies grow with what is served.
const CPU_HEADROOM_SHARE: u64 = 4;

/// Memory of a device that is left untouched unless told otherwise: 4 GiB on a GPU; on a CPU a quarter of what is
/// free, at most 4 GiB, so that a small model runs on a small machine.
pub fn default_headroom_bytes(is_cpu: bool, device_bytes: u64) -> u64 {
    if is_cpu {
        DEFAULT_HEADROOM_BYTES.min(device_bytes / CPU_HEADROOM_SHARE)
    } else {
        DEFAULT_HEADROOM_BYTES
    }
}

/// The most of `limit` that `fits`, which holds up to some count and for none beyond it.
fn most_of(limit: usize, fits: impl Fn(usize) -> bool) -> usize {
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
