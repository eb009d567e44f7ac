//! Where an answer stands: which vision token shows each of its characters, and in which cell, or which character of
//! the question or the thought.

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
pub struct ShownText(Vec<(char, Option<Cell>)>);

impl ShownText {
    /// Adds a line below the others; `cell_of` tells where a column is shown.
    pub fn push_line(&mut self, line: &str, cell_of: impl Fn(usize) -> Cell) {
        if !self.0.is_empty() {
            self.0.push(('\n', None));
        }
        self.0.extend(
            line.chars()
                .enumerate()
                .map(|(column, character)| (character, Some(cell_of(column)))),
        );
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
        let shown = self.0[start..start + n].iter().enumerate();
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
        let windows = self.0.windows(wanted.len().max(1)).enumerate();
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
    /// Of an answer with what is thought before it, if anything. The pages show a thought from the characters on by
    /// which it can be found; those before, and what is not on the pages, the question has.
    pub fn new(shown: &ShownText, question: &str, thought: Option<&str>, answer: &str) -> Self {
        let Some(thought) = thought else {
            let on_pages = shown.locate(answer);
            let asked = question.rfind(answer).filter(|_| on_pages.is_empty());
            return Self {
                on_pages,
                in_thought: Vec::new(),
                in_question: asked.map_or_else(Vec::new, |start| {
                    (0..answer.len()).map(|i| (i, start + i)).collect()
                }),
            };
        };
        let on_pages = shown.locate(thought);
        let copied = if on_pages.is_empty() {
            thought.len()
        } else {
            NEEDED_TO_FIND
        };
        let (asked, key) = (question.to_ascii_lowercase(), thought.to_ascii_lowercase());
        let key_place = (NEEDED_TO_FIND..=key.len())
            .rev()
            .filter_map(|n| key.get(..n))
            .find_map(|key| Some((asked.rfind(key)?, key.len())));
        let in_question: Vec<(usize, usize)> = key_place
            .map(|(place, n)| (0..n.min(copied)).map(|i| (1 + i, place + i)).collect())
            .unwrap_or_default();
        let on_pages = on_pages
            .into_iter()
            .filter(|(i, _)| *i >= in_question.len())
            // Each tag is one token.
            .map(|(i, cell)| (1 + i, cell));
        let start = thought.rfind(answer);
        Self {
            on_pages: on_pages.collect(),
            in_question,
            in_thought: start.map_or_else(Vec::new, |start| {
                (0..answer.len())
                    .map(|i| (thought.len() + 2 + i, 1 + start + i))
                    .collect()
            }),
        }
    }
}

/// Shorter stretches of a question are on the pages by chance.
const LEAST_FORETOLD: usize = 4;
/// Characters of a stretch by which it can be found.
const NEEDED_TO_FIND: usize = 2;

/// What stands between several values of an answer.
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
            shown.push_line(line, |column| Cell {
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
