//! What a completion request says.

use serde::Serialize;
use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use crate::error::ApiError;
use crate::fields::{Field, Fields, at_most, shown};
use crate::generation::{GenerationFields, StreamOptions, Streaming};
use crate::logprobs::MOST_TOP_LOGPROBS;

/// Texts that one request may go on with.
const MOST_PROMPTS: usize = 64;

/// A text to go on with. Fields that are not named here are passed over.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct CompletionRequest {
    /// The model; the one that is served when it is missing.
    pub model: Option<String>,
    /// The text, or up to 64 of them.
    pub prompt: Prompt,
    /// Sends the answer token by token, as server-sent events.
    pub stream: Option<bool>,
    /// How a stream is sent.
    pub stream_options: Option<StreamOptions>,
    /// Reports the log-probability of every token, and of so many likely ones.
    #[schema(minimum = 0, maximum = 20)]
    pub logprobs: Option<usize>,
    /// How the answer is generated.
    #[serde(flatten)]
    pub generation: GenerationFields,
}

/// What is gone on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Prompt {
    /// A text.
    One(String),
    /// Texts, each with an answer of its own.
    Many(Vec<String>),
}

impl Default for Prompt {
    fn default() -> Self {
        Self::One(String::new())
    }
}

impl PartialSchema for Prompt {
    fn schema() -> RefOr<Schema> {
        let text = || {
            ObjectBuilder::new()
                .schema_type(Type::String)
                .min_length(Some(1))
        };
        let texts = ArrayBuilder::new()
            .items(text())
            .min_items(Some(1))
            .max_items(Some(MOST_PROMPTS));
        OneOfBuilder::new().item(text()).item(texts).into()
    }
}

impl ToSchema for Prompt {}

/// A text to go on with.
pub struct PromptText {
    /// The text.
    pub text: String,
    /// Where it stands, for messages.
    pub path: String,
}

/// What a request says.
pub struct Asked {
    /// The model asked for.
    pub model: Option<String>,
    /// Texts to go on with, at least one.
    pub prompts: Vec<PromptText>,
    /// How the answers come.
    pub streaming: Streaming,
    /// Alternatives per token, where log-probabilities are asked for.
    pub top_logprobs: Option<usize>,
    /// How they are generated.
    pub generation: GenerationFields,
}

impl Asked {
    /// Takes the fields of a body.
    ///
    /// # Errors
    /// Names the one that is wrong.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let top_logprobs: Option<usize> = fields.optional("logprobs")?;
        if let Some(top) = top_logprobs.filter(|top| *top > MOST_TOP_LOGPROBS) {
            let expected = format!("at most {MOST_TOP_LOGPROBS}");
            return Err(ApiError::value("logprobs", top, expected));
        }
        if fields.optional("echo")? == Some(true) {
            return Err(ApiError::value(
                "echo",
                true,
                "false: the prompt is not repeated here",
            ));
        }
        Ok(Self {
            model: fields.optional("model")?,
            prompts: prompts(fields)?,
            streaming: Streaming::read(fields)?,
            top_logprobs,
            generation: GenerationFields::read(fields)?,
        })
    }
}

/// A string, or a list of them.
fn prompts(fields: &mut Fields) -> Result<Vec<PromptText>, ApiError> {
    const EXPECTED: &str = "a string or a list of strings; lists of tokens are not taken";
    let values = match fields.required_value("prompt", EXPECTED)? {
        Value::Array(values) if !values.is_empty() => values,
        Value::Array(_) => return Err(ApiError::value("prompt", "an empty list", EXPECTED)),
        text @ Value::String(_) => return Ok(vec![prompt(text, "prompt".to_owned(), EXPECTED)?]),
        other => return Err(ApiError::value("prompt", shown(&other), EXPECTED)),
    };
    at_most(MOST_PROMPTS, "prompt", values.len(), "prompts")?;
    let prompts = values.into_iter().enumerate();
    prompts
        .map(|(index, value)| prompt(value, format!("prompt[{index}]"), "a string"))
        .collect()
}

fn prompt(value: Value, path: String, expected: &str) -> Result<PromptText, ApiError> {
    match String::take(value) {
        Ok(text) if text.is_empty() => Err(ApiError::value(&path, "empty", "text to go on with")),
        Ok(text) => Ok(PromptText { text, path }),
        Err(other) => Err(ApiError::value(&path, shown(&other), expected)),
    }
}
