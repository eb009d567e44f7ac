//! Pages of monospaced text: their size and how text is wrapped onto them.

/// The size of a page in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageGrid {
    /// Characters on a line.
    pub columns: usize,
    /// Lines on a page.
    pub lines: usize,
}

impl PageGrid {
    /// A page of `columns` characters by `lines` lines; at least one of each.
    pub fn new(columns: usize, lines: usize) -> Self {
        Self {
            columns: columns.max(1),
            lines: lines.max(1),
        }
    }

    /// The lines that `n_pages` of these pages hold.
    pub fn lines_on(self, n_pages: usize) -> usize {
        self.lines * n_pages.max(1)
    }
}

/// Text wrapped greedily at spaces; a word longer than the line is broken.
///
/// Lines never start or end with a space and never hold two spaces in a row.
#[derive(Clone, Debug)]
pub struct Wrapped {
    columns: usize,
    lines: Vec<String>,
    /// Whether the next word starts a line of its own.
    at_line_start: bool,
}

impl Wrapped {
    /// No text yet, on lines of `columns` characters.
    pub fn new(columns: usize) -> Self {
        Self {
            columns: columns.max(1),
            lines: Vec::new(),
            at_line_start: true,
        }
    }

    /// Adds text behind what is there, on the same line as far as it fits.
    pub fn flow(&mut self, text: &str) {
        for word in text.split_ascii_whitespace() {
            self.push_word(word);
        }
    }

    /// Ends the line, so that what follows starts a new one.
    pub fn break_line(&mut self) {
        self.at_line_start = true;
    }

    /// Adds text that starts and ends a line.
    pub fn paragraph(&mut self, text: &str) {
        self.break_line();
        self.flow(text);
        self.break_line();
    }

    /// How many lines there are.
    pub fn line_count(&self) -> usize {
        self.lines.len()
    }

    /// Drops the lines behind the first `lines`.
    pub fn truncate(&mut self, lines: usize) {
        if self.lines.len() > lines {
            self.lines.truncate(lines);
            self.at_line_start = true;
        }
    }

    /// The lines, joined with newlines.
    pub fn into_text(self) -> String {
        self.lines.join("\n")
    }

    fn push_word(&mut self, word: &str) {
        let columns = self.columns;
        if !self.at_line_start
            && let Some(line) = self.lines.last_mut()
            && line.len() + 1 + word.len() <= columns
        {
            line.push(' ');
            line.push_str(word);
            return;
        }
        self.at_line_start = false;
        let mut rest = word;
        while let Some((head, tail)) = rest.split_at_checked(columns) {
            self.lines.push(head.to_owned());
            rest = tail;
        }
        if !rest.is_empty() {
            self.lines.push(rest.to_owned());
        }
    }
}

/// Wraps paragraphs, each starting on its own line.
pub fn wrap<'a>(paragraphs: impl IntoIterator<Item = &'a str>, columns: usize) -> Wrapped {
    let mut wrapped = Wrapped::new(columns);
    for paragraph in paragraphs {
        wrapped.paragraph(paragraph);
    }
    wrapped
}

/// The longest word of a text in characters.
pub(crate) fn longest_word(text: &str) -> usize {
    text.split_ascii_whitespace()
        .map(str::len)
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wraps_at_spaces_and_breaks_long_words() {
        let text = wrap(["the  quick fox", "abcdefghijklmnop q"], 7).into_text();
        assert_eq!(text, "the\nquick\nfox\nabcdefg\nhijklmn\nop q");
    }

    #[test]
    fn a_word_as_long_as_the_line_fills_it() {
        assert_eq!(wrap(["abcd efgh ij"], 4).into_text(), "abcd\nefgh\nij");
    }

    #[test]
    fn flow_continues_a_line_until_it_is_broken() {
        let mut wrapped = Wrapped::new(10);
        wrapped.flow("one");
        wrapped.flow("two");
        wrapped.break_line();
        wrapped.flow("three");
        assert_eq!(wrapped.line_count(), 2);
        wrapped.truncate(1);
        wrapped.flow("x");
        assert_eq!(wrapped.into_text(), "one two\nx");
    }
}
