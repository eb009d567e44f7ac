//! POST /v1/completions: going on with a text, without a chat template.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use glyph_engine::{Done, Request, Token};
use glyph_model::checkpoint::CheckpointSettings;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer::{self, Answer, Chunks, StreamEvent};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::error::{ApiError, ApiErrors};
use crate::fields::{Fields, shown};
use crate::generation::{GenerationFields, StreamOptions, Streaming};
use crate::logprobs::{MOST_TOP_LOGPROBS, TokenLogprob};
use crate::request_log::RequestLog;
use crate::state::{AppState, now_s};
use crate::usage::{Finish, Usage};

/// A text to go on with. Fields that are not named here are passed over.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct CompletionRequest {
    /// The model; the one that is served when it is missing.
    pub model: Option<String>,
    /// The text.
    #[schema(min_length = 1)]
    pub prompt: String,
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

/// An answer, or a piece of a streamed one.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Completion {
    /// Its id.
    id: String,
    /// `text_completion`.
    #[schema(example = "text_completion")]
    object: &'static str,
    /// Seconds since 1970.
    created: u64,
    /// The model.
    model: String,
    /// The text; none in the chunk that carries the usage.
    choices: Vec<CompletionChoice>,
    /// What it took; in a stream in the last chunk, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    usage: Option<Option<Usage>>,
}

/// A text.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct CompletionChoice {
    /// 0.
    index: usize,
    /// What is new.
    text: String,
    /// Log-probabilities, where they were asked for.
    logprobs: Option<CompletionLogprobs>,
    /// Why it ended.
    finish_reason: Option<Finish>,
}

/// Log-probabilities, one entry of each list per token.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct CompletionLogprobs {
    /// Texts of the tokens.
    tokens: Vec<String>,
    /// Their log-probabilities.
    token_logprobs: Vec<f32>,
    /// Those of the most likely tokens.
    top_logprobs: Vec<BTreeMap<String, f32>>,
    /// Where their texts begin, in characters.
    text_offset: Vec<usize>,
}

/// Goes on with a text.
#[utoipa::path(
    post,
    path = "/v1/completions",
    tag = "Answers",
    request_body = CompletionRequest,
    responses(
        (status = 200, description = "The text, whole or as server-sent events", content(
            (Completion = "application/json"),
            (StreamEvent = "text/event-stream"),
        )),
        ApiErrors,
    ),
    security((), ("api_key" = [])),
)]
pub async fn create(
    State(state): State<AppState>,
    Extension(log): Extension<RequestLog>,
    Caller(caller): Caller,
    JsonBody(mut fields): JsonBody,
) -> Result<Response, ApiError> {
    let request = Asked::read(&mut fields)?;
    let model = state.model_name(request.model.as_deref())?.to_owned();
    let settings = state.settings()?;
    let (prompt, of_work) = (request.prompt, state.clone());
    let prepared = state
        .blocking(move || Ok(of_work.engine().prepare_text(&prompt)?))
        .await?;
    let most_new_tokens = state.engine().most_new_tokens(&prepared)?;
    let engine_request = Request {
        prepared,
        generation: request.generation.over(&settings, most_new_tokens)?,
        top_logprobs: request.top_logprobs,
        caller,
    };
    let answer = Answer::start(&state, engine_request, log)?;
    let mut pieces = Pieces {
        id: format!("cmpl-{}", Uuid::new_v4().simple()),
        created: now_s(),
        model,
        settings,
        include_usage: request.streaming.include_usage,
        n_chars: 0,
    };
    if request.streaming.stream {
        return Ok(answer::stream(answer, pieces));
    }
    let mut text = String::new();
    let mut logprobs = request.top_logprobs.map(|_| CompletionLogprobs::default());
    let done = answer
        .whole(|token| {
            let entry = pieces.logprobs(&token);
            if let Some((all, entry)) = logprobs.as_mut().zip(entry) {
                all.extend(entry);
            }
            text.push_str(&token.text);
        })
        .await?;
    let choice = CompletionChoice {
        index: 0,
        text,
        logprobs,
        finish_reason: Some(done.finish_reason.into()),
    };
    let usage = Some(Some(done.usage.into()));
    Ok(Json(pieces.completion(vec![choice], usage)).into_response())
}

