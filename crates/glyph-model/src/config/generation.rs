//! `generation_config.json`.

use serde::Deserialize;

use super::{CONFIG, ModelConfig, config_error, parse_json};
use crate::error::{ModelError, Result};
use crate::generate::SamplingParams;

const FILE: &str = "generation_config.json";

/// `generation_config.json`: when to stop and how to sample unless the request says otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct GenerationConfig {
    #[serde(default)]
    eos_token_id: Option<TokenIds>,
    /// Whether to sample at all.
    #[serde(default)]
    pub do_sample: Option<bool>,
    /// Softmax temperature.
    #[serde(default)]
    pub temperature: Option<f32>,
    /// Nucleus mass.
    #[serde(default)]
    pub top_p: Option<f32>,
    /// Candidates kept.
    #[serde(default)]
    pub top_k: Option<i64>,
    /// Divides (multiplies) positive (negative) logits of tokens already seen.
    #[serde(default)]
    pub repetition_penalty: Option<f32>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(
    untagged,
    expecting = "eos_token_id must be a token id or a list of token ids"
)]
pub(super) enum TokenIds {
    One(u32),
    Many(Vec<u32>),
}

impl TokenIds {
    pub(super) fn to_vec(&self) -> Vec<u32> {
        match self {
            Self::One(id) => vec![*id],
            Self::Many(ids) => ids.clone(),
        }
    }
}

impl GenerationConfig {
    /// Parses `generation_config.json`.
    ///
    /// # Errors
    /// [`crate::ModelError::Json`] when it does not parse, [`crate::ModelError::Config`] for a setting out of
    /// range, in a file that does not sample as well.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse_json(FILE, json)?;
        // What is kept for when it samples is checked where it does not, too.
        let as_sampled = Self {
            do_sample: Some(true),
            ..config.clone()
        };
        match SamplingParams::from_config(&as_sampled).check() {
            Err(ModelError::Parameter {
                name,
                value,
                reason,
            }) => Err(config_error(FILE, name, value, reason)),
            other => other.map(|()| config),
        }
    }

    /// With the ids of `config.json` that end an answer where this file names none, as in the reference.
    ///
    /// # Errors
    /// [`crate::ModelError::Config`] for an id that no token of the model has: no answer would end by it.
    pub fn with_stop_ids_of(mut self, config: &ModelConfig) -> Result<Self> {
        let file = if self.eos_token_id.is_some() {
            FILE
        } else {
            CONFIG
        };
        self.eos_token_id = self.eos_token_id.or_else(|| config.eos_token_id().cloned());
        let vocab_size = config.text_config.vocab_size;
        let stop_ids = self.stop_ids();
        match stop_ids.iter().find(|id| **id as usize >= vocab_size) {
            Some(id) => Err(config_error(
                file,
                "eos_token_id",
                id,
                format!(
                    "is outside vocab_size, {vocab_size}; use the file that belongs to this model"
                ),
            )),
            None => Ok(self),
        }
    }

    /// Ids that end an answer.
    pub fn stop_ids(&self) -> Vec<u32> {
        let ids = self.eos_token_id.as_ref();
        ids.map_or_else(Vec::new, TokenIds::to_vec)
    }
}
