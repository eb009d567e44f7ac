//! The learned position table, sampled to the image's own patch grid.

use burn::module::{Module, Param};
use burn::tensor::{Device, Tensor, TensorData};

use crate::config::VisionConfig;
use crate::layers::{Embedding, INIT_STD, param};
use crate::preprocess::{PatchGrid, merge_order};

/// Position table of `grid × grid` vectors.
#[derive(Module, Debug)]
pub struct Embeddings {
    /// `[grid², d]`, row-major over the grid.
    pub position_embedding: Embedding,
    grid: usize,
    merge: usize,
}

impl Embeddings {
    pub(crate) fn new(config: &VisionConfig, device: &Device) -> Self {
        let grid = config.position_grid();
        let weight: Param<Tensor<2>> =
            param([grid * grid, config.hidden_size], 0.0, INIT_STD, device);
        Self {
            position_embedding: Embedding { weight },
            grid,
            merge: config.spatial_merge_size,
        }
    }

    /// The table sampled at the centre of every patch: `grid_sample` bicubic (A = −0.75),
    /// `align_corners=False`, border padding, in f32, as one product with sparse sampling weights.
    ///
    /// # Shapes
    /// → `[patches, d]`, patches in merge-window order.
    pub fn forward(&self, patch_grid: PatchGrid) -> Tensor<2> {
        let table = self.position_embedding.weight.val();
        let weights = sampling_weights(self.grid, patch_grid, self.merge);
        let shape = [patch_grid.n_patches(), self.grid * self.grid];
        let weights = Tensor::from_data(TensorData::new(weights, shape), &table.device());
        let dtype = table.dtype();
        weights
            .matmul(table.cast(burn::tensor::FloatDType::F32))
            .cast(dtype)
    }
}

/// For each patch its weight on each of the table's cells, flat `[patches, grid²]`.
fn sampling_weights(grid: usize, patch_grid: PatchGrid, merge: usize) -> Vec<f32> {
    let rows: Vec<_> = (0..patch_grid.rows)
        .map(|i| axis_taps(i, patch_grid.rows, grid))
        .collect();
    let columns: Vec<_> = (0..patch_grid.columns)
        .map(|i| axis_taps(i, patch_grid.columns, grid))
        .collect();
    let mut weights = vec![0.0_f32; patch_grid.n_patches() * grid * grid];
    for (patch, (row, column)) in merge_order(patch_grid, merge).enumerate() {
        let out = &mut weights[patch * grid * grid..(patch + 1) * grid * grid];
        for (cell_row, row_weight) in rows[row] {
            for (cell_column, column_weight) in columns[column] {
                // Border padding sends several taps to one cell, hence the sum.
                out[cell_row * grid + cell_column] += row_weight * column_weight;
            }
        }
    }
    weights
}

/// The four table cells around position `i` of `n` along one axis, and their weights.
fn axis_taps(i: usize, n: usize, grid: usize) -> [(usize, f32); 4] {
    let normalised = ((i as f32 + 0.5) / n as f32) * 2.0 - 1.0;
    let source = ((normalised + 1.0) * grid as f32 - 1.0) / 2.0;
    let floor = source.floor();
    let t = source - floor;
    let cell = |offset: i64| (floor as i64 + offset).clamp(0, grid as i64 - 1) as usize;
    [
        (cell(-1), cubic_outer(t + 1.0)),
        (cell(0), cubic_inner(t)),
        (cell(1), cubic_inner(1.0 - t)),
        (cell(2), cubic_outer(2.0 - t)),
    ]
}

/// Coefficient of torch's `grid_sample` (and `interpolate`), other than the image resize's −0.5.
const A: f32 = -0.75;

fn cubic_inner(x: f32) -> f32 {
    ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
}

fn cubic_outer(x: f32) -> f32 {
    ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A
}
