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
    /// Whether the output head shares the embedding table. Newer files say so at the top level, older ones
    /// inside `text_config`; either counts.
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
    rope_type: Option<String>,
    /// The older name of `rope_type`; some files have both.
    #[serde(rename = "type")]
    older_type: Option<String>,
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

const DEFAULT_ROPE_THETA: f64 = 10_000.0;
const DEFAULT_MROPE_SECTION: [usize; 3] = [8, 12, 12];

fn default_image_token_id() -> u32 {
    151_343
}
fn default_norm_eps() -> f64 {
    1e-5
}
fn default_max_positions() -> usize {
    32_768
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

// Bounds that no member of the family comes near. They turn a broken number into a message where it would
// else be an allocation that cannot succeed; the shapes of the weights are held against config.json as well.
const MOST_WIDTH: usize = 1 << 24;
const MOST_LAYERS: usize = 1024;
const MOST_HEADS: usize = 4096;
const MOST_HEAD_DIM: usize = 4096;
const MOST_PATCH_SIDE: usize = 256;
const MOST_IMAGE_SIDE: usize = 1 << 14;
const MOST_PIXELS: usize = 1 << 28;

impl ModelConfig {
    /// Parses and checks `config.json`.
    ///
    /// # Errors
    /// [`ModelError::Json`] when it does not parse, [`ModelError::Config`] naming the first key whose value
    /// cannot work.
    pub fn from_json(json: &str) -> Result<Self> {
        // Another architecture is named as such before its other keys are missed.
        let value: Value = parse_json("config.json", json)?;
        if let Some(kind) = value.get("model_type").and_then(Value::as_str)
            && kind != "glm4v"
        {
            return Err(config_error(
                "model_type",
                kind,
                "this runtime runs glm4v (GLM-4.1V, Glyph) checkpoints only",
            ));
        }
        let config: Self = parse_json("config.json", json)?;
        config.check()?;
        Ok(config)
    }

    /// Whether the output head is the embedding table.
    pub fn tied_embeddings(&self) -> bool {
        [self.tie_word_embeddings, self.text_config.tie_word_embeddings].contains(&Some(true))
    }

    fn check(&self) -> Result<()> {
        let (text, vision) = (&self.text_config, &self.vision_config);
        for (key, value, most) in [
            ("text_config.vocab_size", text.vocab_size, MOST_WIDTH),
            ("text_config.hidden_size", text.hidden_size, MOST_WIDTH),
            ("text_config.intermediate_size", text.intermediate_size, MOST_WIDTH),
            ("text_config.num_hidden_layers", text.num_hidden_layers, MOST_LAYERS),
            ("text_config.num_attention_heads", text.num_attention_heads, MOST_HEADS),
            ("text_config.num_key_value_heads", text.num_key_value_heads(), MOST_HEADS),
            ("text_config.head_dim", text.head_dim(), MOST_HEAD_DIM),
            ("text_config.max_position_embeddings", text.max_position_embeddings, MOST_WIDTH),
            ("vision_config.depth", vision.depth, MOST_LAYERS),
            ("vision_config.hidden_size", vision.hidden_size, MOST_WIDTH),
            ("vision_config.num_heads", vision.num_heads, MOST_HEADS),
            ("vision_config.patch_size", vision.patch_size, MOST_PATCH_SIDE),
            ("vision_config.temporal_patch_size", vision.temporal_patch_size, MOST_PATCH_SIDE),
            ("vision_config.spatial_merge_size", vision.spatial_merge_size, MOST_PATCH_SIDE),
            ("vision_config.image_size", vision.image_size, MOST_IMAGE_SIDE),
            ("vision_config.out_hidden_size", vision.out_hidden_size, MOST_WIDTH),
            ("vision_config.intermediate_size", vision.intermediate_size, MOST_WIDTH),
        ] {
            if value == 0 || value > most {
                return Err(config_error(key, value, format!("must be between 1 and {most}")));
            }
        }
        for (key, eps) in [
            ("text_config.rms_norm_eps", text.rms_norm_eps),
            ("vision_config.rms_norm_eps", vision.rms_norm_eps),
        ] {
            if !(eps > 0.0 && eps < 1.0) {
                return Err(config_error(key, eps, "must be between 0 and 1"));
            }
        }
        for (key, theta) in [
            ("text_config.rope_theta", text.rope_theta()),
            ("vision_config.rope_theta", vision.rope_theta()),
        ] {
            if !(1.0..=1e12).contains(&theta) {
                return Err(config_error(key, theta, "must be between 1 and 1e12"));
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
        if vision.hidden_size % vision.num_heads != 0
            || vision.head_dim() % 4 != 0
            || vision.head_dim() > MOST_HEAD_DIM
        {
            return Err(config_error(
                "vision_config.num_heads",
                vision.num_heads,
                format!("must divide hidden_size into heads of a multiple of 4, at most {MOST_HEAD_DIM}"),
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

    /// A rotary setting: `rope_parameters` (newer files) counts before `rope_scaling` (older ones).
    fn rope<T>(&self, setting: impl Fn(&RopeParameters) -> Option<T>) -> Option<T> {
        [&self.rope_parameters, &self.rope_scaling].into_iter().flatten().find_map(setting)
    }

    /// Base of the rotary frequencies.
    pub fn rope_theta(&self) -> f64 {
        self.rope(|rope| rope.rope_theta).or(self.rope_theta).unwrap_or(DEFAULT_ROPE_THETA)
    }

    /// Leading channels of a head that rotate; the others pass through.
    pub fn rotary_dim(&self) -> usize {
        let factor = self.rope(|rope| rope.partial_rotary_factor).or(self.partial_rotary_factor);
        (self.head_dim() as f64 * factor.unwrap_or(1.0)) as usize
    }

    /// How many consecutive frequencies follow the temporal, row and column position. Sums to half of
    /// [`rotary_dim`](Self::rotary_dim).
    pub fn mrope_section(&self) -> [usize; 3] {
        self.rope(|rope| rope.mrope_section.as_deref().and_then(|section| section.try_into().ok()))
            .unwrap_or(DEFAULT_MROPE_SECTION)
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
        let kind = self.rope(|rope| rope.rope_type.clone().or_else(|| rope.older_type.clone()));
        if let Some(kind) = kind
            && kind != "default"
            && kind != "mrope"
        {
            return Err(config_error("text_config.rope_parameters.rope_type", kind, "only default is supported"));
        }
        let half = rotary_dim / 2;
        let section =
            self.rope(|rope| rope.mrope_section.clone()).unwrap_or(DEFAULT_MROPE_SECTION.to_vec());
        if section.len() != 3 || section.iter().try_fold(0, |sum: usize, n| sum.checked_add(*n)) != Some(half)
        {
            return Err(config_error(
                "text_config.mrope_section",
                format!("{section:?}"),
                format!("must hold three counts that sum to half of the rotated channels, {half}"),
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
        self.rope_parameters.as_ref().and_then(|rope| rope.rope_theta).unwrap_or(DEFAULT_ROPE_THETA)
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
#[serde(untagged, expecting = "eos_token_id must be a token id or a list of token ids")]
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
        parse_json("generation_config.json", json)
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
    /// [`ModelError::Json`] when it does not parse, [`ModelError::Config`] for a size, a range of pixel counts or a
    /// deviation that cannot work.
    pub fn from_json(json: &str) -> Result<Self> {
        let config: Self = parse_json("preprocessor_config.json", json)?;
        for (key, value) in [
            ("preprocessor_config.patch_size", config.patch_size),
            ("preprocessor_config.temporal_patch_size", config.temporal_patch_size),
            ("preprocessor_config.merge_size", config.merge_size),
        ] {
            if value == 0 || value > MOST_PATCH_SIDE {
                return Err(config_error(key, value, format!("must be between 1 and {MOST_PATCH_SIDE}")));
            }
        }
        let PixelBounds { shortest_edge, longest_edge } = config.size;
        if shortest_edge == 0 || shortest_edge > longest_edge || longest_edge > MOST_PIXELS {
            return Err(config_error(
                "preprocessor_config.size",
                format!("{shortest_edge} to {longest_edge}"),
                format!("must be an ascending range of pixel counts between 1 and {MOST_PIXELS}"),
            ));
        }
        // A deviation divides; a mean that is no number would spread over every pixel.
        let usable = config.image_mean.iter().all(|mean| mean.is_finite())
            && config.image_std.iter().all(|std| *std > f32::EPSILON && std.is_finite());
        if !usable {
            return Err(config_error(
                "preprocessor_config.image_std",
                format!("{:?} around the means {:?}", config.image_std, config.image_mean),
                "deviations must be positive and means finite",
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

/// Parses a JSON file of the checkpoint.
pub(crate) fn parse_json<T: serde::de::DeserializeOwned>(file: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|error| ModelError::Json {
        file: file.to_owned(),
        reason: format!("{error}, near `{}`", text_before(json, error.line(), error.column())),
    })
}

/// What a line of a file holds up to a column: in an indented file the key whose value is wrong.
fn text_before(text: &str, line: usize, column: usize) -> &str {
    const LONGEST: usize = 60;
    let line = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
    let end = line.floor_char_boundary(column);
    let start = line.floor_char_boundary(end.saturating_sub(LONGEST));
    line[start..end].trim()
}

fn config_error(key: &str, value: impl ToString, reason: impl Into<String>) -> ModelError {
    ModelError::Config { key: key.to_owned(), value: value.to_string(), reason: reason.into() }
}
