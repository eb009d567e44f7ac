//! Images through the vision tower: many at once, or one of them block by block.

use std::ops::ControlFlow;

use burn::tensor::{Device, Tensor, TensorData};

use crate::model::Glm4v;
use crate::preprocess::{ImagePatches, PatchGrid};
use crate::vision::VisionPass;

/// Features of all images in order, `[tokens of all images, d]`.
pub fn encode_images(glm: &Glm4v, images: &[ImagePatches], device: &Device) -> Option<Tensor<2>> {
    let features: Vec<Tensor<2>> = passes(images)
        .map(|pass| encode_pass(glm, pass, device))
        .collect();
    (!features.is_empty()).then(|| Tensor::cat(features, 0))
}

/// Bounds the tower's activations when a document has many pages.
const MAX_IMAGES_PER_PASS: usize = 8;

/// Images that share a pass: neighbours of one size.
fn passes(images: &[ImagePatches]) -> impl Iterator<Item = &[ImagePatches]> {
    images
        .chunk_by(|a, b| a.grid == b.grid)
        .flat_map(|same_size| same_size.chunks(MAX_IMAGES_PER_PASS))
}

/// Images of one size → `[tokens of all of them, d]`.
pub(super) fn encode_pass(glm: &Glm4v, images: &[ImagePatches], device: &Device) -> Tensor<2> {
    let (patches, grid) = upload(glm, images, device);
    tokens(glm.model.visual.forward(patches, grid))
}

/// Patches of images of one size as the tower takes them, `[images, patches, values]`.
fn upload(glm: &Glm4v, images: &[ImagePatches], device: &Device) -> (Tensor<3>, PatchGrid) {
    let values: Vec<&[f32]> = images.iter().map(|image| &image.values[..]).collect();
    let values = values.concat();
    let none = PatchGrid {
        rows: 0,
        columns: 0,
    };
    let (grid, patch_len) = images
        .first()
        .map_or((none, 0), |image| (image.grid, image.patch_len));
    let shape = [images.len(), grid.n_patches(), patch_len];
    let dtype = glm.model.visual.post_layernorm.weight.val().dtype();
    let patches = Tensor::<3>::from_data(TensorData::new(values, shape), device);
    (patches.cast(dtype), grid)
}

/// Tokens of all images in a row.
fn tokens(features: Tensor<3>) -> Tensor<2> {
    let [n, tokens_each, d] = features.dims();
    features.reshape([n * tokens_each, d])
}

/// One image on its way through the vision tower, block by block, for those who do other work in between.
#[derive(Debug)]
pub struct ImageEncoding(VisionPass);

impl ImageEncoding {
    /// Up to the first block.
    pub fn begin(glm: &Glm4v, image: &ImagePatches, device: &Device) -> Self {
        let (patches, grid) = upload(glm, std::slice::from_ref(image), device);
        Self(glm.model.visual.begin(patches, grid))
    }

    /// One block further; behind the last it breaks off with the features `[tokens, d]`, which are those of
    /// [`encode_images`].
    pub fn advance(self, glm: &Glm4v) -> ControlFlow<Tensor<2>, Self> {
        match glm.model.visual.advance(self.0) {
            ControlFlow::Continue(pass) => ControlFlow::Continue(Self(pass)),
            ControlFlow::Break(features) => ControlFlow::Break(tokens(features)),
        }
    }
}
