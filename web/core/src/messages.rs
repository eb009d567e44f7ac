//! Messages between `glyph.js` and the workers. Every request carries an id; every reply the id of
//! its request. `{type: "cancel", request}` ends the work on one, in either worker. Names are those of the JavaScript API (`web/api/glyph.d.ts`).

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::stage::{Finish, TabDevice};

/// A font file that the renderer may fetch.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FontFile {
    /// Name that styles use.
    pub name: String,
    /// Where it is.
    pub url: String,
    /// Its size.
    pub bytes: u64,
}

/// What page sizes and tokens follow from: `preprocessor_config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SizeRules {
    /// Side of a patch in px.
    pub patch_size: usize,
    /// Patches per side that merge into one token.
    pub merge_size: usize,
    /// Frames per temporal patch.
    pub temporal_patch_size: usize,
    /// Fewest px² of all frames of a temporal patch.
    pub min_pixels: usize,
    /// Most px² of all frames of a temporal patch.
    pub max_pixels: usize,
}

impl Default for SizeRules {
    /// Those of the family.
    fn default() -> Self {
        Self {
            patch_size: 14,
            merge_size: 2,
            temporal_patch_size: 2,
            min_pixels: 112 * 112,
            max_pixels: 28 * 28 * 15_000,
        }
    }
}

/// To the render worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub enum RenderRequest {
    /// Draws `text`, a string or a blob of UTF-8.
    Render {
        /// Keys of the render configuration, or the official style of the text's language.
        style: Style,
        /// Keys that replace those of `style`.
        #[serde(default)]
        overrides: Map<String, Value>,
        /// How tokens are counted.
        #[serde(default)]
        rules: SizeRules,
        /// Fonts that may be fetched.
        fonts: Vec<FontFile>,
    },
    /// The text of `file`, a blob.
    Decode {
        /// Most characters that are handed out; all where missing.
        #[serde(default)]
        most: Option<usize>,
        /// How its characters are written, where that is known; else it is found out.
        #[serde(default)]
        encoding: Option<String>,
    },
    /// An archive; `entries` holds names and blobs.
    Zip,
}

/// A style by name or by its keys.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Style {
    /// `official`.
    Named(String),
    /// Keys of the render configuration.
    Keys(Map<String, Value>),
}

/// A drawn page; its PNG file travels beside it as `png`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PageFigures {
    /// Number of the page, from 0.
    pub index: usize,
    /// Width.
    pub width_px: u32,
    /// Height.
    pub height_px: u32,
    /// Tokens that the model takes for it.
    pub vision_tokens: usize,
}

/// A character that no font has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MissingCharacter {
    /// The character.
    pub character: String,
    /// How often it was drawn as a box.
    pub count: u64,
}

/// A font that drew what the style's font lacks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BorrowedFont {
    /// Its name.
    pub font: String,
    /// Characters that it drew.
    pub count: u64,
}

/// A font that stands in for the style's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Substitution {
    /// What the style names.
    pub requested: String,
    /// What was used.
    pub used: String,
}

/// What happened while a text was drawn.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RenderSummary {
    /// Pages.
    pub pages: usize,
    /// Characters that were laid out.
    pub characters: u64,
    /// Tokens of all pages.
    pub vision_tokens: usize,
    /// Bytes of all PNG files.
    pub png_bytes: u64,
    /// Characters that no font has.
    pub missing: Vec<MissingCharacter>,
    /// Fonts that helped out.
    pub borrowed: Vec<BorrowedFont>,
    /// Fonts that stand in.
    pub substitutions: Vec<Substitution>,
    /// Whether the text has scripts that a reader expects reordered or joined.
    pub has_complex_scripts: bool,
    /// The style as it was used, every key.
    pub style: Map<String, Value>,
    /// Seconds from request to last page.
    pub seconds: f64,
}

/// To the model worker.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(
    tag = "type",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
pub enum ModelRequest {
    /// Opens a checkpoint: from `base`, or from `files` beside this message.
    Load {
        /// Name for people.
        name: String,
        /// Directory of its files.
        #[serde(default)]
        base: Option<String>,
        /// Its files, where they are known.
        #[serde(default)]
        listing: Option<Vec<ListedFile>>,
        /// Where it is to run.
        #[serde(default)]
        device: DeviceChoice,
    },
    /// Asks about the pages in `pages`, PNG blobs beside this message.
    Ask {
        /// The question.
        question: String,
        /// Longest answer.
        #[serde(default)]
        max_tokens: Option<usize>,
        /// Randomness; the checkpoint's own where missing.
        #[serde(default)]
        temperature: Option<f32>,
        /// Start of the random numbers.
        #[serde(default)]
        seed: Option<u64>,
    },
    /// Counts the tokens of `text`, a string or a blob of UTF-8.
    CountTokens,
}

/// A file of a checkpoint, as the list beside the page has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ListedFile {
    /// Its name.
    pub name: String,
    /// Its size.
    pub bytes: u64,
}

/// Where a model runs in the browser.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// WebGPU where it works, else the CPU.
    #[default]
    Auto,
    /// WebGPU or an error.
    Webgpu,
    /// The CPU.
    Cpu,
}

/// A model that is ready to answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadedModel {
    /// Name for people.
    pub name: String,
    /// What runs it.
    pub device: TabDevice,
    /// The adapter's name, on WebGPU.
    pub adapter: Option<String>,
    /// Why WebGPU is not used although it was wanted.
    pub fallback_reason: Option<String>,
    /// Tokens of prompt and answer together.
    pub context_tokens: usize,
    /// Bytes of keys and values per token.
    pub kv_bytes_per_token: usize,
    /// Bytes of all files.
    pub bytes: u64,
    /// Whether every file came from the browser's cache.
    pub from_cache: bool,
    /// Why the files could not be kept in the browser's cache.
    pub cache_error: Option<String>,
    /// How text is drawn for it: its `render.json`.
    pub style: Option<Map<String, Value>>,
    /// How its tokens are counted.
    pub rules: SizeRules,
    /// Whether a token of text is one byte.
    pub is_byte_level: bool,
}

/// An answer that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerSummary {
    /// The whole text.
    pub text: String,
    /// How it ended.
    pub finish_reason: Finish,
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Those that stand for pages.
    pub image_tokens: usize,
    /// Tokens of the answer.
    pub answer_tokens: usize,
    /// Seconds to the first token.
    pub first_token_s: f64,
    /// Seconds from the first token to the last.
    pub decode_s: f64,
}
