//! Passages quoted from the pages, and the words that follow them there.
//!
//! The purest form of finding: what is quoted can be any characters, so neither words nor wordings
//! that were learned help. Several quotes in one question make much finding of one page.

use super::draw::Draw;
use super::read::{self, Reading};
use super::wrap::PageGrid;

/// Shorter quotes stand in too many places.
const SHORTEST_QUOTE: usize = 3;

/// How often a page is made again until it has a word to quote.
const PAGE_TRIES: usize = 20;

/// How often a passage is drawn from a page.
const PASSAGE_TRIES: usize = 20;

/// How often a question holds a single quote, in percent.
const SINGLE_QUOTES: usize = 40;

/// Most quotes of a question.
const MOST_QUOTES: usize = 6;

/// Text, question and answer; `None` when the pages have no room for two words.
pub(crate) fn generate(
    draw: &mut Draw,
    reading: Reading,
    grid: PageGrid,
    n_pages: usize,
) -> Option<(String, String, String)> {
    let n_quotes = if draw.chance(SINGLE_QUOTES) {
        1
    } else {
        draw.between(2, MOST_QUOTES)
    };
    (0..PAGE_TRIES).find_map(|_| {
        let text = read::text(draw, reading, grid, n_pages);
        let mut passages: Vec<(String, String)> = Vec::new();
        for _ in 0..n_quotes {
            let passage = passage(draw, &text)?;
            if !passages.contains(&passage) {
                passages.push(passage);
            }
        }
        let (quotes, next): (Vec<_>, Vec<_>) = passages
            .into_iter()
            .map(|(quote, next)| (format!("\"{quote}\""), next))
            .unzip();
        Some((
            text,
            format!("What comes after {}?", listed(&quotes)),
            next.join(", "),
        ))
    })
}

/// `a`, `a and b`, `a, b and c`.
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [item] => item.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// One word or two that stand on the pages once, and the word behind them.
fn passage(draw: &mut Draw, text: &str) -> Option<(String, String)> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let unwrapped = words.join(" ");
    (0..PASSAGE_TRIES).find_map(|_| {
        let end = draw.between(1, words.len());
        let start = end - draw.between(1, end.min(2));
        let quote = words.get(start..end)?.join(" ");
        let next = words.get(end)?;
        let is_unique = unwrapped.matches(&quote).count() == 1;
        (quote.len() >= SHORTEST_QUOTE && is_unique).then(|| (quote, (*next).to_owned()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn each_answer_follows_the_only_place_of_its_quote() {
        let grid = PageGrid::new(24, 4);
        let mut most = 0;
        for index in 0..300 {
            let mut draw = Draw::new(3, Split::Train, index);
            let (text, question, answer) = generate(&mut draw, Reading::Salad, grid, 1).unwrap();
            let unwrapped = text.replace('\n', " ");
            let asked = question.strip_prefix("What comes after ").unwrap();
            let mut behind = Vec::new();
            let mut rest = asked;
            // A quote may hold quotation marks itself, so the longest that the page has is taken.
            while let Some(quoted) = rest.find('"').map(|at| &rest[at + 1..]) {
                let mut ends = quoted.match_indices('"').map(|(at, _)| at);
                let end = ends
                    .rfind(|end| unwrapped.matches(&quoted[..*end]).count() == 1)
                    .unwrap();
                let place = unwrapped.find(&quoted[..end]).unwrap() + end;
                behind.push(unwrapped[place..].split_ascii_whitespace().next().unwrap());
                rest = &quoted[end + 1..];
            }
            most = most.max(behind.len());
            assert_eq!(behind.join(", "), answer, "{question} on {text}");
        }
        assert!(most > 3);
    }
}
