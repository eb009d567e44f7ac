//! Places lines on pages the way the official renderer's page frame does.

use std::collections::{BTreeMap, VecDeque};

use crate::measure::{Measure, pdf_number};
use crate::metrics::FaceSet;
use crate::style::{Alignment, FRAME_PADDING_PT, RenderStyle};
use crate::text::{Line, LineSource, NO_BREAK_SPACE, Paragraphs};
use crate::wrap_cjk::CjkLines;
use crate::wrap_latin::LatinLines;

/// Amount by which a paragraph may be too tall because of rounding, in points.
const FUZZ_PT: f64 = 1e-6;

/// Unused width below which spaces are neither stretched nor shrunk, in points.
const EXTRA_FUZZ_PT: f64 = 1e-8;

/// A line of text with its place. Lengths are points; y runs upwards from the page's bottom.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PlacedLine {
    pub(crate) text: String,
    /// End of each run of one colour in `text`, and the colour.
    pub(crate) colors: Vec<(usize, u8)>,
    /// Corner of the paragraph. Kept apart from the line's own place because the official
    /// renderer adds the two after scaling to pixels, which decides roundings.
    pub(crate) origin_pt: (f64, f64),
    /// Start of the baseline from `origin_pt`.
    pub(crate) start_pt: (f64, f64),
    /// Extra width of every space.
    pub(crate) word_space_pt: f64,
}

/// The background and border of a paragraph, in points from the page's bottom left.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ParagraphBox {
    pub(crate) left_pt: f64,
    pub(crate) bottom_pt: f64,
    pub(crate) width_pt: f64,
    pub(crate) height_pt: f64,
}

/// What is drawn on a page, in order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum PageItem {
    Box(ParagraphBox),
    Line(PlacedLine),
}

/// One page before it is drawn.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct PageLayout {
    /// Number of the page, from 0.
    pub(crate) index: usize,
    pub(crate) is_last: bool,
    pub(crate) items: Vec<PageItem>,
}

/// A paragraph that is being placed.
struct Flowing<'a> {
    lines: Box<dyn LineSource + Send + 'a>,
    /// A part of it stands on an earlier page, so its first line has no indent.
    is_continued: bool,
}

/// Lays out a text page by page; holds one paragraph at a time.
pub(crate) struct PageFlow<'a> {
    style: &'a RenderStyle,
    measure: Measure<'a>,
    wraps_anywhere: bool,
    paragraphs: Paragraphs<'a>,
    current: Option<Flowing<'a>>,
    next_index: usize,
    is_done: bool,
    /// Characters drawn so far that no font covers.
    pub(crate) missing: BTreeMap<char, u64>,
    /// Characters drawn so far in another face than the style's, by face.
    pub(crate) borrowed: Vec<u64>,
}

/// The state of the page that is being filled.
struct Frame {
    y_pt: f64,
    is_at_top: bool,
    space_above_pt: f64,
    items: Vec<PageItem>,
}

