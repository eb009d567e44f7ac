//! POST /v1/tokenize: what a chat request would take, without running the model.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use utoipa::ToSchema;

use crate::auth::Caller;
use crate::body::JsonBody;
use crate::chat::{ChatCompletionRequest, ChatRequest};
use crate::error::{ApiError, ApiErrors};
use crate::prepare;
use crate::state::AppState;

/// Tokens of a prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct TokenCounts {
    /// Text and template.
    pub text_tokens: usize,
    /// Pages and pictures.
    pub image_tokens: usize,
    /// Both: `usage.prompt_tokens` of the answer.
    pub total_tokens: usize,
    /// Pages and pictures.
    pub pages: usize,
    /// Tokens that prompt and answer may have together.
    pub max_model_len: usize,
}

/// Counts the tokens of a chat request.
#[utoipa::path(
    post,
    path = "/v1/tokenize",
    tag = "Documents",
    request_body = ChatCompletionRequest,
    responses((status = 200, description = "The counts", body = TokenCounts), ApiErrors),
    security((), ("api_key" = [])),
)]
pub async fn count(
    State(state): State<AppState>,
    Caller(caller): Caller,
    JsonBody(mut fields, body): JsonBody,
) -> Result<Json<TokenCounts>, ApiError> {
    let request = ChatRequest::read(&mut fields)?;
    state.model_name(request.model.as_deref())?;
    state.settings()?;
    let (tokens, n_pages) = prepare::count(&state, &caller, request.conversation, body).await?;
    Ok(Json(TokenCounts {
        text_tokens: tokens.text,
        image_tokens: tokens.image,
        total_tokens: tokens.text + tokens.image,
        pages: n_pages,
        max_model_len: state.engine().plan().map_or(0, |plan| plan.context_tokens),
    }))
}
