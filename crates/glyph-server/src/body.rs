//! Reading the body of a request: bounded in bytes and time.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use futures::StreamExt;
use serde_json::Value;

use crate::error::{ApiError, Code};
use crate::fields::Fields;
use crate::state::AppState;

/// What is read and thrown away of a body that is too large, so that a client that is still sending sees the answer.
const MOST_DISCARDED_BYTES: usize = 512 << 20;
/// How long that may take.
const DISCARD_TIMEOUT: Duration = Duration::from_secs(20);

/// The body of a request, a JSON object.
#[derive(Debug)]
pub struct JsonBody(pub Fields);

impl FromRequest<AppState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let config = state.config();
        let (parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        let reading = read(body, &parts.headers, config.body_limit_bytes);
        let bytes = tokio::time::timeout(config.body_timeout, reading)
            .await
            .map_err(|_| {
                let seconds = config.body_timeout.as_secs();
                let message = format!("the request did not arrive within {seconds} s");
                ApiError::new(Code::RequestTimeout, message)
            })??;
        Fields::of_body(parse(&bytes)?).map(Self)
    }
}

/// A client that names no type is taken to send JSON.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let given = String::from_utf8_lossy(given.as_bytes()).into_owned();
    let essence = given.split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let message = format!("the content type is {given}; send application/json");
    Err(ApiError::new(Code::UnsupportedMediaType, message))
}

async fn read(body: Body, headers: &HeaderMap, limit_bytes: usize) -> Result<Vec<u8>, ApiError> {
    let declared = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    let mut chunks = body.into_data_stream();
    let mut bytes = Vec::with_capacity(declared.unwrap_or(0).min(limit_bytes));
    let mut is_too_large = declared.is_some_and(|length| length > limit_bytes);
    while !is_too_large {
        let Some(chunk) = chunks.next().await else {
            return Ok(bytes);
        };
        let chunk: Bytes = chunk.map_err(|_| {
            ApiError::new(
                Code::IncompleteBody,
                "the request's body did not come whole",
            )
        })?;
        is_too_large = bytes.len() + chunk.len() > limit_bytes;
        bytes.extend_from_slice(&chunk);
    }
    drop(bytes);
    let discard = async {
        let mut n_bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            n_bytes += chunk.len();
            if n_bytes > MOST_DISCARDED_BYTES {
                return;
            }
        }
    };
    // Whether all of it came makes no difference to the answer.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, discard).await;
    let limit = bytesize::ByteSize(limit_bytes as u64);
    Err(ApiError::new(
        Code::BodyTooLarge,
        format!(
            "the request's body is larger than {limit}. Send fewer or smaller pages, or start the server with a \
             larger --body-limit"
        ),
    ))
}

fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    if let Err(error) = std::str::from_utf8(bytes) {
        let message = format!(
            "the body is not UTF-8: byte {} is wrong. Send JSON as UTF-8",
            error.valid_up_to()
        );
        return Err(ApiError::new(Code::InvalidJson, message));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let message = format!("the body is not valid JSON: {error}");
        ApiError::new(Code::InvalidJson, message)
    })
}
