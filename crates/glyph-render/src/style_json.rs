//! Reading and writing a style as the official JSON configuration, strictly.

use std::fmt;

use serde::de::{Error, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Number, Value};

use crate::markup::NewlineMarkup;
use crate::style::{Alignment, KEYS, RenderStyle, Rgb, StyleError};

impl TryFrom<Map<String, Value>> for RenderStyle {
    type Error = StyleError;

    fn try_from(map: Map<String, Value>) -> Result<RenderStyle, StyleError> {
        if let Some(key) = map.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(StyleError::UnknownKey {
                key: shortened(key),
            });
        }
        let keys = Keys(&map);
        let Some(font_path) = keys.text("font-path")? else {
            return Err(StyleError::MissingKey {
                key: "font-path",
                hint: "name a bundled font such as DejaVuSans.ttf, or a font file",
            });
        };
        let default = RenderStyle::with_font(font_path);
        let (page_width_pt, page_height_pt) = keys
            .page_size()?
            .unwrap_or((default.page_width_pt, default.page_height_pt));
        let font_size_pt = keys.number("font-size")?.unwrap_or(default.font_size_pt);
        let number = |key, default| Ok::<f64, StyleError>(keys.number(key)?.unwrap_or(default));
        let color = |key, default| Ok::<Rgb, StyleError>(keys.color(key)?.unwrap_or(default));
        let style = RenderStyle {
            page_width_pt,
            page_height_pt,
            dpi: number("dpi", default.dpi)?,
            margin_x_pt: number("margin-x", default.margin_x_pt)?,
            margin_y_pt: number("margin-y", default.margin_y_pt)?,
            font_size_pt,
            // The official function takes 0 like a missing key.
            line_height_pt: keys
                .number("line-height")?
                .filter(|height| *height != 0.0)
                .unwrap_or(font_size_pt + 1.0),
            font_color: color("font-color", default.font_color)?,
            alignment: keys.alignment()?.unwrap_or(default.alignment),
            horizontal_scale: number("horizontal-scale", default.horizontal_scale)?,
            first_line_indent_pt: number("first-line-indent", 0.0)?,
            left_indent_pt: number("left-indent", 0.0)?,
            right_indent_pt: number("right-indent", 0.0)?,
            space_before_pt: number("space-before", 0.0)?,
            space_after_pt: number("space-after", 0.0)?,
            border_width_pt: number("border-width", 0.0)?,
            border_padding_pt: number("border-padding", 0.0)?,
            page_bg_color: color("page-bg-color", default.page_bg_color)?,
            para_bg_color: color("para-bg-color", default.para_bg_color)?,
            para_border_color: color("para-border-color", default.para_border_color)?,
            auto_crop_width: keys
                .flag("auto-crop-width")?
                .unwrap_or(default.auto_crop_width),
            auto_crop_last_page: keys
                .flag("auto-crop-last-page")?
                .unwrap_or(default.auto_crop_last_page),
            newline_markup: keys.markup()?.unwrap_or(default.newline_markup),
            font_path: default.font_path,
        };
        style.validate()?;
        Ok(style)
    }
}

impl From<RenderStyle> for Map<String, Value> {
    fn from(style: RenderStyle) -> Map<String, Value> {
        let number = |value: f64| {
            // Whole numbers are written without a fraction, as in the shipped files.
            if value.fract() == 0.0 && value.abs() < 1e15 {
                Value::from(value as i64)
            } else {
                Number::from_f64(value).map_or(Value::Null, Value::Number)
            }
        };
        let mut map = Map::new();
        let mut put = |key: &str, value: Value| map.insert(key.to_owned(), value);
        put(
            "page-size",
            format!("{},{}", style.page_width_pt, style.page_height_pt).into(),
        );
        put("dpi", number(style.dpi));
        put("margin-x", number(style.margin_x_pt));
        put("margin-y", number(style.margin_y_pt));
        put("font-path", style.font_path.into());
        put("font-size", number(style.font_size_pt));
        put("line-height", number(style.line_height_pt));
        put("font-color", style.font_color.to_string().into());
        put("alignment", style.alignment.name().into());
        put("horizontal-scale", number(style.horizontal_scale));
        put("first-line-indent", number(style.first_line_indent_pt));
        put("left-indent", number(style.left_indent_pt));
        put("right-indent", number(style.right_indent_pt));
        put("space-after", number(style.space_after_pt));
        put("space-before", number(style.space_before_pt));
        put("border-width", number(style.border_width_pt));
        put("border-padding", number(style.border_padding_pt));
        put("page-bg-color", style.page_bg_color.to_string().into());
        put("para-bg-color", style.para_bg_color.to_string().into());
        put(
            "para-border-color",
            style.para_border_color.to_string().into(),
        );
        put("auto-crop-width", style.auto_crop_width.into());
        put("auto-crop-last-page", style.auto_crop_last_page.into());
        put("newline-markup", style.newline_markup.as_str().into());
        map
    }
}

