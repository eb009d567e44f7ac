//! One conversation about some pages as a row of a batch: its tokens, and what is to be predicted where.

use std::ops::Range;

use glyph_model::prompt::Prompt;

use crate::batch::{Asked, Pointed, Target};
use crate::locate::{AnswerPlaces, Cell};

/// A sample, encoded; positions count from the start of the row.
pub struct Row {
    /// Pages and first question.
    pub prompt: Prompt,
    /// What follows them: the answer and further turns.
    pub text: Vec<u32>,
    /// What is to be predicted.
    pub targets: Vec<Target>,
    /// Where what is to be predicted stands.
    pub pointed: Vec<Pointed>,
    /// Where stands what its questions are about.
    pub asked: Vec<Asked>,
    /// Position of each vision token.
    places: Vec<usize>,
    /// Position of the last question.
    question: usize,
}

impl Row {
    /// With nothing behind the prompt yet.
    pub fn new(prompt: Prompt) -> Self {
        let places = (0..prompt.ids.len())
            .filter(|place| prompt.feature_index[*place].is_some())
            .collect();
        Self {
            prompt,
            text: Vec::new(),
            targets: Vec::new(),
            pointed: Vec::new(),
            asked: Vec::new(),
            places,
            question: 0,
        }
    }

    /// Tokens so far.
    pub fn len(&self) -> usize {
        self.prompt.ids.len() + self.text.len()
    }

    fn id(&self, place: usize) -> Option<u32> {
        let n_prompt = self.prompt.ids.len();
        let ids = self.prompt.ids.get(place);
        ids.or_else(|| self.text.get(place - n_prompt)).copied()
    }

    /// A question of `n` tokens that ends `behind` tokens before the end of the row, as far as the pages foretell
    /// it. One token is one character here.
    pub fn add_question(&mut self, n: usize, behind: usize, foretold: Vec<(usize, Cell)>) {
        let end = self.len() - behind;
        let start = end - n;
        self.question = start;
        for (character, cell) in foretold {
            let asking = start + character - 1;
            self.point(asking, cell);
            self.targets.extend(self.id(asking + 1).map(|id| Target {
                asking,
                id,
                is_answer: false,
            }));
        }
    }

    /// What the last question is about begins in `cell`, if it is on the pages, as some of its characters know.
    pub fn ask(&mut self, characters: Range<usize>, cell: Option<Cell>) {
        self.asked.extend(characters.map(|character| Asked {
            asking: self.question + character,
            cell,
        }));
    }

    fn point(&mut self, asking: usize, Cell { token, cell }: Cell) {
        self.pointed.push(Pointed {
            asking,
            token: self.places[token],
            cell: Some(cell),
        });
    }

    /// An answer and its end; where its characters stand on the pages and in the last question, and which of its
    /// tokens are not to be predicted.
    pub fn add_answer(
        &mut self,
        answer: Vec<u32>,
        end_of_answer: u32,
        found: &AnswerPlaces,
        is_given: impl Fn(usize) -> bool,
    ) {
        let before = self.len() - 1;
        for (i, cell) in &found.on_pages {
            if !is_given(*i) {
                self.point(before + i, *cell);
            }
        }
        let texts = [
            (self.question, &found.in_question),
            (self.len(), &found.in_thought),
        ];
        for (start, places) in texts {
            self.pointed.extend(places.iter().map(|(i, place)| Pointed {
                asking: before + i,
                token: start + place,
                cell: None,
            }));
        }
        let learned = answer.iter().chain([&end_of_answer]).enumerate();
        self.targets.extend(
            learned
                .filter(|(i, _)| !is_given(*i))
                .map(|(i, id)| Target {
                    asking: before + i,
                    id: *id,
                    is_answer: true,
                }),
        );
        self.text.extend(answer);
    }
}
