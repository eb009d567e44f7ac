//! GET /v1/models.

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::{ApiError, ApiErrors, Code};
use crate::state::AppState;

/// The models that are served.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelList {
    /// `list`.
    #[schema(example = "list")]
    object: &'static str,
    /// All names of the model.
    data: Vec<ModelObject>,
}

/// A model.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ModelObject {
    /// The name that it is asked for by.
    id: String,
    /// `model`.
    #[schema(example = "model")]
    object: &'static str,
    /// Seconds since 1970 when the server started.
    created: u64,
    /// `glyph`.
    #[schema(example = "glyph")]
    owned_by: &'static str,
    /// Tokens of prompt and answer together; null until the model is loaded.
    max_model_len: Option<usize>,
    /// Pages of one request.
    max_pages: usize,
}

fn object(state: &AppState, name: &str) -> ModelObject {
    ModelObject {
        id: name.to_owned(),
        object: "model",
        created: state.started_s(),
        owned_by: "glyph",
        max_model_len: state.engine().plan().map(|plan| plan.context_tokens),
        max_pages: state.config().max_pages,
    }
}

/// Lists the models.
#[utoipa::path(
    get,
    path = "/v1/models",
    tag = "Models",
    responses((status = 200, description = "The models", body = ModelList), ApiErrors),
    security((), ("api_key" = [])),
)]
pub async fn list(State(state): State<AppState>) -> Json<ModelList> {
    let names = &state.config().model_names;
    Json(ModelList {
        object: "list",
        data: names.iter().map(|name| object(&state, name)).collect(),
    })
}

/// Describes a model.
#[utoipa::path(
    get,
    path = "/v1/models/{id}",
    tag = "Models",
    params(("id" = String, Path, description = "Name of the model")),
    responses((status = 200, description = "The model", body = ModelObject), ApiErrors),
    security((), ("api_key" = [])),
)]
pub async fn get(
    State(state): State<AppState>,
    id: Result<Path<String>, PathRejection>,
) -> Result<Json<ModelObject>, ApiError> {
    let Path(id) = id.map_err(|error| ApiError::of(Code::InvalidValue, "id", error.body_text()))?;
    Ok(Json(object(&state, state.model_name(Some(&id))?)))
}

/// Describes a model whose name has an owner in front, as on Hugging Face: some clients send the slash as it is.
#[utoipa::path(
    get,
    path = "/v1/models/{owner}/{name}",
    tag = "Models",
    params(
        ("owner" = String, Path, description = "What stands in front of the slash"),
        ("name" = String, Path, description = "What stands behind it"),
    ),
    responses((status = 200, description = "The model", body = ModelObject), ApiErrors),
    security((), ("api_key" = [])),
)]
pub async fn get_owned(
    State(state): State<AppState>,
    id: Result<Path<(String, String)>, PathRejection>,
) -> Result<Json<ModelObject>, ApiError> {
    let Path((owner, name)) =
        id.map_err(|error| ApiError::of(Code::InvalidValue, "id", error.body_text()))?;
    let id = format!("{owner}/{name}");
    Ok(Json(object(&state, state.model_name(Some(&id))?)))
}
