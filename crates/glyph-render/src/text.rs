//! From source text to paragraphs of fragments, as the official renderer's markup parser sees them.
//!
//! The official steps escape the text, replace runs of spaces by no-break entities, join 30 lines
//! with the newline markup and hand the result to a paragraph parser. That parser collapses
//! whitespace and makes one fragment of every run between tags and entities. Which fragments there
//! are decides later how lines break, so they are reproduced here one for one.

use std::collections::VecDeque;

use crate::markup::{MarkupPiece, NewlineMarkup};

/// Source lines that the official renderer joins into one paragraph.
const LINES_PER_PARAGRAPH: usize = 30;

/// What the official renderer puts for every space of a run of two or more.
pub(crate) const NO_BREAK_SPACE: char = '\u{A0}';

/// Colour number of the style's own text colour; markers count from 1.
pub(crate) const TEXT_COLOR: u8 = 0;

/// A run of text in one colour, or a line break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fragment {
    /// Byte range in [`Paragraph::text`]; empty for a break.
    pub(crate) start: usize,
    pub(crate) end: usize,
    pub(crate) color: u8,
    pub(crate) is_break: bool,
}

/// Up to 30 source lines, cleaned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Paragraph {
    pub(crate) text: String,
    pub(crate) fragments: Vec<Fragment>,
}

/// Whether the official renderer's whitespace splitting takes `character` as whitespace.
/// U+00A0 is none: it is what keeps runs of spaces.
pub(crate) fn is_space(character: char) -> bool {
    matches!(
        character,
        '\u{09}'..='\u{0D}' | '\u{1C}'..='\u{20}' | '\u{85}' | '\u{1680}' | '\u{2000}'..='\u{200A}'
        | '\u{2028}' | '\u{2029}' | '\u{202F}' | '\u{205F}' | '\u{3000}'
    )
}

/// Whether the text holds a Chinese character, which makes the official renderer wrap all of it
/// by characters.
pub(crate) fn holds_cjk(text: &str) -> bool {
    // U+4E00 to U+9FFF start with E4 to E9 in UTF-8; other bytes need no decoding.
    text.bytes().enumerate().any(|(place, byte)| {
        (0xE4..=0xE9).contains(&byte)
            && text[place..]
                .chars()
                .next()
                .is_some_and(|character| ('\u{4E00}'..='\u{9FFF}').contains(&character))
    })
}

/// The paragraphs of a text, one after the other.
pub(crate) struct Paragraphs<'a> {
    /// Lines not yet read; `None` after the last.
    rest: Option<&'a str>,
    markup: &'a NewlineMarkup,
    /// Characters of the lines read so far, newlines included.
    pub(crate) characters_read: u64,
}

impl<'a> Paragraphs<'a> {
    pub(crate) fn new(text: &'a str, markup: &'a NewlineMarkup) -> Paragraphs<'a> {
        Paragraphs {
            rest: Some(text),
            markup,
            characters_read: 0,
        }
    }
}

impl Iterator for Paragraphs<'_> {
    type Item = Paragraph;

    fn next(&mut self) -> Option<Paragraph> {
        self.rest?;
        let mut cleaner = Cleaner::default();
        for line_in_paragraph in 0..LINES_PER_PARAGRAPH {
            let Some(rest) = self.rest else { break };
            if line_in_paragraph > 0 {
                cleaner.markup(self.markup);
            }
            let line = match rest.split_once('\n') {
                Some((line, after)) => {
                    self.rest = Some(after);
                    self.characters_read += 1;
                    line
                }
                None => {
                    self.rest = None;
                    rest
                }
            };
            self.characters_read += line.chars().count() as u64;
            cleaner.line(line);
        }
        Some(cleaner.finish())
    }
}

/// Collapses whitespace and cuts fragments while text is written to it.
#[derive(Default)]
struct Cleaner {
    paragraph: Paragraph,
    /// Whitespace was read and is written as one space when something follows it.
    pending_space: bool,
    /// Something was written: whitespace before it is dropped.
    started: bool,
    /// Start of the fragment being written, if one is open.
    open: Option<usize>,
    color: u8,
}

impl Cleaner {
    /// Writes a source line.
    fn line(&mut self, line: &str) {
        if !line.is_ascii() && line.contains(is_dropped) {
            let kept: String = line
                .chars()
                .filter(|character| !is_dropped(*character))
                .collect();
            return self.kept_line(&kept);
        }
        self.kept_line(line);
    }

