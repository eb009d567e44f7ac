//! Where an answer stands: which vision token shows each of its characters, and in which cell, or which character of
//! the question or the thought.

use std::ops::Range;

/// A vision token of the pages, counted from 0, and a cell in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// The vision token.
    pub token: usize,
    /// The cell, line by line.
    pub cell: usize,
}

/// The characters of all pages in reading order with the cell that shows each; a line's end is shown by none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShownText {
    characters: Vec<(char, Option<Cell>)>,
    lines: Vec<ShownLine>,
}

/// A line of a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownLine {
    /// Its page, counted from 0.
    pub page: usize,
    /// Its number on the page, counted from 0.
    pub line: usize,
    /// Its characters among all, without its end.
    pub characters: Range<usize>,
}

impl ShownText {
    /// Adds a line below the others; `cell_of` tells where a column is shown.
    pub fn push_line(
        &mut self,
        page: usize,
        line: usize,
        text: &str,
        cell_of: impl Fn(usize) -> Cell,
    ) {
        if !self.lines.is_empty() {
            self.characters.push(('\n', None));
        }
        let start = self.characters.len();
        self.characters.extend(
            text.chars()
                .enumerate()
                .map(|(column, character)| (character, Some(cell_of(column)))),
        );
        self.lines.push(ShownLine {
            page,
            line,
            characters: start..self.characters.len(),
        });
    }

    /// The characters of the first place that shows `text`, as much white space between two words as there may be.
    pub fn first_place(&self, text: &str) -> Option<Range<usize>> {
        let text: Vec<char> = text.trim().chars().collect();
        (!text.is_empty()).then_some(())?;
        (0..self.characters.len()).find_map(|start| Some(start..self.end_of(&text, start)?))
    }

    /// The last character of `text` if it stands at `start`.
    pub fn last_character(&self, text: &str, start: usize) -> Option<usize> {
        let text: Vec<char> = text.chars().collect();
        self.end_of(&text, start)?.checked_sub(1)
    }

    /// Where `wanted` ends if it stands at `start`.
    fn end_of(&self, wanted: &[char], start: usize) -> Option<usize> {
        let shown = |place: usize| self.characters.get(place).map(|(shown, _)| *shown);
        let mut place = start;
        for pair in wanted.chunk_by(|a, b| a.is_whitespace() && b.is_whitespace()) {
            if pair[0].is_whitespace() {
                shown(place).filter(|shown| shown.is_whitespace())?;
                while shown(place).is_some_and(char::is_whitespace) {
                    place += 1;
                }
            } else {
                shown(place).filter(|shown| *shown == pair[0])?;
                place += 1;
            }
        }
        Some(place)
    }

    /// The lines that some characters stand in.
    pub fn lines_of(&self, characters: &Range<usize>) -> impl Iterator<Item = ShownLine> {
        self.lines
            .iter()
            .filter(|line| {
                let start = line.characters.start.max(characters.start);
                let end = line.characters.end.min(characters.end);
                start < end
            })
            .cloned()
    }

    /// The cell that shows a character.
    pub fn cell(&self, place: usize) -> Option<Cell> {
        self.characters.get(place)?.1
    }

    /// What some characters are.
    pub fn text(&self, characters: Range<usize>) -> String {
        let shown = self.characters.get(characters).unwrap_or_default();
        shown.iter().map(|(character, _)| character).collect()
    }

    /// Pairs of a character of the answer (counted from 0) and the cell that shows it. Empty when the
    /// answer is not on the pages, or more than once; several values are looked for one by one.
    pub fn locate(&self, answer: &str) -> Vec<(usize, Cell)> {
        let answer: Vec<char> = answer.chars().collect();
        if let Some(start) = self.only_place(&answer) {
            return self.cells(start, 0, answer.len());
        }
        let mut pairs = Vec::new();
        let mut begin = 0;
        for end in separators(&answer).chain([answer.len()]) {
            if let Some(start) = self.only_place(&answer[begin..end]) {
                pairs.extend(self.cells(start, begin, end - begin));
            }
            begin = (end + SEPARATOR.len()).min(answer.len());
        }
        pairs
    }