impl<'a> PageFlow<'a> {
    pub(crate) fn new(text: &'a str, style: &'a RenderStyle, faces: &'a FaceSet) -> PageFlow<'a> {
        let frame_pt = style.frame_width_pt();
        let indent_pt = style.left_indent_pt + style.first_line_indent_pt;
        let measure = Measure {
            faces,
            pt_per_milli_em: 0.001 * style.font_size_pt,
            first_line_pt: frame_pt - indent_pt - style.right_indent_pt,
            other_line_pt: frame_pt - style.left_indent_pt - style.right_indent_pt,
        };
        let mut flow = PageFlow {
            style,
            measure,
            wraps_anywhere: crate::text::holds_cjk(text),
            paragraphs: Paragraphs::new(text, &style.newline_markup),
            current: None,
            next_index: 0,
            is_done: false,
            missing: BTreeMap::new(),
            borrowed: vec![0; faces.faces.len()],
        };
        flow.current = flow.next_paragraph();
        flow
    }

    /// Characters of the source text that the pages so far were made from.
    pub(crate) fn characters_read(&self) -> u64 {
        self.paragraphs.characters_read
    }

    fn next_paragraph(&mut self) -> Option<Flowing<'a>> {
        let paragraph = self.paragraphs.next()?;
        let lines: Box<dyn LineSource + Send + 'a> = if self.wraps_anywhere {
            Box::new(CjkLines::new(&paragraph, self.measure))
        } else {
            Box::new(LatinLines::new(paragraph, self.measure))
        };
        Some(Flowing {
            lines,
            is_continued: false,
        })
    }

    /// Puts the current paragraph, or as much of it as fits, on the page. Returns whether the page
    /// takes more.
    fn place_current(&mut self, frame: &mut Frame) -> bool {
        let Some(mut paragraph) = self.current.take() else {
            return false;
        };
        let style = self.style;
        let leading_pt = style.line_height_pt;
        let space_pt = if frame.is_at_top {
            0.0
        } else {
            (style.space_before_pt - frame.space_above_pt).max(0.0)
        };
        let bottom_pt = style.frame_bottom_pt();
        let room_pt = frame.y_pt - bottom_pt - space_pt;
        if room_pt <= 0.0 {
            self.current = Some(paragraph);
            return false;
        }
        let fitting = (room_pt / leading_pt) as usize;
        // One line more than fits shows that the paragraph has to be split; a second one takes
        // care of rounding at the page's end.
        let count = paragraph.lines.prepare(fitting.saturating_add(2));
        let rest_pt = frame.y_pt - (count as f64 * leading_pt + space_pt);
        if rest_pt >= bottom_pt - FUZZ_PT || count <= fitting {
            let lines = paragraph.lines.take_all();
            self.place(lines, space_pt, paragraph.is_continued, frame);
            self.current = self.next_paragraph();
            return true;
        }
        // A single line is never left at the bottom of a page.
        if fitting <= 1 {
            self.current = Some(paragraph);
            return false;
        }
        let lines = paragraph.lines.split(fitting);
        self.place(lines, space_pt, paragraph.is_continued, frame);
        self.current = Some(Flowing {
            lines: paragraph.lines,
            is_continued: true,
        });
        true
    }

    fn place(
        &mut self,
        lines: VecDeque<Line>,
        space_pt: f64,
        is_continued: bool,
        frame: &mut Frame,
    ) {
        let style = self.style;
        let height_pt = lines.len() as f64 * style.line_height_pt;
        let y_pt = frame.y_pt - (height_pt + space_pt);
        let origin_pt = (
            pdf_number(style.margin_x_pt + FRAME_PADDING_PT),
            pdf_number(y_pt),
        );
        if let Some(paragraph_box) = self.paragraph_box(origin_pt, height_pt) {
            frame.items.push(PageItem::Box(paragraph_box));
        }
        let leading_pt = pdf_number(style.line_height_pt);
        let first_baseline_pt = pdf_number(height_pt - style.font_size_pt);
        let left_pt = pdf_number(style.left_indent_pt);
        let mut down_pt = 0.0;
        let mut shift = LineShift::default();
        for (place, line) in lines.into_iter().enumerate() {
            let indent_pt = if place == 0 && !is_continued {
                style.first_line_indent_pt
            } else {
                0.0
            };
            self.count_glyphs(&line.text);
            let (offset_pt, word_space_pt) = align(&line, style.alignment);
            frame.items.push(PageItem::Line(PlacedLine {
                text: line.text,
                colors: line.colors,
                origin_pt,
                start_pt: (
                    shift.move_to(indent_pt + offset_pt, word_space_pt != 0.0) + left_pt,
                    down_pt + first_baseline_pt,
                ),
                word_space_pt: pdf_number(word_space_pt),
            }));
            down_pt -= leading_pt;
        }
        let next_y_pt = y_pt - style.space_after_pt;
        frame.space_above_pt = style.space_after_pt;
        frame.is_at_top &= next_y_pt == frame.y_pt;
        frame.y_pt = next_y_pt;
    }

    /// The paragraph's background, unless it cannot be seen.
    fn paragraph_box(&self, origin_pt: (f64, f64), height_pt: f64) -> Option<ParagraphBox> {
        let style = self.style;
        let padding_pt = style.border_padding_pt;
        let is_plain = style.para_bg_color == style.page_bg_color
            && style.border_width_pt == 0.0
            && padding_pt == 0.0;
        if is_plain {
            return None;
        }
        let inner_pt = style.frame_width_pt() - (style.left_indent_pt + style.right_indent_pt);
        Some(ParagraphBox {
            left_pt: origin_pt.0 + style.left_indent_pt - padding_pt,
            bottom_pt: origin_pt.1 - padding_pt,
            width_pt: inner_pt + 2.0 * padding_pt,
            height_pt: height_pt + 2.0 * padding_pt,
        })
    }

    fn count_glyphs(&mut self, text: &str) {
        for character in text.chars() {
            let info = self.measure.faces.info(character);
            if !info.covered {
                *self.missing.entry(character).or_insert(0) += 1;
            } else if info.face != 0 {
                self.borrowed[usize::from(info.face)] += 1;
            }
        }
    }
}

