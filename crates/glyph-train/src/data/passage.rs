//! Passages quoted from the pages, and the word that follows them there.
//!
//! The purest form of finding: what is quoted can be any characters, so neither words nor wordings
//! that were learned help.

use super::draw::Draw;
use super::read::{self, Reading};
use super::wrap::PageGrid;

/// Shorter quotes stand in too many places.
const SHORTEST_QUOTE: usize = 3;

/// How often a page is made again until it has a word to quote.
const PAGE_TRIES: usize = 20;

/// How often a passage is drawn from a page.
const PASSAGE_TRIES: usize = 20;

/// Text, question and answer; `None` when the pages have no room for two words.
pub(crate) fn generate(
    draw: &mut Draw,
    reading: Reading,
    grid: PageGrid,
    n_pages: usize,
) -> Option<(String, String, String)> {
    (0..PAGE_TRIES).find_map(|_| {
        let text = read::text(draw, reading, grid, n_pages);
        let (quote, next) = passage(draw, &text)?;
        Some((text, format!("What comes after \"{quote}\"?"), next))
    })
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
    fn the_answer_follows_the_only_place_of_the_quote() {
        let grid = PageGrid::new(16, 2);
        for index in 0..300 {
            let mut draw = Draw::new(3, Split::Train, index);
            let reading = draw.one_of(&[Reading::Random, Reading::Salad, Reading::Prose]);
            let (text, question, answer) = generate(&mut draw, reading, grid, 2).unwrap();
            let quote = question
                .split_once('"')
                .unwrap()
                .1
                .strip_suffix("\"?")
                .unwrap();
            let unwrapped = text.replace('\n', " ");
            assert_eq!(unwrapped.matches(quote).count(), 1);
            let behind = unwrapped.split_once(quote).unwrap().1.trim_start();
            assert_eq!(behind.split(' ').next().unwrap(), answer);
        }
    }
}