    /// The same for those characters of a question that the pages foretell: who has read the first characters
    /// of a key can find it on the pages, and sees there how it goes on.
    pub fn foretell(&self, question: &str) -> Vec<(usize, Cell)> {
        let question: Vec<char> = question.chars().collect();
        let mut pairs = Vec::new();
        let mut begin = 0;
        while begin < question.len() {
            let longest = (LEAST_FORETOLD..=question.len() - begin)
                .take_while(|n| self.places(&question[begin..begin + n]).next().is_some())
                .last();
            let place =
                longest.and_then(|n| Some((n, self.only_place(&question[begin..begin + n])?)));
            if let Some((n, start)) = place {
                let cells = self.cells(start, begin, n);
                pairs.extend(
                    cells
                        .into_iter()
                        .filter(|(i, _)| *i >= begin + NEEDED_TO_FIND),
                );
                begin += n;
            } else {
                begin += 1;
            }
        }
        pairs
    }

    fn cells(&self, start: usize, first: usize, n: usize) -> Vec<(usize, Cell)> {
        let shown = self.characters[start..start + n].iter().enumerate();
        shown
            .filter_map(|(i, (_, cell))| cell.map(|cell| (first + i, cell)))
            .collect()
    }

    fn only_place(&self, wanted: &[char]) -> Option<usize> {
        let mut places = self.places(wanted);
        let first = places.next()?;
        places.next().is_none().then_some(first)
    }

    /// Where `wanted` stands; a space in it may be a line's end.
    fn places(&self, wanted: &[char]) -> impl Iterator<Item = usize> {
        let matches = move |window: &[(char, Option<Cell>)]| {
            window
                .iter()
                .zip(wanted)
                .all(|((shown, _), wanted)| shown == wanted || (*shown == '\n' && *wanted == ' '))
        };
        let windows = self.characters.windows(wanted.len().max(1)).enumerate();
        windows
            .filter(move |(_, window)| !wanted.is_empty() && matches(window))
            .map(|(place, _)| place)
    }
}

/// Where the characters of an answer stand, each counted in tokens of the answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct AnswerPlaces {
    /// The cell that shows the character.
    pub on_pages: Vec<(usize, Cell)>,
    /// The same, and the character of the question.
    pub in_question: Vec<(usize, usize)>,
    /// The same, and the token of the answer: a value that is said once more.
    pub in_thought: Vec<(usize, usize)>,
}

impl AnswerPlaces {
    /// Of an answer without a thought: on the pages, or else in the question.
    pub fn without_thought(shown: &ShownText, question: &str, answer: &str) -> Self {
        let on_pages = shown.locate(answer);
        let in_question = if on_pages.is_empty() {
            copied(question, answer).collect()
        } else {
            Vec::new()
        };
        Self {
            on_pages,
            in_question,
            in_thought: Vec::new(),
        }
    }

    /// Of an answer behind a thought, which has its characters from the pages if any of them, and else from the question.
    pub fn with_thought(
        places: &[(usize, Cell)],
        question: &str,
        thought: &str,
        answer: &str,
    ) -> Self {
        // Each tag is one token.
        let behind_tag = |i: usize| 1 + i;
        let on_pages = places
            .iter()
            .map(|(i, cell)| (behind_tag(*i), *cell))
            .collect();
        let in_question = if places.is_empty() {
            let asked = question.to_ascii_lowercase();
            copied(&asked, &thought.to_ascii_lowercase())
                .map(|(i, place)| (behind_tag(i), place))
                .collect()
        } else {
            Vec::new()
        };
        let mut in_thought = Vec::new();
        let mut begin = thought.len() + 2;
        for value in answer.split(VALUE_SEPARATOR) {
            in_thought
                .extend(copied(thought, value).map(|(i, place)| (begin + i, behind_tag(place))));
            begin += value.len() + VALUE_SEPARATOR.len();
        }
        Self {
            on_pages,
            in_question,
            in_thought,
        }
    }
}

