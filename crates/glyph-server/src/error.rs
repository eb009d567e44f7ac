//! Errors as OpenAI's clients read them, each with a code that stays.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use glyph_engine::{EngineError, EngineState};
use glyph_model::ModelError;
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder};
use utoipa::{IntoResponses, PartialSchema, ToSchema};

/// When to ask again while the model loads or the server stops.
const RETRY_NOT_READY: Duration = Duration::from_secs(5);

/// When to ask again while other requests hold what this one needs.
const RETRY_BUSY: Duration = Duration::from_secs(1);

/// What went wrong, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// The body is not JSON.
    InvalidJson,
    /// A field is missing, has the wrong type or a value out of range.
    InvalidValue,
    /// An image cannot be decoded.
    InvalidImage,
    /// An image cannot be fetched.
    ImageFetchFailed,
    /// The server fetches no images.
    RemoteImagesDisabled,
    /// Prompt and answer exceed the context.
    ContextLengthExceeded,
    /// The memory plan has no room for the request.
    MemoryExceeded,
    /// The body did not come whole.
    IncompleteBody,
    /// No key, or one that is not known.
    InvalidApiKey,
    /// The model asked for is not served.
    ModelNotFound,
    /// No such route.
    NotFound,
    /// The route takes other methods.
    MethodNotAllowed,
    /// The client took too long to send its request.
    RequestTimeout,
    /// The body is larger than the limit.
    BodyTooLarge,
    /// Images hold more pixels than are decoded.
    ImageTooLarge,
    /// The request holds more pages than the limit.
    TooManyPages,
    /// The body is not declared as JSON, or is encoded.
    UnsupportedMediaType,
    /// As many requests wait as may.
    QueueFull,
    /// The model is being loaded.
    ModelLoading,
    /// The model could not be loaded, or can be run no longer.
    ModelFailed,
    /// The server stops.
    ServerDraining,
    /// The device failed on the request.
    DeviceError,
    /// The server's own fault.
    InternalError,
}

impl Code {
    fn facts(self) -> (u16, &'static str, &'static str) {
        const REQUEST: &str = "invalid_request_error";
        const SERVER: &str = "server_error";
        match self {
            Self::InvalidJson => (400, REQUEST, "invalid_json"),
            Self::InvalidValue => (400, REQUEST, "invalid_value"),
            Self::InvalidImage => (400, REQUEST, "invalid_image"),
            Self::ImageFetchFailed => (400, REQUEST, "image_fetch_failed"),
            Self::RemoteImagesDisabled => (400, REQUEST, "remote_images_disabled"),
            Self::ContextLengthExceeded => (400, REQUEST, "context_length_exceeded"),
            Self::MemoryExceeded => (422, REQUEST, "memory_exceeded"),
            Self::IncompleteBody => (400, REQUEST, "incomplete_body"),
            Self::InvalidApiKey => (401, "authentication_error", "invalid_api_key"),
            Self::ModelNotFound => (404, REQUEST, "model_not_found"),
            Self::NotFound => (404, REQUEST, "not_found"),
            Self::MethodNotAllowed => (405, REQUEST, "method_not_allowed"),
            Self::RequestTimeout => (408, REQUEST, "request_timeout"),
            Self::BodyTooLarge => (413, REQUEST, "body_too_large"),
            Self::ImageTooLarge => (413, REQUEST, "image_too_large"),
            Self::TooManyPages => (413, REQUEST, "too_many_pages"),
            Self::UnsupportedMediaType => (415, REQUEST, "unsupported_media_type"),
            Self::QueueFull => (429, "rate_limit_error", "queue_full"),
            Self::ModelLoading => (503, SERVER, "model_loading"),
            Self::ModelFailed => (503, SERVER, "model_failed"),
            Self::ServerDraining => (503, SERVER, "server_draining"),
            Self::DeviceError => (500, SERVER, "device_error"),
            Self::InternalError => (500, SERVER, "internal_error"),
        }
    }

