//! The tower from patches to tokens.

use std::ops::ControlFlow;

use burn::module::Module;
use burn::tensor::{Device, Tensor};

use super::block::Block;
use super::embeddings::Embeddings;
use super::merger::{Downsample, Merger};
use super::patch_embed::PatchEmbed;
use super::rotary::rotary;
use crate::config::VisionConfig;
use crate::layers::{Linear, RmsNorm};
use crate::preprocess::PatchGrid;
use crate::rotary::Rotary;

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

/// Images on their way through the tower, between two of its stages: whoever shares the device does other work there.
#[derive(Debug, Clone)]
pub struct VisionPass {
    /// Residual stream, `[images, patches, d]`.
    x: Tensor<3>,
    rotary: Rotary,
    next_block: usize,
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

    /// Has the weights that are loaded lie as this machine's cores read them.
    pub(crate) fn pack(&mut self) {
        self.patch_embed.pack();
        self.downsample.pack();
        self.linears().for_each(Linear::pack);
    }

    fn linears(&mut self) -> impl Iterator<Item = &mut Linear> {
        let blocks = self.blocks.iter_mut().flat_map(|block| {
            let (attention, mlp) = (&mut block.attn, &mut block.mlp);
            [
                &mut attention.qkv,
                &mut attention.proj,
                &mut mlp.gate_proj,
                &mut mlp.up_proj,
                &mut mlp.down_proj,
            ]
        });
        let merger = &mut self.merger;
        blocks.chain([
            &mut merger.proj,
            &mut merger.gate_proj,
            &mut merger.up_proj,
            &mut merger.down_proj,
        ])
    }

    /// [`forward`](Self::forward), showing the value after each stage to `observe`.
    pub fn forward_observed(
        &self,
        patches: Tensor<3>,
        grid: PatchGrid,
        mut observe: impl FnMut(VisionStage, &Tensor<3>),
    ) -> Tensor<3> {
        let mut pass = self.begin_observed(patches, grid, &mut observe);
        loop {
            match self.advance_observed(pass, &mut observe) {
                ControlFlow::Continue(next) => pass = next,
                ControlFlow::Break(tokens) => return tokens,
            }
        }
    }

    /// The same piece by piece: patches to vectors with their positions. [`advance`](Self::advance) does the rest.
    ///
    /// # Shapes
    /// `[images, patches, channels·side·side]`.
    pub fn begin(&self, patches: Tensor<3>, grid: PatchGrid) -> VisionPass {
        self.begin_observed(patches, grid, &mut |_, _| {})
    }

    /// Takes images through the next block; behind the last block through the merger, which breaks off with the tokens
    /// `[images, patches / 4, d_out]`. The numbers are those of [`forward`](Self::forward), bit by bit.
    pub fn advance(&self, pass: VisionPass) -> ControlFlow<Tensor<3>, VisionPass> {
        self.advance_observed(pass, &mut |_, _| {})
    }

    fn begin_observed(
        &self,
        patches: Tensor<3>,
        grid: PatchGrid,
        observe: &mut impl FnMut(VisionStage, &Tensor<3>),
    ) -> VisionPass {
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
        let x = x + self.embeddings.forward(grid).unsqueeze();
        observe(VisionStage::Embedded, &x);
        VisionPass {
            x,
            rotary,
            next_block: 0,
        }
    }

    fn advance_observed(
        &self,
        pass: VisionPass,
        observe: &mut impl FnMut(VisionStage, &Tensor<3>),
    ) -> ControlFlow<Tensor<3>, VisionPass> {
        let VisionPass {
            x,
            rotary,
            next_block,
        } = pass;
        if let Some(block) = self.blocks.get(next_block) {
            let x = block.forward(x, &rotary);
            observe(VisionStage::Block(next_block), &x);
            return ControlFlow::Continue(VisionPass {
                x,
                rotary,
                next_block: next_block + 1,
            });
        }
        let x = self.post_layernorm.forward(x);
        observe(VisionStage::PostNorm, &x);
        let x = self.downsample.forward(x);
        observe(VisionStage::Downsample, &x);
        let x = self.merger.forward(x);
        observe(VisionStage::Merged, &x);
        ControlFlow::Break(x)
    }
}