/// Pairs of a character of `text` and the same one in the last place where `source` has it.
fn copied(source: &str, text: &str) -> impl Iterator<Item = (usize, usize)> {
    let start = source.rfind(text);
    let n = text.len();
    start
        .into_iter()
        .flat_map(move |start| (0..n).map(move |i| (i, start + i)))
}

/// Shorter stretches of a question are on the pages by chance.
const LEAST_FORETOLD: usize = 4;
/// Characters of a stretch by which it can be found.
const NEEDED_TO_FIND: usize = 2;

/// What stands between several values of an answer.
const VALUE_SEPARATOR: &str = ", ";
const SEPARATOR: [char; 2] = [',', ' '];

fn separators(answer: &[char]) -> impl Iterator<Item = usize> {
    answer
        .windows(SEPARATOR.len())
        .enumerate()
        .filter(|(_, window)| *window == SEPARATOR)
        .map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::{Cell, ShownText};

    fn shown() -> ShownText {
        let mut shown = ShownText::default();
        for (first, line) in [(0, "one two"), (10, "six one ten")] {
            shown.push_line(0, first, line, |column| Cell {
                token: first + column / 4,
                cell: column % 4,
            });
        }
        shown
    }

    /// (character, vision token) of each pair.
    fn tokens(answer: &str) -> Vec<(usize, usize)> {
        let pairs = shown().locate(answer);
        pairs.iter().map(|(i, cell)| (*i, cell.token)).collect()
    }

    #[test]
    fn a_whole_page_is_found_without_its_line_ends() {
        let pairs = shown().locate("one two\nsix one ten");
        assert_eq!(pairs.len(), 18);
        assert_eq!(pairs[0], (0, Cell { token: 0, cell: 0 }));
        assert_eq!(pairs[9], (10, Cell { token: 10, cell: 2 }));
    }

    #[test]
    fn a_value_is_found_where_it_stands_alone_even_over_a_line_end() {
        assert_eq!(tokens("ten"), [(0, 12), (1, 12), (2, 12)]);
        assert_eq!(tokens("two six").len(), 6);
        assert!(tokens("one").is_empty(), "stands there twice");
        assert!(tokens("seven").is_empty());
    }

    #[test]
    fn a_quotation_is_found_with_other_white_space() {
        let mut shown = ShownText::default();
        for (line, text) in ["  name:    Ann", "", "  of Lee"].into_iter().enumerate() {
            shown.push_line(0, line, text, |column| Cell {
                token: column,
                cell: line,
            });
        }
        let place = shown.first_place("name: Ann of").unwrap();
        assert_eq!(shown.text(place.clone()), "name:    Ann\n\n  of");
        let lines: Vec<usize> = shown.lines_of(&place).map(|line| line.line).collect();
        assert_eq!(lines, [0, 2], "an empty line shows nothing of it");
        assert_eq!(shown.first_place("name:Ann"), None);
        assert_eq!(shown.first_place(" "), None);
    }

    #[test]
    fn a_question_is_foretold_where_it_names_what_stands_there() {
        let pairs = shown().foretell("And what is six one?");
        let tokens: Vec<_> = pairs.iter().map(|(i, cell)| (*i, cell.token)).collect();
        assert_eq!(
            tokens,
            [(13, 10), (14, 10), (15, 10), (16, 11), (17, 11), (18, 11)]
        );
        assert!(shown().foretell("one more time").is_empty());
    }

    #[test]
    fn several_values_are_found_one_by_one() {
        assert_eq!(
            tokens("ten, one, six"),
            [(0, 12), (1, 12), (2, 12), (10, 10), (11, 10), (12, 10)]
        );
    }
}
