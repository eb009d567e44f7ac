//! `config.json`, `generation_config.json` and `preprocessor_config.json` as published, checked once here
//! so that the modules can trust every number.

use serde::Deserialize;
use serde_json::Value;

use crate::error::{ModelError, Result};

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
    /// Whether the output head shares the embedding table. Written at the top level by the library,
    /// inside `text_config` by some files; either counts.
    #[serde(default)]
    tie_word_embeddings: Option<bool>,
}

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
    /// Whether q, k and v have a bias.
    #[serde(default = "default_true")]
    pub attention_bias: bool,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default)]
    tie_word_embeddings: Option<bool>,
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
    #[serde(alias = "type")]
    rope_type: Option<String>,
    rope_theta: Option<f64>,
    partial_rotary_factor: Option<f64>,
    mrope_section: Option<Vec<usize>>,
}

/// The vision tower's part of `config.json`.
#[derive(Debug, Clone, Deserialize)]
pub struct VisionConfig {
    /// Number of blocks.
    pub depth: usize,
    /// Width of the tower.
    pub hidden_size: usize,
    /// Attention heads.
    pub num_heads: usize,
    /// Colour channels.
    #[serde(default = "default_in_channels")]
    pub in_channels: usize,
    /// Side in px of the square image whose patch grid the position table covers.
    pub image_size: usize,
    /// Side of a patch in px.
    pub patch_size: usize,
    /// Frames per temporal patch; a still repeats its only frame.
    #[serde(default = "default_temporal_patch_size")]
    pub temporal_patch_size: usize,
    /// Patches per side that merge into one token.
    #[serde(default = "default_spatial_merge_size")]
    pub spatial_merge_size: usize,
    /// Width of the decoder, and of the blocks' feed-forward layer.
    pub out_hidden_size: usize,
    /// Width of the merger's feed-forward layer.
    pub intermediate_size: usize,
    /// Epsilon of every norm.
    #[serde(default = "default_norm_eps")]
    pub rms_norm_eps: f64,
    /// Whether qkv has a bias; no published GLM-4.1V checkpoint has one.
    #[serde(default)]
    attention_bias: bool,
    #[serde(default)]
    hidden_act: Option<String>,
    #[serde(default)]
    rope_parameters: Option<RopeParameters>,
}

fn default_image_token_id() -> u32 {
    151_343
}
fn default_norm_eps() -> f64 {
    1e-5
}
fn default_max_positions() -> usize {
    32_768
}
fn default_true() -> bool {
    true
}
fn default_in_channels() -> usize {
    3
}
fn default_temporal_patch_size() -> usize {
    2
}
fn default_spatial_merge_size() -> usize {
    2
}

impl ModelConfig {
    /// Parses and checks `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Json`] when it does not parse, [`ModelError::Config`] naming the first key whose value
    /// cannot work.
    pub fn from_json(json: &str) -> Result<Self> {
        let value: Value = parse("config.json", json)?;
        if let Some(kind) = value.get("model_type").and_then(Value::as_str)
            && kind != "glm4v"
        {
            return Err(config_error(
                "model_type",
                kind,
                "this runtime runs glm4v (GLM-4.1V, Glyph) checkpoints only",
            ));
        }
        let config: Self = serde_json::from_value(value).map_err(|error| ModelError::Json {
            file: "config.json".to_owned(),
            reason: error.to_string(),
        })?;
        config.check()?;
        Ok(config)
    }

    /// Whether the output head is the embedding table.
    pub fn tied_embeddings(&self) -> bool {
        self.tie_word_embeddings.or(self.text_config.tie_word_embeddings).unwrap_or(false)
    }

