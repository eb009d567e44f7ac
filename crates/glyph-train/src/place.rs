//! Which line of which page a question is about, told before it is gathered for the answer.

use std::collections::HashSet;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use glyph_model::layers::Linear;

use crate::batch::Batch;
use crate::trainee::Guesses;

/// Lines of a page that can be told apart.
pub const LINES: usize = 16;
/// Pages that can be told apart.
pub const PAGES: usize = 8;

/// Tells the place off what the last layer sees: by then the characters of a question have found what they name on the
/// pages, and that layer gathers it where the answer begins.
#[derive(Module, Debug)]
pub struct Placer {
    /// Which line of its page.
    pub line: Linear,
    /// Which page.
    pub page: Linear,
}

/// Where what a question names stands.
#[derive(Debug)]
pub struct PlaceGuesses {
    /// On which line of its page.
    pub lines: Guesses,
    /// On which page.
    pub pages: Guesses,
}

/// A line of a page, both counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    page: u32,
    line: u32,
}

impl Placer {
    /// Untrained, for hidden states of `d`.
    pub fn new(d: usize, device: &Device) -> Self {
        Self {
            line: Linear::new(d, LINES, true, device),
            page: Linear::new(d, PAGES, true, device),
        }
    }

    /// # Shapes
    /// hidden `[rows, seq, d]`, each position divided by its root mean square.
    pub fn guesses(&self, hidden: Tensor<3>, batch: &Batch) -> PlaceGuesses {
        let [rows, seq, d] = hidden.dims();
        let hidden = hidden.reshape([rows * seq, d]);
        let places = places(batch);
        let labels = |of: fn(&Place) -> u32| -> Vec<Option<u32>> {
            places.iter().map(|place| place.as_ref().map(of)).collect()
        };
        let lines = labels(|place| place.line);
        let pages = labels(|place| place.page);
        PlaceGuesses {
            lines: Guesses::new(self.line.forward(hidden.clone()), lines),
            pages: Guesses::new(self.page.forward(hidden), pages),
        }
    }
}

/// For each position of a question whose next character the pages foretell where they do.
fn places(batch: &Batch) -> Vec<Option<Place>> {
    let mut places = vec![None; batch.n_rows * batch.seq];
    let of_questions = batch.targets.iter().filter(|target| !target.is_answer);
    let asking: HashSet<usize> = of_questions.map(|target| target.asking).collect();
    let per_page = batch.grid.n_tokens(2);
    let per_line = batch.grid.columns / 2;
    let per_row = batch.n_images * per_page / batch.n_rows;
    for pointed in batch
        .pointers
        .iter()
        .filter(|pointed| asking.contains(&pointed.asking))
    {
        let row = pointed.asking / batch.seq;
        let feature = batch.feature_index[row * batch.seq + pointed.token];
        places[pointed.asking] = feature.map(|feature| {
            let token = feature % per_row;
            Place {
                page: (token / per_page) as u32,
                line: (token % per_page / per_line) as u32,
            }
        });
    }
    places
}

#[cfg(test)]
mod tests {
    use super::{Place, places};
    use crate::data::Document;
    use crate::mini;
    use crate::misled::label_begins;
    use crate::test_batches::{SHAPE, lookups};

    #[test]
    fn most_of_a_question_is_on_the_line_that_the_thought_behind_it_cites() {
        let batch = lookups(Document::Form, 8, 2);
        let places = places(&batch);
        let (mut n_told, mut n_cited) = (0, 0);
        let user = mini::special_id("<|user|>");
        for begin in label_begins(&batch) {
            let is_user = |id: &u32| Some(*id) == user;
            let turn = batch.ids[..begin].iter().rposition(is_user).unwrap();
            let [page, line] = [2, 4].map(|at| batch.ids[begin + at] - u32::from(b'1'));
            // A question whose key stands in several places tells none, or what other words of it are like.
            let told: Vec<Place> = places[turn..begin].iter().flatten().copied().collect();
            let is_cited = |told: &&Place| **told == Place { page, line };
            n_told += usize::from(!told.is_empty());
            n_cited += usize::from(told.iter().filter(is_cited).count() * 2 > told.len());
        }
        assert!(n_told > 20, "{n_told}");
        assert!(n_cited * 5 >= n_told * 4, "{n_cited} of {n_told}");
    }

    #[test]
    fn questions_know_the_line_and_the_page_that_show_their_characters() {
        let batch = lookups(Document::Form, 4, 2);
        let places = places(&batch);
        let mut n_places = 0;
        for (position, place) in places.iter().enumerate() {
            let Some(Place { page, line }) = place else {
                continue;
            };
            n_places += 1;
            // The line of that page holds the character that comes next, whatever its case.
            let row = position / batch.seq;
            let pages = batch.n_images / batch.n_rows;
            let cells_per_line = batch.cells.len() / batch.n_images / SHAPE.lines;
            let first = (row * pages + *page as usize) * SHAPE.lines + *line as usize;
            let cells = &batch.cells[first * cells_per_line..(first + 1) * cells_per_line];
            let next = batch.ids[position + 1];
            let shown = cells.iter().filter(|class| **class != 0);
            let mut shown = shown.map(|class| (class + u32::from(b' ')) as u8);
            assert!(
                next == u32::from(b' ')
                    || shown.any(|shown| shown.eq_ignore_ascii_case(&(next as u8))),
                "{next} is not on line {line} of page {page}"
            );
        }
        assert!(n_places > 20, "{n_places} places");
    }
}
