//! How the server stands: for people, for orchestrators, for Prometheus.

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use glyph_engine::EngineState;
use serde::Serialize;
use utoipa::ToSchema;

use crate::config::DeviceInfo;
use crate::error::{ApiError, ApiErrors};
use crate::state::AppState;

/// How the server stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct Health {
    /// `starting`, `loading`, `ready`, `draining`, `stopped` or `failed`.
    #[schema(example = "ready")]
    state: &'static str,
    /// Share of the model that is loaded, from 0 to 1, while it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<f64>,
    /// Why the model could not be loaded, or can be run no longer.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The model's name.
    model: String,
    /// Where the model runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<DeviceInfo>,
    /// Version of the server.
    version: &'static str,
}

impl Health {
    fn of(state: &AppState) -> Self {
        let engine = state.engine().state();
        let (progress, reason) = match &engine {
            EngineState::Loading { done } => (Some(*done), None),
            EngineState::Failed { reason } => (None, Some(reason.clone())),
            _ => (None, None),
        };
        Self {
            state: engine.name(),
            progress,
            reason,
            model: state
                .config()
                .model_names
                .first()
                .cloned()
                .unwrap_or_default(),
            device: state.config().device.clone(),
            version: env!("CARGO_PKG_VERSION"),
        }
    }
}

/// Answers as long as the server lives.
#[utoipa::path(
    get,
    path = "/health",
    tag = "Operation",
    responses((status = 200, description = "The server lives", body = Health), ApiErrors),
)]
pub async fn live(State(state): State<AppState>) -> Json<Health> {
    Json(Health::of(&state))
}

/// Answers 200 when the model answers, and 503 otherwise.
#[utoipa::path(
    get,
    path = "/ready",
    tag = "Operation",
    responses(
        ApiErrors,
        (status = 200, description = "The model answers", body = Health),
        (status = 503, description = "The model does not answer now, and why", body = Health),
    ),
)]
pub async fn ready(State(state): State<AppState>) -> (StatusCode, Json<Health>) {
    let status = if state.engine().state() == EngineState::Ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Health::of(&state)))
}

/// Figures for Prometheus.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "Operation",
    responses(
        (status = 200, description = "All series", body = String, content_type = "text/plain"),
        ApiErrors,
    ),
    security((), ("api_key" = [])),
)]
pub async fn metrics(State(state): State<AppState>) -> Result<Response, ApiError> {
    const TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";
    // Asking a driver for its devices may take a while.
    let text = tokio::task::spawn_blocking(move || {
        let n_preparing = state.preparation().n_waiting();
        state.metrics().text(state.engine(), n_preparing)
    });
    let text = text.await.map_err(|error| ApiError::internal(&error))?;
    Ok(([(header::CONTENT_TYPE, TYPE)], text).into_response())
}
