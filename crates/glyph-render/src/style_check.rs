//! Which values a style may have: each alone, and all together.

use crate::style::{FRAME_PADDING_PT, RenderStyle, Rgb, StyleError};

/// Longest length, the largest page that a page description may have.
const MAX_PT: f64 = 14400.0;
/// Smallest font size and line height. It bounds what a page can hold.
const MIN_TYPE_PT: f64 = 0.1;
/// Most pixels of a page. Clients of the official model shrink larger images before sending them.
const MAX_PAGE_PIXELS: f64 = 36_000_000.0;
/// Largest font size in pixels: a glyph's image takes its square.
const MAX_FONT_PX: f64 = 1024.0;

const SIDE: &str = "two numbers above 0 and at most 14400 (points)";
const TYPE: &str = "a number from 0.1 to 14400 (points)";
const LINE_HEIGHT: &str = "a number from 0.1 (or 0, which is font-size and 1) to 14400 (points)";
const NOT_NEGATIVE: &str = "a number from 0 to 14400 (points)";
const MARGIN: &str = "a number from -6 (which cancels the frame padding) to 14400 (points)";
const INDENT: &str = "a number from -14400 to 14400 (points)";

/// Values of a style that are valid alone and impossible together. All lengths are points.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum StyleConflict {
    /// A line has no width.
    #[error(
        "page-size {page_width_pt},{page_height_pt} with margin-x {margin_x_pt}, left-indent \
         {left_indent_pt}, right-indent {right_indent_pt} and first-line-indent \
         {first_line_indent_pt} leaves lines of {line_pt:.2} points; widen the page or lower margin \
         and indents"
    )]
    NoWidth {
        /// `page-size`, its first number.
        page_width_pt: f64,
        /// `page-size`, its second number.
        page_height_pt: f64,
        /// `margin-x`.
        margin_x_pt: f64,
        /// `left-indent`.
        left_indent_pt: f64,
        /// `right-indent`.
        right_indent_pt: f64,
        /// `first-line-indent`.
        first_line_indent_pt: f64,
        /// Width of the narrowest line.
        line_pt: f64,
    },
    /// A page does not hold two lines.
    #[error(
        "page-size {page_width_pt},{page_height_pt} with margin-y {margin_y_pt} leaves \
         {height_pt:.2} points for lines of line-height {line_height_pt}, and a page must hold two; \
         raise the page or lower margin-y or line-height"
    )]
    NoHeight {
        /// `page-size`, its first number.
        page_width_pt: f64,
        /// `page-size`, its second number.
        page_height_pt: f64,
        /// `margin-y`.
        margin_y_pt: f64,
        /// Height that lines may fill.
        height_pt: f64,
        /// `line-height`.
        line_height_pt: f64,
    },
    /// Text and what it stands on have one colour.
    #[error(
        "font-color {color} is para-bg-color as well, so no text would be seen; set para-bg-color (#FFFFFF where a \
         style does not give it) or font-color to another colour"
    )]
    NoContrast {
        /// `font-color` and `para-bg-color`.
        color: Rgb,
    },
    /// A page has more pixels than memory should hold.
    #[error(
        "page-size {page_width_pt},{page_height_pt} with dpi {dpi} and horizontal-scale \
         {horizontal_scale} makes pages of {width_px:.0}×{height_px} pixels, and the limit is {} in \
         all; lower page-size or dpi",
        MAX_PAGE_PIXELS
    )]
    LargePages {
        /// `page-size`, its first number.
        page_width_pt: f64,
        /// `page-size`, its second number.
        page_height_pt: f64,
        /// `dpi`.
        dpi: f64,
        /// `horizontal-scale`.
        horizontal_scale: f64,
        /// Width of a page in pixels.
        width_px: f64,
        /// Height of a page in pixels.
        height_px: u32,
    },
    /// A letter has more pixels than memory should hold.
    #[error(
        "font-size {font_size_pt} with dpi {dpi} makes letters of {font_px:.0} pixels, and the limit \
         is {}; lower font-size or dpi",
        MAX_FONT_PX
    )]
    LargeLetters {
        /// `font-size`.
        font_size_pt: f64,
        /// `dpi`.
        dpi: f64,
        /// Height of a letter in pixels.
        font_px: f64,
    },
}

