//! Line breaking at spaces, with the official layout's exact arithmetic.
//!
//! There are two variants, as in reportlab: one for a paragraph of a single fragment and one for
//! several fragments. Both fill lines greedily, let a line exceed its width by a twentieth of each
//! of its spaces, and cut words that are longer than a line.

use std::collections::VecDeque;

use crate::measure::Measure;
use crate::text::{Line, LineSource, Paragraph};
use crate::words::{Part, Word, WordKind, split_words};

/// Share of a space's width by which it may shrink so that one more word fits.
const SPACE_SHRINKAGE: f64 = 0.05;

/// Breaks a paragraph into lines, as many as are asked for.
pub(crate) struct LatinLines<'a> {
    measure: Measure<'a>,
    text: String,
    parts: Vec<Part>,
    words: Vec<Word>,
    next_word: usize,
    /// Pieces of a cut word, before `words[next_word]`.
    pieces: VecDeque<Word>,
    /// The word that ended the previous line by not fitting on it.
    carried: Option<Word>,
    is_single: bool,
    lines_made: usize,
    space_pt: f64,
    ready: VecDeque<Line>,
}

impl<'a> LatinLines<'a> {
    pub(crate) fn new(paragraph: Paragraph, measure: Measure<'a>) -> LatinLines<'a> {
        let is_single = paragraph.fragments.len() == 1;
        let (words, parts) = split_words(&paragraph, measure);
        LatinLines {
            measure,
            text: paragraph.text,
            parts,
            words,
            next_word: 0,
            pieces: VecDeque::new(),
            carried: None,
            is_single,
            lines_made: 0,
            space_pt: measure.char_pt(' '),
            ready: VecDeque::new(),
        }
    }

    fn pop(&mut self) -> Option<Word> {
        if let Some(piece) = self.pieces.pop_front() {
            return Some(piece);
        }
        let word = self.words.get(self.next_word)?.clone();
        self.next_word += 1;
        Some(word)
    }

    fn has_more(&self) -> bool {
        self.carried.is_some() || !self.pieces.is_empty() || self.next_word < self.words.len()
    }

    fn next_line(&mut self) -> Option<Line> {
        let mut line = if self.is_single {
            self.next_single()
        } else {
            self.next_mixed()
        }?;
        self.lines_made += 1;
        line.is_last = !self.has_more();
        Some(line)
    }

    /// The next line of a paragraph of one fragment.
    fn next_single(&mut self) -> Option<Line> {
        let line_pt = self.measure.line_pt(self.lines_made);
        let mut line = LineBuilder::default();
        // The space before a line's first word is taken off in advance.
        let mut width_pt = -self.space_pt;
        let mut word_count = 0_usize;
        if let Some(word) = self.carried.take() {
            width_pt = word.width_pt;
            line.add(&word, &self.parts, &self.text, false);
            word_count = 1;
        }
        let mut cut = false;
        while let Some(word) = self.pop() {
            let is_empty_piece = word.kind == WordKind::Piece && word.parts.is_empty();
            let ends_line = cut || is_empty_piece;
            let new_width_pt = width_pt + self.space_pt + word.width_pt;
            let limit_pt = line_pt + SPACE_SHRINKAGE * self.space_pt * word_count as f64;
            let is_long = word.width_pt > line_pt;
            if new_width_pt > limit_pt && !ends_line && word.kind == WordKind::Whole && is_long {
                self.cut(&word, width_pt + self.space_pt, line_pt);
                cut = true;
                continue;
            }
            if new_width_pt <= limit_pt || word_count == 0 || ends_line {
                if !is_empty_piece {
                    line.add(&word, &self.parts, &self.text, word_count > 0);
                    word_count += 1;
                }
                width_pt = new_width_pt;
                if ends_line {
                    return Some(line.finish(line_pt - width_pt, word_count));
                }
            } else {
                self.carried = Some(word);
                return Some(line.finish(line_pt - width_pt, word_count));
            }
        }
        (word_count > 0).then(|| line.finish(line_pt - width_pt, word_count))
    }

    /// The next line of a paragraph of several fragments.
    fn next_mixed(&mut self) -> Option<Line> {
        let line_pt = self.measure.line_pt(self.lines_made);
        let mut line = LineBuilder::default();
        let mut width_pt = 0.0;
        let mut pending_space_pt = 0.0;
        let mut word_count = 0_usize;
        if let Some(word) = self.carried.take() {
            width_pt = word.width_pt;
            pending_space_pt = if word.spaced { self.space_pt } else { 0.0 };
            line.add(&word, &self.parts, &self.text, false);
            word_count = 1;
        }
        while let Some(word) = self.pop() {
            let is_break = matches!(word.kind, WordKind::Break | WordKind::CutBreak);
            let new_width_pt = if word.width_pt > 0.0 {
                width_pt + pending_space_pt + word.width_pt
            } else {
                width_pt
            };
            let spaces_pt = pending_space_pt + line.spaces as f64 * self.space_pt;
            let limit_pt = line_pt + spaces_pt * SPACE_SHRINKAGE;
            let is_long = word.width_pt > line_pt;
            if new_width_pt > limit_pt && word.kind == WordKind::Whole && is_long {
                self.cut(&word, 0.0, line_pt - pending_space_pt - width_pt);
                continue;
            }
            if is_break {
                let mut line = line.finish(line_pt - width_pt, word_count);
                line.ends_in_break = word.kind == WordKind::Break;
                return Some(line);
            }
            if new_width_pt > limit_pt && word_count > 0 {
                let mut line = line.finish(line_pt - width_pt, word_count);
                line.ends_in_cut = word.kind == WordKind::Piece;
                self.carried = Some(word);
                return Some(line);
            }
            if word
                .parts
                .clone()
                .any(|part| self.parts[part].start < self.parts[part].end)
            {
                word_count += 1;
            }
            line.add(&word, &self.parts, &self.text, pending_space_pt > 0.0);
            pending_space_pt = if word.spaced { self.space_pt } else { 0.0 };
            width_pt = new_width_pt;
        }
        line.started
            .then(|| line.finish(line_pt - width_pt, word_count))
    }

    /// Cuts a word that is longer than a line into pieces. The first piece is measured from
    /// `used_pt` up to `line_pt`, each other one against a whole line.
    fn cut(&mut self, word: &Word, mut used_pt: f64, mut line_pt: f64) {
        let mut line = self.lines_made;
        let mut pieces = Vec::new();
        let mut piece = PieceStart {
            part: self.parts.len(),
            width_pt: 0.0,
        };
        for part in word.parts.clone() {
            let Part { start, end, color } = self.parts[part];
            let mut piece_start = start;
            for (offset, character) in self.text[start..end].char_indices() {
                let at = start + offset;
                let char_pt = self.measure.char_pt(character);
                let mut new_used_pt = used_pt + char_pt;
                let next_line_pt = self.measure.line_pt(line + 1);
                let is_empty = if self.is_single {
                    piece.part == self.parts.len() && piece_start == at
                } else {
                    piece.width_pt == 0.0
                };
                if new_used_pt > line_pt && (!is_empty || char_pt <= next_line_pt) {
                    // The piece before a word's first character is empty; in a paragraph of several
                    // fragments it still draws the space before it.
                    if piece_start < at || (is_empty && !self.is_single) {
                        self.parts.push(Part {
                            start: piece_start,
                            end: at,
                            color,
                        });
                    }
                    pieces.push(self.piece(piece, false));
                    piece = PieceStart {
                        part: self.parts.len(),
                        width_pt: 0.0,
                    };
                    piece_start = at;
                    line += 1;
                    line_pt = next_line_pt;
                    new_used_pt = char_pt;
                }
                piece.width_pt += char_pt;
                used_pt = new_used_pt;
            }
            self.parts.push(Part {
                start: piece_start,
                end,
                color,
            });
        }
        pieces.push(self.piece(piece, word.spaced));
        if !self.is_single {
            let parts = self.parts.len()..self.parts.len();
            let kind = WordKind::CutBreak;
            pieces.insert(
                1,
                Word {
                    width_pt: 0.0,
                    parts,
                    spaced: false,
                    kind,
                },
            );
        }
        for piece in pieces.into_iter().rev() {
            self.pieces.push_front(piece);
        }
    }

    /// The piece whose parts reach to the end of the list.
    fn piece(&self, piece: PieceStart, spaced: bool) -> Word {
        let parts = piece.part..self.parts.len();
        let width_pt = match &self.parts[parts.clone()] {
            // Measured anew as a whole, which can differ in the last bit from the sum.
            [part] if self.is_single => self.measure.width_pt(&self.text[part.start..part.end]),
            _ => piece.width_pt,
        };
        Word {
            width_pt,
            parts,
            spaced,
            kind: WordKind::Piece,
        }
    }
}

/// Where a piece of a cut word starts in the list of parts, and its width so far.
#[derive(Clone, Copy)]
struct PieceStart {
    part: usize,
    width_pt: f64,
}

impl LineSource for LatinLines<'_> {
    fn prepare(&mut self, count: usize) -> usize {
        while self.ready.len() < count {
            let Some(line) = self.next_line() else { break };
            self.ready.push_back(line);
        }
        self.ready.len()
    }

