//! Words of the question said again. Whoever looks a key up must first take it from the question, and questions
//! with one key each teach that slowly: here every character is taken from there.

use super::draw::Draw;
use super::read::{self, Reading};
use super::words::{ADJECTIVES, FIRST_NAMES, LAST_NAMES, NOUNS, SETTING_WORDS};
use super::wrap::PageGrid;
use super::{QuestionedPage, Turn};

/// A page that does not matter, and up to `most_turns` turns after the first.
pub(crate) fn generate(draw: &mut Draw, grid: PageGrid, most_turns: usize) -> QuestionedPage {
    let text = read::text(draw, Reading::Random, grid, 1);
    let first = turn(draw);
    let more_turns = (0..most_turns).map(|_| turn(draw)).collect();
    QuestionedPage {
        text,
        first,
        more_turns,
    }
}

fn turn(draw: &mut Draw) -> Turn {
    let said = match draw.below(5) {
        0 => {
            let (adjective, noun) = draw.pair(&ADJECTIVES, &NOUNS);
            format!("{adjective}-{noun}")
        }
        1 => {
            let (first, last) = draw.pair(&FIRST_NAMES, &LAST_NAMES);
            format!("{first} {last}")
        }
        2 => {
            let (first, second) = draw.pair(&SETTING_WORDS, &SETTING_WORDS);
            format!("{first}_{second}")
        }
        _ => {
            let length = draw.between(6, 60);
            let visible: Vec<u8> = (b'!'..=b'~').collect();
            draw.characters(&visible, length)
        }
    };
    let question = match draw.below(3) {
        0 => format!("Say {said}"),
        1 => format!("Say {said}."),
        _ => format!("Say {said} and no more."),
    };
    Turn {
        question,
        thought: None,
        answer: said,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn every_answer_stands_in_its_question() {
        for index in 0..100 {
            let mut draw = Draw::new(3, Split::Train, index);
            let page = generate(&mut draw, PageGrid::new(16, 2), 3);
            assert_eq!(page.more_turns.len(), 3);
            for turn in page.more_turns.iter().chain([&page.first]) {
                assert!(turn.question.contains(&turn.answer), "{turn:?}");
            }
        }
    }
}
