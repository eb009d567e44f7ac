//! Pages that are to be read aloud.

use super::draw::Draw;
use super::fill::target_lines;
use super::words::DICTIONARY;
use super::wrap::{PageGrid, Wrapped};
use super::{alike, code, prose, random, table};

/// What is on the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reading {
    /// Grammatical English with names, numbers, dates, prices, quotes and brackets.
    Prose,
    /// Random dictionary words with punctuation.
    Salad,
    /// Random strings of all printable characters.
    Random,
    /// Lines of code, settings, logs and mark-up.
    Code,
    /// Tables of several columns, some at the right of theirs, and centred lines.
    Table,
    /// Lists that count, the same line again, rules, logs: only the place of a line tells it from the others.
    Alike,
    /// The same few words over and over, in any order: what stands before a word never tells where on the page it is,
    /// so this can only be read by walking along. It teaches that and has no bar.
    Repeated,
}

/// How one page is asked to be read, and how several are.
const QUESTIONS: [(&str, &str); 6] = [
    ("Read the page.", "Read the pages."),
    ("Read the page.", "Read the pages."),
    ("Transcribe the text.", "Transcribe the text."),
    ("Transcribe the page.", "Transcribe the pages."),
    ("Read the text aloud.", "Read the text aloud."),
    ("What does the page say?", "What do the pages say?"),
];

/// A wording of the request to read.
pub(crate) fn question(draw: &mut Draw, n_pages: usize) -> String {
    let (one, many) = draw.one_of(&QUESTIONS);
    if n_pages > 1 { many } else { one }.to_owned()
}

/// Text that fills the pages; the last page is sometimes short.
pub(crate) fn text(draw: &mut Draw, reading: Reading, grid: PageGrid, n_pages: usize) -> String {
    let target = target_lines(draw, grid, n_pages);
    match reading {
        Reading::Table => return table::text(draw, grid.columns, target),
        Reading::Alike => return alike::text(draw, grid.columns, target),
        _ => {}
    }
    let mut wrapped = Wrapped::new(grid.columns);
    let few_words: Vec<String> = match reading {
        Reading::Repeated => (0..draw.between(2, 8))
            .map(|_| {
                if draw.chance(70) {
                    draw.word(&DICTIONARY).to_owned()
                } else {
                    random::token(draw)
                }
            })
            .collect(),
        _ => Vec::new(),
    };
    // Random tokens now and then stand in lines of their own, as in a list.
    let as_list = reading == Reading::Random && draw.chance(15);
    while wrapped.line_count() <= target {
        match reading {
            Reading::Prose => wrapped.flow(&prose::sentence(draw)),
            Reading::Salad => wrapped.flow(&prose::salad(draw)),
            Reading::Random if draw.chance(2) => wrapped.flow(&random::long_token(draw)),
            Reading::Random => wrapped.flow(&random::token(draw)),
            Reading::Code | Reading::Table | Reading::Alike => wrapped.paragraph(&code::line(draw)),
            Reading::Repeated => {
                let which = draw.below(few_words.len());
                wrapped.flow(few_words.get(which).map_or("again", String::as_str));
            }
        }
        let ends_line = match reading {
            Reading::Prose | Reading::Salad => draw.chance(20),
            Reading::Random => draw.chance(if as_list { 50 } else { 5 }),
            Reading::Repeated => draw.chance(10),
            Reading::Code | Reading::Table | Reading::Alike => true,
        };
        if ends_line {
            wrapped.break_line();
        }
    }
    wrapped.truncate(target);
    wrapped.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    #[test]
    fn pages_are_filled_and_never_overflow() {
        let grid = PageGrid {
            columns: 24,
            lines: 4,
        };
        let mut full = 0;
        for index in 0..400 {
            let mut draw = Draw::new(8, Split::Train, index);
            let reading = draw.one_of(&[
                Reading::Prose,
                Reading::Salad,
                Reading::Random,
                Reading::Code,
                Reading::Table,
                Reading::Alike,
                Reading::Repeated,
            ]);
            let text = text(&mut draw, reading, grid, 3);
            let lines = text.lines().count();
            assert!((10..=12).contains(&lines), "{lines} lines");
            full += usize::from(lines == 12);
        }
        assert!((280..400).contains(&full), "{full} full");
    }

    #[test]
    fn one_page_and_several_are_asked_for_differently() {
        let mut draw = Draw::new(8, Split::Train, 0);
        assert!((0..50).all(|_| !question(&mut draw, 1).contains("pages")));
        assert!((0..50).any(|_| question(&mut draw, 2).contains("pages")));
    }
}
