//! What `glyph ask` reports besides the answer.

use glyph_model::quantize::Quantization;
use serde::Serialize;

use crate::error::CliError;
use crate::generation::AnswerFigures;
use crate::model::Model;
use crate::report::{RenderNotes, count_of_pages, ratio};

/// The object that `glyph ask --json` prints.
#[derive(Debug, Serialize)]
pub struct AskReport<'a> {
    /// The answer.
    pub answer: &'a str,
    /// What the model thought before it answered.
    pub reasoning: Option<&'a str>,
    /// Name of the model.
    pub model: String,
    /// Where it ran.
    pub device: String,
    /// Type of weights and activations.
    pub dtype: &'static str,
    /// What keys and values were kept in.
    pub kv_cache: &'static str,
    /// How the decoder's weights are quantised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantization: Option<Quantization>,
    /// Pages of the prompt, images included.
    pub pages: usize,
    /// Vision tokens of all pages.
    pub vision_tokens: usize,
    /// Figures of the text; all null without one.
    #[serde(flatten, serialize_with = "flatten_or_null")]
    pub text: Option<TextFigures>,
    /// Seconds for reading the weights.
    pub load_s: f64,
    /// Seconds for drawing the text's pages.
    pub render_s: f64,
    /// Seconds for resizing pages and cutting them into patches.
    pub preprocess_s: f64,
    /// Counts and times of the answer.
    #[serde(flatten)]
    pub figures: AnswerFigures,
    /// Seconds from start to end.
    pub total_s: f64,
    /// What rendering could not do as asked.
    #[serde(flatten)]
    pub notes: RenderNotes,
}

/// Size of the text against that of its pages.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TextFigures {
    /// Characters of the text.
    pub text_characters: Option<usize>,
    /// Tokens of the text by the model's tokenizer.
    pub text_tokens: Option<usize>,
    /// What one of those tokens is: `byte` or `subword`.
    pub text_token_unit: Option<&'static str>,
    /// Text tokens per vision token of the text's pages.
    pub compression_ratio: Option<f64>,
    /// Characters per vision token of the text's pages, a figure that no tokenizer flatters.
    pub characters_per_vision_token: Option<f64>,
}

impl TextFigures {
    /// Of a text whose pages take so many vision tokens.
    pub fn new(model: &Model, text: &str, vision_tokens: usize) -> Result<Self, CliError> {
        let tokens = model.text_tokens(text)?;
        let characters = text.chars().count();
        Ok(Self {
            text_characters: Some(characters),
            text_tokens: Some(tokens),
            text_token_unit: Some(model.text_token_unit()?),
            compression_ratio: ratio(tokens as f64, vision_tokens as f64),
            characters_per_vision_token: ratio(characters as f64, vision_tokens as f64),
        })
    }
}

fn flatten_or_null<S: serde::Serializer>(
    text: &Option<TextFigures>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    text.clone().unwrap_or_default().serialize(serializer)
}

impl AskReport<'_> {
    /// One line for a person.
    pub fn summary(&self) -> String {
        let mut parts = vec![
            count_of_pages(self.pages),
            format!("{} vision tokens", self.vision_tokens),
        ];
        if let Some(TextFigures {
            text_tokens: Some(tokens),
            text_token_unit: Some(unit),
            compression_ratio: Some(ratio),
            ..
        }) = &self.text
        {
            parts.push(format!(
                "{tokens} {unit} tokens of text, {ratio:.1} per vision token"
            ));
        }
        parts.push(self.figures.summary());
        parts.join(" · ")
    }
}
