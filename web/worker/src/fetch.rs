//! Files over HTTP.

use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Response};

use crate::{ErrorCode, WorkerError, field, js_message, scope};

/// How long [`fetch_bytes`] waits for a whole file: what hangs is asked for again by the next who needs it.
const MOST_MS: u32 = 120_000;

/// Why an address gave no file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Nobody answers, the page may not ask, or the answer broke off.
    #[error("{url} cannot be fetched: {reason}")]
    Unreachable {
        /// The address.
        url: String,
        /// The browser's words.
        reason: String,
    },
    /// The host answers with an error.
    #[error("{url} cannot be fetched: the host answers {status}")]
    Refused {
        /// The address.
        url: String,
        /// The HTTP status.
        status: u16,
    },
}

impl From<FetchError> for WorkerError {
    fn from(error: FetchError) -> Self {
        let message = error.to_string();
        let detail = match error {
            FetchError::Unreachable { url, .. } => url,
            FetchError::Refused { url, status } => format!("{url}: HTTP {status}"),
        };
        Self::new(ErrorCode::Network, detail, message)
    }
}

/// A file's response. The host is asked even where the browser's HTTP cache has an answer. `method` is `GET`
/// or `HEAD`.
///
/// # Errors
/// [`FetchError`], also for a status that is none of success.
pub async fn fetch_fresh(url: &str, method: &str) -> Result<Response, FetchError> {
    let options = [
        ("method", JsValue::from(method)),
        ("cache", JsValue::from("no-cache")),
    ];
    respond(url, &options).await
}

async fn respond(url: &str, options: &[(&str, JsValue)]) -> Result<Response, FetchError> {
    let response = match started(url, options) {
        Ok(request) => JsFuture::from(request).await,
        Err(error) => Err(error),
    };
    let response: Response = response
        .and_then(JsCast::dyn_into)
        .map_err(|error| unreachable(url, &error))?;
    match response.status() {
        200..=299 => Ok(response),
        status => Err(FetchError::Refused {
            url: url.to_owned(),
            status,
        }),
    }
}

fn started(url: &str, options: &[(&str, JsValue)]) -> Result<Promise, JsValue> {
    let init = Object::new();
    for (key, value) in options {
        Reflect::set(&init, &(*key).into(), value)?;
    }
    let fetch: Function = field(&scope(), "fetch").dyn_into()?;
    fetch.call2(&scope(), &url.into(), &init)?.dyn_into()
}

fn unreachable(url: &str, error: &JsValue) -> FetchError {
    FetchError::Unreachable {
        url: url.to_owned(),
        reason: js_message(error),
    }
}

/// The bytes of a file of a few megabytes that must be there.
///
/// # Errors
/// [`FetchError`], also where the file has not come within two minutes.
pub async fn fetch_bytes(url: &str) -> Result<Vec<u8>, FetchError> {
    let broken = |error: JsValue| unreachable(url, &error);
    let patience = AbortSignal::timeout_with_u32(MOST_MS);
    let response = respond(url, &[("signal", JsValue::from(patience))]).await?;
    let buffer = response.array_buffer().map_err(broken)?;
    let buffer = JsFuture::from(buffer).await.map_err(broken)?;
    Ok(Uint8Array::new(&buffer).to_vec())
}
