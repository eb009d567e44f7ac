//! POST /v1/tokenize: what a chat request would take, without running the model.

use axum::Json;
use axum::extract::State;
use glyph_model::Result;
use glyph_model::prompt::TextTokenizer;
use serde::Serialize;
use utoipa::ToSchema;

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
    JsonBody(mut fields, body): JsonBody,
) -> std::result::Result<Json<TokenCounts>, ApiError> {
    let request = ChatRequest::read(&mut fields)?;
    state.model_name(request.model.as_deref())?;
    state.settings()?;
    let (prepared, _) = prepare::chat(&state, request.conversation, body).await?;
    let (text_tokens, image_tokens) = (prepared.n_text_tokens(), prepared.n_image_tokens());
    Ok(Json(TokenCounts {
        text_tokens,
        image_tokens,
        total_tokens: text_tokens + image_tokens,
        pages: prepared.n_pages(),
        max_model_len: state.engine().plan().map_or(0, |plan| plan.context_tokens),
    }))
}

/// Bytes of text that are tokenised at once: the memory that a tokenizer takes is many times its text.
const PIECE_BYTES: usize = 1 << 16;

/// Tokens of a text. It is cut at the ends of lines; where a token would lie across a cut the sum differs from the
/// whole text's count, by a few tokens in all.
pub fn text_tokens(tokenizer: &TextTokenizer, text: &str) -> Result<usize> {
    let (mut start, mut n_tokens) = (0, 0);
    while start < text.len() {
        let rest = &text[start..];
        let piece = match rest.char_indices().find(|(at, _)| *at >= PIECE_BYTES) {
            None => rest,
            Some((most, _)) => {
                let end = rest[..most].rfind('\n').map_or(most, |at| at + 1);
                &rest[..end]
            }
        };
        n_tokens += tokenizer.encode(piece)?.len();
        start += piece.len();
    }
    Ok(n_tokens)
}
