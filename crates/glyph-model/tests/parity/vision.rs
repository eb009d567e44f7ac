//! The vision tower, stage by stage.

use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};
use glyph_model::generate::{ImageEncoding, encode_images};
use glyph_model::preprocess::{ImagePatches, PatchGrid};
use glyph_model::vision::VisionStage;

use crate::common::{CONFIGS, Fixture, assert_close, device, floats, open, picture};

const PICTURES: [&str; 3] = ["page_90x80", "wide_56x112", "tall_112x84"];
/// Cases of the fixtures and how many of the pictures each holds.
const CASES: [(&str, usize); 2] = [("one", 1), ("several", 3)];

fn stage_name(stage: VisionStage) -> String {
    match stage {
        VisionStage::PatchEmbed => "patch_embed".to_owned(),
        VisionStage::PostConvNorm => "post_conv_layernorm".to_owned(),
        VisionStage::Embedded => "embeddings".to_owned(),
        VisionStage::Block(n) => format!("blocks.{n}"),
        VisionStage::PostNorm => "post_layernorm".to_owned(),
        VisionStage::Downsample => "downsample".to_owned(),
        VisionStage::Merged => "merger".to_owned(),
    }
}

/// The patches as the reference cut them, one frame of each.
fn reference_patches() -> Vec<ImagePatches> {
    let tensors = Fixture::open("pixels.safetensors");
    let grids = tensors.integers("image_grid_thw");
    let image = |(name, grid): (&&str, &[usize])| {
        let both_frames = tensors.floats(&format!("pixel_values.{name}"));
        ImagePatches {
            grid: PatchGrid {
                rows: grid[1],
                columns: grid[2],
            },
            patch_len: 588,
            values: both_frames
                .chunks(392)
                .flat_map(|frames| &frames[..196])
                .copied()
                .collect(),
        }
    };
    PICTURES.iter().zip(grids.chunks(3)).map(image).collect()
}

fn tensor(image: &ImagePatches) -> Tensor<3> {
    let shape = [1, image.grid.n_patches(), image.patch_len];
    Tensor::from_data(TensorData::new(image.values.clone(), shape), &device())
}

#[test]
fn every_stage_is_that_of_the_reference() {
    let images = reference_patches();
    for config in CONFIGS {
        let checkpoint = open(config);
        let tower = &checkpoint.model.model.visual;
        let want = Fixture::open(&format!("{config}/vision.safetensors"));
        for (case, n_images) in CASES {
            // The reference lays the patches of all images behind one another.
            let mut stages: Vec<(String, Vec<f32>)> = Vec::new();
            let mut positions = Vec::new();
            for image in &images[..n_images] {
                positions.extend(floats(tower.embeddings.forward(image.grid)));
                let mut seen = 0;
                tower.forward_observed(tensor(image), image.grid, |stage, value| {
                    if stages.len() == seen {
                        stages.push((stage_name(stage), Vec::new()));
                    }
                    stages[seen].1.extend(floats(value.clone()));
                    seen += 1;
                });
            }
            assert_eq!(
                stages.len(),
                6 + checkpoint.settings.config.vision_config.depth
            );
            stages.push(("position_embedding".to_owned(), positions));
            for (stage, got) in stages {
                let name = format!("{case}.{stage}");
                assert_close(&format!("{config} {name}"), &got, &want.floats(&name));
            }
        }
    }
}

#[test]
fn images_of_one_size_pass_together_as_they_do_alone() {
    let checkpoint = open("base");
    let images = reference_patches();
    let (page, wide) = (&images[0], &images[1]);
    let shifted = ImagePatches {
        values: page.values.iter().map(|value| 0.5 - value).collect(),
        ..page.clone()
    };
    // Ten neighbours of one size are more than one pass takes.
    let mut mixed = vec![wide.clone(), page.clone(), shifted.clone(), wide.clone()];
    mixed.extend(std::iter::repeat_n([page.clone(), shifted], 5).flatten());
    let encode = |images: &[ImagePatches]| {
        floats(encode_images(&checkpoint.model, images, &checkpoint.device).unwrap())
    };
    let alone: Vec<f32> = mixed
        .iter()
        .flat_map(|image| encode(std::slice::from_ref(image)))
        .collect();
    assert_close("together", &encode(&mixed), &alone);
    assert!(encode_images(&checkpoint.model, &[], &checkpoint.device).is_none());
}

#[test]
fn features_come_from_the_pictures_themselves() {
    for config in CONFIGS {
        let checkpoint = open(config);
        let images = PICTURES.map(|name| picture(&format!("images/{name}.png")));
        let images = checkpoint.settings.preprocess(&images).unwrap();
        let features = encode_images(&checkpoint.model, &images, &checkpoint.device).unwrap();
        let want = Fixture::open(&format!("{config}/vision.safetensors")).floats("several.merger");
        assert_close(&format!("{config} features"), &floats(features), &want);
    }
}

#[test]
fn block_by_block_an_image_gives_the_same_features_bit_by_bit() {
    for config in CONFIGS {
        let checkpoint = open(config);
        let (glm, device) = (&checkpoint.model, &checkpoint.device);
        for image in reference_patches() {
            let whole = encode_images(glm, std::slice::from_ref(&image), device).unwrap();
            let mut encoding = ImageEncoding::begin(glm, &image, device);
            let mut n_pieces = 0;
            let pieced = loop {
                n_pieces += 1;
                match encoding.advance(glm) {
                    ControlFlow::Continue(next) => encoding = next,
                    ControlFlow::Break(features) => break features,
                }
            };
            let depth = checkpoint.settings.config.vision_config.depth;
            assert_eq!(n_pieces, depth + 1, "each block is a piece, and the merger");
            let bits = |features| floats(features).into_iter().map(f32::to_bits);
            assert!(bits(whole).eq(bits(pieced)), "{config}");
        }
    }
}
