//! Batches that tests look into.

use crate::batch::{Batch, BatchMakers, PageShape};
use crate::data::{Document, Generator, PageGrid, Split, Task};

/// Pages as glyph-mini reads them.
pub const SHAPE: PageShape = PageShape {
    columns: 40,
    lines: 8,
    line_px: 28,
};

/// Questions about `n_samples` documents of `n_pages` full pages each, with more of them behind the first.
pub fn lookups(document: Document, n_samples: usize, n_pages: usize) -> Batch {
    let grid = PageGrid::new(SHAPE.columns, SHAPE.lines);
    let mut generator = Generator::new(3, Split::Train).with_more_turns(4);
    let samples: Vec<_> = (0..n_samples)
        .map(|_| {
            generator
                .sample(Task::Lookup(document), grid, n_pages)
                .unwrap()
        })
        .collect();
    BatchMakers::default().batch(SHAPE, &samples).unwrap()
}
