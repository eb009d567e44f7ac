//! Excerpts that begin anywhere on the pages: who has seen how one begins can find it there and read on.
//!
//! Reading aloud walks from cell to cell and never has to search. Excerpts make a search of every few
//! characters, many times as many as questions with one answer each.

use std::ops::Range;

use super::draw::Draw;
use super::read::{self, Reading};
use super::wrap::PageGrid;

/// What is asked.
const QUESTION: &str = "Read excerpts.";

/// What stands between two excerpts; no page has an empty line.
const SEPARATOR: &str = "\n\n";

/// Characters of the pages for each excerpt of them, so that short pages have few.
const CHARACTERS_PER_EXCERPT: usize = 12;

/// Most excerpts of an answer.
const MOST_EXCERPTS: usize = 14;

/// Characters by which an excerpt's place must be known.
const LONGEST_OPENING: usize = 6;

/// How often a page is made again until it has excerpts, and how often an excerpt is drawn from it.
const TRIES: usize = 20;

/// Text, question, answer, and the characters of the answer that nobody can know: the openings of the
/// excerpts, what stands between them and the end. `None` when the pages have no room for two excerpts.
pub(crate) fn generate(
    draw: &mut Draw,
    reading: Reading,
    grid: PageGrid,
    n_pages: usize,
) -> Option<(String, String, String, Vec<Range<usize>>)> {
    (0..TRIES).find_map(|_| {
        let text = read::text(draw, reading, grid, n_pages);
        let n_excerpts = (text.len() / CHARACTERS_PER_EXCERPT).min(MOST_EXCERPTS);
        let mut answer = String::new();
        let mut given = Vec::new();
        for _ in 0..n_excerpts {
            let Some((excerpt, opening)) = (0..TRIES).find_map(|_| excerpt(draw, &text)) else {
                continue;
            };
            let start = answer.len();
            if start > 0 {
                answer.push_str(SEPARATOR);
            }
            given.push(start..answer.len() + opening);
            answer.push_str(excerpt);
        }
        let is_enough = given.len() >= 2;
        given.push(answer.len()..answer.len() + 1);
        is_enough.then(|| (text, QUESTION.to_owned(), answer, given))
    })
}

/// A stretch of the text and the length of its shortest beginning that stands there once.
fn excerpt<'a>(draw: &mut Draw, text: &'a str) -> Option<(&'a str, usize)> {
    let start = draw.below(text.len());
    let rest = text.get(start..).filter(|rest| !rest.starts_with('\n'))?;
    let opening = (2..=LONGEST_OPENING.min(rest.len()))
        .find(|length| text.matches(&rest[..*length]).count() == 1)?;
    let length = opening + draw.between(3, 10);
    let excerpt = rest.get(..length)?;
    Some((excerpt.trim_end_matches('\n'), opening)).filter(|(excerpt, _)| excerpt.len() > opening)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn each_excerpt_can_be_found_by_its_opening() {
        for (columns, lines) in [(16, 2), (40, 8)] {
            let grid = PageGrid::new(columns, lines);
            let mut most = 0;
            for index in 0..200 {
                let mut draw = Draw::new(3, Split::Train, index);
                let reading = draw.one_of(&[Reading::Random, Reading::Salad, Reading::Code]);
                let (text, _, answer, given) = generate(&mut draw, reading, grid, 1).unwrap();
                let excerpts: Vec<&str> = answer.split(SEPARATOR).collect();
                assert_eq!(excerpts.len() + 1, given.len());
                most = most.max(excerpts.len());
                for (excerpt, given) in excerpts.iter().zip(&given) {
                    let separator = if given.start == 0 { 0 } else { SEPARATOR.len() };
                    let opening = given.len() - separator;
                    assert!(answer[given.start + separator..].starts_with(excerpt));
                    assert!(text.contains(excerpt), "{excerpt} in {text}");
                    assert_eq!(text.matches(&excerpt[..opening]).count(), 1);
                    assert!(excerpt.len() > opening);
                }
                assert_eq!(given.last().unwrap().start, answer.len());
            }
            assert!(most > 1, "{most} excerpts on {columns} x {lines}");
        }
    }
}
