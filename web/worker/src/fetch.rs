//! Files over HTTP.

use js_sys::{Function, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use crate::{ErrorCode, WorkerError, field, js_message, scope};

/// A file's response, `None` where there is no such file. The host is asked even where the browser's HTTP
/// cache has an answer. `method` is `GET` or `HEAD`.
///
/// # Errors
/// A sentence that names the address.
pub async fn fetch_fresh(url: &str, method: &str) -> Result<Option<Response>, WorkerError> {
    respond(url, &[("method", method), ("cache", "no-cache")]).await
}

async fn respond(url: &str, options: &[(&str, &str)]) -> Result<Option<Response>, WorkerError> {
    let response = match started(url, options) {
        Ok(request) => JsFuture::from(request).await,
        Err(error) => Err(error),
    };
    let response: Response = response
        .and_then(JsCast::dyn_into)
        .map_err(|error| unfetched(url, url, &js_message(&error)))?;
    match response.status() {
        404 => Ok(None),
        200..=299 => Ok(Some(response)),
        status => {
            let detail = format!("{url}: HTTP {status}");
            let reason = format!("the host answers {status}");
            Err(unfetched(url, &detail, &reason))
        }
    }
}

fn started(url: &str, options: &[(&str, &str)]) -> Result<Promise, JsValue> {
    let init = Object::new();
    for (key, value) in options {
        Reflect::set(&init, &(*key).into(), &(*value).into())?;
    }
    let fetch: Function = field(&scope(), "fetch").dyn_into()?;
    fetch.call2(&scope(), &url.into(), &init)?.dyn_into()
}

fn unfetched(url: &str, detail: &str, reason: &str) -> WorkerError {
    let message = format!("{url} cannot be fetched: {reason}");
    WorkerError::new(ErrorCode::Network, detail, message)
}

/// The bytes of a file that must be there.
///
/// # Errors
/// A sentence that names the address.
pub async fn fetch_bytes(url: &str) -> Result<Vec<u8>, String> {
    let broken = |error| format!("{url} cannot be fetched: {}", js_message(&error));
    let response = respond(url, &[]).await.map_err(|error| error.message)?;
    let response = response.ok_or_else(|| format!("{url} cannot be fetched: it is not there"))?;
    let buffer = response.array_buffer().map_err(broken)?;
    let buffer = JsFuture::from(buffer).await.map_err(broken)?;
    Ok(Uint8Array::new(&buffer).to_vec())
}
