//! Tables as plain text has them: columns of words and of numbers, with as much space between them as there is.

use super::draw::Draw;
use super::fact::{Kind, value};
use super::prose::{self, capitalised};
use super::words::{LABEL_WORDS, NOUNS};

/// Columns of a table at most.
const MOST_COLUMNS: usize = 4;

/// Rows of a table below its head, at most.
const MOST_ROWS: usize = 8;

/// What the cells of a column hold.
const KINDS: [Kind; 12] = [
    Kind::Person,
    Kind::City,
    Kind::Word,
    Kind::Words,
    Kind::Date,
    Kind::Time,
    Kind::Code,
    Kind::Room,
    Kind::Price,
    Kind::Percent,
    Kind::Count,
    Kind::Count,
];

/// A column in the making.
struct Column {
    cells: Vec<String>,
    is_at_right: bool,
}

impl Column {
    fn any(draw: &mut Draw, n_rows: usize) -> Self {
        let kind = draw.one_of(&KINDS);
        let is_number = matches!(kind, Kind::Price | Kind::Percent | Kind::Count);
        let head = capitalised(if draw.chance(50) {
            draw.word(&LABEL_WORDS)
        } else {
            draw.word(&NOUNS)
        });
        let mut cells = vec![head.clone()];
        cells.extend((0..n_rows).map(|_| value(draw, &head, kind)));
        Self {
            cells,
            is_at_right: draw.chance(if is_number { 70 } else { 5 }),
        }
    }

    fn width(&self) -> usize {
        self.cells.iter().map(String::len).max().unwrap_or(0)
    }
}

/// Tables one below the other, now and then with centred lines or a sentence between them; `n_lines` lines of `columns`
/// characters at most.
pub(crate) fn text(draw: &mut Draw, columns: usize, n_lines: usize) -> String {
    let mut lines: Vec<String> = Vec::new();
    while lines.len() < n_lines {
        match draw.below(6) {
            0 => lines.push(centred(draw, columns)),
            1 => lines.push(prose::sentence(draw)),
            _ => lines.extend(table(draw, columns)),
        }
        lines.retain(|line| line.len() <= columns && !line.trim().is_empty());
    }
    lines.truncate(n_lines);
    lines.join("\n")
}

/// The lines of a table; as many columns of those drawn as there is room for.
fn table(draw: &mut Draw, columns: usize) -> Vec<String> {
    let n_rows = draw.between(1, MOST_ROWS);
    let n_columns = draw.between(2, MOST_COLUMNS);
    let gap = draw.between(1, 4);
    let mut width = 0;
    let mut table: Vec<Column> = Vec::new();
    for _ in 0..n_columns {
        let column = Column::any(draw, n_rows);
        let with_column = width + column.width() + if table.is_empty() { 0 } else { gap };
        if with_column <= columns {
            width = with_column;
            table.push(column);
        }
    }
    // What is left of the line widens the gaps or stays at its end.
    let n_gaps = table.len().saturating_sub(1).max(1);
    let wider = draw.between(0, columns.saturating_sub(width) / n_gaps);
    let gap = " ".repeat(gap + if table.len() > 1 { wider } else { 0 });
    let has_rule = draw.chance(15);
    let mut lines = Vec::new();
    for row in 0..=n_rows {
        let cells = table.iter().map(|column| {
            let (cell, width) = (&column.cells[row], column.width());
            if column.is_at_right {
                format!("{cell:>width$}")
            } else {
                format!("{cell:<width$}")
            }
        });
        let line = cells.collect::<Vec<_>>().join(&gap);
        lines.push(line.trim_end().to_owned());
        if row == 0 && has_rule {
            lines.push("-".repeat(width + wider * (table.len().max(1) - 1)));
        }
    }
    lines
}

/// A few words in the middle of a line.
fn centred(draw: &mut Draw, columns: usize) -> String {
    let words = format!("{} {}", draw.word(&LABEL_WORDS), draw.word(&NOUNS));
    let words = capitalised(&words);
    let before = columns.saturating_sub(words.len()) / 2;
    format!("{}{words}", " ".repeat(before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;
    use crate::data::split::is_reserved;

    #[test]
    fn tables_fit_their_lines_and_align() {
        let (mut n_wide, mut n_aligned) = (0, 0);
        for index in 0..200 {
            for columns in [16, 24, 40] {
                let mut draw = Draw::new(9, Split::Train, index);
                let text = text(&mut draw, columns, 8);
                assert_eq!(text.lines().count(), 8, "{text}");
                for line in text.lines() {
                    assert!(line.len() <= columns && line.trim_end() == line, "{line:?}");
                    assert!(!line.is_empty());
                }
                n_wide += usize::from(text.contains(&" ".repeat(6)));
                let starts = |line: &str| {
                    let line = line.as_bytes();
                    let starts =
                        (2..line.len()).filter(|i| line[i - 2..*i] == *b"  " && line[*i] != b' ');
                    starts.collect::<Vec<_>>()
                };
                let lines: Vec<_> = text.lines().map(starts).collect();
                n_aligned += usize::from(
                    lines
                        .windows(2)
                        .any(|pair| pair[0] == pair[1] && !pair[0].is_empty()),
                );
            }
        }
        assert!(n_wide > 150, "{n_wide}");
        assert!(n_aligned > 200, "{n_aligned}");
    }

    #[test]
    fn heads_of_training_are_of_words_that_nothing_is_measured_with() {
        let heads = |split| -> Vec<String> {
            let heads = (0..200).map(|index| {
                let mut draw = Draw::new(9, split, index);
                Column::any(&mut draw, 1).cells[0].to_ascii_lowercase()
            });
            heads.collect()
        };
        assert!(heads(Split::Train).iter().all(|head| !is_reserved(head)));
        let held_out = heads(Split::HeldOut);
        let n_reserved = held_out.iter().filter(|head| is_reserved(head)).count();
        assert!((60..140).contains(&n_reserved), "{n_reserved} of 200");
    }
}
