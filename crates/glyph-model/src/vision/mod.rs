//! The vision tower: patches of page images in, one decoder-wide feature per 2×2 patches out.

mod block;
mod embeddings;
mod merger;
mod patch_embed;
mod rotary;
mod tower;

pub use block::{Attention, Block, Mlp};
pub use embeddings::Embeddings;
pub use merger::{Downsample, Merger};
pub use patch_embed::PatchEmbed;
pub use tower::{VisionPass, VisionStage, VisionTower};
