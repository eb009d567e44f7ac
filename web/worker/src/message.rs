//! What messages carry beside their typed part.

use js_sys::{Array, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use crate::{ErrorCode, WorkerError, js_message};

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// An option is missing or is of another kind.
    #[error("{option} is {found}; it must be {expected}")]
    Argument {
        /// Name of the option.
        option: String,
        /// What it is.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A blob cannot be read.
    #[error("{name} cannot be read: {reason}. Choose the file again")]
    Unreadable {
        /// The file's name, or that of the option.
        name: String,
        /// The browser's words.
        reason: String,
    },
    /// A blob has more bytes than the worker has room for.
    #[error("{size} do not fit the memory of a tab. Choose a smaller file")]
    TooLarge {
        /// The file's name, or that of the option, and its size.
        size: String,
    },
}

impl MessageError {
    /// An option whose value is of another kind.
    pub fn argument(option: &str, value: &JsValue, expected: &'static str) -> Self {
        let found = match value.js_typeof().as_string() {
            _ if value.is_null() => "null".to_owned(),
            Some(kind) if value.is_undefined() => kind,
            Some(kind) => format!("of the type {kind}"),
            None => "unknown".to_owned(),
        };
        Self::Argument {
            option: option.to_owned(),
            found,
            expected,
        }
    }
}

impl From<MessageError> for WorkerError {
    fn from(error: MessageError) -> Self {
        let message = error.to_string();
        match error {
            MessageError::Argument { option, .. } => {
                Self::new(ErrorCode::Argument, option, message)
            }
            MessageError::Unreadable { name, .. } => {
                Self::new(ErrorCode::Unreadable, name, message)
            }
            MessageError::TooLarge { size } => Self::new(ErrorCode::TooLarge, size, message),
        }
    }
}

/// A property of a message; `undefined` where it has none.
pub fn field(message: &JsValue, key: &str) -> JsValue {
    Reflect::get(message, &key.into()).unwrap_or(JsValue::UNDEFINED)
}

/// An option that must be an array.
///
/// # Errors
/// [`MessageError::Argument`].
pub fn array(message: &JsValue, option: &str) -> Result<Array, MessageError> {
    let value = field(message, option);
    if !Array::is_array(&value) {
        return Err(MessageError::argument(option, &value, "an array"));
    }
    Ok(value.unchecked_into())
}

/// What a blob is called: by the name of its file, else by the option.
pub fn name_of(blob: &JsValue, option: &str) -> String {
    let file = blob.dyn_ref::<File>().map(File::name);
    let name = file.filter(|name| !name.is_empty());
    name.unwrap_or_else(|| option.to_owned())
}

/// The bytes of a blob that was given as an option.
///
/// # Errors
/// [`MessageError`], when it is no blob, its file has gone, or it is too large.
pub async fn read_blob(blob: JsValue, option: &str) -> Result<Vec<u8>, MessageError> {
    let name = name_of(&blob, option);
    let blob: Blob = blob
        .dyn_into()
        .map_err(|value| MessageError::argument(option, &value, "a Blob"))?;
    let buffer = JsFuture::from(blob.array_buffer()).await;
    let content = match buffer {
        Ok(buffer) => Uint8Array::new(&buffer),
        Err(error) => {
            let reason = js_message(&error);
            return Err(MessageError::Unreadable { name, reason });
        }
    };
    let n_bytes = content.length() as usize;
    let mut bytes: Vec<u8> = Vec::new();
    if bytes.try_reserve_exact(n_bytes).is_err() {
        let size = format!("{name}: {} MB", n_bytes / 1_000_000);
        return Err(MessageError::TooLarge { size });
    }
    bytes.resize(n_bytes, 0);
    content.copy_to(&mut bytes);
    Ok(bytes)
}

/// The `text` of a message: a string, or a blob of UTF-8, which costs the page's thread nothing
/// however long it is.
///
/// # Errors
/// [`MessageError`], when it is neither.
pub async fn text(message: &JsValue) -> Result<String, MessageError> {
    const OPTION: &str = "text";
    let text = field(message, OPTION);
    if let Some(text) = text.as_string() {
        return Ok(text);
    }
    if !text.is_instance_of::<Blob>() {
        return Err(MessageError::argument(OPTION, &text, "a string or a Blob"));
    }
    let bytes = read_blob(text, OPTION).await?;
    String::from_utf8(bytes).map_err(|error| MessageError::Argument {
        option: OPTION.to_owned(),
        found: format!("no UTF-8 ({error})"),
        expected: "UTF-8; decodeText reads other encodings",
    })
}
