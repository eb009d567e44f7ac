//! Files over HTTP.

use js_sys::Uint8Array;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::Response;

use crate::{js_message, scope};

/// A file's response; `None` where there is no such file.
///
/// # Errors
/// A sentence that names the address.
pub async fn fetch(url: &str) -> Result<Option<Response>, String> {
    let response = JsFuture::from(scope().fetch_with_str(url)).await;
    let response: Response = response
        .and_then(JsCast::dyn_into)
        .map_err(|error| format!("{url} cannot be fetched: {}", js_message(&error)))?;
    match response.status() {
        404 => Ok(None),
        200..=299 => Ok(Some(response)),
        status => Err(format!(
            "{url} cannot be fetched: the host answers {status}"
        )),
    }
}

/// The bytes of a file that must be there.
///
/// # Errors
/// A sentence that names the address.
pub async fn fetch_bytes(url: &str) -> Result<Vec<u8>, String> {
    let broken = |error| format!("{url} cannot be fetched: {}", js_message(&error));
    let response = fetch(url).await?;
    let response = response.ok_or_else(|| format!("{url} cannot be fetched: it is not there"))?;
    let buffer = response.array_buffer().map_err(broken)?;
    let buffer = JsFuture::from(buffer).await.map_err(broken)?;
    Ok(Uint8Array::new(&buffer).to_vec())
}
