//! The whole of `config.json`.

use serde::Deserialize;
use serde_json::Value;

use super::generation::TokenIds;
use super::{CONFIG, TextConfig, VisionConfig, config_error, parse_json};
use crate::error::Result;

/// The whole of `config.json` (`Glm4vForConditionalGeneration`).
#[derive(Debug, Clone, Deserialize)]
pub struct ModelConfig {
    /// The decoder.
    pub text_config: TextConfig,
    /// The vision tower.
    pub vision_config: VisionConfig,
    /// Id of the token that an image feature replaces.
    #[serde(default = "default_image_token_id")]
    pub image_token_id: u32,
    /// Whether the output head shares the embedding table. Newer files say so at the top level, older ones
    /// inside `text_config`; either counts, unless the weights hold a head.
    #[serde(default)]
    tie_word_embeddings: Option<bool>,
    #[serde(default)]
    eos_token_id: Option<TokenIds>,
}

fn default_image_token_id() -> u32 {
    151_343
}

impl ModelConfig {
    /// Parses and checks `config.json`.
    ///
    /// # Errors
    /// [`crate::ModelError::Json`] when it does not parse, [`crate::ModelError::Config`] naming the first key whose value
    /// cannot work.
    pub fn from_json(json: &str) -> Result<Self> {
        // Another architecture is named as such before its other keys are missed.
        let value: Value = parse_json("config.json", json)?;
        if let Some(kind) = value.get("model_type")
            && !kind.is_null()
            && kind != "glm4v"
        {
            return Err(config_error(
                CONFIG,
                "model_type",
                kind.as_str()
                    .map_or_else(|| kind.to_string(), str::to_owned),
                "this runtime runs glm4v (GLM-4.1V, Glyph) checkpoints only",
            ));
        }
        let config: Self = parse_json("config.json", json)?;
        config.check()?;
        Ok(config)
    }

    /// The configuration for weights that hold an output head: it is used, whatever the flags say, as in the
    /// reference.
    pub fn with_output_head(mut self) -> Self {
        self.tie_word_embeddings = Some(false);
        self.text_config.tie_word_embeddings = Some(false);
        self
    }

    /// Whether the output head is the embedding table.
    pub fn tied_embeddings(&self) -> bool {
        let inner = self.text_config.tie_word_embeddings;
        [self.tie_word_embeddings, inner].contains(&Some(true))
    }

    /// Ids that end an answer, where `generation_config.json` names none; inside `text_config` in newer files.
    pub(super) fn eos_token_id(&self) -> Option<&TokenIds> {
        let inner = self.text_config.eos_token_id.as_ref();
        inner.or(self.eos_token_id.as_ref())
    }

    fn check(&self) -> Result<()> {
        let (text, vision) = (&self.text_config, &self.vision_config);
        text.check()?;
        vision.check()?;
        if self.image_token_id as usize >= text.vocab_size {
            return Err(config_error(
                CONFIG,
                "image_token_id",
                self.image_token_id,
                "is outside vocab_size",
            ));
        }
        if vision.out_hidden_size != text.hidden_size {
            return Err(config_error(
                CONFIG,
                "vision_config.out_hidden_size",
                vision.out_hidden_size,
                "must equal text_config.hidden_size",
            ));
        }
        Ok(())
    }
}
