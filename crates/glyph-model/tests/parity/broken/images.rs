//! Pictures that are none, or none for this model.

use glyph_model::ModelError;
use glyph_model::config::PreprocessorConfig;
use glyph_model::preprocess::{RgbImage, image_patches};

use super::assert_refused;
use crate::common::{fixture, open, picture};

#[test]
fn images_that_the_processor_refuses() {
    let checkpoint = open("base");
    let good = picture("images/page_90x80.png");
    let strip = RgbImage::new(10, 2010, vec![0; 60_300]).unwrap();
    let error = checkpoint
        .settings
        .preprocess(&[good.clone(), strip])
        .unwrap_err();
    assert_refused!(
        error,
        ModelError::Image { index: 1, .. },
        "image 1",
        "10×2010",
        "200"
    );
    let empty = RgbImage {
        width_px: 0,
        height_px: 7,
        rgb: Vec::new(),
    };
    let error = checkpoint
        .settings
        .preprocess(&[good.clone(), good, empty])
        .unwrap_err();
    assert_refused!(error, ModelError::Image { index: 2, .. }, "image 2", "0×7");
    for (width, height, n) in [(2, 2, 11), (usize::MAX, 2, 12), (1 << 63, 4, 0), (0, 7, 0)] {
        let error = RgbImage::new(width, height, vec![0; n]).unwrap_err();
        assert_refused!(
            error,
            ModelError::Image { .. },
            &format!("{width}×{height}")
        );
    }
}

#[test]
fn bytes_that_are_no_image() {
    let png = std::fs::read(fixture("images/page_90x80.png")).unwrap();
    for length in [0, 1, 8, 20, 33, png.len() / 2, png.len() - 20] {
        let error = RgbImage::decode(&png[..length]).unwrap_err();
        assert_refused!(error, ModelError::Image { .. }, "decoded");
    }
    let mut state = 7_u32;
    let mut random = |n: usize| -> Vec<u8> {
        (0..n)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 24) as u8
            })
            .collect()
    };
    let starts: [&[u8]; 4] = [
        b"",
        b"\x89PNG\r\n\x1a\n",
        b"\xff\xd8\xff\xe0",
        b"RIFF\x00\x01\x00\x00WEBPVP8 ",
    ];
    for start in starts {
        for n in [1, 10, 100, 2000] {
            let bytes = [start, &random(n)].concat();
            let error = RgbImage::decode(&bytes).unwrap_err();
            let message = error.to_string();
            assert!(
                !message.contains('\n') && !message.contains("..") && !message.contains(" ."),
                "{message}"
            );
            assert_refused!(error, ModelError::Image { .. }, "decoded");
        }
    }
    // Flipped bytes end in an error or in some picture, never in a panic.
    let config = PreprocessorConfig::default();
    for at in 0..png.len().min(600) {
        let mut flipped = png.clone();
        flipped[at] ^= 1 << (at % 8);
        if let Ok(image) = RgbImage::decode(&flipped) {
            assert!(image_patches(&image, &config).is_ok());
        }
    }
}

#[test]
fn a_small_file_that_claims_a_huge_picture_is_not_decoded() {
    let png = |width: u32, height: u32| {
        let mut chunk = b"IHDR".to_vec();
        chunk.extend(width.to_be_bytes());
        chunk.extend(height.to_be_bytes());
        chunk.extend([8, 2, 0, 0, 0]);
        let crc = chunk.iter().fold(u32::MAX, |crc, byte| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                (crc >> 1) ^ (0xedb8_8320 & (crc & 1).wrapping_neg())
            })
        });
        [
            b"\x89PNG\r\n\x1a\n\0\0\0\x0d",
            &chunk[..],
            &(!crc).to_be_bytes(),
            b"\0\0\0\0IDAT\x35\xaf\x06\x1e",
        ]
        .concat()
    };
    let error = RgbImage::decode(&png(60_000, 60_000)).unwrap_err();
    assert_refused!(error, ModelError::Image { .. }, "60000×60000", "67108864");
    assert_refused!(
        RgbImage::decode(&png(60, 60)).unwrap_err(),
        ModelError::Image { .. },
        "decoded"
    );
}
