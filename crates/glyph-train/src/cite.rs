//! What the model thinks before it answers a question about the pages: the lines that tell it, each behind its page and
//! its number on the page, `2.5 Invoice number: 83-2210`. Once it has said where it looks, every further character
//! has a place of its own there. A quotation without it must be followed by what stands in it, and words such as
//! `is kept in room` or `: ` stand in many lines.

use std::ops::Range;

use crate::data::{Misstep, Thought};
use crate::locate::{Cell, ShownText};

/// A thought with the cells that show its characters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Citation {
    /// What is thought.
    pub text: String,
    /// Pairs of a character of it (counted from 0) and its cell; a label's is where what is cited starts.
    pub places: Vec<(usize, Cell)>,
}

/// What stands between two quotations.
const SEPARATOR: &str = ", ";

impl Citation {
    /// A thought about what the pages do not have.
    pub fn uncited(thought: &Thought) -> Self {
        Self {
            text: thought.uncited().to_owned(),
            places: Vec::new(),
        }
    }

    /// The lines that show a quotation, or several quotations one behind the other; none when they are not there, and
    /// where nothing is quoted: whoever cites a line has found the value, and is not to doubt it behind the line. The
    /// first line of each is the one where its key ends: by then a key that goes over the end of a line is known whole.
    pub fn of(shown: &ShownText, thought: &Thought) -> Option<Self> {
        Self::of_quotation(shown, &thought.key, thought.quotation.as_ref()?)
    }

    /// The lines that are looked at first and do not tell what is asked.
    pub fn of_misstep(shown: &ShownText, thought: &Thought) -> Option<Self> {
        let Misstep { key, quotation } = thought.misstep.as_ref()?;
        Self::of_quotation(shown, key, quotation)
    }

    /// Whether a line stands in it, with its label.
    pub fn cites(&self, line: &str) -> bool {
        self.text.lines().any(|cited| cited == line)
    }

    /// This behind another one; where nothing is cited the other one is all that is thought.
    pub fn behind(self, before: Self) -> Self {
        if self.places.is_empty() {
            return before;
        }
        let Self {
            mut text,
            mut places,
        } = before;
        text.push('\n');
        let begin = text.len();
        let moved = self.places.iter().map(|(i, cell)| (begin + i, *cell));
        places.extend(moved);
        text.push_str(&self.text);
        Self { text, places }
    }

    fn of_quotation(shown: &ShownText, key: &str, quotation: &str) -> Option<Self> {
        let quotations = match shown.first_place(quotation) {
            Some(place) => vec![place],
            None => quotation
                .split(SEPARATOR)
                .map(|part| shown.first_place(part))
                .collect::<Option<Vec<_>>>()?,
        };
        let mut citation = Self::default();
        for Range { start, end } in quotations {
            let characters = shown.last_character(key, start).unwrap_or(start)..end;
            for line in shown.lines_of(&characters) {
                if !citation.text.is_empty() {
                    citation.text.push('\n');
                }
                let label = format!("{}.{} ", line.page + 1, line.line + 1);
                let first = characters.start.max(line.characters.start);
                let begin = citation.text.len();
                let behind_label = begin + label.len();
                let cell_of = |place: usize| shown.cell(place);
                citation
                    .places
                    .extend((begin..behind_label).filter_map(|i| Some((i, cell_of(first)?))));
                citation.places.extend(
                    line.characters
                        .clone()
                        .enumerate()
                        .filter_map(|(i, place)| Some((behind_label + i, cell_of(place)?))),
                );
                citation.text.push_str(&label);
                citation.text.push_str(&shown.text(line.characters));
            }
        }
        Some(citation)
    }
}

#[cfg(test)]
mod tests {
    use super::Citation;
    use crate::data::{Misstep, Thought};
    use crate::locate::{Cell, ShownText};

