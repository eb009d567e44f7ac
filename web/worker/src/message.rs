//! What messages carry beside their typed part.

use js_sys::{Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

use crate::js_message;

/// A property of a message; `undefined` where it has none.
pub fn field(message: &JsValue, key: &str) -> JsValue {
    Reflect::get(message, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

/// The bytes of a blob.
///
/// # Errors
/// A sentence, when it is no blob or its file has gone.
pub async fn read_blob(blob: JsValue) -> Result<Vec<u8>, String> {
    let blob: Blob = blob
        .dyn_into()
        .map_err(|_| "what should be a Blob is none".to_owned())?;
    let buffer = JsFuture::from(blob.array_buffer()).await;
    let buffer =
        buffer.map_err(|error| format!("a Blob cannot be read: {}", js_message(&error)))?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// The `text` of a message: a string, or a blob of UTF-8, which costs the page's thread nothing
/// however long it is.
///
/// # Errors
/// A sentence, when it is neither.
pub async fn text(message: &JsValue) -> Result<String, String> {
    let text = field(message, "text");
    match text.as_string() {
        Some(text) => Ok(text),
        None => String::from_utf8(read_blob(text).await?)
            .map_err(|error| format!("the text is not UTF-8 ({error}); decodeText reads others")),
    }
}
