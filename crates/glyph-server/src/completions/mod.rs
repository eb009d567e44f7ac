//! POST /v1/completions: going on with texts, without a chat template.

mod request;
mod response;

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use glyph_engine::Request;

pub use request::{CompletionRequest, Prompt};

use crate::answer::{self, Answer, StreamEvent};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::error::{ApiError, ApiErrors};
use crate::request_log::RequestLog;
use crate::state::AppState;
use request::Asked;
use response::{Completion, CompletionChoice, CompletionLogprobs, Pieces};

/// Goes on with a text, or with several.
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
    JsonBody(mut fields, body): JsonBody,
) -> Result<Response, ApiError> {
    let request = Asked::read(&mut fields)?;
    let model = state.model_name(request.model.as_deref())?.to_owned();
    let settings = state.settings()?;
    let (prompts, of_work) = (request.prompts, state.clone());
    let prepared = state
        .blocking(&caller, move || {
            let _body = body;
            let prepared = prompts.iter().map(|prompt| {
                let prepared = of_work.engine().prepare_text(&prompt.text);
                prepared.map_err(|error| ApiError::of_text(error, &prompt.path))
            });
            prepared.collect::<Result<Vec<_>, ApiError>>()
        })
        .await?;
    let pieces = Pieces::new(
        model,
        Arc::clone(&settings),
        request.streaming.include_usage,
    );
    let mut answers = Vec::with_capacity(prepared.len());
    for (index, prepared) in prepared.into_iter().enumerate() {
        let most_new_tokens = state.engine().most_new_tokens(&prepared)?;
        let engine_request = Request {
            prepared,
            generation: request.generation.over(&settings, most_new_tokens)?,
            top_logprobs: request.top_logprobs,
            caller: caller.clone(),
        };
        let answer = Answer::start(&state, engine_request, log.clone())?;
        answers.push((answer, pieces.of(index)));
    }
    if request.streaming.stream {
        return Ok(answer::stream(answers));
    }
    let with_logprobs = request.top_logprobs.is_some();
    let answers = answers
        .into_iter()
        .map(|(answer, pieces)| whole(answer, pieces, with_logprobs));
    let answers = futures::future::try_join_all(answers).await?;
    let mut usage = glyph_engine::Usage::default();
    let mut choices = Vec::with_capacity(answers.len());
    for (choice, taken) in answers {
        usage += taken;
        choices.push(choice);
    }
    let usage = Some(Some(usage.into()));
    Ok(Json(pieces.completion(choices, usage)).into_response())
}

/// Waits for all of an answer.
async fn whole(
    answer: Answer,
    mut pieces: Pieces,
    with_logprobs: bool,
) -> Result<(CompletionChoice, glyph_engine::Usage), ApiError> {
    let mut text = String::new();
    let mut logprobs = with_logprobs.then(CompletionLogprobs::default);
    let done = answer
        .whole(|token| {
            let entry = pieces.logprobs(&token);
            if let Some((all, entry)) = logprobs.as_mut().zip(entry) {
                all.extend(entry);
            }
            text.push_str(&token.text);
        })
        .await?;
    let choice = pieces.choice(text, logprobs, Some(done.finish_reason.into()));
    Ok((choice, done.usage))
}
