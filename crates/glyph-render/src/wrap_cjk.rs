//! Line breaking between any two characters, as reportlab does it for Chinese and Japanese.
//!
//! A character that may not start a line hangs in the margin. Inside Latin text the break moves
//! back to a space or to the last wide character, if one is in the second half of the line.

use std::collections::VecDeque;

use crate::measure::Measure;
use crate::text::{Fragment, Line, LineSource, Paragraph, TEXT_COLOR, is_space};

/// Amount by which a line may exceed its width because of rounding, in points.
const FUZZ_PT: f64 = 1e-6;

/// First of the characters that are treated as wide, whatever their width.
const FIRST_WIDE: char = '\u{3000}';

/// Characters that may not start a line: closing brackets, stops, small kana, units.
const CANNOT_START: &str = concat!(
    "!',.:;?!\")]\u{3001}\u{3002}\u{300D}\u{300F}\u{3011}\u{3015}\u{FF3D}\u{3011}\u{FF09}",
    "\u{3005}\u{2015}\u{3041}\u{3043}\u{3045}\u{3047}\u{3049}\u{3063}\u{3083}\u{3085}\u{3087}",
    "\u{308E}\u{30A1}\u{30A3}\u{30A5}\u{30A7}\u{30A9}\u{30C3}\u{30E3}\u{30E5}\u{30E7}\u{30EE}",
    "\u{30FC}\u{30F5}\u{30F6}",
    "\u{309B}\u{309C}\u{30FB}\u{30FD}\u{30FE}\u{309D}\u{309E}\u{2015}\u{2010}\u{B0}\u{2032}",
    "\u{2033}\u{2103}\u{FFE0}\u{FF05}\u{2030}",
);

fn cannot_start(character: char) -> bool {
    CANNOT_START.contains(character)
}

/// Unicode's space separators.
fn is_space_separator(character: char) -> bool {
    matches!(
        character,
        ' ' | '\u{A0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200A}' | '\u{202F}' | '\u{205F}' | '\u{3000}'
    )
}

/// One character, or a break without a character.
#[derive(Clone, Copy)]
struct Unit {
    character: Option<char>,
    width_pt: f64,
    fragment: u32,
}

/// A line as a range of units.
#[derive(Clone, Copy)]
struct CjkLine {
    start: usize,
    end: usize,
    extra_pt: f64,
    ends_in_break: bool,
    /// The spaces at the line's ends are dropped.
    is_stripped: bool,
}

/// A paragraph broken into lines at once: what is left after a page is broken again, because the
/// official renderer changes it between pages (see [`LineSource::split`] below).
pub(crate) struct CjkLines<'a> {
    measure: Measure<'a>,
    fragments: Vec<Fragment>,
    units: Vec<Unit>,
    lines: Vec<CjkLine>,
    /// The paragraph is one fragment, whose lines lose the spaces at their ends.
    is_single: bool,
}

