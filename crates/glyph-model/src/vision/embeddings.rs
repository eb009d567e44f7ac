//! The learned position table, sampled to the image's own patch grid.

use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use crate::config::VisionConfig;
use crate::cpu;
use crate::layers::Embedding;
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
        Self {
            position_embedding: Embedding::new(grid * grid, config.hidden_size, device),
            grid,
            merge: config.spatial_merge_size,
        }
    }

    /// The table sampled at the centre of every patch: `grid_sample` bicubic (A = −0.75),
    /// `align_corners=False`, border padding, in f32. Elsewhere than on this machine's cores that is one product with
    /// sparse sampling weights.
    ///
    /// # Shapes
    /// → `[patches, d]`, patches in merge-window order.
    pub fn forward(&self, patch_grid: PatchGrid) -> Tensor<2> {
        let table = self.position_embedding.weight.val();
        let taps = Taps::new(self.grid, patch_grid, self.merge);
        if cpu::has_values(&table) {
            let d = table.dims()[1];
            let sampled = sample(&taps, &cpu::values(table), d);
            return cpu::tensor(sampled, [patch_grid.n_patches(), d]);
        }
        let n_cells = self.grid * self.grid;
        let mut weights = vec![0.0_f32; patch_grid.n_patches() * n_cells];
        for (weights, taps) in weights.chunks_exact_mut(n_cells).zip(taps.of_patches()) {
            // Border padding sends several taps to one cell, hence the sum.
            taps.for_each(|(cell, weight)| weights[cell] += weight);
        }
        let shape = [patch_grid.n_patches(), n_cells];
        let weights = Tensor::from_data(TensorData::new(weights, shape), &table.device());
        let dtype = table.dtype();
        weights
            .matmul(table.cast(burn::tensor::FloatDType::F32))
            .cast(dtype)
    }
}

/// Sums of the cells of `table`, rows of `d` values, for each patch.
fn sample(taps: &Taps, table: &[f32], d: usize) -> Vec<f32> {
    let mut sampled = vec![0.0; taps.grid.n_patches() * d];
    cpu::vectorised(
        #[inline(always)]
        || {
            for (out, taps) in sampled.chunks_exact_mut(d).zip(taps.of_patches()) {
                for (cell, weight) in taps {
                    let row = &table[cell * d..(cell + 1) * d];
                    out.iter_mut()
                        .zip(row)
                        .for_each(|(sum, value)| *sum += weight * value);
                }
            }
        },
    );
    sampled
}

/// The table's cells around every patch.
struct Taps {
    rows: Vec<[(usize, f32); 4]>,
    columns: Vec<[(usize, f32); 4]>,
    table_side: usize,
    grid: PatchGrid,
    merge: usize,
}

impl Taps {
    fn new(table_side: usize, grid: PatchGrid, merge: usize) -> Self {
        let axis = |n: usize| (0..n).map(|i| axis_taps(i, n, table_side)).collect();
        Self {
            rows: axis(grid.rows),
            columns: axis(grid.columns),
            table_side,
            grid,
            merge,
        }
    }

    /// For each patch the cells around it and their weights, in merge-window order.
    fn of_patches(&self) -> impl Iterator<Item = impl Iterator<Item = (usize, f32)>> {
        merge_order(self.grid, self.merge).map(move |(row, column)| {
            let columns = self.columns[column];
            self.rows[row]
                .into_iter()
                .flat_map(move |(cell_row, row_weight)| {
                    columns
                        .into_iter()
                        .map(move |(cell_column, column_weight)| {
                            (
                                cell_row * self.table_side + cell_column,
                                row_weight * column_weight,
                            )
                        })
                })
        })
    }
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
