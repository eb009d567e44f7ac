//! `generation_config.json`.

use serde::Deserialize;

use super::{config_error, parse_json};
use crate::error::{ModelError, Result};
use crate::generate::SamplingParams;

const FILE: &str = "generation_config.json";

/// `generation_config.json`: when to stop and how to sample unless the request says otherwise.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct GenerationConfig {
    #[serde(default)]
    eos_token_id: Option<OneOrMany>,
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
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl GenerationConfig {
    /// Parses `generation_config.json`.
    ///
    /// # Errors
    /// [`crate::ModelError::Json`] when it does not parse, [`crate::ModelError::Config`] for a setting out of
    /// range.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse_json(FILE, json)?;
        match SamplingParams::from_config(&config).check() {
            Err(ModelError::Parameter {
                name,
                value,
                reason,
            }) => Err(config_error(FILE, name, value, reason)),
            other => other.map(|()| config),
        }
    }

    /// Ids that end an answer.
    pub fn stop_ids(&self) -> Vec<u32> {
        match &self.eos_token_id {
            Some(OneOrMany::One(id)) => vec![*id],
            Some(OneOrMany::Many(ids)) => ids.clone(),
            None => Vec::new(),
        }
    }
}
