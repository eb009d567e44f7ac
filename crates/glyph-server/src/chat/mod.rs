//! POST /v1/chat/completions.

mod request;
mod response;
mod schema;

use axum::Json;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use glyph_engine::Request;

pub use request::{ChatRequest, Conversation, Part, Turn};
pub use response::{ChatCompletion, ChatCompletionChunk};
pub use schema::{ChatCompletionRequest, ChatContent, ChatMessage, ChatPart, ChatRole, ImageUrl};

use crate::answer::{self, Answer, StreamEvent};
use crate::auth::Caller;
use crate::body::JsonBody;
use crate::error::{ApiError, ApiErrors};
use crate::prepare;
use crate::request_log::RequestLog;
use crate::state::AppState;
use response::{ChatAnswer, ChatChunks, Head};

/// Answers a conversation about texts, documents and images.
#[utoipa::path(
    post,
    path = "/v1/chat/completions",
    tag = "Answers",
    request_body = ChatCompletionRequest,
    responses(
        (status = 200, description = "The answer, whole or as server-sent events", content(
            (ChatCompletion = "application/json"),
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
    let request = ChatRequest::read(&mut fields)?;
    let model = state.model_name(request.model.as_deref())?.to_owned();
    let settings = state.settings()?;
    let (prepared, pixels) = prepare::chat(&state, &caller, request.conversation, body).await?;
    let most_new_tokens = state.engine().most_new_tokens(&prepared)?;
    let generation = request.generation.over(&settings, most_new_tokens)?;
    let engine_request = Request {
        prepared,
        generation,
        top_logprobs: request.top_logprobs,
        caller,
    };
    let answer = Answer::start(&state, engine_request, log)?.holding(pixels);
    let head = Head::new(model);
    if request.streaming.stream {
        let chunks = ChatChunks::new(head, settings, request.streaming.include_usage);
        return Ok(answer::stream(vec![(answer, chunks)]));
    }
    let mut whole = ChatAnswer::new(&settings, request.top_logprobs.is_some());
    let done = answer.whole(|token| whole.push(&token)).await?;
    Ok(Json(whole.finish(head, &done)).into_response())
}