/// A JSON object whose keys are all different: of two values for one key, nobody can say which was meant.
pub(crate) struct UniqueKeys(pub Map<String, Value>);

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = UniqueKeys;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<UniqueKeys, A::Error> {
                let mut map = Map::new();
                while let Some(key) = access.next_key::<String>()? {
                    let wrong = |what: fmt::Arguments| {
                        Error::custom(format_args!("key `{}` {what}", shortened(&key)))
                    };
                    if map.contains_key(&key) {
                        return Err(wrong(format_args!("stands there twice")));
                    }
                    let value = access.next_value::<Value>().map_err(|error: A::Error| {
                        wrong(format_args!("has a value that cannot be read: {error}"))
                    })?;
                    map.insert(key, value);
                }
                Ok(UniqueKeys(map))
            }
        }

        deserializer.deserialize_map(Entries)
    }
}

/// The start of a text that may be too long for a message.
fn shortened(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    match text.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Typed access to the keys of a configuration.
struct Keys<'a>(&'a Map<String, Value>);

impl<'a> Keys<'a> {
    fn read<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Result<Option<T>, StyleError> {
        let Some(value) = self.0.get(key) else {
            return Ok(None);
        };
        match read(value) {
            Some(read) => Ok(Some(read)),
            None => Err(StyleError::BadValue {
                key,
                value: shortened(&value.to_string()),
                expected,
            }),
        }
    }

    fn text(&self, key: &'static str) -> Result<Option<&'a str>, StyleError> {
        let text = |value: &'a Value| value.as_str().filter(|text| !text.is_empty());
        self.read(key, "a non-empty string", text)
    }

    fn number(&self, key: &'static str) -> Result<Option<f64>, StyleError> {
        self.read(key, "a number", Value::as_f64)
    }

    fn flag(&self, key: &'static str) -> Result<Option<bool>, StyleError> {
        self.read(key, "true or false", Value::as_bool)
    }

    fn color(&self, key: &'static str) -> Result<Option<Rgb>, StyleError> {
        self.read(key, "a color such as \"#1A2B3C\"", |value| {
            Rgb::from_hex(value.as_str()?)
        })
    }

    fn alignment(&self) -> Result<Option<Alignment>, StyleError> {
        self.read("alignment", "LEFT, CENTER, RIGHT or JUSTIFY", |value| {
            Alignment::from_name(value.as_str()?)
        })
    }

    fn markup(&self) -> Result<Option<NewlineMarkup>, StyleError> {
        self.read(
            "newline-markup",
            "made of <br/>, plain text and <font color=\"#RRGGBB\">plain text</font>, \
             at most 1000 bytes",
            |value| NewlineMarkup::parse(value.as_str()?),
        )
    }

    fn page_size(&self) -> Result<Option<(f64, f64)>, StyleError> {
        self.read(
            "page-size",
            "width and height in points, such as \"595,842\"",
            |value| {
                let sides: Vec<f64> = match value {
                    Value::String(text) => text
                        .split(',')
                        .map(|side| side.trim().parse().ok())
                        .collect::<Option<Vec<f64>>>()?,
                    Value::Array(sides) => sides
                        .iter()
                        .map(Value::as_f64)
                        .collect::<Option<Vec<f64>>>()?,
                    _ => return None,
                };
                match sides[..] {
                    [width_pt, height_pt] => Some((width_pt, height_pt)),
                    _ => None,
                }
            },
        )
    }
}
