//! Two-dimensional rotary angles of the patches.

use burn::tensor::Device;

use crate::preprocess::{PatchGrid, merge_order};
use crate::rotary::{Pairing, Rotary, inverse_frequencies};

/// Half of the head's pairs turn with the row, the other half with the column.
pub(super) fn rotary(
    grid: PatchGrid,
    merge: usize,
    head_dim: usize,
    theta: f64,
    device: &Device,
) -> Rotary {
    let frequencies = inverse_frequencies(head_dim / 2, theta);
    let n_pairs = 2 * frequencies.len();
    let mut angles = Vec::with_capacity(grid.n_patches() * n_pairs);
    for (row, column) in merge_order(grid, merge) {
        angles.extend(frequencies.iter().map(|frequency| row as f32 * frequency));
        angles.extend(
            frequencies
                .iter()
                .map(|frequency| column as f32 * frequency),
        );
    }
    Rotary::from_angles(
        &angles,
        [1, grid.n_patches(), n_pairs],
        head_dim,
        Pairing::HalfSplit,
        device,
    )
}