    /// Writes a source line without characters that are removed.
    fn kept_line(&mut self, line: &str) {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let length = |is_same: fn(u8) -> bool| {
                rest.bytes()
                    .position(|byte| !is_same(byte))
                    .unwrap_or(rest.len())
            };
            let end = match first {
                ' ' => {
                    let run = length(|byte| byte == b' ');
                    if run == 1 {
                        self.pending_space |= self.started;
                    } else {
                        (0..run).for_each(|_| self.entity(NO_BREAK_SPACE));
                    }
                    run
                }
                '&' | '<' | '>' => {
                    self.entity(first);
                    1
                }
                '!'..='~' => {
                    let word = length(is_plain);
                    self.word(&rest[..word]);
                    word
                }
                _ => {
                    self.character(first);
                    first.len_utf8()
                }
            };
            rest = &rest[end..];
        }
    }

    /// Writes the newline markup.
    fn markup(&mut self, markup: &NewlineMarkup) {
        let mut marker = TEXT_COLOR;
        for piece in markup.pieces() {
            match piece {
                MarkupPiece::Break => {
                    self.close();
                    let at = self.paragraph.text.len();
                    let color = TEXT_COLOR;
                    let fragment = Fragment {
                        start: at,
                        end: at,
                        color,
                        is_break: true,
                    };
                    self.paragraph.fragments.push(fragment);
                    self.started = true;
                }
                MarkupPiece::Text { text, color: None } => {
                    text.chars().for_each(|character| self.character(character));
                }
                MarkupPiece::Text {
                    text,
                    color: Some(_),
                } => {
                    marker += 1;
                    self.close();
                    self.started = true;
                    self.color = marker;
                    text.chars().for_each(|character| self.character(character));
                    self.close();
                    self.color = TEXT_COLOR;
                }
            }
        }
    }

    fn character(&mut self, character: char) {
        if is_space(character) {
            self.pending_space |= self.started;
        } else {
            self.word(character.encode_utf8(&mut [0; 4]));
        }
    }

    /// Writes text without whitespace and markup.
    fn word(&mut self, word: &str) {
        self.flush_space();
        self.open.get_or_insert(self.paragraph.text.len());
        self.paragraph.text.push_str(word);
        self.started = true;
    }

    /// Writes a character that the official renderer passes as an entity: a fragment of its own.
    fn entity(&mut self, character: char) {
        self.close();
        self.open = Some(self.paragraph.text.len());
        self.paragraph.text.push(character);
        self.started = true;
        self.close();
    }

    fn flush_space(&mut self) {
        if self.pending_space {
            self.pending_space = false;
            self.open.get_or_insert(self.paragraph.text.len());
            self.paragraph.text.push(' ');
        }
    }

    /// Ends the open fragment, with the whitespace before the tag or entity that ends it.
    fn close(&mut self) {
        self.flush_space();
        if let Some(start) = self.open.take() {
            let (end, color) = (self.paragraph.text.len(), self.color);
            self.paragraph.fragments.push(Fragment {
                start,
                end,
                color,
                is_break: false,
            });
        }
    }

    fn finish(mut self) -> Paragraph {
        self.pending_space = false;
        self.close();
        self.paragraph
    }
}

/// Whether a byte is a visible ASCII character that is not markup.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'&' | b'<' | b'>')
}

/// Characters that the official renderer removes first: soft hyphen and zero-width space.
fn is_dropped(character: char) -> bool {
    matches!(character, '\u{AD}' | '\u{200B}')
}

/// One laid-out line before it has a place on a page.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Line {
    /// The characters as drawn.
    pub(crate) text: String,
    /// End of each run of one colour in `text`, and the colour.
    pub(crate) colors: Vec<(usize, u8)>,
    /// Unused width in points; negative where spaces must shrink.
    pub(crate) extra_pt: f64,
    /// Words as the justification counts them.
    pub(crate) word_count: usize,
    /// A break of the text ends the line, so it is not justified.
    pub(crate) ends_in_break: bool,
    /// The line is the last of its paragraph, so it is not justified.
    pub(crate) is_last: bool,
    /// The next line goes on with the word that this one ends with a piece of.
    pub(crate) ends_in_cut: bool,
}

impl Line {
    /// Appends text in a colour.
    #[inline]
    pub(crate) fn push(&mut self, text: &str, color: u8) {
        self.text.push_str(text);
        match self.colors.last_mut() {
            Some((end, last)) if *last == color => *end = self.text.len(),
            _ => self.colors.push((self.text.len(), color)),
        }
    }

    /// Takes off the space that ends the line, if one does.
    pub(crate) fn pop_space(&mut self) {
        let Some(text) = self.text.strip_suffix(' ') else {
            return;
        };
        let len = text.len();
        self.text.truncate(len);
        let before_last = self.colors.iter().nth_back(1).map_or(0, |(end, _)| *end);
        if before_last == len {
            self.colors.pop();
        } else if let Some((end, _)) = self.colors.last_mut() {
            *end = len;
        }
    }
}

/// Lines of a paragraph that remain to be placed.
pub(crate) trait LineSource {
    /// Makes at least `count` lines ready if the paragraph has them, and says how many are.
    fn prepare(&mut self, count: usize) -> usize;

    /// Takes the first `count` prepared lines off for this page and leaves the paragraph as the
    /// official renderer continues it on the next one.
    fn split(&mut self, count: usize) -> VecDeque<Line>;

    /// Takes all prepared lines; called when the whole paragraph fits.
    fn take_all(&mut self) -> VecDeque<Line>;
}
