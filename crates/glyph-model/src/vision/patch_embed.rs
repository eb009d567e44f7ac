//! Pixels of a patch → a vector.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::config::VisionConfig;
use crate::layers::{INIT_STD, linear, param};

/// `Conv3d` with kernel = stride = (frames, side, side), applied to patches already cut out.
#[derive(Module, Debug)]
pub struct PatchEmbed {
    /// The convolution.
    pub proj: PatchProjection,
}

/// The convolution's own parameters.
#[derive(Module, Debug)]
pub struct PatchProjection {
    /// `[d, channels, frames, side, side]`.
    pub weight: Param<Tensor<5>>,
    /// `[d]`.
    pub bias: Param<Tensor<1>>,
}

impl PatchEmbed {
    pub(crate) fn new(config: &VisionConfig, device: &Device) -> Self {
        let shape = [
            config.hidden_size,
            config.in_channels,
            config.temporal_patch_size,
            config.patch_size,
            config.patch_size,
        ];
        Self {
            proj: PatchProjection {
                weight: param(shape, 0.0, INIT_STD, device),
                bias: param([config.hidden_size], 0.0, 0.0, device),
            },
        }
    }

    /// A still image repeats its one frame, so the kernel's frames are summed and each patch is read once.
    ///
    /// # Shapes
    /// `[images, patches, channels·side·side]` → `[images, patches, d]`.
    pub fn forward(&self, patches: Tensor<3>) -> Tensor<3> {
        let kernel = self.proj.weight.val();
        let [d, channels, _frames, side, _] = kernel.dims();
        let kernel = kernel.sum_dim(2).reshape([d, channels * side * side]);
        linear(patches, kernel, Some(self.proj.bias.val()))
    }
}
