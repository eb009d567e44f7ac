//! Small things that browsers do.

use gloo_timers::callback::Timeout;
use js_sys::{Promise, Reflect};
use leptos::task::spawn_local;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Blob, Clipboard, DomException, HtmlAnchorElement, HtmlDocument, HtmlElement,
    HtmlTextAreaElement, Storage, Url,
};

use crate::i18n::Strings;

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
    awaited_or(promise, JsError::new).await
}

/// The same for a promise whose errors glyph.js gives a code: they are told in the words of the page.
pub async fn awaited_of_worker<T: DeserializeOwned>(
    promise: Promise,
    words: &Strings,
) -> Result<T, JsError> {
    awaited_or(promise, |error| JsError::told(error, words)).await
}

async fn awaited_or<T: DeserializeOwned>(
    promise: Promise,
    rejected: impl FnOnce(JsValue) -> JsError,
) -> Result<T, JsError> {
    let value = JsFuture::from(promise).await.map_err(rejected)?;
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
    /// As [`new`](Self::new), in the words of the page where glyph.js gives the error a code.
    pub fn told(error: JsValue, words: &Strings) -> Self {
        let (code, detail) = (error_code(&error), words_of(&error, "detail"));
        match Self::new(error) {
            Self::Aborted => Self::Aborted,
            Self::Failed(text) => Self::Failed(words.worker_error(&code, &detail, &text)),
        }
    }

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

/// The code that glyph.js gives an error, empty where it has none.
pub fn error_code(error: &JsValue) -> String {
    words_of(error, "code")
}

fn words_of(error: &JsValue, key: &str) -> String {
    let value = Reflect::get(error, &key.into()).ok();
    let value = value.and_then(|value| value.as_string());
    value.unwrap_or_default()
}

impl std::fmt::Display for JsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Aborted => "the work was ended",
            Self::Failed(words) => words,
        })
    }
}

/// How long the address of a download is kept.
const DOWNLOAD_MS: u32 = 60_000;

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
    // Some browsers read the address only after the click.
    let release = move || {
        let _ = Url::revoke_object_url(&url);
    };
    Timeout::new(DOWNLOAD_MS, release).forget();
}

/// Gives an element the keyboard.
fn focus_on(element: &HtmlElement) {
    // Refused by none that is in the document.
    let _ = element.focus();
}

/// Whether the keyboard is in an element that a selector names.
fn has_focus(selector: &str) -> bool {
    let active = leptos::prelude::document().active_element();
    active.is_some_and(|active| active.matches(selector).unwrap_or_default())
}

/// Gives the keyboard, in the next frame, to the first of these places that is there by then. Each is a
/// selector.
pub fn focus_soon(places: &[&str]) {
    let places: Vec<String> = places.iter().map(|place| (*place).to_owned()).collect();
    leptos::prelude::request_animation_frame(move || {
        let document = leptos::prelude::document();
        let find = |place: &String| document.query_selector(place).ok().flatten();
        let found = places.iter().find_map(find);
        if let Some(element) = found.and_then(|element| element.dyn_into::<HtmlElement>().ok()) {
            focus_on(&element);
        }
    });
}

/// The same where the keyboard is in what a selector names. For the cleanup of a part of the page: with
/// the part gone, the keyboard would be nowhere.
pub fn pass_focus(from: &str, places: &[&str]) {
    if has_focus(from) {
        focus_soon(places);
    }
}

/// Copies a text, and says then whether that was possible. Pages of plain http have no clipboard, and a
/// browser may refuse it to others; a selection can be copied there too.
pub fn copy(text: String, done: impl FnOnce(bool) + 'static) {
    let navigator = leptos::prelude::window().navigator();
    let clipboard = Reflect::get(&navigator, &"clipboard".into()).ok();
    match clipboard.filter(JsValue::is_object) {
        Some(clipboard) => {
            let clipboard: Clipboard = clipboard.unchecked_into();
            let promise = clipboard.write_text(&text);
            spawn_local(async move {
                let is_copied = JsFuture::from(promise).await.is_ok();
                done(is_copied || copy_selected(&text).is_some());
            });
        }
        // At once: a browser allows it only in the press of a button.
        None => done(copy_selected(&text).is_some()),
    }
}

/// Copies a text as if it had been selected; `None` where the browser refuses.
fn copy_selected(text: &str) -> Option<()> {
    let document = leptos::prelude::document();
    let body = document.body()?;
    let active = document.active_element();
    let field = document.create_element("textarea").ok()?;
    let field: HtmlTextAreaElement = field.dyn_into().ok()?;
    field.set_class_name("copied");
    field.set_read_only(true);
    field.set_value(text);
    body.append_child(&field).ok()?;
    field.select();
    let document: HtmlDocument = document.unchecked_into();
    let is_copied = document.exec_command("copy").unwrap_or_default();
    field.remove();
    // Selecting has taken the keyboard.
    if let Some(active) = active.and_then(|active| active.dyn_into::<HtmlElement>().ok()) {
        focus_on(&active);
    }
    is_copied.then_some(())
}

/// A value as JavaScript writes it.
pub fn described(value: &impl serde::Serialize) -> JsValue {
    let serializer = serde_wasm_bindgen::Serializer::json_compatible();
    value.serialize(&serializer).unwrap_or(JsValue::NULL)
}