impl Iterator for PageFlow<'_> {
    type Item = PageLayout;

    fn next(&mut self) -> Option<PageLayout> {
        if self.is_done {
            return None;
        }
        let mut frame = Frame {
            y_pt: self.style.frame_top_pt(),
            is_at_top: true,
            space_above_pt: 0.0,
            items: Vec::new(),
        };
        while self.place_current(&mut frame) {}
        self.is_done = self.current.is_none();
        let index = self.next_index;
        self.next_index += 1;
        Some(PageLayout {
            index,
            is_last: self.is_done,
            items: frame.items,
        })
    }
}

/// Moves from line to line as the official page description writes them: every move is a rounded
/// difference from the last, so the roundings add up over a paragraph.
#[derive(Default)]
struct LineShift {
    x_pt: f64,
    /// The way back to the paragraph's left edge, which the next move is joined with.
    back_pt: f64,
}

impl LineShift {
    /// Moves to `offset_pt` from the left edge and gives the sum of all moves.
    fn move_to(&mut self, offset_pt: f64, sets_word_space: bool) -> f64 {
        let is_moved = offset_pt.abs() > 1e-6;
        if is_moved && !sets_word_space {
            self.x_pt += pdf_number(offset_pt + self.back_pt);
        } else {
            // A change of word spacing in between keeps the two moves apart.
            self.x_pt += self.back_pt;
            self.x_pt += if is_moved { pdf_number(offset_pt) } else { 0.0 };
        }
        self.back_pt = if is_moved {
            -pdf_number(offset_pt)
        } else {
            0.0
        };
        self.x_pt
    }
}

/// Distance of a line from its left edge and the extra width of each of its spaces.
fn align(line: &Line, alignment: Alignment) -> (f64, f64) {
    let extra_pt = line.extra_pt;
    let mut keeps_spaces = match alignment {
        Alignment::Justify => {
            line.ends_in_break
                || (extra_pt > -EXTRA_FUZZ_PT && extra_pt <= EXTRA_FUZZ_PT)
                || (line.is_last && extra_pt > -EXTRA_FUZZ_PT)
        }
        _ => extra_pt > -EXTRA_FUZZ_PT,
    };
    let mut spaces = 0_i64;
    if !keeps_spaces {
        let no_break = line.text.chars().filter(|c| *c == NO_BREAK_SPACE).count();
        spaces = (line.word_count + no_break) as i64 - 1;
        keeps_spaces = spaces <= 0;
    }
    if !keeps_spaces {
        return (0.0, extra_pt / spaces as f64);
    }
    let offset_pt = match alignment {
        Alignment::Left | Alignment::Justify => 0.0,
        Alignment::Center => 0.5 * extra_pt,
        Alignment::Right => extra_pt,
    };
    (offset_pt, 0.0)
}
