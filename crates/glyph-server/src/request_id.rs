//! Every request has an id: the client's, or a new one. Answers carry it.

use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use uuid::Uuid;

/// The header that carries it.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

const MOST_BYTES: usize = 128;

/// The id of a request.
#[derive(Debug, Clone)]
pub struct RequestId(pub String);

/// An id that can stand in a log line as it is.
fn is_valid(id: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(&byte);
    (1..=MOST_BYTES).contains(&id.len()) && id.bytes().all(is_plain)
}

/// Takes the id that a request brings, if it can be used, and sends it back.
pub async fn set_request_id(mut request: Request, next: Next) -> Response {
    let given = request.headers().get(HEADER);
    let given = given
        .and_then(|id| id.to_str().ok())
        .filter(|id| is_valid(id));
    let id = given.map_or_else(|| Uuid::new_v4().to_string(), str::to_owned);
    request.extensions_mut().insert(RequestId(id.clone()));
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(HEADER, value);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::is_valid;

    #[test]
    fn what_would_break_a_log_is_no_id() {
        assert!(is_valid("req-1_a.b:c"));
        assert!(!is_valid("") && !is_valid("a b") && !is_valid("a\"b") && !is_valid("页"));
        assert!(is_valid(&"a".repeat(128)) && !is_valid(&"a".repeat(129)));
    }
}
