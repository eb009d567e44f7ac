//! The answers to what is no route, and to methods that a route does not take.

use axum::http::Method;

use crate::error::{ApiError, Code};

/// Of a path that leads nowhere so much is repeated.
const MOST_PATH_CHARS: usize = 200;

/// No method is longer, but a client may send any word.
const MOST_METHOD_CHARS: usize = 20;

/// Nothing is at a path.
pub fn not_found(path: &str) -> ApiError {
    let path = begin(path, MOST_PATH_CHARS);
    let message = format!("there is no {path} here; GET /openapi.json lists all routes");
    ApiError::new(Code::NotFound, message)
}

/// What is at a path takes other methods.
pub fn wrong_method(method: &Method, path: &str) -> ApiError {
    let path = begin(path, MOST_PATH_CHARS);
    let method = begin(method.as_str(), MOST_METHOD_CHARS);
    let message = format!("{path} does not take {method}. The header Allow names what it takes");
    ApiError::new(Code::MethodNotAllowed, message)
}

fn begin(text: &str, most_chars: usize) -> String {
    text.chars().take(most_chars).collect()
}