    fn check(&self) -> Result<()> {
        let (text, vision) = (&self.text_config, &self.vision_config);
        for (key, value) in [
            ("text_config.vocab_size", text.vocab_size),
            ("text_config.hidden_size", text.hidden_size),
            ("text_config.intermediate_size", text.intermediate_size),
            ("text_config.num_hidden_layers", text.num_hidden_layers),
            ("text_config.num_attention_heads", text.num_attention_heads),
            ("text_config.num_key_value_heads", text.num_key_value_heads()),
            ("text_config.max_position_embeddings", text.max_position_embeddings),
            ("vision_config.depth", vision.depth),
            ("vision_config.hidden_size", vision.hidden_size),
            ("vision_config.num_heads", vision.num_heads),
            ("vision_config.patch_size", vision.patch_size),
            ("vision_config.spatial_merge_size", vision.spatial_merge_size),
            ("vision_config.out_hidden_size", vision.out_hidden_size),
            ("vision_config.intermediate_size", vision.intermediate_size),
        ] {
            if value == 0 || value > 1 << 24 {
                return Err(config_error(key, value, "must be between 1 and 16777216"));
            }
        }
        if self.image_token_id as usize >= text.vocab_size {
            return Err(config_error("image_token_id", self.image_token_id, "is outside vocab_size"));
        }
        for (key, act) in [
            ("text_config.hidden_act", &text.hidden_act),
            ("vision_config.hidden_act", &vision.hidden_act),
        ] {
            if let Some(act) = act
                && act != "silu"
                && act != "swish"
            {
                return Err(config_error(key, act, "only silu is part of this architecture"));
            }
        }
        if vision.in_channels != 3 {
            return Err(config_error("vision_config.in_channels", vision.in_channels, "must be 3 (RGB)"));
        }
        if vision.attention_bias {
            return Err(config_error("vision_config.attention_bias", true, "is not part of GLM-4.1V"));
        }
        if vision.hidden_size % vision.num_heads != 0 || vision.head_dim() % 4 != 0 {
            return Err(config_error(
                "vision_config.num_heads",
                vision.num_heads,
                "must divide hidden_size into heads of a multiple of 4",
            ));
        }
        if vision.image_size < vision.patch_size {
            return Err(config_error("vision_config.image_size", vision.image_size, "is smaller than a patch"));
        }
        if vision.out_hidden_size != text.hidden_size {
            return Err(config_error(
                "vision_config.out_hidden_size",
                vision.out_hidden_size,
                "must equal text_config.hidden_size",
            ));
        }
        text.check()
    }
}

impl TextConfig {
    /// Key and value heads; the query heads share them in equal groups.
    pub fn num_key_value_heads(&self) -> usize {
        self.num_key_value_heads.unwrap_or(self.num_attention_heads)
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.head_dim.unwrap_or(self.hidden_size / self.num_attention_heads.max(1))
    }

    fn rope(&self) -> RopeParameters {
        self.rope_parameters.clone().or_else(|| self.rope_scaling.clone()).unwrap_or_default()
    }

    /// Base of the rotary frequencies.
    pub fn rope_theta(&self) -> f64 {
        self.rope().rope_theta.or(self.rope_theta).unwrap_or(10_000.0)
    }

    /// Leading channels of a head that rotate; the others pass through.
    pub fn rotary_dim(&self) -> usize {
        let factor = self.rope().partial_rotary_factor.or(self.partial_rotary_factor).unwrap_or(1.0);
        (self.head_dim() as f64 * factor) as usize
    }

    /// How many consecutive frequencies follow the temporal, row and column position. Sums to half of
    /// [`rotary_dim`](Self::rotary_dim).
    pub fn mrope_section(&self) -> [usize; 3] {
        match self.rope().mrope_section.as_deref() {
            Some(&[temporal, row, column]) => [temporal, row, column],
            _ => [8, 12, 12],
        }
    }

    fn check(&self) -> Result<()> {
        let (heads, kv_heads) = (self.num_attention_heads, self.num_key_value_heads());
        if heads % kv_heads != 0 {
            return Err(config_error(
                "text_config.num_key_value_heads",
                kv_heads,
                "must divide num_attention_heads",
            ));
        }
        let rotary_dim = self.rotary_dim();
        if rotary_dim == 0 || rotary_dim % 2 != 0 || rotary_dim > self.head_dim() {
            return Err(config_error(
                "text_config.partial_rotary_factor",
                rotary_dim,
                "must give an even number of rotated channels within the head",
            ));
        }
        let rope = self.rope();
        if let Some(kind) = rope.rope_type.as_deref()
            && kind != "default"
            && kind != "mrope"
        {
            return Err(config_error("text_config.rope_parameters.rope_type", kind, "only default is supported"));
        }
        if let Some(section) = &rope.mrope_section
            && section.len() != 3
        {
            return Err(config_error("text_config.mrope_section", format!("{section:?}"), "must hold three counts"));
        }
        let section = self.mrope_section();
        if section.iter().sum::<usize>() != rotary_dim / 2 {
            return Err(config_error(
                "text_config.mrope_section",
                format!("{section:?}"),
                format!("must sum to half of the rotated channels, {}", rotary_dim / 2),
            ));
        }
        Ok(())
    }
}

