//! What the small files of a checkpoint say, each by itself and whether they belong together.

use serde_json::Value;

use super::files::CheckpointFiles;
use crate::config::{GenerationConfig, ModelConfig, PreprocessorConfig, config_error, parse_json};
use crate::error::{ModelError, Result};
use crate::preprocess::PatchGrid;
use crate::prompt::{ChatTemplate, Message, PromptEncoder, TextTokenizer};

/// What the shapes of all tensors follow from: `config.json`, and how pages are cut into patches. Of the other files
/// none is needed.
///
/// # Errors
/// The first thing wrong with these, by name; see [`ModelError`].
pub fn read_geometry(files: &impl CheckpointFiles) -> Result<(ModelConfig, PreprocessorConfig)> {
    let config = read_config(files)?;
    let preprocessor = preprocessor(files)?;
    check_geometry(&config, &preprocessor)?;
    Ok((config, preprocessor))
}

pub(super) fn check_geometry(
    config: &ModelConfig,
    preprocessor: &PreprocessorConfig,
) -> Result<()> {
    let vision = &config.vision_config;
    for (key, given, needed) in [
        ("patch_size", preprocessor.patch_size, vision.patch_size),
        (
            "temporal_patch_size",
            preprocessor.temporal_patch_size,
            vision.temporal_patch_size,
        ),
        (
            "merge_size",
            preprocessor.merge_size,
            vision.spatial_merge_size,
        ),
    ] {
        if given != needed {
            return Err(config_error(
                "preprocessor_config.json or processor_config.json",
                key,
                given,
                format!("config.json says {needed}"),
            ));
        }
    }
    Ok(())
}

fn text(files: &impl CheckpointFiles, name: &str) -> Result<Option<String>> {
    let Some(bytes) = files.read(name)? else {
        return Ok(None);
    };
    String::from_utf8(bytes)
        .map(Some)
        .map_err(|error| ModelError::Json {
            file: name.to_owned(),
            reason: format!("it is not UTF-8: {error}"),
        })
}

pub(super) fn missing(name: &str) -> ModelError {
    ModelError::MissingFile {
        file: name.to_owned(),
    }
}

/// What was read; what is wrong with it is put with the other problems.
pub(super) fn kept<T>(result: Result<T>, problems: &mut Vec<ModelError>) -> Option<T> {
    result.map_err(|error| problems.push(error)).ok()
}

/// The text of `config.json`.
///
/// # Errors
/// It is missing, cannot be read, or is not UTF-8.
pub fn config_json(files: &impl CheckpointFiles) -> Result<String> {
    const NAME: &str = "config.json";
    text(files, NAME)?.ok_or_else(|| missing(NAME))
}

/// The configuration.
///
/// # Errors
/// As of [`config_json`] and [`ModelConfig::from_json`].
pub fn read_config(files: &impl CheckpointFiles) -> Result<ModelConfig> {
    ModelConfig::from_json(&config_json(files)?)
}

pub(super) fn generation(files: &impl CheckpointFiles) -> Result<GenerationConfig> {
    match text(files, "generation_config.json")? {
        Some(json) => GenerationConfig::from_json(&json),
        None => Ok(GenerationConfig::default()),
    }
}

pub(super) fn tokenizer(files: &impl CheckpointFiles) -> Result<TextTokenizer> {
    const NAME: &str = "tokenizer.json";
    let json = files.read(NAME)?.ok_or_else(|| missing(NAME))?;
    TextTokenizer::from_json(&json)
}

/// Tokenizer and template, if they belong to the configuration and to each other.
pub(super) fn encoder(
    config: &ModelConfig,
    tokenizer: TextTokenizer,
    template: ChatTemplate,
) -> Result<PromptEncoder> {
    let reason = |reason: String| Err(ModelError::Tokenizer { reason });
    let image_token_id = config.image_token_id;
    if tokenizer.token(image_token_id).is_none() {
        return reason(format!(
            "it has no token {image_token_id}, image_token_id of config.json"
        ));
    }
    let vocab_size = config.text_config.vocab_size;
    let highest = tokenizer.highest_id();
    if let Some(id) = highest.filter(|id| *id as usize >= vocab_size) {
        return reason(format!(
            "it has a token {id}; vocab_size of config.json is {vocab_size}"
        ));
    }
    let encoder = PromptEncoder {
        tokenizer,
        template,
        image_token_id,
        merge_size: config.vision_config.spatial_merge_size,
    };
    check_template(&encoder)?;
    Ok(encoder)
}

/// A template that leaves out images, or writes them otherwise than the tokenizer knows them, is found before the
/// first request.
fn check_template(encoder: &PromptEncoder) -> Result<()> {
    let side = encoder.merge_size;
    let grid = PatchGrid {
        rows: side,
        columns: side,
    };
    match encoder.encode(&[Message::pages_and_question(1, "?")], &[grid]) {
        Err(ModelError::ImageTokenMismatch { placeholders, .. }) => Err(ModelError::Template {
            reason: format!(
                "a question about one image comes out with {placeholders} image tokens (id {})",
                encoder.image_token_id
            ),
        }),
        other => other.map(|_| ()),
    }
}

/// The image processor's settings from `processor_config.json`, into which newer releases of the reference save them,
/// or else from their own file: the reference looks in this order.
pub(super) fn preprocessor(files: &impl CheckpointFiles) -> Result<PreprocessorConfig> {
    if let Some(json) = text(files, "processor_config.json")?
        && let Some(nested) = PreprocessorConfig::from_processor_json(&json)?
    {
        return Ok(nested);
    }
    match text(files, "preprocessor_config.json")? {
        Some(json) => PreprocessorConfig::from_json(&json),
        None => Ok(PreprocessorConfig::default()),
    }
}

/// The template from its own file, or from `tokenizer_config.json` or `chat_template.json` as older
/// checkpoints have it.
pub(super) fn chat_template(files: &impl CheckpointFiles) -> Result<String> {
    let mut template = text(files, "chat_template.jinja")?;
    for name in ["chat_template.json", "tokenizer_config.json"] {
        let Some(json) = text(files, name)? else {
            continue;
        };
        // Read where the template is known already, too: a broken file tells of a broken copy.
        let value: Value = parse_json(name, &json)?;
        let older = || value.get("chat_template")?.as_str().map(str::to_owned);
        template = template.or_else(older);
    }
    template.ok_or_else(|| ModelError::MissingFile {
        file: "chat_template.jinja (or chat_template in tokenizer_config.json)".to_owned(),
    })
}
