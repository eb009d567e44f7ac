//! From a document and its style to pages.

use std::sync::{Mutex, PoisonError};

use glyph_render::{FontLibrary, RenderError, RenderMemory, RenderStyle, Renderer, StyleError};
use serde_json::{Map, Value};

use crate::error::{ApiError, Code};

/// Renderers kept for styles that requests bring. What each has of the fonts is a megabyte or two; the letters that they
/// have drawn, and their buffers, share one memory.
const MOST_KEPT: usize = 16;

/// Makes renderers, and keeps those that were used last.
pub struct Renderers {
    /// Of the model's own style.
    model: Option<Renderer>,
    /// Those used last at the end.
    kept: Mutex<Vec<Renderer>>,
    memory: RenderMemory,
}

impl Renderers {
    /// With the model's own renderer, if it has a style.
    pub fn new(model: Option<Renderer>) -> Self {
        Self {
            model,
            kept: Mutex::new(Vec::new()),
            memory: RenderMemory::default(),
        }
    }

    /// The renderer for a document. A style with `font-path` is a whole official configuration; one without changes
    /// some keys of the default, which is the model's own style, or else the official one for the text's language.
    ///
    /// # Errors
    /// [`Code::InvalidValue`] naming the key at `path`.
    pub fn find(
        &self,
        style: Option<Map<String, Value>>,
        text: &str,
        path: &str,
    ) -> Result<Renderer, ApiError> {
        let mut keys = style.unwrap_or_default();
        keys.retain(|_, value| !value.is_null());
        if keys.is_empty() {
            return match &self.model {
                Some(renderer) => Ok(renderer.clone()),
                None => self.of_style(RenderStyle::official(text), path),
            };
        }
        let keys = if keys.contains_key("font-path") {
            keys
        } else {
            let default = match &self.model {
                Some(renderer) => renderer.style().clone(),
                None => RenderStyle::official(text),
            };
            let mut all: Map<String, Value> = default.into();
            all.extend(keys);
            all
        };
        let style = RenderStyle::try_from(keys).map_err(|error| style_error(&error, path))?;
        self.of_style(style, path)
    }

    fn of_style(&self, style: RenderStyle, path: &str) -> Result<Renderer, ApiError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = kept.iter().position(|renderer| *renderer.style() == style) {
            let renderer = kept.remove(at);
            kept.push(renderer.clone());
            return Ok(renderer);
        }
        drop(kept);
        let renderer = Renderer::with_memory(style, FontLibrary::bundled(), self.memory.clone());
        let renderer = renderer.map_err(|error| match error {
            RenderError::Style(error) => style_error(&error, path),
            RenderError::Font(error) => ApiError::of(
                Code::InvalidValue,
                format!("{path}.font-path"),
                error.to_string(),
            ),
        })?;
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push(renderer.clone());
        if kept.len() > MOST_KEPT {
            kept.remove(0);
        }
        Ok(renderer)
    }
}

fn style_error(error: &StyleError, path: &str) -> ApiError {
    let param = match error {
        StyleError::UnknownKey { key } => format!("{path}.{key}"),
        StyleError::BadValue { key, .. } | StyleError::MissingKey { key, .. } => {
            format!("{path}.{key}")
        }
        _ => path.to_owned(),
    };
    ApiError::of(Code::InvalidValue, param, error.to_string())
}

#[cfg(test)]
mod tests {
    use glyph_render::RenderStyle;
    use serde_json::{Map, Value, json};

    use super::Renderers;

    fn style(value: Value) -> Option<Map<String, Value>> {
        value.as_object().cloned()
    }

    #[test]
    fn some_keys_change_the_default_and_all_replace_it() {
        let renderers = Renderers::new(None);
        let find = |keys: Value| renderers.find(style(keys), "text", "style");
        let changed = find(json!({"dpi": 96})).unwrap();
        let expected = RenderStyle {
            dpi: 96.0,
            ..RenderStyle::official_en()
        };
        assert_eq!(*changed.style(), expected);
        let unchanged = find(json!({"dpi": null})).unwrap();
        assert_eq!(*unchanged.style(), RenderStyle::official_en());
        let whole = find(json!({"font-path": "Verdana.ttf", "dpi": 96})).unwrap();
        let expected = RenderStyle {
            dpi: 96.0,
            ..RenderStyle::with_font("Verdana.ttf")
        };
        assert_eq!(*whole.style(), expected);
        let chinese = renderers.find(None, "中文", "style").unwrap();
        assert_eq!(*chinese.style(), RenderStyle::official_zh());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let renderers = Renderers::new(None);
        let param = |keys: Value| {
            let error = renderers.find(style(keys), "text", "style");
            error.err().unwrap().param().unwrap().to_owned()
        };
        assert_eq!(param(json!({"dpi": "x"})), "style.dpi");
        assert_eq!(param(json!({"size": 3})), "style.size");
        assert_eq!(
            param(json!({"font-path": "/etc/passwd"})),
            "style.font-path"
        );
    }
}