    /// Its name in answers, logs and metrics.
    pub fn name(self) -> &'static str {
        self.facts().2
    }

    /// The status of the answer.
    pub fn status(self) -> StatusCode {
        StatusCode::from_u16(self.facts().0).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

/// A request that is refused or has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    code: Code,
    message: String,
    param: Option<String>,
    retry_after: Option<Duration>,
}

/// The body of every answer that is an error.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorBody {
    error: ErrorObject,
}

/// An error, as OpenAI's clients read it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ErrorObject {
    /// What happened, with the value, and what to do.
    message: String,
    /// Kind of error.
    #[schema(example = "invalid_request_error")]
    r#type: &'static str,
    /// The field that is wrong.
    param: Option<String>,
    /// What happened, for programs.
    #[schema(example = "invalid_value")]
    code: &'static str,
}

impl ApiError {
    /// An error about no field in particular.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
            retry_after: None,
        }
    }

    /// An error about a field.
    pub fn of(code: Code, param: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            param: Some(param.into()),
            ..Self::new(code, message)
        }
    }

    /// A value that a field cannot have: `{param} is {value}; it must be {expected}`.
    pub fn value(
        param: &str,
        value: impl std::fmt::Display,
        expected: impl std::fmt::Display,
    ) -> Self {
        let message = format!("{param} is {value}; it must be {expected}");
        Self::of(Code::InvalidValue, param, message)
    }

    /// What is nobody's fault but the server's; the cause is for its log alone.
    pub fn internal(cause: &dyn std::fmt::Display) -> Self {
        tracing::error!(%cause, "a request failed");
        Self::new(
            Code::InternalError,
            "the server failed on this request; its log says why. Other requests are not concerned",
        )
    }

    /// A server that takes no requests in its present state.
    pub fn not_ready(state: &EngineState) -> Self {
        let (code, message) = match state {
            EngineState::Failed { .. } => (
                Code::ModelFailed,
                "the model does not answer; GET /ready says why".to_owned(),
            ),
            EngineState::Draining | EngineState::Stopped => (
                Code::ServerDraining,
                "the server is stopping. Send the request again in a moment".to_owned(),
            ),
            loading => (
                Code::ModelLoading,
                format!("the model is not ready: {loading}. Send the request again in a moment"),
            ),
        };
        Self {
            retry_after: Some(RETRY_NOT_READY),
            ..Self::new(code, message)
        }
    }

    /// A server that has no room for the request now.
    pub fn busy(message: &str) -> Self {
        Self {
            retry_after: Some(RETRY_BUSY),
            ..Self::new(Code::QueueFull, message)
        }
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The field that is wrong.
    #[cfg(test)]
    pub fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// The object that is sent.
    pub fn body(&self) -> ErrorBody {
        let (_, kind, code) = self.code.facts();
        ErrorBody {
            error: ErrorObject {
                message: self.message.clone(),
                r#type: kind,
                param: self.param.clone(),
                code,
            },
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.code.status(), Json(self.body())).into_response();
        let headers = response.headers_mut();
        if let Some(wait) = self.retry_after {
            headers.insert(
                header::RETRY_AFTER,
                HeaderValue::from(wait.as_secs().max(1)),
            );
        }
        if self.code == Code::InvalidApiKey {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self.code);
        response
    }
}

impl From<EngineError> for ApiError {
    fn from(error: EngineError) -> Self {
        let message = error.to_string();
        match error {
            EngineError::NotReady(state) => Self::not_ready(&state),
            EngineError::Stopped => Self::not_ready(&EngineState::Stopped),
            EngineError::QueueFull { retry_after, .. } => Self {
                retry_after: Some(retry_after),
                ..Self::new(Code::QueueFull, message)
            },
            EngineError::ContextOverflow { .. } | EngineError::TextTooLong { .. } => {
                Self::new(Code::ContextLengthExceeded, message)
            }
            EngineError::TooManyPages { .. } => Self::new(Code::TooManyPages, message),
            EngineError::DoesNotFit { .. } | EngineError::PageTooLarge { .. } => {
                Self::new(Code::MemoryExceeded, message)
            }
            EngineError::Request(error) => Self::of_model(&error, None),
            EngineError::Device { reason } => {
                tracing::error!(reason, "the device failed on a request");
                Self::new(
                    Code::DeviceError,
                    "the model failed on this request; the server's log says why. Other requests are not concerned",
                )
            }
            other => Self::internal(&other),
        }
    }
}

