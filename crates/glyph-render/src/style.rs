//! The render configuration: the official JSON file, read strictly.
//!
//! Every key of the official configuration files is known here by its hyphenated name. A missing
//! key takes the value that the official rendering function gives it, which is not always the
//! value in the two shipped files ([`RenderStyle::official_en`], [`RenderStyle::official_zh`]).

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::markup::NewlineMarkup;
use crate::measure::pdf_number;
use crate::style_check::StyleConflict;
use crate::style_json::UniqueKeys;
use crate::text::holds_cjk;

/// Points per inch, the unit of every length in a style.
pub(crate) const POINTS_PER_INCH: f64 = 72.0;

/// Blank border, in points, that the official layout keeps inside the margins on every side.
pub(crate) const FRAME_PADDING_PT: f64 = 6.0;

/// Every key of the official configuration, in the order of the shipped files.
pub(crate) const KEYS: [&str; 23] = [
    "page-size",
    "dpi",
    "margin-x",
    "margin-y",
    "font-path",
    "font-size",
    "line-height",
    "font-color",
    "alignment",
    "horizontal-scale",
    "first-line-indent",
    "left-indent",
    "right-indent",
    "space-after",
    "space-before",
    "border-width",
    "border-padding",
    "page-bg-color",
    "para-bg-color",
    "para-border-color",
    "auto-crop-width",
    "auto-crop-last-page",
    "newline-markup",
];

/// What is wrong with a render configuration.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum StyleError {
    /// The text is not a JSON object, has a key twice, or holds a number that no computer number comes near.
    #[error("the render style cannot be read as a JSON object: {0}")]
    NotJson(String),
    /// A key that the official configuration does not have.
    #[error("unknown render style key `{key}`; the known keys are {}", KEYS.join(", "))]
    UnknownKey {
        /// The key as written.
        key: String,
    },
    /// A key whose value cannot be used.
    #[error("render style key `{key}` has the value {value}; it must be {expected}")]
    BadValue {
        /// The key as written.
        key: &'static str,
        /// Its value as JSON.
        value: String,
        /// What the value must be.
        expected: &'static str,
    },
    /// A key that has no default is missing.
    #[error("render style key `{key}` is missing; {hint}")]
    MissingKey {
        /// The missing key.
        key: &'static str,
        /// What to write.
        hint: &'static str,
    },
    /// Values that are valid alone and impossible together.
    #[error("the render style cannot be used: {0}")]
    Impossible(StyleConflict),
}

/// An opaque colour, 8 bits a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rgb {
    /// Red, 0 to 255.
    pub red: u8,
    /// Green, 0 to 255.
    pub green: u8,
    /// Blue, 0 to 255.
    pub blue: u8,
}

impl Rgb {
    /// Black, the official text colour.
    pub const BLACK: Rgb = Rgb {
        red: 0,
        green: 0,
        blue: 0,
    };
    /// White, the official page colour.
    pub const WHITE: Rgb = Rgb {
        red: 255,
        green: 255,
        blue: 255,
    };

    /// Reads `#RRGGBB` (or `0xRRGGBB`).
    pub fn from_hex(text: &str) -> Option<Rgb> {
        let digits = text.strip_prefix('#').or_else(|| text.strip_prefix("0x"))?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let value = u32::from_str_radix(digits, 16).ok()?;
        let [_, red, green, blue] = value.to_be_bytes();
        Some(Rgb { red, green, blue })
    }

    /// Whether red, green and blue are equal.
    pub fn is_gray(self) -> bool {
        self.red == self.green && self.green == self.blue
    }
}

impl fmt::Display for Rgb {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "#{:02X}{:02X}{:02X}",
            self.red, self.green, self.blue
        )
    }
}

/// How the lines of a paragraph are placed between its left and right edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alignment {
    /// Flush left.
    Left,
    /// Centred.
    Center,
    /// Flush right.
    Right,
    /// Spaces stretched so that both edges are flush; the official function's default.
    Justify,
}

