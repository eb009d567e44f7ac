//! Small things that browsers do.

use js_sys::{Promise, Reflect};
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, DomException, HtmlAnchorElement, Storage, Url};

/// What was kept under a name. Private windows and full disks may refuse.
pub fn stored(storage: Option<Storage>, key: &str) -> Option<String> {
    storage?.get_item(key).ok().flatten()
}

/// Keeps a value; where that is refused, the page goes on without.
pub fn store(storage: Option<Storage>, key: &str, value: &str) {
    if let Some(storage) = storage {
        let _ = storage.set_item(key, value);
    }
}

/// Storage that outlives the tab.
pub fn local_storage() -> Option<Storage> {
    leptos::prelude::window().local_storage().ok().flatten()
}

/// Storage of this tab.
pub fn session_storage() -> Option<Storage> {
    leptos::prelude::window().session_storage().ok().flatten()
}

/// Milliseconds since the page was opened.
pub fn now_ms() -> f64 {
    let clock = leptos::prelude::window().performance();
    clock.map_or(0.0, |clock| clock.now())
}

/// Waits for a promise whose value is read as a type.
pub async fn awaited<T: DeserializeOwned>(promise: Promise) -> Result<T, JsError> {
    let value = JsFuture::from(promise).await.map_err(JsError::new)?;
    serde_wasm_bindgen::from_value(value).map_err(|error| JsError::Failed(error.to_string()))
}

/// Why a promise was rejected.
#[derive(Debug, Clone, PartialEq)]
pub enum JsError {
    /// The person ended the work.
    Aborted,
    /// Something failed; its words.
    Failed(String),
}

impl JsError {
    /// The same with other words, unless the person ended the work.
    pub fn or(self, words: String) -> Self {
        match self {
            Self::Aborted => Self::Aborted,
            Self::Failed(_) => Self::Failed(words),
        }
    }

    /// Reads what was thrown.
    pub fn new(error: JsValue) -> Self {
        let aborted = error.dyn_ref::<DomException>();
        if aborted.is_some_and(|error| error.name() == "AbortError") {
            return Self::Aborted;
        }
        let message = Reflect::get(&error, &"message".into()).ok();
        let message = message.and_then(|message| message.as_string());
        Self::Failed(message.unwrap_or_else(|| format!("{error:?}")))
    }
}

impl std::fmt::Display for JsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Aborted => "the work was ended",
            Self::Failed(words) => words,
        })
    }
}

/// Hands a blob to the person as a file.
pub fn download(blob: &Blob, name: &str) {
    let Ok(url) = Url::create_object_url_with_blob(blob) else {
        return;
    };
    let link = leptos::prelude::document().create_element("a");
    if let Some(link) = link
        .ok()
        .and_then(|link| link.dyn_into::<HtmlAnchorElement>().ok())
    {
        link.set_href(&url);
        link.set_download(name);
        link.click();
    }
    // The download has its own hold on the blob.
    let _ = Url::revoke_object_url(&url);
}

/// A value as JavaScript writes it.
pub fn described(value: &impl serde::Serialize) -> JsValue {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).unwrap_or(JsValue::NULL)
}