/// What a request says.
struct Asked {
    model: Option<String>,
    prompt: String,
    streaming: Streaming,
    top_logprobs: Option<usize>,
    generation: GenerationFields,
}

impl Asked {
    fn read(fields: &mut Fields) -> Result<Self, ApiError> {
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
            prompt: prompt(fields)?,
            streaming: Streaming::read(fields)?,
            top_logprobs,
            generation: GenerationFields::read(fields)?,
        })
    }
}

/// A string, or a list of one.
fn prompt(fields: &mut Fields) -> Result<String, ApiError> {
    let text = match fields.required("prompt")? {
        Value::String(text) => Ok(text),
        Value::Array(mut texts) => match (texts.pop(), texts.is_empty()) {
            (Some(Value::String(text)), true) => Ok(text),
            (other, _) => Err(format!(
                "a list of {}",
                texts.len() + usize::from(other.is_some())
            )),
        },
        other => Err(shown(&other)),
    };
    match text {
        Ok(text) if !text.is_empty() => Ok(text),
        Ok(_) => Err(ApiError::value("prompt", "empty", "text to go on with")),
        Err(value) => Err(ApiError::value("prompt", value, "a string")),
    }
}

impl CompletionLogprobs {
    fn extend(&mut self, other: Self) {
        self.tokens.extend(other.tokens);
        self.token_logprobs.extend(other.token_logprobs);
        self.top_logprobs.extend(other.top_logprobs);
        self.text_offset.extend(other.text_offset);
    }
}

/// Cuts an answer into pieces.
struct Pieces {
    id: String,
    created: u64,
    model: String,
    settings: Arc<CheckpointSettings>,
    include_usage: bool,
    /// Characters that have been given out.
    n_chars: usize,
}

impl Pieces {
    fn completion(
        &self,
        choices: Vec<CompletionChoice>,
        usage: Option<Option<Usage>>,
    ) -> Completion {
        Completion {
            id: self.id.clone(),
            object: "text_completion",
            created: self.created,
            model: self.model.clone(),
            choices,
            usage,
        }
    }

    fn piece(
        &self,
        text: String,
        logprobs: Option<CompletionLogprobs>,
        finish_reason: Option<Finish>,
    ) -> Completion {
        let choice = CompletionChoice {
            index: 0,
            text,
            logprobs,
            finish_reason,
        };
        self.completion(vec![choice], self.include_usage.then_some(None))
    }

    fn logprobs(&mut self, token: &Token) -> Option<CompletionLogprobs> {
        let offset = self.n_chars;
        self.n_chars += token.text.chars().count();
        let tokenizer = &self.settings.encoder.tokenizer;
        let entry = TokenLogprob::new(tokenizer, token.id, token.logprobs.as_ref()?);
        let top = entry.top_logprobs.into_iter();
        Some(CompletionLogprobs {
            tokens: vec![entry.token],
            token_logprobs: vec![entry.logprob],
            top_logprobs: vec![top.map(|top| (top.token, top.logprob)).collect()],
            text_offset: vec![offset],
        })
    }
}

impl Chunks for Pieces {
    type Chunk = Completion;

    fn begin(&mut self) -> Option<Completion> {
        None
    }

    fn token(&mut self, token: Token) -> Option<Completion> {
        let logprobs = self.logprobs(&token);
        if token.text.is_empty() && logprobs.is_none() {
            return None;
        }
        Some(self.piece(token.text, logprobs, None))
    }

    fn end(&mut self, done: &Done) -> Vec<Completion> {
        let reason = Some(done.finish_reason.into());
        let mut pieces = vec![self.piece(String::new(), None, reason)];
        if self.include_usage {
            pieces.push(self.completion(Vec::new(), Some(Some(done.usage.into()))));
        }
        pieces
    }
}