impl Alignment {
    pub(crate) fn from_name(name: &str) -> Option<Alignment> {
        match name {
            "LEFT" => Some(Alignment::Left),
            "CENTER" => Some(Alignment::Center),
            "RIGHT" => Some(Alignment::Right),
            "JUSTIFY" => Some(Alignment::Justify),
            _ => None,
        }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Alignment::Left => "LEFT",
            Alignment::Center => "CENTER",
            Alignment::Right => "RIGHT",
            Alignment::Justify => "JUSTIFY",
        }
    }
}

/// A validated render configuration.
///
/// Lengths are points (1/72 inch). The fields are public so that a caller can change one value,
/// such as the resolution; [`RenderStyle::validate`] runs again when a renderer is made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Map<String, Value>", into = "Map<String, Value>")]
pub struct RenderStyle {
    /// `page-size`, its first number.
    pub page_width_pt: f64,
    /// `page-size`, its second number.
    pub page_height_pt: f64,
    /// `dpi`: pixels per inch.
    pub dpi: f64,
    /// `margin-x`: left and right margin. −6 cancels the frame padding.
    pub margin_x_pt: f64,
    /// `margin-y`: top and bottom margin. −6 cancels the frame padding.
    pub margin_y_pt: f64,
    /// `font-path`: a file name in the font library, or a path whose last part is one.
    pub font_path: String,
    /// `font-size`.
    pub font_size_pt: f64,
    /// `line-height`: distance between baselines.
    pub line_height_pt: f64,
    /// `font-color`.
    pub font_color: Rgb,
    /// `alignment`.
    pub alignment: Alignment,
    /// `horizontal-scale`: factor on the page's width in pixels after drawing.
    pub horizontal_scale: f64,
    /// `first-line-indent`, of each paragraph (30 lines of text).
    pub first_line_indent_pt: f64,
    /// `left-indent`.
    pub left_indent_pt: f64,
    /// `right-indent`.
    pub right_indent_pt: f64,
    /// `space-before` each paragraph that does not start a page.
    pub space_before_pt: f64,
    /// `space-after` each paragraph.
    pub space_after_pt: f64,
    /// `border-width` of the line around each paragraph; 0 draws none.
    pub border_width_pt: f64,
    /// `border-padding` between paragraph and border.
    pub border_padding_pt: f64,
    /// `page-bg-color`.
    pub page_bg_color: Rgb,
    /// `para-bg-color`.
    pub para_bg_color: Rgb,
    /// `para-border-color`.
    pub para_border_color: Rgb,
    /// `auto-crop-width`: cut the page to the right of its ink.
    pub auto_crop_width: bool,
    /// `auto-crop-last-page`: cut the last page below its ink.
    pub auto_crop_last_page: bool,
    /// `newline-markup`: what stands for a newline of the text.
    pub newline_markup: NewlineMarkup,
}

impl RenderStyle {
    /// Reads an official configuration file; a byte order mark is no part of it.
    ///
    /// # Errors
    ///
    /// [`StyleError`] when the text is not a JSON object, or a key is unknown, missing or has a
    /// value that cannot be used.
    pub fn from_json(json: &str) -> Result<RenderStyle, StyleError> {
        let json = json.strip_prefix('\u{feff}').unwrap_or(json);
        let UniqueKeys(map) =
            serde_json::from_str(json).map_err(|error| StyleError::NotJson(error.to_string()))?;
        RenderStyle::try_from(map)
    }

    /// Writes every key, so that the official script and [`RenderStyle::from_json`] read it back.
    pub fn to_json(&self) -> String {
        Value::Object(self.clone().into()).to_string()
    }

    /// The style of a font file with the official function's default for everything else:
    /// A4, margin 20, size 9, justified, no cropping.
    pub fn with_font(font_path: &str) -> RenderStyle {
        const INCH_PER_MM: f64 = 1.0 / 25.4;
        RenderStyle {
            page_width_pt: 210.0 * INCH_PER_MM * POINTS_PER_INCH,
            page_height_pt: 297.0 * INCH_PER_MM * POINTS_PER_INCH,
            dpi: 72.0,
            margin_x_pt: 20.0,
            margin_y_pt: 20.0,
            font_path: font_path.to_owned(),
            font_size_pt: 9.0,
            line_height_pt: 10.0,
            font_color: Rgb::BLACK,
            alignment: Alignment::Justify,
            horizontal_scale: 1.0,
            first_line_indent_pt: 0.0,
            left_indent_pt: 0.0,
            right_indent_pt: 0.0,
            space_before_pt: 0.0,
            space_after_pt: 0.0,
            border_width_pt: 0.0,
            border_padding_pt: 0.0,
            page_bg_color: Rgb::WHITE,
            para_bg_color: Rgb::WHITE,
            para_border_color: Rgb::WHITE,
            auto_crop_width: false,
            auto_crop_last_page: false,
            newline_markup: NewlineMarkup::line_break(),
        }
    }