impl VisionConfig {
    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads.max(1)
    }

    /// Base of the rotary frequencies of rows and columns.
    pub fn rope_theta(&self) -> f64 {
        self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta).unwrap_or(10_000.0)
    }

    /// Patches per side of the grid that the position table covers.
    pub fn position_grid(&self) -> usize {
        self.image_size / self.patch_size.max(1)
    }

    /// Values of one patch of a single frame: channels × side × side.
    pub fn frame_patch_len(&self) -> usize {
        self.in_channels * self.patch_size * self.patch_size
    }

    /// Patches that merge into one token.
    pub fn merge_area(&self) -> usize {
        self.spatial_merge_size * self.spatial_merge_size
    }
}

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
#[serde(untagged)]
enum OneOrMany {
    One(u32),
    Many(Vec<u32>),
}

impl GenerationConfig {
    /// Parses `generation_config.json`.
    ///
    /// # Errors
    /// [`ModelError::Json`] when it does not parse.
    pub fn from_json(json: &str) -> Result<Self> {
        parse("generation_config.json", json)
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

/// `preprocessor_config.json`: how an image becomes patches.
#[derive(Debug, Clone, Deserialize)]
#[serde(default)]
pub struct PreprocessorConfig {
    size: PixelBounds,
    /// Side of a patch in px.
    pub patch_size: usize,
    /// Frames per temporal patch.
    pub temporal_patch_size: usize,
    /// Patches per side that merge into one token.
    pub merge_size: usize,
    /// Mean of each channel after scaling to 0..1.
    pub image_mean: [f32; 3],
    /// Standard deviation of each channel.
    pub image_std: [f32; 3],
}

#[derive(Debug, Clone, Copy, Deserialize)]
struct PixelBounds {
    shortest_edge: usize,
    longest_edge: usize,
}

impl Default for PreprocessorConfig {
    fn default() -> Self {
        Self {
            size: PixelBounds { shortest_edge: 112 * 112, longest_edge: 28 * 28 * 15_000 },
            patch_size: 14,
            temporal_patch_size: 2,
            merge_size: 2,
            image_mean: [0.481_454_66, 0.457_827_5, 0.408_210_73],
            image_std: [0.268_629_54, 0.261_302_58, 0.275_777_1],
        }
    }
}

impl PreprocessorConfig {
    /// Parses and checks `preprocessor_config.json`.
    ///
    /// # Errors
    /// [`ModelError::Json`] when it does not parse, [`ModelError::Config`] for a size or deviation of zero.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse("preprocessor_config.json", json)?;
        if config.patch_size == 0 || config.temporal_patch_size == 0 || config.merge_size == 0 {
            return Err(config_error("preprocessor_config.patch_size", config.patch_size, "sizes must be positive"));
        }
        if config.image_std.iter().any(|std| std.abs() < f32::EPSILON) {
            return Err(config_error(
                "preprocessor_config.image_std",
                format!("{:?}", config.image_std),
                "must not be zero",
            ));
        }
        Ok(config)
    }

    /// Fewest px² of all frames of one temporal patch together (`size.shortest_edge`).
    pub fn min_pixels(&self) -> usize {
        self.size.shortest_edge
    }

    /// Most px² of all frames of one temporal patch together (`size.longest_edge`).
    pub fn max_pixels(&self) -> usize {
        self.size.longest_edge
    }

    /// The image side in px is a multiple of this.
    pub fn factor_px(&self) -> usize {
        self.patch_size * self.merge_size
    }
}

fn parse<T: serde::de::DeserializeOwned>(file: &str, json: &str) -> Result<T> {
    serde_json::from_str(json)
        .map_err(|error| ModelError::Json { file: file.to_owned(), reason: error.to_string() })
}

fn config_error(key: &str, value: impl ToString, reason: impl Into<String>) -> ModelError {
    ModelError::Config { key: key.to_owned(), value: value.to_string(), reason: reason.into() }
}
