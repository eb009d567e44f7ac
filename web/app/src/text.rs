//! The text, and how it comes into the page.

use std::cell::Cell;
use std::sync::Arc;

use js_sys::Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{Blob, File};

use crate::api;
use crate::browser::JsError;
use crate::state::State;

/// Longest text in a field that can be edited, in characters: a browser lays out all of it at once,
/// and would stand still over a long one.
pub const MOST_EDITED: usize = 40_000;

/// Largest file that is read.
const MOST_FILE_BYTES: f64 = 64e6;

/// A text and where it comes from.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Text {
    /// The text; of a long one its beginning.
    pub content: Arc<str>,
    /// All of a long one in UTF-8. Only workers read it: the page would stand still meanwhile.
    pub whole: Option<Blob>,
    /// Characters of all of it.
    pub characters: usize,
    /// Bytes of all of it in UTF-8.
    pub bytes: usize,
    /// The file that it was read from.
    pub file: Option<FileNote>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct FileNote {
    /// Its name.
    pub name: String,
    /// How its characters are written.
    pub encoding: String,
}

impl Text {
    /// A text that is in the page whole.
    pub fn new(content: String, file: Option<FileNote>) -> Self {
        Self {
            characters: content.chars().count(),
            bytes: content.len(),
            content: content.into(),
            whole: None,
            file,
        }
    }

    /// Whether there is nothing to draw.
    pub fn is_blank(&self) -> bool {
        self.whole.is_none() && self.content.trim().is_empty()
    }

    /// What workers read: a string or a blob.
    pub fn source(&self) -> JsValue {
        match &self.whole {
            Some(whole) => whole.into(),
            None => JsValue::from_str(&self.content),
        }
    }
}

/// What `decodeText` resolves to, without the blob.
#[derive(Deserialize)]
struct Decoded {
    text: String,
    encoding: String,
    characters: usize,
    bytes: usize,
}

thread_local! {
    /// Counts the texts, so that a file that took long to read does not replace a later text.
    static TEXTS: Cell<u32> = const { Cell::new(0) };
}

fn next_text() -> u32 {
    TEXTS.set(TEXTS.get() + 1);
    TEXTS.get()
}

/// Puts a text that is edited in the page in the place of the one before.
pub fn put(state: State, text: Text) {
    next_text();
    state.text.set(text);
}

/// Takes a text that was pasted or made here; a long one goes through the worker.
pub fn take(state: State, content: String) {
    if content.len() <= MOST_EDITED {
        put(state, Text::new(content, None));
        return;
    }
    let parts = Array::of1(&JsValue::from(content));
    match Blob::new_with_str_sequence(&parts) {
        Ok(blob) => read(state, blob, None, Some(MOST_EDITED)),
        Err(error) => refuse(state, None, JsError::new(error)),
    }
}

/// Takes the text of a file.
pub fn open_file(state: State, file: File) {
    let name = file.name();
    if file.size() > MOST_FILE_BYTES {
        let size = glyph_web_core::accounting::bytes_shown(file.size());
        let notice = state.words().file_too_large(&name, &size);
        state.notice.set(Some(notice));
        return;
    }
    read(state, file.into(), Some(name), Some(MOST_EDITED));
}

/// Takes all of a long text into the page, to be edited.
pub fn edit_whole(state: State) {
    let text = state.text.get_untracked();
    if let Some(whole) = text.whole {
        read(state, whole, text.file.map(|file| file.name), None);
    }
}

/// Has the worker read a blob, up to so many characters for the page.
fn read(state: State, blob: Blob, name: Option<String>, most: Option<usize>) {
    let id = next_text();
    spawn_local(async move {
        let decoded = decode(&blob, most).await;
        if TEXTS.get() != id {
            return;
        }
        match decoded {
            Ok((decoded, whole)) => {
                state.notice.set(None);
                let encoding = decoded.encoding;
                state.text.set(Text {
                    content: decoded.text.into(),
                    whole,
                    characters: decoded.characters,
                    bytes: decoded.bytes,
                    file: name.map(|name| FileNote { name, encoding }),
                });
            }
            Err(error) => refuse(state, name, error),
        }
    });
}

async fn decode(blob: &Blob, most: Option<usize>) -> Result<(Decoded, Option<Blob>), JsError> {
    let options: api::DecodeOptions = api::options();
    if let Some(most) = most {
        options.set_most(most as f64);
    }
    let value = JsFuture::from(api::decode_text(blob, &options)).await;
    let value = value.map_err(JsError::new)?;
    let whole = js_sys::Reflect::get(&value, &"whole".into()).ok();
    let whole = whole.and_then(|whole| whole.dyn_into().ok());
    let decoded = serde_wasm_bindgen::from_value(value);
    let decoded = decoded.map_err(|error| JsError::Failed(error.to_string()))?;
    Ok((decoded, whole))
}

fn refuse(state: State, name: Option<String>, error: JsError) {
    let words = state.words();
    let name = name.as_deref().unwrap_or(words.this_text);
    if let JsError::Failed(reason) = error {
        state.notice.set(Some(words.file_refused(name, &reason)));
    }
}