    /// The official style for a text's language, chosen as the official code does: the Chinese one if the
    /// text holds a character from U+4E00 to U+9FFF, else the English one.
    pub fn official(text: &str) -> RenderStyle {
        if holds_cjk(text) {
            RenderStyle::official_zh()
        } else {
            RenderStyle::official_en()
        }
    }

    /// The values of the shipped `config_en.json`.
    pub fn official_en() -> RenderStyle {
        RenderStyle {
            page_width_pt: 595.0,
            page_height_pt: 842.0,
            margin_x_pt: 10.0,
            margin_y_pt: 10.0,
            alignment: Alignment::Left,
            auto_crop_width: true,
            auto_crop_last_page: true,
            ..RenderStyle::with_font("Verdana.ttf")
        }
    }

    /// The values of the shipped `config_zh.json`.
    pub fn official_zh() -> RenderStyle {
        RenderStyle {
            font_path: "SourceHanSansHWSC-VF.ttf".to_owned(),
            ..RenderStyle::official_en()
        }
    }

    /// Width that lines may fill before indents, in points.
    pub(crate) fn frame_width_pt(&self) -> f64 {
        let inner_pt = (self.page_width_pt - self.margin_x_pt) - self.margin_x_pt;
        let right_pt = self.margin_x_pt + inner_pt;
        right_pt - self.margin_x_pt - FRAME_PADDING_PT - FRAME_PADDING_PT
    }

    /// Bottom edge of the area that lines may fill, in points above the page's bottom.
    pub(crate) fn frame_bottom_pt(&self) -> f64 {
        self.margin_y_pt + FRAME_PADDING_PT
    }

    /// Top edge of the area that lines may fill, in points above the page's bottom.
    pub(crate) fn frame_top_pt(&self) -> f64 {
        let inner_pt = (self.page_height_pt - self.margin_y_pt) - self.margin_y_pt;
        (self.margin_y_pt + inner_pt) - FRAME_PADDING_PT
    }

    /// Pixels per point.
    pub(crate) fn px_per_pt(&self) -> f64 {
        self.dpi / POINTS_PER_INCH
    }

    /// Page size in pixels before scaling and cropping.
    pub fn page_px(&self) -> (u32, u32) {
        let px = |points: f64| (pdf_number(points) * self.px_per_pt()).ceil().max(1.0) as u32;
        (px(self.page_width_pt), px(self.page_height_pt))
    }

    /// Width of a page in pixels after scaling, before cropping.
    pub(crate) fn scaled_width_px(&self) -> u32 {
        let (width_px, _) = self.page_px();
        ((f64::from(width_px) * self.horizontal_scale) as u32).max(1)
    }

    /// Width and height of every page in pixels; `None` where some are cropped.
    pub fn whole_page_px(&self) -> Option<(u32, u32)> {
        let is_whole = !self.auto_crop_width && !self.auto_crop_last_page;
        let (_, height_px) = self.page_px();
        is_whole.then(|| (self.scaled_width_px(), height_px))
    }

    /// Pixels that a page has while it is drawn, at most. No page has more when it is finished.
    pub fn drawn_pixels(&self) -> u64 {
        let (width_px, height_px) = self.page_px();
        u64::from(width_px.max(self.scaled_width_px())) * u64::from(height_px)
    }

    /// Page height as the page description states it, in pixels: the top edge that lines are
    /// placed from.
    pub(crate) fn top_edge_px(&self) -> f64 {
        pdf_number(self.page_height_pt) * self.px_per_pt()
    }
}