    fn shown() -> ShownText {
        let mut shown = ShownText::default();
        let lines = [(0, 0, "Total: 3"), (0, 1, "The net is"), (1, 0, "blue.")];
        for (i, (page, line, text)) in lines.into_iter().enumerate() {
            shown.push_line(page, line, text, |column| Cell {
                token: 10 * i + column / 4,
                cell: column % 4,
            });
        }
        shown
    }

    fn thought(key: &str, quotation: &str) -> Thought {
        Thought::of(key.to_owned(), quotation.to_owned())
    }

    fn cited(key: &str, quotation: &str) -> Option<String> {
        Citation::of(&shown(), &thought(key, quotation)).map(|cited| cited.text)
    }

    #[test]
    fn whole_lines_are_cited_behind_page_and_line() {
        let one = cited("Total", "Total: 3").unwrap();
        assert_eq!(one, "1.1 Total: 3");
        let two = cited("net", "net is blue").unwrap();
        assert_eq!(two, "1.2 The net is\n2.1 blue.");
        let several = cited("", "blue, net is").unwrap();
        assert_eq!(several, "2.1 blue.\n1.2 The net is");
        assert_eq!(cited("gross", "gross"), None);
        let nothing = Thought::of_nothing("Total".to_owned());
        assert_eq!(Citation::of(&shown(), &nothing), None);
        assert_eq!(Citation::uncited(&nothing).text, "Total");
    }

    #[test]
    fn lines_are_cited_from_the_one_where_the_key_ends() {
        assert_eq!(cited("is blue", "is blue").unwrap(), "2.1 blue.");
        assert_eq!(cited("3 The", "3 The net").unwrap(), "1.2 The net is");
        let without = cited("not there", "3 The net").unwrap();
        assert_eq!(without, "1.1 Total: 3\n1.2 The net is");
    }

    #[test]
    fn characters_point_at_their_cells_and_labels_at_what_is_cited() {
        let cited = Citation::of(&shown(), &thought("net", "net is blue")).unwrap();
        let cell_at = |i: usize| {
            let place = cited.places.iter().find(|(place, _)| *place == i);
            place.map(|(_, Cell { token, cell })| (*token, *cell))
        };
        assert_eq!(cell_at(0), Some((11, 2)), "the label: where `net` ends");
        assert_eq!(cell_at(4), Some((10, 0)), "the T of `The`");
        assert_eq!(cell_at(14), None, "the line's end");
        assert_eq!(cell_at(15), Some((20, 0)), "the second label");
        assert_eq!(cell_at(19), Some((20, 0)), "the b of `blue`");
    }

    #[test]
    fn what_is_looked_at_first_stands_before_it() {
        let misstep = Misstep {
            key: "Total".to_owned(),
            quotation: "Total: 3".to_owned(),
        };
        let looks_first = |thought: Thought| Thought {
            misstep: Some(misstep.clone()),
            ..thought
        };
        let found = looks_first(thought("net", "net is blue"));
        let first = Citation::of_misstep(&shown(), &found).unwrap();
        assert!(first.cites("1.1 Total: 3") && !first.cites("1.2 The net is"));
        let both = Citation::of(&shown(), &found).unwrap().behind(first);
        assert_eq!(both.text, "1.1 Total: 3\n1.2 The net is\n2.1 blue.");
        let cell_at = |i: usize| {
            let place = both.places.iter().find(|(place, _)| *place == i);
            place.map(|(_, Cell { token, cell })| (*token, *cell))
        };
        assert_eq!(cell_at(4), Some((0, 0)), "the T of `Total`");
        assert_eq!(cell_at(17), Some((10, 0)), "the T of `The`");
        // What is not there is seen by the wrong line.
        let nothing = looks_first(Thought::of_nothing("tare".to_owned()));
        let first = Citation::of_misstep(&shown(), &nothing).unwrap();
        let behind = Citation::uncited(&nothing).behind(first);
        assert_eq!(behind.text, "1.1 Total: 3");
    }
}
