//! The vision tower's part of `config.json`.

use serde::Deserialize;

use super::{
    CONFIG, DEFAULT_ROPE_THETA, MOST_HEAD_DIM, MOST_HEADS, MOST_IMAGE_SIDE, MOST_LAYERS,
    MOST_PATCH_SIDE, MOST_WIDTH, check_size, check_tower, config_error, default_norm_eps,
};
use crate::error::Result;

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
    rope_parameters: Option<AxialRope>,
}

#[derive(Debug, Clone, Deserialize)]
struct AxialRope {
    rope_theta: Option<f64>,
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

impl VisionConfig {
    /// Width of one attention head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_heads.max(1)
    }

    /// Base of the rotary frequencies of rows and columns.
    pub fn rope_theta(&self) -> f64 {
        self.rope_parameters
            .as_ref()
            .and_then(|rope| rope.rope_theta)
            .unwrap_or(DEFAULT_ROPE_THETA)
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

    pub(super) fn check(&self) -> Result<()> {
        for (key, value, most) in [
            ("depth", self.depth, MOST_LAYERS),
            ("hidden_size", self.hidden_size, MOST_WIDTH),
            ("num_heads", self.num_heads, MOST_HEADS),
            ("patch_size", self.patch_size, MOST_PATCH_SIDE),
            (
                "temporal_patch_size",
                self.temporal_patch_size,
                MOST_PATCH_SIDE,
            ),
            (
                "spatial_merge_size",
                self.spatial_merge_size,
                MOST_PATCH_SIDE,
            ),
            ("image_size", self.image_size, MOST_IMAGE_SIDE),
            ("out_hidden_size", self.out_hidden_size, MOST_WIDTH),
            ("intermediate_size", self.intermediate_size, MOST_WIDTH),
        ] {
            check_size(CONFIG, &format!("vision_config.{key}"), value, most)?;
        }
        check_tower(
            "vision_config",
            self.rms_norm_eps,
            self.rope_theta(),
            self.hidden_act.as_deref(),
        )?;
        let wrong = |key: &str, value: &dyn ToString, reason: String| {
            let key = format!("vision_config.{key}");
            Err(config_error(CONFIG, &key, value.to_string(), reason))
        };
        if self.in_channels != 3 {
            return wrong("in_channels", &self.in_channels, "must be 3 (RGB)".into());
        }
        if self.attention_bias {
            return wrong("attention_bias", &true, "is not part of GLM-4.1V".into());
        }
        // A quarter of a head each for sine and cosine of rows and columns.
        let whole_heads = self.hidden_size.is_multiple_of(self.num_heads);
        if !whole_heads || !self.head_dim().is_multiple_of(4) || self.head_dim() > MOST_HEAD_DIM {
            let reason = format!(
                "must divide hidden_size into heads of a multiple of 4, at most {MOST_HEAD_DIM}"
            );
            return wrong("num_heads", &self.num_heads, reason);
        }
        if self.image_size < self.patch_size {
            return wrong(
                "image_size",
                &self.image_size,
                "is smaller than a patch".into(),
            );
        }
        Ok(())
    }
}
