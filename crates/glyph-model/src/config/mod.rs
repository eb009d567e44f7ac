//! `config.json`, `generation_config.json` and `preprocessor_config.json` as published, checked once here
//! so that the modules can trust every number.

mod generation;
mod model;
mod preprocessor;
mod text;
mod vision;

pub use generation::GenerationConfig;
pub use model::ModelConfig;
pub use preprocessor::PreprocessorConfig;
pub use text::TextConfig;
pub use vision::VisionConfig;

use std::fmt::Debug;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::error::{ModelError, Result};

// Bounds that no member of the family comes near. They turn a broken number into a message where it would
// else be an allocation that cannot succeed; the shapes of the weights are held against config.json as well.
const MOST_WIDTH: usize = 1 << 24;
const MOST_LAYERS: usize = 1024;
const MOST_HEADS: usize = 4096;
const MOST_HEAD_DIM: usize = 4096;
const MOST_PATCH_SIDE: usize = 256;
const MOST_IMAGE_SIDE: usize = 1 << 14;
/// Side in px of the window that becomes one token.
const MOST_WINDOW_SIDE: usize = 512;

/// The file that most settings are in.
const CONFIG: &str = "config.json";

const DEFAULT_ROPE_THETA: f64 = 10_000.0;

fn default_norm_eps() -> f64 {
    1e-5
}

/// Checks a count or an extent.
fn check_size(file: &str, key: &str, value: usize, most: usize) -> Result<()> {
    match (1..=most).contains(&value) {
        true => Ok(()),
        false => Err(config_error(
            file,
            key,
            value,
            format!("must be between 1 and {most}"),
        )),
    }
}

/// Checks what both towers have: epsilon, rotary base and activation.
fn check_tower(section: &str, eps: f64, theta: f64, activation: Option<&str>) -> Result<()> {
    // The form of debugging writes large numbers with an exponent.
    let wrong = |key: &str, value: &dyn Debug, reason: &str| {
        let key = format!("{section}.{key}");
        Err(config_error(CONFIG, &key, format!("{value:?}"), reason))
    };
    if !(eps > 0.0 && eps < 1.0) {
        return wrong("rms_norm_eps", &eps, "must be above 0 and below 1");
    }
    if !(1.0..=1e12).contains(&theta) {
        return wrong("rope_theta", &theta, "must be between 1 and 1e12");
    }
    match activation {
        None | Some("silu" | "swish") => Ok(()),
        Some(other) => wrong("hidden_act", &other, "only silu is part of GLM-4.1V"),
    }
}

/// Parses a JSON file of the checkpoint, which a byte order mark may begin.
///
/// # Errors
/// It is no such JSON: the reason says what stands before the place.
pub fn parse_json<T: DeserializeOwned>(file: &str, json: &str) -> Result<T> {
    // Editors of Windows write one, and JSON knows none.
    let json = json.strip_prefix('\u{feff}').unwrap_or(json);
    // The parser takes a list for an object with its values in the order of the keys.
    if json.trim_start().starts_with('[') {
        return Err(ModelError::Json {
            file: file.to_owned(),
            reason: "it is a list, where an object {...} is expected".to_owned(),
        });
    }
    serde_json::from_str(json).map_err(|error| ModelError::Json {
        file: file.to_owned(),
        reason: format!(
            "{error}, near `{}`",
            text_before(json, error.line(), error.column())
        ),
    })
}

/// A section that may not be a list, which the parser would take for the values in the order of the keys.
fn object<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> std::result::Result<T, D::Error> {
    let section = Map::deserialize(deserializer)?;
    serde_json::from_value(Value::Object(section)).map_err(D::Error::custom)
}

/// What a line of a file holds up to a column: in an indented file the key whose value is wrong.
fn text_before(text: &str, line: usize, column: usize) -> &str {
    const LONGEST: usize = 60;
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let end = line.floor_char_boundary(column);
    let start = line.floor_char_boundary(end.saturating_sub(LONGEST));
    line[start..end].trim()
}

pub(crate) fn config_error(
    file: &str,
    key: &str,
    value: impl ToString,
    reason: impl Into<String>,
) -> ModelError {
    ModelError::Config {
        file: file.to_owned(),
        key: key.to_owned(),
        value: value.to_string(),
        reason: reason.into(),
    }
}
