//! The official render configuration, as the OpenAPI document describes it.

use serde::Serialize;
use utoipa::ToSchema;

/// Keys of the official render configuration; lengths are points. With `font-path` it is a whole configuration, and
/// what is missing has the official default. Without, it changes the default style.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct StyleKeys {
    /// Width and height: `"595,842"`.
    #[schema(example = "595,842")]
    pub page_size: Option<String>,
    /// Pixels per inch.
    #[schema(minimum = 1, maximum = 2400)]
    pub dpi: Option<f64>,
    /// Left and right margin; −6 cancels the padding of the frame.
    #[schema(minimum = -6)]
    pub margin_x: Option<f64>,
    /// Top and bottom margin; −6 cancels the padding of the frame.
    #[schema(minimum = -6)]
    pub margin_y: Option<f64>,
    /// Name of a bundled font, or of an official one that a bundled font stands in for.
    #[schema(example = "Verdana.ttf")]
    pub font_path: Option<String>,
    /// Size of the letters.
    #[schema(minimum = 0.1)]
    pub font_size: Option<f64>,
    /// Distance between baselines.
    pub line_height: Option<f64>,
    /// Colour of the letters.
    #[schema(example = "#000000")]
    pub font_color: Option<String>,
    /// `LEFT`, `CENTER`, `RIGHT` or `JUSTIFY`.
    #[schema(example = "LEFT")]
    pub alignment: Option<String>,
    /// Factor on the page's width.
    #[schema(minimum = 0.01, maximum = 100)]
    pub horizontal_scale: Option<f64>,
    /// Indent of a paragraph's first line.
    pub first_line_indent: Option<f64>,
    /// Indent on the left.
    pub left_indent: Option<f64>,
    /// Indent on the right.
    pub right_indent: Option<f64>,
    /// Space before a paragraph.
    #[schema(minimum = 0)]
    pub space_before: Option<f64>,
    /// Space behind a paragraph.
    #[schema(minimum = 0)]
    pub space_after: Option<f64>,
    /// Width of the line around a paragraph.
    #[schema(minimum = 0)]
    pub border_width: Option<f64>,
    /// Space between paragraph and line.
    #[schema(minimum = 0)]
    pub border_padding: Option<f64>,
    /// Colour of the page.
    #[schema(example = "#FFFFFF")]
    pub page_bg_color: Option<String>,
    /// Colour behind a paragraph.
    #[schema(example = "#FFFFFF")]
    pub para_bg_color: Option<String>,
    /// Colour of the line around a paragraph.
    #[schema(example = "#FFFFFF")]
    pub para_border_color: Option<String>,
    /// Cuts pages to the right of their ink.
    pub auto_crop_width: Option<bool>,
    /// Cuts the last page below its ink.
    pub auto_crop_last_page: Option<bool>,
    /// What stands for a newline.
    #[schema(example = "<br/>")]
    pub newline_markup: Option<String>,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use glyph_render::RenderStyle;
    use serde_json::{Map, Value, to_value};

    use super::StyleKeys;

    #[test]
    fn the_keys_are_those_of_the_renderer() {
        let keys = |map: Map<String, Value>| map.into_iter().map(|(key, _)| key).collect();
        let described: BTreeSet<String> = match to_value(StyleKeys::default()).unwrap() {
            Value::Object(map) => keys(map),
            other => panic!("{other}"),
        };
        let known: BTreeSet<String> = keys(RenderStyle::official_en().into());
        assert_eq!(described, known);
    }
}
