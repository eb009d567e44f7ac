//! Pictures → patch rows.

use glyph_model::config::PreprocessorConfig;
use glyph_model::preprocess::{
    ImagePatches, PatchGrid, RgbImage, image_patches, resize_bicubic, smart_resize,
};
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use serde_json::{Value, json};

use crate::common::{Fixture, fixture, json, number, picture, rows, text};

/// Values of a patch row of the reference, which repeats the frame for each channel, and of ours.
const REFERENCE_LEN: usize = 1176;
const FRAME: usize = 14 * 14;

fn bounds(row: &Value) -> PreprocessorConfig {
    let size = json!({ "shortest_edge": number(&row["min_pixels"]), "longest_edge": number(&row["max_pixels"]) });
    PreprocessorConfig::from_json(&json!({ "size": size }).to_string()).unwrap()
}

#[test]
fn sizes_are_those_of_the_reference() {
    let mut n_refused = 0;
    for row in rows("smart_resize.json") {
        let (height, width) = (number(&row["height"]), number(&row["width"]));
        let size = smart_resize(height, width, &bounds(&row));
        if row.get("error").is_some() {
            let reason = size.unwrap_err();
            assert!(
                reason.contains("aspect ratio") && reason.contains(&format!("{width}×{height}"))
            );
            n_refused += 1;
            continue;
        }
        let want = (
            number(&row["resized_height"]),
            number(&row["resized_width"]),
        );
        assert_eq!(size.as_ref(), Ok(&want), "{height} high, {width} wide");
        let grid = PatchGrid {
            rows: want.0 / 14,
            columns: want.1 / 14,
        };
        assert_eq!(grid.n_tokens(2), number(&row["tokens"]));
    }
    assert!(n_refused >= 6);
}

#[test]
fn an_image_without_pixels_has_no_size() {
    let config = PreprocessorConfig::default();
    for (height, width) in [(0, 0), (0, 5), (5, 0)] {
        assert!(
            smart_resize(height, width, &config)
                .unwrap_err()
                .contains("positive")
        );
    }
}

#[test]
fn sides_at_the_end_of_the_number_range_do_not_overflow() {
    let config = PreprocessorConfig::default();
    let (height, width) = smart_resize(usize::MAX, usize::MAX, &config).unwrap();
    assert!(2 * height * width <= config.max_pixels());
    assert!(smart_resize(usize::MAX, 1, &config).is_err());
}

#[test]
fn resized_pixels_are_equal_bit_for_bit() {
    let tensors = Fixture::open("images.safetensors");
    for row in rows("images.json") {
        let image = picture(text(&row["file"]));
        assert_eq!(
            (image.height_px, image.width_px),
            (number(&row["height"]), number(&row["width"]))
        );
        let (height_px, width_px) =
            smart_resize(image.height_px, image.width_px, &bounds(&row)).unwrap();
        assert_eq!(height_px, number(&row["resized_height"]));
        assert_eq!(width_px, number(&row["resized_width"]));
        let resized = resize_bicubic(&image, width_px, height_px);
        let key = text(&row["key"]);
        let want = tensors.bytes(&format!("{key}.resized"));
        let n_different = resized
            .rgb
            .iter()
            .zip(&want)
            .filter(|(a, b)| a != b)
            .count();
        assert_eq!(resized.rgb.len(), want.len(), "{key}");
        assert_eq!(n_different, 0, "{key}: bytes that differ");
    }
}

#[test]
fn patch_rows_are_equal_bit_for_bit() {
    let tensors = Fixture::open("images.safetensors");
    for row in rows("images.json") {
        let key = text(&row["key"]);
        let image = image_patches(&picture(text(&row["file"])), &bounds(&row)).unwrap();
        let grid = [1, image.grid.rows, image.grid.columns];
        assert_eq!(json!(grid), row["grid_thw"], "{key}");
        let kept = tensors.integers(&format!("{key}.rows"));
        let want = tensors.floats(&format!("{key}.pixel_rows"));
        for (patch, want) in kept.into_iter().zip(want.chunks_exact(REFERENCE_LEN)) {
            assert_row(key, patch, &image, want);
        }
    }
}

