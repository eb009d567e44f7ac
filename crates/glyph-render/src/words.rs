//! Cuts a paragraph into words, as reportlab does: at spaces, over the borders of fragments.

use std::ops::Range;

use crate::measure::Measure;
use crate::text::{NO_BREAK_SPACE, Paragraph};

/// A stretch of one colour within a word.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part {
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) color: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WordKind {
    Whole,
    /// Part of a word that was cut because it is longer than a line.
    Piece,
    /// A break of the text.
    Break,
    /// The break that follows the first piece of a cut word.
    CutBreak,
}

#[derive(Debug, Clone)]
pub(crate) struct Word {
    pub(crate) width_pt: f64,
    /// Range in the paragraph's list of parts.
    pub(crate) parts: Range<usize>,
    /// A space follows.
    pub(crate) spaced: bool,
    pub(crate) kind: WordKind,
}

/// The words of a paragraph and the parts that they refer to.
pub(crate) fn split_words(paragraph: &Paragraph, measure: Measure) -> (Vec<Word>, Vec<Part>) {
    let mut splitter = WordSplitter {
        measure,
        text: &paragraph.text,
        parts: Vec::new(),
        words: Vec::with_capacity(paragraph.text.len() / 6),
        open: None,
    };
    match &paragraph.fragments[..] {
        [only] => {
            let mut at = only.start;
            for word in paragraph.text[only.start..only.end].split(' ') {
                if !word.is_empty() {
                    splitter.append(at..at + word.len(), only.color);
                    splitter.close(true);
                }
                at += word.len() + 1;
            }
        }
        _ => splitter.split(paragraph),
    }
    let WordSplitter { parts, words, .. } = splitter;
    (words, parts)
}

/// Cuts fragments into words. A word may run over several fragments; an empty word stands where a
/// fragment starts with a space that nothing has announced yet.
struct WordSplitter<'a> {
    measure: Measure<'a>,
    text: &'a str,
    parts: Vec<Part>,
    words: Vec<Word>,
    /// Start of the open word's parts, and its width so far.
    open: Option<(usize, f64)>,
}

impl WordSplitter<'_> {
    fn split(&mut self, paragraph: &Paragraph) {
        let mut strip = true;
        for fragment in &paragraph.fragments {
            if fragment.is_break {
                self.close(false);
                self.push_break();
                strip = true;
                continue;
            }
            let text = &self.text[fragment.start..fragment.end];
            let mut start = fragment.start;
            if strip {
                let stripped = text.trim_start_matches(' ');
                if stripped.is_empty() {
                    continue;
                }
                start += text.len() - stripped.len();
                strip = false;
            }
            self.split_fragment(start..fragment.end, fragment.color);
        }
        self.close(false);
        if self.words.is_empty() && !paragraph.fragments.is_empty() {
            self.append(0..0, paragraph.fragments[0].color);
            self.close(false);
        }
    }

    fn split_fragment(&mut self, range: Range<usize>, color: u8) {
        let text = &self.text[range.clone()];
        let starts_spaced = text.starts_with(' ');
        let ends_spaced = text.ends_with(' ');
        // Splitting a text with no-break spaces keeps the empty strings at its ends.
        let keeps_empty = text.contains(NO_BREAK_SPACE);
        if starts_spaced {
            let is_announced = if self.open.is_some() {
                self.close(false);
                false
            } else {
                self.words.last().is_some_and(|word| word.spaced)
            };
            if !is_announced {
                self.append(range.start..range.start, color);
                self.close(true);
            }
        }
        let mut at = range.start;
        let mut words = text.split(' ').peekable();
        while let Some(word) = words.next() {
            let word_range = at..at + word.len();
            at += word.len() + 1;
            let is_final = words.peek().is_none();
            if !word.is_empty() || keeps_empty {
                self.append(word_range, color);
                if !is_final || ends_spaced {
                    self.close(true);
                }
            }
        }
    }

    fn append(&mut self, range: Range<usize>, color: u8) {
        let width_pt = self.measure.width_pt(&self.text[range.clone()]);
        let (first, open_pt) = self.open.unwrap_or((self.parts.len(), 0.0));
        let is_new = first == self.parts.len();
        match self.parts.last_mut() {
            // Neighbouring fragments of one colour are drawn as one.
            Some(last) if !is_new && last.color == color && last.end == range.start => {
                last.end = range.end;
            }
            _ => self.parts.push(Part {
                start: range.start,
                end: range.end,
                color,
            }),
        }
        self.open = Some((first, open_pt + width_pt));
    }

    fn close(&mut self, spaced: bool) {
        if let Some((first, width_pt)) = self.open.take() {
            let parts = first..self.parts.len();
            self.words.push(Word {
                width_pt,
                parts,
                spaced,
                kind: WordKind::Whole,
            });
        }
    }

    fn push_break(&mut self) {
        let parts = self.parts.len()..self.parts.len();
        self.words.push(Word {
            width_pt: 0.0,
            parts,
            spaced: false,
            kind: WordKind::Break,
        });
    }
}
