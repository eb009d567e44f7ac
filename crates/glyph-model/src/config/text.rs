//! The decoder's part of `config.json`, in the forms that both major versions of transformers write.

use serde::Deserialize;

use super::generation::TokenIds;
use super::{
    CONFIG, DEFAULT_ROPE_THETA, MOST_HEAD_DIM, MOST_HEADS, MOST_LAYERS, MOST_WIDTH, check_size,
    check_tower, config_error, default_norm_eps,
};
use crate::error::Result;

/// The decoder's part of `config.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct TextConfig {
    /// Rows of the embedding table.
    pub vocab_size: usize,
    /// Width of the residual stream.
    pub hidden_size: usize,
    /// Width of the feed-forward layer.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    num_key_value_heads: Option<usize>,
    head_dim: Option<usize>,
    /// Epsilon of every RMSNorm.
    #[serde(default = "default_norm_eps")]
    pub rms_norm_eps: f64,
    /// Longest sequence in positions.
    #[serde(default = "default_max_positions")]
    pub max_position_embeddings: usize,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default)]
    pub(super) tie_word_embeddings: Option<bool>,
    #[serde(default)]
    pub(super) eos_token_id: Option<TokenIds>,
    #[serde(default)]
    rope_theta: Option<f64>,
    #[serde(default)]
    partial_rotary_factor: Option<f64>,
    #[serde(default)]
    rope_scaling: Option<RopeParameters>,
    #[serde(default)]
    rope_parameters: Option<RopeParameters>,
}

/// `rope_parameters` (newer files) or `rope_scaling` (older ones).
#[derive(Debug, Clone, Default, Deserialize)]
struct RopeParameters {
    rope_type: Option<String>,
    /// The older name of `rope_type`; some files have both.
    #[serde(rename = "type")]
    older_type: Option<String>,
    rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
    mrope_section: Option<Vec<usize>>,
}

const DEFAULT_MROPE_SECTION: [usize; 3] = [8, 12, 12];

fn default_max_positions() -> usize {
    32_768
}

impl TextConfig {
    /// Key and value heads; the query heads share them in equal groups.
    pub fn num_key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of one head: what `hidden_size` leaves to each. A file that names another one is refused.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads.max(1)
    }

    /// A rotary setting: `rope_parameters` (newer files) counts before `rope_scaling` (older ones).
    fn rope<T>(&self, setting: impl Fn(&RopeParameters) -> Option<T>) -> Option<T> {
        [&self.rope_parameters, &self.rope_scaling]
            .into_iter()
            .flatten()
            .find_map(setting)
    }

    /// Base of the rotary frequencies.
    pub fn rope_theta(&self) -> f64 {
        self.rope(|rope| rope.rope_theta)
            .or(self.rope_theta)
            .unwrap_or(DEFAULT_ROPE_THETA)
    }

    /// Leading channels of a head that rotate; the others pass through.
    pub fn rotary_dim(&self) -> usize {
        (self.head_dim() as f64 * self.partial_rotary_factor()) as usize
    }

    /// How many consecutive frequencies follow the temporal, row and column position. Sums to half of
    /// [`rotary_dim`](Self::rotary_dim).
    pub fn mrope_section(&self) -> [usize; 3] {
        self.rope(|rope| {
            rope.mrope_section
                .as_deref()
                .and_then(|section| section.try_into().ok())
        })
        .unwrap_or(DEFAULT_MROPE_SECTION)
    }

    pub(super) fn check(&self) -> Result<()> {
        let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads());
        for (key, value, most) in [
            ("vocab_size", self.vocab_size, MOST_WIDTH),
            ("hidden_size", self.hidden_size, MOST_WIDTH),
            ("intermediate_size", self.intermediate_size, MOST_WIDTH),
            ("num_hidden_layers", self.num_hidden_layers, MOST_LAYERS),
            ("num_attention_heads", heads, MOST_HEADS),
            ("num_key_value_heads", kv_heads, MOST_HEADS),
            ("head_dim", self.head_dim(), MOST_HEAD_DIM),
            (
                "max_position_embeddings",
                self.max_position_embeddings,
                MOST_WIDTH,
            ),
        ] {
            check_size(CONFIG, &format!("text_config.{key}"), value, most)?;
        }
        if let Some(head_dim) = self.head_dim
            && head_dim != self.head_dim()
        {
            return Err(config_error(
                CONFIG,
                "text_config.head_dim",
                head_dim,
                format!(
                    "must be {}, hidden_size / num_attention_heads, as heads of this architecture are",
                    self.head_dim()
                ),
            ));
        }
        check_tower(
            "text_config",
            self.rms_norm_eps,
            self.rope_theta(),
            self.hidden_act.as_deref(),
        )?;
        if !heads.is_multiple_of(kv_heads) {
            return Err(config_error(
                CONFIG,
                "text_config.num_key_value_heads",
                kv_heads,
                "must divide num_attention_heads",
            ));
        }
        self.check_rotary()
    }

    fn partial_rotary_factor(&self) -> f64 {
        self.rope(|rope| rope.partial_rotary_factor)
            .or(self.partial_rotary_factor)
            .unwrap_or(1.0)
    }

    fn check_rotary(&self) -> Result<()> {
        let rotary_dim = self.rotary_dim();
        let (factor, head_dim) = (self.partial_rotary_factor(), self.head_dim());
        if rotary_dim == 0 || !rotary_dim.is_multiple_of(2) || rotary_dim > head_dim {
            return Err(config_error(
                CONFIG,
                "text_config.partial_rotary_factor",
                factor,
                format!(
                    "must leave an even number of rotated channels of the {head_dim} of a head (hidden_size / \
                     num_attention_heads)"
                ),
            ));
        }
        for (field, rope) in [
            ("rope_parameters", &self.rope_parameters),
            ("rope_scaling", &self.rope_scaling),
        ] {
            let kinds = rope
                .iter()
                .flat_map(|rope| [&rope.rope_type, &rope.older_type]);
            // What one of them asks for is not to be lost because the other one counts.
            for kind in kinds.flatten() {
                if kind != "default" && kind != "mrope" {
                    return Err(config_error(
                        CONFIG,
                        &format!("text_config.{field}.rope_type"),
                        kind,
                        "only default is supported",
                    ));
                }
            }
        }
        let half = rotary_dim / 2;
        let section = self
            .rope(|rope| rope.mrope_section.clone())
            .unwrap_or(DEFAULT_MROPE_SECTION.to_vec());
        if section.len() != 3
            || section
                .iter()
                .try_fold(0, |sum: usize, n| sum.checked_add(*n))
                != Some(half)
        {
            return Err(config_error(
                CONFIG,
                "text_config.mrope_section",
                format!("{section:?}"),
                format!("must hold three counts that sum to half of the rotated channels, {half}"),
            ));
        }
        Ok(())
    }
}
