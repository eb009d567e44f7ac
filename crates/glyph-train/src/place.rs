//! Which line of which page a question is about, told before it is gathered for the answer.

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use glyph_model::layers::Linear;

use crate::batch::{Asked, Batch};
use crate::locate::Cell;
use crate::trainee::Guesses;

/// Lines of a page that can be told apart.
pub const LINES: usize = 16;
/// Pages that can be told apart: of what is written for eight pages of 40 × 8 characters the renderer makes nine at most. It
/// makes more of smaller pages; what stands on those is not taught.
pub const PAGES: usize = 9;
/// The class of what stands on no page: a question about it is to be known as one before an answer is begun.
const NO_PAGE: u32 = PAGES as u32;

/// Tells the place off what the last layer sees: by then the characters of a question have found what they name on the
/// pages, and that layer gathers it where the answer begins.
#[derive(Module, Debug)]
pub struct Placer {
    /// Which line of its page.
    pub line: Linear,
    /// Which page, or none of them.
    pub page: Linear,
}

/// Where what a question names stands.
#[derive(Debug)]
pub struct PlaceGuesses {
    /// On which line of its page.
    pub lines: Guesses,
    /// On which page, if on any.
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
            page: Linear::new(d, PAGES + 1, true, device),
        }
    }

    /// # Shapes
    /// hidden `[rows, seq, d]`, each position divided by its root mean square.
    pub fn guesses(&self, hidden: Tensor<3>, batch: &Batch) -> PlaceGuesses {
        let [rows, seq, d] = hidden.dims();
        let hidden = hidden.reshape([rows * seq, d]);
        let places = places(batch);
        let labels = |of: fn(Option<Place>) -> Option<u32>| -> Vec<Option<u32>> {
            places.iter().map(|place| place.and_then(of)).collect()
        };
        let lines = labels(|place| place.map(|place| place.line));
        let pages = labels(page_class);
        PlaceGuesses {
            lines: Guesses::new(self.line.forward(hidden.clone()), lines),
            pages: Guesses::new(self.page.forward(hidden), pages),
        }
    }
}

/// The class of a page, or of none; `None` for pages beyond those that are told apart, which must not be taught as none.
fn page_class(place: Option<Place>) -> Option<u32> {
    match place {
        None => Some(NO_PAGE),
        Some(Place { page, .. }) => (page < NO_PAGE).then_some(page),
    }
}

/// For each position of a question that knows what is asked where that stands; none of it where it does not.
fn places(batch: &Batch) -> Vec<Option<Option<Place>>> {
    let mut places = vec![None; batch.n_rows * batch.seq];
    let per_page = batch.grid.n_tokens(2);
    let per_line = batch.grid.columns / 2;
    for Asked { asking, cell } in &batch.asked {
        places[*asking] = Some(cell.map(|Cell { token, .. }| Place {
            page: (token / per_page) as u32,
            line: (token % per_page / per_line) as u32,
        }));
    }
    places
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::{NO_PAGE, Place, page_class, places};
    use crate::batch::Batch;
    use crate::data::Document;
    use crate::mini;
    use crate::misled::label_begins;
    use crate::test_batches::lookups;

    #[test]
    fn pages_that_are_not_told_apart_are_not_taught_as_none() {
        let on = |page| page_class(Some(Place { page, line: 0 }));
        assert_eq!(on(0), Some(0));
        assert_eq!(on(NO_PAGE - 1), Some(NO_PAGE - 1));
        assert_eq!((on(NO_PAGE), on(NO_PAGE + 1)), (None, None));
        assert_eq!(page_class(None), Some(NO_PAGE));
    }

    fn id(batch: &Batch, at: usize) -> u32 {
        batch.ids.get(at).copied().unwrap_or_default()
    }

    /// From behind the question's key to its end.
    fn asking(batch: &Batch, places: &[Option<Option<Place>>], begin: usize) -> Range<usize> {
        // Between the question and `<think>` stand the tag of the assistant and a line's end.
        let end = (0..begin).rfind(|at| places[*at].is_some()).unwrap() + 1;
        assert!(
            id(batch, end - 1) < 128 && begin - end <= 3,
            "{end} {begin}"
        );
        let before = (0..end).rfind(|at| places[*at].is_none()).unwrap();
        before + 1..end
    }

    #[test]
    fn questions_know_behind_their_keys_which_line_the_thought_will_cite() {
        for document in [Document::Form, Document::Sentences, Document::Contacts] {
            let batch = lookups(document, 8, 2);
            let places = places(&batch);
            let begins = label_begins(&batch);
            assert!(begins.len() > 20, "{}", begins.len());
            for begin in begins {
                let [page, line] = [2, 4].map(|at| id(&batch, begin + at) - u32::from(b'1'));
                for at in asking(&batch, &places, begin) {
                    assert_eq!(places[at], Some(Some(Place { page, line })));
                }
            }
        }
    }

    #[test]
    fn questions_about_what_is_not_there_know_that_no_page_has_it() {
        // Of people the pages may tell something else than what is asked.
        for document in [Document::Form, Document::Contacts] {
            let batch = lookups(document, 12, 1);
            let places = places(&batch);
            let think = mini::special_id("<think>");
            let labelled = label_begins(&batch);
            let thoughts = batch
                .targets
                .iter()
                .filter(|target| Some(target.id) == think);
            let unlabelled = thoughts.map(|target| target.asking);
            // Nor with a label that is given: of a line that is looked at in vain.
            let is_labelled = |at: usize| (48..58).contains(&id(&batch, at + 2));
            let unlabelled: Vec<usize> = unlabelled
                .filter(|at| !labelled.contains(at) && !is_labelled(*at))
                .collect();
            assert!(unlabelled.len() >= 3, "{}", unlabelled.len());
            for begin in unlabelled {
                for at in asking(&batch, &places, begin) {
                    assert_eq!(places[at], Some(None));
                }
            }
        }
    }
}
