//! Fills pages with material around the pieces that must be on them.

use super::draw::Draw;
use super::wrap::{PageGrid, Wrapped};

/// Pieces in a row that did not fit before a page counts as full.
const MISFITS_UNTIL_FULL: usize = 6;

/// The same while there is nothing at all on the pages.
const MISFITS_UNTIL_EMPTY: usize = 60;

/// How often a page is filled to its last line, in percent.
const FULL_PAGES: usize = 70;

/// How pieces follow one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// Running text.
    Flow,
    /// Every piece starts a line.
    Paragraphs,
}

/// The number of lines a sample should have: the last page is often full, sometimes short.
pub(crate) fn target_lines(draw: &mut Draw, grid: PageGrid, n_pages: usize) -> usize {
    let capacity = grid.lines_on(n_pages);
    if draw.chance(FULL_PAGES) {
        return capacity;
    }
    let before_last = capacity - grid.lines;
    before_last + draw.between(grid.lines.div_ceil(2), grid.lines)
}

/// A piece may hold several lines, each of which starts its own line.
struct Piece {
    text: String,
    required: bool,
}

/// Collects pieces while they fit on the pages.
pub(crate) struct Filler {
    layout: Layout,
    columns: usize,
    capacity: usize,
    target: usize,
    pieces: Vec<Piece>,
    /// Lines before and behind all pieces.
    frame: (Option<String>, Option<String>),
}

impl Filler {
    /// No pieces yet.
    pub(crate) fn new(draw: &mut Draw, layout: Layout, grid: PageGrid, n_pages: usize) -> Self {
        Self {
            layout,
            columns: grid.columns,
            capacity: grid.lines_on(n_pages),
            target: target_lines(draw, grid, n_pages),
            pieces: Vec::new(),
            frame: (None, None),
        }
    }

    /// Sets the lines that come before and behind everything else.
    pub(crate) fn frame(&mut self, head: Option<String>, foot: Option<String>) {
        self.frame = (head, foot);
    }

    /// Adds a piece that stays; false, and nothing is added, when the pages cannot hold it.
    pub(crate) fn require(&mut self, text: String) -> bool {
        self.pieces.push(Piece {
            text,
            required: true,
        });
        // As paragraphs the required pieces need the most lines, so they fit in any order.
        let fits = self.wrapped(Layout::Paragraphs).line_count() <= self.capacity;
        if !fits {
            self.pieces.pop();
        }
        fits
    }

    /// Adds material until the pages are full.
    pub(crate) fn fill(&mut self, mut next: impl FnMut() -> String) {
        let mut misfits = 0;
        loop {
            let (most_misfits, most_lines) = if self.pieces.is_empty() {
                (MISFITS_UNTIL_EMPTY, self.capacity)
            } else {
                (MISFITS_UNTIL_FULL, self.target)
            };
            if misfits >= most_misfits {
                return;
            }
            self.pieces.push(Piece {
                text: next(),
                required: false,
            });
            if self.wrapped(self.layout).line_count() > most_lines {
                self.pieces.pop();
                misfits += 1;
            } else {
                misfits = 0;
            }
        }
    }

    /// Moves the required pieces to random places and returns the text.
    pub(crate) fn place(mut self, draw: &mut Draw) -> String {
        let (required, mut pieces): (Vec<_>, Vec<_>) =
            self.pieces.into_iter().partition(|piece| piece.required);
        for piece in required {
            let place = draw.between(0, pieces.len());
            pieces.insert(place, piece);
        }
        self.pieces = pieces;
        loop {
            let wrapped = self.wrapped(self.layout);
            if wrapped.line_count() <= self.capacity {
                return wrapped.into_text();
            }
            match self.pieces.iter().rposition(|piece| !piece.required) {
                Some(last) => drop(self.pieces.remove(last)),
                None => return self.wrapped(Layout::Paragraphs).into_text(),
            }
        }
    }

    fn wrapped(&self, layout: Layout) -> Wrapped {
        let mut wrapped = Wrapped::new(self.columns);
        if let Some(line) = &self.frame.0 {
            wrapped.paragraph(line);
        }
        for piece in &self.pieces {
            match layout {
                Layout::Flow => wrapped.flow(&piece.text),
                Layout::Paragraphs => piece.text.lines().for_each(|line| wrapped.paragraph(line)),
            }
        }
        if let Some(line) = &self.frame.1 {
            wrapped.paragraph(line);
        }
        wrapped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn required_pieces_survive_and_pages_fill_up() {
        let grid = PageGrid {
            columns: 20,
            lines: 5,
        };
        for index in 0..200 {
            let mut draw = Draw::new(4, Split::Train, index);
            let mut filler = Filler::new(&mut draw, Layout::Flow, grid, 2);
            assert!(filler.require("here stands the needle".to_owned()));
            filler.fill(|| "some more hay.".to_owned());
            let text = filler.place(&mut draw);
            let lines = text.lines().count();
            assert!((7..=10).contains(&lines), "{lines} lines");
            assert!(text.replace('\n', " ").contains("here stands the needle"));
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let mut draw = Draw::new(4, Split::Train, 0);
        let mut filler = Filler::new(
            &mut draw,
            Layout::Flow,
            PageGrid {
                columns: 10,
                lines: 2,
            },
            1,
        );
        assert!(!filler.require("far too many words for this".to_owned()));
        assert!(filler.require("fits".to_owned()));
        assert_eq!(filler.place(&mut draw), "fits");
    }
}
