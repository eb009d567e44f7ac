//! White space as real text has it: indents, columns and empty lines.
//!
//! The generators write lines without any of it. A sample that is to be spaced is generated for a page a little smaller,
//! and its lines are then moved apart.

use super::draw::Draw;
use super::wrap::PageGrid;

/// Smaller pages hold too little to be moved apart.
const LEAST_GRID: PageGrid = PageGrid {
    columns: 36,
    lines: 8,
};

/// Columns that indents and gaps may take.
const COLUMNS_FOR_SPACE: usize = 8;

/// Lines of a page that may be empty, at most.
const MOST_EMPTY_LINES: usize = 2;

/// What parts a label from its value, and where the gap goes: before or behind it.
const SEPARATORS: [(&str, bool); 4] = [(": ", false), (" = ", true), (" | ", true), (" -> ", true)];

/// How many of a line's spaces are widened when it has no label, in percent.
const WIDENED: usize = 30;

/// How lines are indented.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Indent {
    None,
    /// All lines alike.
    Block(usize),
    /// As code is: each line about as deep as the one before.
    Nested(usize),
    /// Some lines, as the first ones of paragraphs.
    Some(usize),
}

/// How the lines of a sample are moved apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spacing {
    indent: Indent,
    has_columns: bool,
    movable: Movable,
    n_empty_lines: usize,
    starts_empty: bool,
}

/// What of a sample may be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Movable {
    /// Lines and all that stands in them: pages to be read.
    Words,
    /// Lines, and values from their labels, but not the words of a value from one another: documents.
    Values,
    /// Lines alone.
    Lines,
}

impl Spacing {
    /// Some spacing for pages of a size; `None` when they are too small.
    pub(crate) fn any(draw: &mut Draw, movable: Movable, grid: PageGrid) -> Option<Self> {
        if grid.columns < LEAST_GRID.columns || grid.lines < LEAST_GRID.lines {
            return None;
        }
        let step = draw.one_of(&[2, 2, 4]);
        let (indent, has_columns) = match movable {
            Movable::Lines => (Indent::None, false),
            Movable::Words | Movable::Values => (
                draw.one_of(&[
                    Indent::None,
                    Indent::Block(step),
                    Indent::Nested(step),
                    Indent::Nested(step),
                    Indent::Some(step),
                ]),
                draw.chance(40),
            ),
        };
        Some(Self {
            indent,
            has_columns,
            movable,
            n_empty_lines: draw.between(0, MOST_EMPTY_LINES),
            starts_empty: draw.chance(30),
        })
    }

    /// The page to generate for.
    pub(crate) fn inner(self, grid: PageGrid) -> PageGrid {
        let moves_columns = self.has_columns || self.indent != Indent::None;
        let columns = if moves_columns { COLUMNS_FOR_SPACE } else { 0 };
        PageGrid::new(grid.columns - columns, grid.lines - self.n_empty_lines)
    }

    /// Moves the lines of a text for [`inner`](Self::inner) apart, so that they fill the pages that it is for.
    pub(crate) fn apply(self, draw: &mut Draw, text: &str, grid: PageGrid) -> String {
        let inner = self.inner(grid);
        let lines: Vec<&str> = text.lines().collect();
        let mut spaced = Vec::new();
        let mut depth: usize = 0;
        for (page, lines) in lines.chunks(inner.lines).enumerate() {
            let value_column =
                lines.iter().map(|line| label_len(line)).max().unwrap_or(0) + draw.between(1, 3);
            let lines = lines.iter().map(|line| {
                let columns = grid.columns - COLUMNS_FOR_SPACE / 2;
                let line = match separator(line) {
                    Some(parted) if self.has_columns => {
                        in_columns(line, parted, value_column, columns)
                    }
                    None if self.has_columns && self.movable == Movable::Words => {
                        widened(draw, line, columns)
                    }
                    _ => (*line).to_owned(),
                };
                let indent = match self.indent {
                    Indent::None => 0,
                    Indent::Block(step) => step,
                    Indent::Nested(step) => {
                        depth = match draw.below(4) {
                            0 => depth + 1,
                            1 => depth.saturating_sub(1),
                            _ => depth,
                        };
                        depth = depth.min(COLUMNS_FOR_SPACE / step);
                        step * depth
                    }
                    Indent::Some(step) => step * usize::from(draw.chance(30)),
                };
                let indent = indent.min(grid.columns.saturating_sub(line.len()));
                format!("{}{line}", " ".repeat(indent))
            });
            let mut lines: Vec<String> = lines.collect();
            for _ in 0..self.n_empty_lines {
                let place = if page == 0
                    && self.starts_empty
                    && lines.first().is_some_and(|line| !line.is_empty())
                {
                    0
                } else {
                    between_pieces(draw, &lines)
                };
                lines.insert(place, String::new());
            }
            spaced.append(&mut lines);
        }
        spaced.join("\n").trim_end().to_owned()
    }
}