impl<'a> CjkLines<'a> {
    pub(crate) fn new(paragraph: &Paragraph, measure: Measure<'a>) -> CjkLines<'a> {
        let mut lines = CjkLines {
            measure,
            fragments: paragraph.fragments.clone(),
            units: Vec::with_capacity(paragraph.text.len() / 2),
            lines: Vec::new(),
            is_single: false,
        };
        for (place, fragment) in paragraph.fragments.iter().enumerate() {
            lines.push_units(&paragraph.text[fragment.start..fragment.end], place);
        }
        lines.wrap();
        lines
    }

    fn push_units(&mut self, text: &str, fragment: usize) {
        let fragment = fragment as u32;
        if text.is_empty() {
            self.units.push(Unit {
                character: None,
                width_pt: 0.0,
                fragment,
            });
        }
        let measure = self.measure;
        self.units.extend(text.chars().map(|character| Unit {
            character: Some(character),
            width_pt: measure.char_pt(character),
            fragment,
        }));
    }

    fn is_break(&self, unit: &Unit) -> bool {
        self.fragments[unit.fragment as usize].is_break
    }

    /// Breaks all units into lines.
    fn wrap(&mut self) {
        self.lines.clear();
        self.is_single = self.fragments.len() == 1;
        let mut line_pt = self.measure.first_line_pt;
        let (mut at, mut start) = (0, 0);
        let mut used_pt = 0.0;
        while at < self.units.len() {
            let mut unit = self.units[at];
            at += 1;
            let mut width_pt = unit.width_pt;
            used_pt += width_pt;
            // A break alone in its paragraph is taken for an empty text.
            let ends_in_break = !self.is_single && self.is_break(&unit);
            let is_full = used_pt > line_pt + FUZZ_PT && used_pt > 0.0;
            if !ends_in_break && !is_full {
                continue;
            }
            let mut extra_pt = line_pt - used_pt;
            if !ends_in_break {
                if unit
                    .character
                    .is_some_and(|character| character < FIRST_WIDE)
                    && let Some(place) = self.break_inside_latin(start, at)
                {
                    let skipped = &self.units[place + 1..at];
                    extra_pt += skipped.iter().map(|unit| unit.width_pt).sum::<f64>();
                    unit = self.units[place];
                    width_pt = unit.width_pt;
                    at = place + 1;
                }
                if !unit.character.is_some_and(cannot_start) && at > start + 1 {
                    at -= 1;
                    extra_pt += width_pt;
                }
            }
            let is_stripped = self.is_single;
            self.lines.push(CjkLine {
                start,
                end: at,
                extra_pt,
                ends_in_break,
                is_stripped,
            });
            line_pt = self.measure.other_line_pt;
            start = at;
            used_pt = 0.0;
        }
        if used_pt > 0.0 {
            let extra_pt = line_pt - used_pt;
            let (ends_in_break, is_stripped) = (false, false);
            self.lines.push(CjkLine {
                start,
                end: at,
                extra_pt,
                ends_in_break,
                is_stripped,
            });
        }
    }

    /// First unit after a space or wide character, searched backwards from the unit that does not
    /// fit (`end - 1`) to the middle of the line.
    fn break_inside_latin(&self, start: usize, end: usize) -> Option<usize> {
        let middle = (start + end) >> 1;
        (middle + 1..end).rev().find_map(|place| {
            let character = self.units[place].character?;
            let is_split_point = is_space_separator(character) || character >= FIRST_WIDE;
            (is_split_point && place + 1 < end).then_some(place + 1)
        })
    }

    /// Units of a line that are drawn.
    fn drawn(&self, line: usize) -> &[Unit] {
        let CjkLine {
            start,
            end,
            is_stripped,
            ..
        } = self.lines[line];
        let units = &self.units[start..end];
        if !is_stripped {
            return units;
        }
        let is_kept = |unit: &Unit| {
            !unit
                .character
                .is_some_and(|character| is_space(character) || character == '\u{A0}')
        };
        match (
            units.iter().position(is_kept),
            units.iter().rposition(is_kept),
        ) {
            (Some(first), Some(last)) => &units[first..=last],
            _ => &[],
        }
    }

    fn line(&self, place: usize) -> Line {
        let CjkLine {
            extra_pt,
            ends_in_break,
            ..
        } = self.lines[place];
        let mut line = Line {
            extra_pt,
            ends_in_break,
            word_count: 1,
            is_last: place + 1 == self.lines.len(),
            ..Line::default()
        };
        let mut buffer = [0; 4];
        for unit in self.drawn(place) {
            if let Some(character) = unit.character {
                let color = self.fragments[unit.fragment as usize].color;
                line.push(character.encode_utf8(&mut buffer), color);
            }
        }
        line
    }

    /// Whether splitting the paragraph puts a space at the end of a line, which it does to every
    /// line but the last of each half, also where the line was only wrapped.
    fn is_padded_by_split(&self, line: usize) -> bool {
        let last = self.drawn(line).last();
        !self.is_single && last.is_some_and(|unit| unit.character != Some(' '))
    }

    /// The text after `count` lines as fragments, the way the official renderer passes it on.
    fn rest_after(&self, count: usize) -> Paragraph {
        let mut rest = Paragraph::default();
        for line in count..self.lines.len() {
            let mut previous = None;
            for unit in self.drawn(line) {
                let fragment = self.fragments[unit.fragment as usize];
                let start = rest.text.len();
                rest.text.extend(unit.character);
                let end = rest.text.len();
                let starts_new = match previous {
                    _ if self.is_single => rest.fragments.is_empty(),
                    None => true,
                    Some(previous) => !can_join(previous, fragment),
                };
                match rest.fragments.last_mut() {
                    Some(last) if !starts_new => last.end = end,
                    _ => rest.fragments.push(Fragment {
                        start,
                        end,
                        ..fragment
                    }),
                }
                previous = Some(fragment);
            }
            if line + 1 < self.lines.len()
                && self.is_padded_by_split(line)
                && let Some(last) = rest.fragments.last_mut()
            {
                rest.text.push(' ');
                last.end = rest.text.len();
            }
        }
        rest
    }
}

/// Whether two neighbouring fragments are drawn as one.
fn can_join(left: Fragment, right: Fragment) -> bool {
    left.color == right.color && !left.is_break && !right.is_break
}

impl LineSource for CjkLines<'_> {
    fn prepare(&mut self, _count: usize) -> usize {
        self.lines.len()
    }

    fn split(&mut self, count: usize) -> VecDeque<Line> {
        let mut taken: VecDeque<Line> = (0..count).map(|line| self.line(line)).collect();
        for (place, line) in taken.iter_mut().enumerate().take(count - 1) {
            if self.is_padded_by_split(place) {
                line.push(
                    " ",
                    line.colors.last().map_or(TEXT_COLOR, |(_, color)| *color),
                );
            }
        }
        if let Some(last) = taken.back_mut() {
            last.is_last = last.ends_in_break;
        }
        let measure = Measure {
            first_line_pt: self.measure.other_line_pt,
            ..self.measure
        };
        *self = CjkLines::new(&self.rest_after(count), measure);
        taken
    }

    fn take_all(&mut self) -> VecDeque<Line> {
        let lines = (0..self.lines.len()).map(|line| self.line(line)).collect();
        self.lines.clear();
        lines
    }
}
