//! Who may call.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::{Choice, ConstantTimeEq};

use crate::error::{ApiError, Code};
use crate::state::AppState;

/// The keys, hashed: comparing hashes takes the same time whatever the keys are, and however long.
#[derive(Debug)]
pub struct Keys(Vec<[u8; 32]>);

impl Keys {
    /// Of these keys.
    pub fn new(keys: &[String]) -> Self {
        Self(keys.iter().map(|key| hash(key.as_bytes())).collect())
    }

    /// Whether everybody may call.
    pub fn is_open(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key is one of them. Every key is looked at, found or not.
    pub fn has(&self, key: &[u8]) -> bool {
        let given = hash(key);
        let found = self
            .0
            .iter()
            .fold(Choice::from(0), |found, key| found | key.ct_eq(&given));
        bool::from(found)
    }
}

fn hash(key: &[u8]) -> [u8; 32] {
    *blake3::hash(key).as_bytes()
}

/// The key that a request carries.
fn bearer(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, key) = value.split_at_checked("Bearer ".len())?;
    scheme
        .eq_ignore_ascii_case(b"Bearer ")
        .then(|| key.trim_ascii())
}

/// Who a request is from, for sharing the device out: its key, or else its address.
#[derive(Debug, Clone)]
pub struct Caller(pub String);

impl FromRequestParts<AppState> for Caller {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Infallible> {
        let address = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        Ok(Self(match bearer(&parts.headers) {
            Some(key) if !state.keys().is_open() => blake3::hash(key).to_hex().to_string(),
            _ => address.map_or_else(String::new, |ConnectInfo(address)| address.ip().to_string()),
        }))
    }
}

/// Lets through what carries a key.
pub async fn require_key(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let keys = state.keys();
    if keys.is_open() {
        return next.run(request).await;
    }
    let message = match bearer(request.headers()) {
        Some(key) if keys.has(key) => return next.run(request).await,
        Some(_) => "the API key is not one of this server's. Check it",
        None => "an API key is missing. Send the header Authorization: Bearer KEY",
    };
    ApiError::new(Code::InvalidApiKey, message).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderMap, header};

    use super::{Keys, bearer};

    #[test]
    fn any_of_the_keys_opens_and_nothing_else() {
        let keys = Keys::new(&["one".to_owned(), "two".to_owned()]);
        assert!(keys.has(b"one") && keys.has(b"two"));
        assert!(!keys.has(b"") && !keys.has(b"onetwo") && !keys.has(b"on"));
        assert!(Keys::new(&[]).is_open() && !keys.is_open());
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        let key = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
            bearer(&headers).map(<[u8]>::to_vec)
        };
        assert_eq!(key("Bearer abc"), Some(b"abc".to_vec()));
        assert_eq!(key("bearer  abc"), Some(b"abc".to_vec()));
        assert_eq!(key("Basic abc"), None);
        assert_eq!(key("abc"), None);
    }
}
