//! What is said to a question, thought and answer: its words, where they stand, and which are not to be learnt.

use std::ops::Range;

use crate::cite::Citation;
use crate::data::Thought;
use crate::locate::{AnswerPlaces, Cell, ShownText};

/// What is thought before an answer, and where all that is said stands.
pub struct Said {
    /// Lines are cited where the pages have them.
    pub thought: Option<String>,
    /// Where the characters of thought and answer stand.
    pub places: AnswerPlaces,
    /// Where what is asked for begins, if the pages have it.
    pub asked: Option<Cell>,
    /// Tokens that are not to be learnt.
    pub given: Vec<Range<usize>>,
}

/// Puts the thought in words.
pub fn said(
    shown: &ShownText,
    question: &str,
    thought: Option<&Thought>,
    answer: &str,
    given: &[Range<usize>],
) -> Said {
    let Some(thought) = thought else {
        let places = if given.is_empty() {
            AnswerPlaces::without_thought(shown, question, answer)
        } else {
            AnswerPlaces {
                on_pages: shown.foretell(answer),
                ..AnswerPlaces::default()
            }
        };
        return Said {
            thought: None,
            places,
            asked: None,
            given: given.to_vec(),
        };
    };
    let right = Citation::of(shown, thought).unwrap_or_else(|| Citation::uncited(thought));
    let asked = right.places.first().map(|(_, cell)| *cell);
    // Lines of which only more would have to be cited are not wrong.
    let misstep = Citation::of_misstep(shown, thought);
    let misstep = misstep.filter(|misstep| !misstep.text.lines().any(|line| right.cites(line)));
    let (Citation { text, places }, given) = match misstep {
        // The tag before it is one token, and each of its characters.
        Some(misstep) => {
            let given = 1..1 + misstep.text.len();
            (right.behind(misstep), vec![given])
        }
        None => (right, Vec::new()),
    };
    Said {
        thought: Some(text.clone()),
        places: AnswerPlaces::with_thought(&places, question, &text, answer),
        asked,
        given,
    }
}

/// The character of a question by which it is known what it asks: the one behind the key, by which the key has ended,
/// or else its last.
pub fn known_from(question: &str, key: &str) -> usize {
    let (asked, key) = (question.to_ascii_lowercase(), key.to_ascii_lowercase());
    let end_of_key = asked.rfind(&key).map(|start| start + key.len());
    let last = question.len().saturating_sub(1);
    end_of_key.map_or(last, |end| end.min(last))
}
