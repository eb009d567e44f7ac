//! The fields that say how an answer is generated.

use std::num::NonZeroUsize;

use glyph_model::checkpoint::CheckpointSettings;
use glyph_model::generate::{Generation, PREFILL_CHUNK, SamplingParams, StopParams};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::fields::{Field, Fields, at_most, each, shown};

/// Longest answer unless the request says otherwise: what the original's own client asks for.
const DEFAULT_MAX_TOKENS: usize = 8192;

/// Texts that end an answer, four times as many as OpenAI takes. Every one is looked for behind every token.
const MOST_STOPS: usize = 16;

/// Length of one of them.
const MOST_STOP_BYTES: usize = 256;

/// Tokens that end an answer beside the model's own.
const MOST_STOP_TOKEN_IDS: usize = 1024;

/// How an answer is generated. What is missing comes from the model's `generation_config.json`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct GenerationFields {
    /// Randomness; 0 always takes the most likely token.
    #[schema(minimum = 0.0, maximum = 100.0)]
    pub temperature: Option<f32>,
    /// Keeps the fewest tokens whose probability reaches this; 1 keeps all.
    #[schema(exclusive_minimum = 0.0, maximum = 1.0)]
    pub top_p: Option<f32>,
    /// Keeps so many of the most likely tokens; 0 or −1 keeps all.
    #[schema(minimum = -1)]
    pub top_k: Option<i64>,
    /// Makes tokens of prompt and answer less likely; 1 does nothing.
    #[schema(exclusive_minimum = 0.0, maximum = 100.0)]
    pub repetition_penalty: Option<f32>,
    /// Makes tokens of the answer less likely.
    #[schema(minimum = -100.0, maximum = 100.0)]
    pub presence_penalty: Option<f32>,
    /// Makes tokens less likely for each time that the answer holds them.
    #[schema(minimum = -100.0, maximum = 100.0)]
    pub frequency_penalty: Option<f32>,
    /// The same seed draws the same answer.
    pub seed: Option<i64>,
    /// Text that ends the answer: one, or a list of up to 16, each of up to 256 bytes.
    pub stop: Option<Stop>,
    /// Tokens that end the answer, beside the model's own.
    #[schema(max_items = 1024)]
    pub stop_token_ids: Option<Vec<u32>>,
    /// Keeps the text that ended the answer.
    pub include_stop_str_in_output: Option<bool>,
    /// Leaves special tokens out of the text (the default).
    pub skip_special_tokens: Option<bool>,
    /// Longest answer in tokens; never longer than the context has room for.
    #[schema(minimum = 1)]
    pub max_tokens: Option<usize>,
    /// The same by its newer name.
    #[schema(minimum = 1)]
    pub max_completion_tokens: Option<usize>,
    /// Answers to one request; there is one.
    #[schema(minimum = 1, maximum = 1)]
    pub n: Option<usize>,
}

/// Text that ends an answer.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum Stop {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl Field for Stop {
    const EXPECTED: &'static str = "a string or a list of strings";

    fn take(value: Value) -> Result<Self, Value> {
        match value {
            Value::String(text) => Ok(Self::One(text)),
            Value::Array(values) if values.iter().all(Value::is_string) => Ok(Self::Many(
                values
                    .into_iter()
                    .filter_map(|value| String::take(value).ok())
                    .collect(),
            )),
            other => Err(other),
        }
    }
}

/// There is one answer to a request.
struct OneAnswer;

impl Field for OneAnswer {
    const EXPECTED: &'static str = "1: send the request several times for several answers";

    fn take(value: Value) -> Result<Self, Value> {
        match usize::take(value)? {
            1 => Ok(Self),
            n => Err(Value::from(n)),
        }
    }
}

/// Takes a number of tokens, of which there is at least one.
fn token_count(fields: &mut Fields, name: &str) -> Result<Option<usize>, ApiError> {
    let count = fields.optional::<NonZeroUsize>(name)?;
    Ok(count.map(NonZeroUsize::get))
}

