//! The tower from patches to tokens.

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::block::Block;
use super::embeddings::Embeddings;
use super::merger::{Downsample, Merger};
use super::patch_embed::PatchEmbed;
use super::rotary::rotary;
use crate::config::VisionConfig;
use crate::layers::RmsNorm;
use crate::preprocess::PatchGrid;

/// `model.visual` of the checkpoint.
#[derive(Module, Debug)]
pub struct VisionTower {
    /// Patch projection.
    pub patch_embed: PatchEmbed,
    /// Before the position embedding.
    pub post_conv_layernorm: RmsNorm,
    /// Learned positions.
    pub embeddings: Embeddings,
    /// Transformer blocks.
    pub blocks: Vec<Block>,
    /// After the blocks.
    pub post_layernorm: RmsNorm,
    /// Merges 2×2 patches.
    pub downsample: Downsample,
    /// To the decoder's space.
    pub merger: Merger,
    head_dim: usize,
    merge: usize,
    rope_theta: f64,
}

/// Where in the tower a value was taken, for comparison with the reference implementation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VisionStage {
    /// After the patch projection.
    PatchEmbed,
    /// After its norm.
    PostConvNorm,
    /// With positions added.
    Embedded,
    /// After block `n`.
    Block(usize),
    /// After the last norm.
    PostNorm,
    /// After 2×2 merging.
    Downsample,
    /// The tokens.
    Merged,
}

impl VisionTower {
    pub(crate) fn new(config: &VisionConfig, device: &Device) -> Self {
        Self {
            patch_embed: PatchEmbed::new(config, device),
            post_conv_layernorm: RmsNorm::new(config.hidden_size, config.rms_norm_eps, device),
            embeddings: Embeddings::new(config, device),
            blocks: (0..config.depth)
                .map(|_| Block::new(config, device))
                .collect(),
            post_layernorm: RmsNorm::new(config.hidden_size, config.rms_norm_eps, device),
            downsample: Downsample::new(config, device),
            merger: Merger::new(config, device),
            head_dim: config.head_dim(),
            merge: config.spatial_merge_size,
            rope_theta: config.rope_theta(),
        }
    }

    /// Encodes images of one size together; attention stays inside each image.
    ///
    /// # Shapes
    /// `[images, patches, channels·side·side]` → `[images, patches / 4, d_out]`.
    pub fn forward(&self, patches: Tensor<3>, grid: PatchGrid) -> Tensor<3> {
        self.forward_observed(patches, grid, |_, _| {})
    }

    /// [`forward`](Self::forward), showing the value after each stage to `observe`.
    pub fn forward_observed(
        &self,
        patches: Tensor<3>,
        grid: PatchGrid,
        mut observe: impl FnMut(VisionStage, &Tensor<3>),
    ) -> Tensor<3> {
        let rotary = rotary(
            grid,
            self.merge,
            self.head_dim,
            self.rope_theta,
            &patches.device(),
        );

        let x = self.patch_embed.forward(patches);
        observe(VisionStage::PatchEmbed, &x);
        let x = self.post_conv_layernorm.forward(x);
        observe(VisionStage::PostConvNorm, &x);
        let mut x = x + self.embeddings.forward(grid).unsqueeze();
        observe(VisionStage::Embedded, &x);
        for (n, block) in self.blocks.iter().enumerate() {
            x = block.forward(x, &rotary);
            observe(VisionStage::Block(n), &x);
        }
        let x = self.post_layernorm.forward(x);
        observe(VisionStage::PostNorm, &x);
        let x = self.downsample.forward(x);
        observe(VisionStage::Downsample, &x);
        let x = self.merger.forward(x);
        observe(VisionStage::Merged, &x);
        x
    }
}