    fn split(&mut self, count: usize) -> VecDeque<Line> {
        let rest = self.ready.split_off(count);
        let mut taken = std::mem::replace(&mut self.ready, rest);
        // The official renderer re-breaks both halves. The break that ended the last line goes to
        // the second half, where it makes an empty line; the first half loses a line that held
        // nothing else.
        if let Some(last) = taken.back_mut() {
            if last.ends_in_break {
                last.is_last = true;
                last.ends_in_break = false;
                if last.colors.is_empty() {
                    taken.pop_back();
                }
                self.ready.push_front(Line {
                    extra_pt: self.measure.other_line_pt,
                    ends_in_break: true,
                    ..Line::default()
                });
            } else {
                last.is_last = false;
                // What the first half holds of the word is no longer than its line there, and is not cut again: nothing is
                // left of it on the line before, where its empty first piece had drawn a space.
                if last.ends_in_cut
                    && let Some(before) = taken.iter_mut().nth_back(1)
                {
                    before.pop_space();
                }
            }
        }
        taken
    }

    fn take_all(&mut self) -> VecDeque<Line> {
        std::mem::take(&mut self.ready)
    }
}

/// Puts words on a line and spaces between them.
#[derive(Default)]
struct LineBuilder {
    line: Line,
    /// Start of the last run that the official layout keeps apart.
    run_start: usize,
    run_color: u8,
    started: bool,
    /// Ordinary spaces on the line.
    spaces: usize,
}

impl LineBuilder {
    fn add(&mut self, word: &Word, parts: &[Part], text: &str, space_before: bool) {
        for (place, part) in parts[word.parts.clone()].iter().enumerate() {
            let content = &text[part.start..part.end];
            if place == 0 && self.started && space_before {
                let run_ends_in_space = self.line.text[self.run_start..].ends_with(' ');
                if !run_ends_in_space {
                    self.line.push(" ", self.run_color);
                    self.spaces += 1;
                }
            }
            if !self.started || place > 0 || part.color != self.run_color {
                self.run_start = self.line.text.len();
                self.run_color = part.color;
                self.started = true;
            }
            self.line.push(content, part.color);
        }
    }

    fn finish(self, extra_pt: f64, word_count: usize) -> Line {
        Line {
            extra_pt,
            word_count,
            ..self.line
        }
    }
}