/// Length of a line's label with what parts it from the value; 0 without one.
fn label_len(line: &str) -> usize {
    separator(line).map_or(0, |(start, separator, _)| start + separator.len())
}

/// Where a line is parted, by what, and whether the gap goes before it.
fn separator(line: &str) -> Option<(usize, &'static str, bool)> {
    SEPARATORS
        .iter()
        .find_map(|&(separator, before)| Some((line.find(separator)?, separator, before)))
}

/// A line with its value moved to a column, or as far as there is room.
fn in_columns(
    line: &str,
    (start, separator, before): (usize, &str, bool),
    value_column: usize,
    columns: usize,
) -> String {
    let value = start + separator.len();
    let room = columns.saturating_sub(line.len());
    let gap = value_column.saturating_sub(value).min(room);
    let (head, tail) = line.split_at(if before { start } else { value });
    format!("{head}{}{tail}", " ".repeat(gap))
}

/// A line with some of its spaces made wider, as those of a table, while there is room.
fn widened(draw: &mut Draw, line: &str, columns: usize) -> String {
    let mut room = columns.saturating_sub(line.len());
    let mut wide = String::with_capacity(columns);
    for character in line.chars() {
        wide.push(character);
        if character == ' ' && draw.chance(WIDENED) {
            let gap = draw.between(1, 4).min(room);
            room -= gap;
            wide.push_str(&" ".repeat(gap));
        }
    }
    wide
}

/// A place between lines, behind the end of a sentence if there is one.
fn between_pieces(draw: &mut Draw, lines: &[String]) -> usize {
    let ends: Vec<usize> = (1..lines.len())
        .filter(|place| lines[place - 1].ends_with(['.', '!', '?', '}', ';']))
        .collect();
    match ends.get(draw.below(ends.len())) {
        Some(place) if draw.chance(70) => *place,
        _ => draw
            .between(1, lines.len().saturating_sub(1).max(1))
            .min(lines.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;
    use crate::data::read::{self, Reading};

    fn spaced(index: u64, grid: PageGrid, n_pages: usize) -> (String, String) {
        let mut draw = Draw::new(6, Split::Train, index);
        let spacing = Spacing::any(&mut draw, Movable::Words, grid).unwrap();
        let reading = draw.one_of(&[Reading::Prose, Reading::Code, Reading::Random]);
        let plain = read::text(&mut draw, reading, spacing.inner(grid), n_pages);
        let spaced = spacing.apply(&mut draw, &plain, grid);
        (plain, spaced)
    }

    fn words(text: &str) -> Vec<&str> {
        text.split_whitespace().collect()
    }

    #[test]
    fn only_white_space_is_added_and_the_pages_hold_it() {
        let grid = PageGrid::new(40, 8);
        for index in 0..400 {
            for n_pages in [1, 3] {
                let (plain, spaced) = spaced(index, grid, n_pages);
                assert_eq!(words(&plain), words(&spaced));
                let lines: Vec<&str> = spaced.lines().collect();
                assert!(lines.len() <= 8 * n_pages, "{spaced}");
                for line in lines {
                    assert!(line.len() <= 40, "{spaced}");
                    assert_eq!(line.trim_end(), line, "{spaced}");
                }
            }
        }
    }

    #[test]
    fn there_are_indents_gaps_and_empty_lines() {
        let grid = PageGrid::new(40, 8);
        let texts: Vec<String> = (0..200).map(|index| spaced(index, grid, 1).1).collect();
        let share = |has: &dyn Fn(&str) -> bool| {
            texts.iter().filter(|text| has(text)).count() as f64 / texts.len() as f64
        };
        let indented = share(&|text| text.lines().any(|line| line.starts_with("  ")));
        let gaps = share(&|text| text.lines().any(|line| line.trim_start().contains("  ")));
        let empty = share(&|text| text.trim().contains("\n\n"));
        let starts_empty = share(&|text| text.starts_with('\n'));
        assert!(indented > 0.5 && gaps > 0.2, "{indented} {gaps}");
        assert!(empty > 0.4 && starts_empty > 0.1, "{empty} {starts_empty}");
    }

    #[test]
    fn labels_and_values_stand_in_columns() {
        let moved = |line, value_column| {
            let parted = separator(line).unwrap();
            in_columns(line, parted, value_column, 36)
        };
        assert_eq!(moved("Total: 5", 12), "Total:      5");
        assert_eq!(moved("retries = 5", 12), "retries   = 5");
        let long = "a_name_that_is_quite_long: and a value!";
        assert_eq!(moved(long, 36), long);
    }

    #[test]
    fn small_pages_stay_as_they_are() {
        let mut draw = Draw::new(6, Split::Train, 0);
        assert_eq!(
            Spacing::any(&mut draw, Movable::Words, PageGrid::new(24, 4)),
            None
        );
    }
}