impl ApiError {
    /// What the engine says of a page that stands at `path`.
    pub fn of_page(error: EngineError, path: &str) -> Self {
        if let EngineError::Request(error) = &error
            && let ModelError::Image { reason, .. } = &**error
        {
            return Self::of(Code::InvalidImage, path, format!("{path} {reason}"));
        }
        Self {
            param: Some(path.to_owned()),
            ..Self::from(error)
        }
    }

    /// What the engine says of the prompt that the field at `path` makes.
    pub fn of_prompt(error: EngineError, path: &str) -> Self {
        match error {
            EngineError::Request(error) => Self::of_model(&error, Some(path)),
            other => Self::from(other),
        }
    }

    /// The same where the prompt is a text, with which no images come.
    pub fn of_text(error: EngineError, path: &str) -> Self {
        if let EngineError::Request(error) = &error
            && let ModelError::ImageTokenMismatch { placeholders, .. } = &**error
        {
            let message = format!(
                "{path} holds <|image|>, {placeholders} in all; it stands for an image, and none comes with a text. \
                 Leave it out, or send text and images to /v1/chat/completions"
            );
            return Self::of(Code::InvalidValue, path, message);
        }
        Self::of_prompt(error, path)
    }

    /// What the model says of a request, whose prompt the field at `prompt` makes.
    fn of_model(error: &ModelError, prompt: Option<&str>) -> Self {
        let code = match error {
            ModelError::Parameter {
                name,
                value,
                reason,
            } => {
                let name = prompt.filter(|_| *name == "prompt").unwrap_or(name);
                let message = format!("{name} is {value}: {reason}");
                return Self::of(Code::InvalidValue, name, message);
            }
            ModelError::Image { .. } => Code::InvalidImage,
            ModelError::ImageTokenMismatch { .. }
            | ModelError::Template { .. }
            | ModelError::UnknownToken { .. } => Code::InvalidValue,
            other => return Self::internal(other),
        };
        Self {
            param: prompt.map(str::to_owned),
            ..Self::new(code, error.to_string())
        }
    }
}

/// The answers that any route of the API may give instead of its own.
pub struct ApiErrors;

impl IntoResponses for ApiErrors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::response::Response>> {
        let of = |status: &str, description: &str| {
            let content = ContentBuilder::new()
                .schema(Some(Ref::from_schema_name(ErrorBody::name())))
                .build();
            let response = ResponseBuilder::new()
                .description(description)
                .content("application/json", content)
                .build();
            (status.to_owned(), RefOr::T(response))
        };
        BTreeMap::from([
            of("400", "The request is wrong; `param` names the field"),
            of("401", "The API key is missing or wrong"),
            of("404", "No such model or route"),
            of("405", "The route takes other methods"),
            of("408", "The request took too long to arrive"),
            of("413", "Body, image or page count is too large"),
            of("415", "The body is not declared as JSON, or is encoded"),
            of("422", "The memory plan has no room for the request"),
            of(
                "429",
                "The queue is full; Retry-After says when to ask again",
            ),
            of("500", "The server failed on this request"),
            of(
                "503",
                "The model is loading or the server stops; Retry-After says when to ask again",
            ),
        ])
    }
}

/// The schemas that [`ApiErrors`] refers to.
pub fn error_schemas() -> Vec<(String, RefOr<utoipa::openapi::Schema>)> {
    let mut schemas = vec![(ErrorBody::name().into_owned(), ErrorBody::schema())];
    ErrorBody::schemas(&mut schemas);
    schemas
}
