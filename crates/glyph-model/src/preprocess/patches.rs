//! Cutting a resized image into normalised patch rows in merge-window order.

use super::{RgbImage, resize_bicubic, smart_resize};
use crate::config::PreprocessorConfig;

/// Rows and columns of patches of one image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PatchGrid {
    /// Patches from top to bottom.
    pub rows: usize,
    /// Patches from left to right.
    pub columns: usize,
}

impl PatchGrid {
    /// Patches of the image.
    pub fn n_patches(self) -> usize {
        self.rows * self.columns
    }

    /// Tokens of the image for a given merge size.
    pub fn n_tokens(self, merge_size: usize) -> usize {
        self.n_patches() / (merge_size * merge_size).max(1)
    }
}

/// One image ready for the vision tower.
#[derive(Debug, Clone)]
pub struct ImagePatches {
    /// Patch grid after resizing.
    pub grid: PatchGrid,
    /// Values per patch: channels × side × side of one frame. The reference repeats the frame
    /// `temporal_patch_size` times; the tower sums its kernel instead.
    pub patch_len: usize,
    /// `[patches, patch_len]`, patches in merge-window order, normalised.
    pub values: Vec<f32>,
}

/// Resizes, normalises and cuts one image.
///
/// # Errors
/// A sentence when the image has an aspect ratio or size that the processor refuses.
pub fn image_patches(
    image: &RgbImage,
    config: &PreprocessorConfig,
) -> std::result::Result<ImagePatches, String> {
    let (height_px, width_px) = smart_resize(image.height_px, image.width_px, config)?;
    Ok(cut_patches(
        &resize_bicubic(image, width_px, height_px),
        config,
    ))
}

/// Normalises and cuts an image of the size that [`smart_resize`] gives it.
pub fn cut_patches(image: &RgbImage, config: &PreprocessorConfig) -> ImagePatches {
    let side = config.patch_size;
    let grid = PatchGrid {
        rows: image.height_px / side,
        columns: image.width_px / side,
    };
    let patch_len = 3 * side * side;

    // 256 values per channel: a table is exact and spares a division per pixel. The reference folds the
    // rescaling into mean and deviation, in f32.
    let table: Vec<[f32; 256]> = (0..3)
        .map(|channel| {
            let mean = config.image_mean[channel] * 255.0;
            let std = config.image_std[channel] * 255.0;
            std::array::from_fn(|value| (value as f32 - mean) / std)
        })
        .collect();

    let mut values = Vec::with_capacity(grid.n_patches() * patch_len);
    for (row, column) in merge_order(grid, config.merge_size) {
        for (channel, table) in table.iter().enumerate() {
            for y in row * side..(row + 1) * side {
                let start = (y * image.width_px + column * side) * 3;
                let line = &image.rgb[start..start + side * 3];
                values.extend(
                    line.iter()
                        .skip(channel)
                        .step_by(3)
                        .map(|v| table[usize::from(*v)]),
                );
            }
        }
    }
    ImagePatches {
        grid,
        patch_len,
        values,
    }
}

/// Row and column of each patch in the order in which patches travel: merge windows row by row, and inside a
/// window row by row.
pub(crate) fn merge_order(grid: PatchGrid, merge: usize) -> impl Iterator<Item = (usize, usize)> {
    let (window_rows, window_columns) = (grid.rows / merge, grid.columns / merge);
    (0..window_rows).flat_map(move |window_row| {
        (0..window_columns).flat_map(move |window_column| {
            (0..merge).flat_map(move |row| {
                (0..merge)
                    .map(move |column| (window_row * merge + row, window_column * merge + column))
            })
        })
    })
}