#[test]
fn all_patches_of_the_model_pictures_are_equal() {
    let tensors = Fixture::open("pixels.safetensors");
    let grids = tensors.integers("image_grid_thw");
    let config = std::fs::read_to_string(fixture("base/preprocessor_config.json")).unwrap();
    let config = PreprocessorConfig::from_json(&config).unwrap();
    for (name, grid) in ["page_90x80", "wide_56x112", "tall_112x84"]
        .iter()
        .zip(grids.chunks(3))
    {
        let image = image_patches(&picture(&format!("images/{name}.png")), &config).unwrap();
        assert_eq!(grid, [1, image.grid.rows, image.grid.columns]);
        let want = tensors.floats(&format!("pixel_values.{name}"));
        assert_eq!(want.len(), image.grid.n_patches() * REFERENCE_LEN);
        for (patch, want) in want.chunks_exact(REFERENCE_LEN).enumerate() {
            assert_row(name, patch, &image, want);
        }
    }
}

/// A row of ours holds the frame once, the reference's twice for each channel.
fn assert_row(key: &str, patch: usize, image: &ImagePatches, want: &[f32]) {
    let got = &image.values[patch * image.patch_len..(patch + 1) * image.patch_len];
    assert_eq!(image.patch_len, REFERENCE_LEN / 2);
    for (got, want) in got.chunks_exact(FRAME).zip(want.chunks_exact(2 * FRAME)) {
        assert_eq!(got, &want[..FRAME], "{key}: patch {patch}, first frame");
        assert_eq!(got, &want[FRAME..], "{key}: patch {patch}, second frame");
    }
}

#[test]
fn every_checkpoint_has_the_bounds_that_its_pictures_need() {
    for config in crate::common::CONFIGS {
        let file = json(&format!("{config}/preprocessor_config.json"));
        let parsed = PreprocessorConfig::from_json(&file.to_string()).unwrap();
        assert_eq!(parsed.min_pixels(), number(&file["size"]["shortest_edge"]));
        assert_eq!(parsed.max_pixels(), number(&file["size"]["longest_edge"]));
        assert_eq!(parsed.factor_px(), 28);
    }
}

#[test]
fn one_colour_stays_that_colour_at_any_size() {
    for (width, height) in [(1, 1), (3, 500), (640, 31), (28, 28)] {
        let image = RgbImage::new(width, height, [200, 7, 255].repeat(width * height)).unwrap();
        for (to_width, to_height) in [(28, 28), (56, 1), (1, 700)] {
            let resized = resize_bicubic(&image, to_width, to_height);
            assert_eq!(resized.rgb, [200, 7, 255].repeat(to_width * to_height));
        }
    }
}

/// A PNG of 2×1 pixels, red and blue, that says how it is to be turned.
fn turned(orientation: u8) -> Vec<u8> {
    let mut exif = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    let mut png = Vec::new();
    let mut encoder = PngEncoder::new(&mut png);
    encoder.set_exif_metadata(exif).unwrap();
    encoder
        .write_image(&[255, 0, 0, 0, 0, 255], 2, 1, ExtendedColorType::Rgb8)
        .unwrap();
    png
}

#[test]
fn images_stand_as_their_camera_was_held() {
    const RED: [u8; 3] = [255, 0, 0];
    const BLUE: [u8; 3] = [0, 0, 255];
    for (orientation, size, first) in [
        (1, (2, 1), RED),
        (2, (2, 1), BLUE),
        (3, (2, 1), BLUE),
        (6, (1, 2), RED),
        (8, (1, 2), BLUE),
    ] {
        let image = RgbImage::decode(&turned(orientation)).unwrap();
        assert_eq!((image.width_px, image.height_px), size, "{orientation}");
        assert_eq!(image.rgb[..3], first, "{orientation}");
    }
}