impl GenerationFields {
    /// Takes the fields.
    ///
    /// # Errors
    /// Names the one that is wrong.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let stop_token_ids = fields
            .optional::<Vec<Value>>("stop_token_ids")?
            .map(|ids| each(ids, "stop_token_ids"))
            .transpose()?;
        let generation = Self {
            temperature: fields.optional("temperature")?,
            top_p: fields.optional("top_p")?,
            top_k: fields.optional("top_k")?,
            repetition_penalty: fields.optional("repetition_penalty")?,
            presence_penalty: fields.optional("presence_penalty")?,
            frequency_penalty: fields.optional("frequency_penalty")?,
            seed: fields.optional("seed")?,
            stop: fields.optional("stop")?,
            stop_token_ids,
            include_stop_str_in_output: fields.optional("include_stop_str_in_output")?,
            skip_special_tokens: fields.optional("skip_special_tokens")?,
            max_tokens: token_count(fields, "max_tokens")?,
            max_completion_tokens: token_count(fields, "max_completion_tokens")?,
            n: fields.optional("n")?.map(|OneAnswer| 1),
        };
        generation.check_stops()?;
        Ok(generation)
    }

    /// Holds what ends an answer against its bounds.
    fn check_stops(&self) -> Result<(), ApiError> {
        let texts = self.stop_strings();
        at_most(MOST_STOPS, "stop", texts.len(), "strings")?;
        for (index, text) in texts.iter().enumerate() {
            let path = match self.stop {
                Some(Stop::Many(_)) => format!("stop[{index}]"),
                _ => "stop".to_owned(),
            };
            if text.is_empty() {
                let value = shown(&Value::from(""));
                return Err(ApiError::value(&path, value, "text, not empty"));
            }
            if text.len() > MOST_STOP_BYTES {
                let value = format!("{} bytes long", text.len());
                let expected = format!("at most {MOST_STOP_BYTES}");
                return Err(ApiError::value(&path, value, expected));
            }
        }
        let n_ids = self.stop_token_ids.as_ref().map_or(0, Vec::len);
        at_most(MOST_STOP_TOKEN_IDS, "stop_token_ids", n_ids, "ids")
    }

    fn stop_strings(&self) -> &[String] {
        match &self.stop {
            None => &[],
            Some(Stop::One(text)) => std::slice::from_ref(text),
            Some(Stop::Many(texts)) => texts,
        }
    }

    /// These settings over the model's own, for an answer of at most `most_new_tokens`.
    ///
    /// # Errors
    /// Names the value that is out of range.
    pub fn over(
        &self,
        settings: &CheckpointSettings,
        most_new_tokens: usize,
    ) -> Result<Generation, ApiError> {
        let default = SamplingParams::from_config(&settings.generation);
        let sampling = SamplingParams {
            temperature: self.temperature.unwrap_or(default.temperature),
            top_p: self.top_p.unwrap_or(default.top_p),
            top_k: self.top_k.unwrap_or(default.top_k),
            repetition_penalty: self
                .repetition_penalty
                .unwrap_or(default.repetition_penalty),
            presence_penalty: self.presence_penalty.unwrap_or(default.presence_penalty),
            frequency_penalty: self.frequency_penalty.unwrap_or(default.frequency_penalty),
            seed: self.seed.map(i64::cast_unsigned),
        };
        sampling.check().map_err(glyph_engine::EngineError::from)?;
        let mut stop_ids = settings.generation.stop_ids();
        stop_ids.extend(self.stop_token_ids.iter().flatten());
        let asked = self.max_completion_tokens.or(self.max_tokens);
        Ok(Generation {
            sampling,
            stop: StopParams {
                stop_ids,
                stop_strings: self.stop_strings().to_vec(),
                include_stop_string: self.include_stop_str_in_output.unwrap_or(false),
            },
            max_new_tokens: asked.unwrap_or(DEFAULT_MAX_TOKENS).min(most_new_tokens),
            prefill_chunk: PREFILL_CHUNK,
            keep_special_tokens: !self.skip_special_tokens.unwrap_or(true),
        })
    }
}

/// Whether an answer is streamed, and how.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Streaming {
    /// Token by token.
    pub stream: bool,
    /// With the token counts at the end.
    pub include_usage: bool,
}

/// How a stream is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StreamOptions {
    /// Sends the token counts in a last chunk without choices.
    pub include_usage: Option<bool>,
}

impl Streaming {
    /// Takes `stream` and `stream_options`.
    ///
    /// # Errors
    /// Names the one that is wrong.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let stream = fields.optional("stream")?.unwrap_or(false);
        let include_usage = match fields.object("stream_options")? {
            Some(mut options) => options.optional("include_usage")?.unwrap_or(false),
            None => false,
        };
        Ok(Self {
            stream,
            include_usage,
        })
    }
}
