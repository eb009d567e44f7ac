//! Rotary positions (time, row, column) of a sequence of text and images.

use crate::preprocess::PatchGrid;

/// Positions of a sequence, and where text continues after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SequencePositions {
    /// (time, row, column) of every token.
    pub positions: Vec<[u32; 3]>,
    /// Position of the next text token on all three axes: the highest so far plus one.
    pub next: u32,
}

/// Text advances the three axes together. An image that starts at `s` gives its token in merged row `r` and
/// column `c` the position `(s, s + r, s + c)`; text goes on one past the highest position. Source:
/// `Glm4vModel.get_rope_index`.
///
/// `is_image[i]` says whether token `i` stands for an image feature; `grids` are the images in order.
pub fn sequence_positions(
    is_image: &[bool],
    grids: &[PatchGrid],
    merge_size: usize,
) -> SequencePositions {
    let mut positions = Vec::with_capacity(is_image.len());
    let mut next = 0_u32;
    let mut grids = grids.iter();
    while positions.len() < is_image.len() {
        let image = if is_image[positions.len()] {
            grids.next()
        } else {
            None
        };
        let Some(grid) = image else {
            positions.push([next; 3]);
            next += 1;
            continue;
        };
        let (rows, columns) = (grid.rows / merge_size, grid.columns / merge_size);
        for row in 0..rows as u32 {
            for column in 0..columns as u32 {
                positions.push([next, next + row, next + column]);
            }
        }
        next += rows.max(columns) as u32;
    }
    SequencePositions { positions, next }
}
