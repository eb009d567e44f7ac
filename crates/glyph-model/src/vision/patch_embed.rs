//! Pixels of a patch → a vector.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor};

use crate::config::VisionConfig;
use crate::cpu::{self, PackedWeight};
use crate::layers::{INIT_STD, linear, pack_kernel, packed_if_valid, param};

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
    #[module(skip)]
    packed: Option<PackedWeight>,
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
                packed: None,
            },
        }
    }

    /// Has the kernel, if it is loaded, lie as this machine's cores read it.
    pub(super) fn pack(&mut self) {
        let PatchProjection { weight, packed, .. } = &mut self.proj;
        pack_kernel(weight, packed, of_still_images);
    }

    /// # Shapes
    /// `[images, patches, channels·side·side]` → `[images, patches, d]`.
    pub fn forward(&self, patches: Tensor<3>) -> Tensor<3> {
        let PatchProjection {
            weight,
            bias,
            packed,
        } = &self.proj;
        match packed_if_valid(weight, packed) {
            Some(packed) if cpu::has_values(&patches) => packed.forward(patches, Some(bias.val())),
            _ => linear(patches, of_still_images(weight.val()), Some(bias.val())),
        }
    }
}

/// A still image repeats its one frame, so the kernel's frames are summed and each patch is read once.
///
/// # Shapes
/// `[d, channels, frames, side, side]` → `[d, channels·side·side]`.
fn of_still_images(kernel: Tensor<5>) -> Tensor<2> {
    let [d, channels, _frames, side, _] = kernel.dims();
    kernel.sum_dim(2).reshape([d, channels * side * side])
}
