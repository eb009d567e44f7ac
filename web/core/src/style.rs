//! The person's changes to a style.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Which style the changes are made to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StyleBase {
    /// The one that the model was trained on, or the official one where it has none.
    #[default]
    Model,
    /// The official one, of the text's language.
    Official,
}

/// What stands for a newline of the text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Newline {
    /// As the style says.
    #[default]
    Style,
    /// A line break.
    Break,
    /// A red mark in the running text, which packs more on a page.
    Marker,
}

/// Changes to a style; what is missing stays as it is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StyleChanges {
    /// What they are made to.
    pub base: StyleBase,
    /// Size of the letters.
    pub font_size_pt: Option<f64>,
    /// Distance of lines.
    pub line_height_pt: Option<f64>,
    /// Pixels per inch.
    pub dpi: Option<f64>,
    /// Width and height of a page in points, `595,842`.
    pub page_size: Option<String>,
    /// Newlines.
    pub newline: Newline,
    /// Colour of the text, `#RRGGBB`.
    pub font_color: Option<String>,
    /// Colour of the paper, `#RRGGBB`.
    pub page_color: Option<String>,
}

impl StyleChanges {
    /// Keys of the render configuration that replace those of the style.
    pub fn overrides(&self) -> Map<String, Value> {
        let mut keys = Map::new();
        let mut put = |key: &str, value: Value| keys.insert(key.to_owned(), value);
        if let Some(size) = self.font_size_pt {
            put("font-size", json!(size));
            // 0 is the size and a point: lines of another size must not overlap.
            put("line-height", json!(0));
        }
        if let Some(height) = self.line_height_pt {
            put("line-height", json!(height));
        }
        if let Some(dpi) = self.dpi {
            put("dpi", json!(dpi));
        }
        if let Some(size) = &self.page_size {
            put("page-size", json!(size));
        }
        match self.newline {
            Newline::Style => {}
            Newline::Break => {
                put("newline-markup", json!("<br/>"));
            }
            Newline::Marker => {
                put(
                    "newline-markup",
                    json!("<font color=\"#FF0000\"> \\n </font>"),
                );
            }
        }
        if let Some(color) = &self.font_color {
            put("font-color", json!(color));
        }
        if let Some(color) = &self.page_color {
            put("page-bg-color", json!(color));
            put("para-bg-color", json!(color));
            put("para-border-color", json!(color));
        }
        keys
    }

    /// Whether anything but the base was chosen.
    pub fn is_changed(&self) -> bool {
        !self.overrides().is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::{Newline, StyleChanges};

    #[test]
    fn what_was_not_chosen_stays() {
        assert!(StyleChanges::default().overrides().is_empty());
    }

    #[test]
    fn lines_keep_their_distance_from_larger_letters() {
        let mut style = StyleChanges {
            font_size_pt: Some(12.0),
            newline: Newline::Marker,
            ..StyleChanges::default()
        };
        assert_eq!(style.overrides()["line-height"], 0);
        style.line_height_pt = Some(15.0);
        let keys = style.overrides();
        assert_eq!(keys["line-height"], 15.0);
        assert_eq!(
            keys["newline-markup"],
            "<font color=\"#FF0000\"> \\n </font>"
        );
    }
}