impl RenderStyle {
    /// Checks every value, alone and together.
    ///
    /// # Errors
    ///
    /// [`StyleError::BadValue`] for a value that is not a number or outside its range,
    /// [`StyleError::Impossible`] for values that leave no room for text or give it the colour of what it stands on,
    /// make pages of more than 36 million pixels or letters of more than 1024.
    pub fn validate(&self) -> Result<(), StyleError> {
        let sides = [self.page_width_pt, self.page_height_pt];
        for side_pt in sides {
            check(
                "page-size",
                side_pt,
                side_pt > 0.0 && side_pt <= MAX_PT,
                SIDE,
            )?;
        }
        let dpi = (1.0..=2400.0).contains(&self.dpi);
        check("dpi", self.dpi, dpi, "a number from 1 to 2400")?;
        for (key, margin_pt) in [
            ("margin-x", self.margin_x_pt),
            ("margin-y", self.margin_y_pt),
        ] {
            let is_valid = (-FRAME_PADDING_PT..=MAX_PT).contains(&margin_pt);
            check(key, margin_pt, is_valid, MARGIN)?;
        }
        let types = [
            ("font-size", self.font_size_pt, TYPE),
            ("line-height", self.line_height_pt, LINE_HEIGHT),
        ];
        for (key, size_pt, allowed) in types {
            let is_valid = (MIN_TYPE_PT..=MAX_PT).contains(&size_pt);
            check(key, size_pt, is_valid, allowed)?;
        }
        let scale = self.horizontal_scale;
        let is_valid = (0.01..=100.0).contains(&scale);
        check(
            "horizontal-scale",
            scale,
            is_valid,
            "a number from 0.01 to 100",
        )?;
        let indents = [
            ("first-line-indent", self.first_line_indent_pt),
            ("left-indent", self.left_indent_pt),
            ("right-indent", self.right_indent_pt),
        ];
        for (key, indent_pt) in indents {
            check(key, indent_pt, indent_pt.abs() <= MAX_PT, INDENT)?;
        }
        let lengths = [
            ("space-before", self.space_before_pt),
            ("space-after", self.space_after_pt),
            ("border-width", self.border_width_pt),
            ("border-padding", self.border_padding_pt),
        ];
        for (key, length_pt) in lengths {
            check(
                key,
                length_pt,
                (0.0..=MAX_PT).contains(&length_pt),
                NOT_NEGATIVE,
            )?;
        }
        self.check_room()?;
        if self.font_color == self.para_bg_color {
            let color = self.font_color;
            return Err(StyleError::Impossible(StyleConflict::NoContrast { color }));
        }
        self.check_pixels()
    }

    /// Checks that a line has some width and a page holds two lines.
    fn check_room(&self) -> Result<(), StyleError> {
        let line_pt = self.frame_width_pt() - self.left_indent_pt - self.right_indent_pt;
        let first_pt = line_pt - self.first_line_indent_pt;
        let narrowest_pt = line_pt.min(first_pt).min(self.frame_width_pt());
        if narrowest_pt <= 0.0 {
            return Err(StyleError::Impossible(StyleConflict::NoWidth {
                page_width_pt: self.page_width_pt,
                page_height_pt: self.page_height_pt,
                margin_x_pt: self.margin_x_pt,
                left_indent_pt: self.left_indent_pt,
                right_indent_pt: self.right_indent_pt,
                first_line_indent_pt: self.first_line_indent_pt,
                line_pt: narrowest_pt,
            }));
        }
        // The official layout moves a paragraph on when fewer than two of its lines fit, and
        // stops with an error when that happens on an empty page.
        let height_pt = self.frame_top_pt() - self.frame_bottom_pt();
        if ((height_pt / self.line_height_pt) as i64) < 2 {
            return Err(StyleError::Impossible(StyleConflict::NoHeight {
                page_width_pt: self.page_width_pt,
                page_height_pt: self.page_height_pt,
                margin_y_pt: self.margin_y_pt,
                height_pt,
                line_height_pt: self.line_height_pt,
            }));
        }
        Ok(())
    }

    /// Checks that pages and glyph images stay of a size that memory can hold.
    fn check_pixels(&self) -> Result<(), StyleError> {
        let (width_px, height_px) = self.page_px();
        let width_px = f64::from(width_px) * self.horizontal_scale.max(1.0);
        if width_px * f64::from(height_px) > MAX_PAGE_PIXELS {
            return Err(StyleError::Impossible(StyleConflict::LargePages {
                page_width_pt: self.page_width_pt,
                page_height_pt: self.page_height_pt,
                dpi: self.dpi,
                horizontal_scale: self.horizontal_scale,
                width_px,
                height_px,
            }));
        }
        let font_px = self.font_size_pt * self.px_per_pt();
        if font_px > MAX_FONT_PX {
            return Err(StyleError::Impossible(StyleConflict::LargeLetters {
                font_size_pt: self.font_size_pt,
                dpi: self.dpi,
                font_px,
            }));
        }
        Ok(())
    }
}

/// An error for a value that is not valid or not finite.
fn check(
    key: &'static str,
    value: f64,
    is_valid: bool,
    expected: &'static str,
) -> Result<(), StyleError> {
    if is_valid && value.is_finite() {
        return Ok(());
    }
    Err(StyleError::BadValue {
        key,
        value: value.to_string(),
        expected,
    })
}
