//! Reading the body of a request: bounded in bytes, in time, in values, and together with those of others.

use axum::body::{BodyDataStream, Bytes};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::{HeaderMap, HeaderValue, header};
use futures::StreamExt;
use serde_json::Value;

use crate::auth::Caller;
use crate::byte_pool::ByteHold;
use crate::error::{ApiError, Code};
use crate::fields::Fields;
use crate::state::AppState;

/// Values of a body, keys and those within others among them. Each takes tens of times the two bytes that it is written
/// in; a request of as many messages and pages as are taken has far fewer.
const MOST_VALUES: usize = 1 << 18;

/// Longer bodies are parsed on a thread that may be kept busy.
const MOST_INLINE_BYTES: usize = 1 << 16;

/// The body of a request, a JSON object, and its part of what all bodies may take.
#[derive(Debug)]
pub struct JsonBody(pub Fields, pub ByteHold);

impl FromRequest<AppState> for JsonBody {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &AppState) -> Result<Self, ApiError> {
        let config = state.config();
        let (mut parts, body) = request.into_parts();
        check_type(&parts.headers)?;
        check_encoding(&parts.headers)?;
        let Ok(Caller(caller)) = Caller::from_request_parts(&mut parts, state).await;
        let reading = Reading {
            chunks: body.into_data_stream(),
            hold: state.bodies().hold(),
            limit_bytes: config.body_limit_bytes,
        };
        let (bytes, hold) = tokio::time::timeout(config.body_timeout, reading.run(&parts.headers))
            .await
            .map_err(|_| {
                let seconds = config.body_timeout.as_secs();
                let message = format!("the request did not arrive within {seconds} s");
                ApiError::new(Code::RequestTimeout, message)
            })??;
        let value = if bytes.len() <= MOST_INLINE_BYTES {
            parse(&bytes)?
        } else {
            state.blocking(&caller, move || parse(&bytes)).await?
        };
        Ok(Self(Fields::of_body(value)?, hold))
    }
}

/// A client that names no type is taken to send JSON.
fn check_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let given = shown_header(given);
    let essence = given.split(';').next().unwrap_or_default().trim();
    let is_json = essence.eq_ignore_ascii_case("application/json")
        || (essence.starts_with("application/") && essence.ends_with("+json"));
    if is_json {
        return Ok(());
    }
    let message = format!("the content type is {given}; send application/json");
    Err(ApiError::new(Code::UnsupportedMediaType, message))
}

/// Bodies are read as they come.
fn check_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let given = headers.get_all(header::CONTENT_ENCODING);
    let is_plain = |given: &String| {
        let mut codings = given.split(',');
        codings.all(|coding| coding.trim().eq_ignore_ascii_case("identity"))
    };
    let mut given = given.iter().map(shown_header);
    match given.find(|given| !is_plain(given)) {
        None => Ok(()),
        Some(given) => {
            let message = format!(
                "the content encoding is {given}; send the body as it is, without Content-Encoding"
            );
            Err(ApiError::new(Code::UnsupportedMediaType, message))
        }
    }
}

fn shown_header(value: &HeaderValue) -> String {
    let text = String::from_utf8_lossy(value.as_bytes());
    text.chars().take(80).collect()
}

struct Reading {
    chunks: BodyDataStream,
    hold: ByteHold,
    limit_bytes: usize,
}

impl Reading {
    async fn run(mut self, headers: &HeaderMap) -> Result<(Vec<u8>, ByteHold), ApiError> {
        let declared = headers
            .get(header::CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if declared.is_some_and(|length| length > self.limit_bytes) {
            return Err(too_large(self.limit_bytes));
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunks.next().await {
            let chunk: Bytes = chunk.map_err(|_| {
                ApiError::new(
                    Code::IncompleteBody,
                    "the request's body did not come whole",
                )
            })?;
            if bytes.len() + chunk.len() > self.limit_bytes {
                return Err(too_large(self.limit_bytes));
            }
            self.hold.grow(chunk.len())?;
            bytes.extend_from_slice(&chunk);
        }
        Ok((bytes, self.hold))
    }
}

fn too_large(limit_bytes: usize) -> ApiError {
    let limit = bytesize::ByteSize(limit_bytes as u64);
    ApiError::new(
        Code::BodyTooLarge,
        format!(
            "the request's body is larger than {limit}. Send fewer or smaller pages, or start the server with a \
             larger --body-limit"
        ),
    )
}

fn parse(bytes: &[u8]) -> Result<Value, ApiError> {
    if let Err(error) = std::str::from_utf8(bytes) {
        let message = format!(
            "the body is not UTF-8: byte {} is wrong. Send JSON as UTF-8",
            error.valid_up_to()
        );
        return Err(ApiError::new(Code::InvalidJson, message));
    }
    let n_values = count_values(bytes);
    if n_values > MOST_VALUES {
        let message = format!(
            "the body holds {n_values} values; at most {MOST_VALUES} are taken. Send less in one request"
        );
        return Err(ApiError::new(Code::InvalidValue, message));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let message = format!("the body is not valid JSON: {error}");
        ApiError::new(Code::InvalidJson, message)
    })
}

/// At least as many values as JSON text has: each but the first stands behind a comma, a colon or an opening bracket.
fn count_values(bytes: &[u8]) -> usize {
    let (mut n_values, mut in_string, mut is_escaped) = (1, false, false);
    for byte in bytes {
        match (byte, in_string) {
            _ if is_escaped => is_escaped = false,
            (b'\\', true) => is_escaped = true,
            (b'"', _) => in_string = !in_string,
            (b',' | b':' | b'[' | b'{', false) => n_values += 1,
            _ => {}
        }
    }
    n_values
}

#[cfg(test)]
mod tests {
    use super::{Code, MOST_VALUES, count_values, parse};

    #[test]
    fn values_are_counted_outside_of_strings() {
        assert_eq!(count_values(br#""a,[{:\"," "#), 1);
        assert_eq!(count_values(br#"[1,2,3]"#), 4);
        assert!(count_values(br#"{"a": [{}, {"b": "\\"}, ","]}"#) >= 6);
    }

    #[test]
    fn a_body_that_would_unpack_to_gigabytes_is_refused_before_it_is_parsed() {
        let bomb = format!("{{\"x\":[{}0]}}", "[],".repeat(MOST_VALUES));
        let error = parse(bomb.as_bytes()).unwrap_err();
        assert_eq!(error.code(), Code::InvalidValue);
        assert!(error.to_string().contains("values"), "{error}");
        let long = format!("{{\"x\":\"{}\"}}", "[,".repeat(MOST_VALUES));
        assert!(parse(long.as_bytes()).is_ok());
    }
}
