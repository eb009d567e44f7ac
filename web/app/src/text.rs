//! The text, and how it comes into the page.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use glyph_web_core::accounting::bytes_shown;
use glyph_web_core::editing::{MOST_EDITED, MOST_EDITED_WHOLE};
use js_sys::Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Blob, DataTransfer, File};

use crate::api;
use crate::browser::{self, JsError};
use crate::i18n::Strings;
use crate::state::State;

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

/// Tells texts apart, whatever is in them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TextId(u32);

impl TextId {
    /// The text that a question of this moment is about: the one that is being read, else the one that is
    /// shown.
    pub fn meant(state: State) -> Self {
        let coming = |reading: &Option<Reading>| Some(reading.as_ref()?.text);
        state
            .reading
            .with_untracked(coming)
            .unwrap_or_else(|| SHOWN.get())
    }

    /// Whether the page has it.
    pub fn is_shown(self) -> bool {
        SHOWN.get() == self
    }
}

/// A text that the worker is reading, until it is here.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Which one it is.
    pub text: TextId,
    /// The file that it comes from.
    pub name: Option<String>,
    /// Its size as it is written there.
    pub bytes: f64,
}

impl Reading {
    /// What is being read, for people.
    pub fn shown(&self, words: &Strings) -> String {
        words.text_being_read(self.name(words), &bytes_shown(self.bytes))
    }

    fn name(&self, words: &Strings) -> &str {
        self.name.as_deref().unwrap_or(words.this_text)
    }
}

/// A text that was to be read, and is not.
#[derive(Debug, Clone, PartialEq)]
pub struct Refusal {
    /// Which one it is.
    pub text: TextId,
    /// Why, and what to do.
    pub reason: String,
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

    /// Whether all of it may be edited in the page.
    pub fn can_be_edited(&self) -> bool {
        self.bytes <= MOST_EDITED_WHOLE
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
    /// The text that the page has.
    static SHOWN: Cell<TextId> = const { Cell::new(TextId(0)) };
    /// Ends the reading that is under way.
    static READING: RefCell<Option<AbortController>> = const { RefCell::new(None) };
}

/// Begins another text: nothing is read any more, and what was told of the one before is settled.
fn next_text(state: State) -> TextId {
    TEXTS.set(TEXTS.get() + 1);
    if let Some(reading) = READING.take() {
        reading.abort();
    }
    state.reading.set(None);
    state.text_notice.set(None);
    state.refused_text.set(None);
    TextId(TEXTS.get())
}

fn show(state: State, id: TextId, text: Text) {
    SHOWN.set(id);
    state.text.set(text);
}

/// Puts a text that is edited in the page in the place of the one before.
pub fn put(state: State, text: Text) {
    let id = next_text(state);
    show(state, id, text);
}

/// Ends the reading that is under way; the text before it stays.
pub fn cancel_reading(state: State) {
    let reading = state.reading.get_untracked();
    next_text(state);
    // Who has asked about it is told.
    state.refused_text.set(reading.map(|reading| {
        let words = state.words();
        Refusal {
            text: reading.text,
            reason: words.reading_cancelled(reading.name(words)),
        }
    }));
}

/// Takes a text that was pasted or made here; a long one goes through the worker.
pub fn take(state: State, content: String) {
    if content.len() <= MOST_EDITED {
        put(state, Text::new(content, None));
        return;
    }
    let parts = Array::of1(&JsValue::from(content));
    match Blob::new_with_str_sequence(&parts) {
        Ok(blob) => read(state, blob, Origin::Pasted, Some(MOST_EDITED), None),
        Err(error) => refuse(state, next_text(state), None, JsError::new(error)),
    }
}

/// Takes the text of a file.
pub fn open_file(state: State, file: File) {
    open_file_saying(state, file, None);
}

/// Takes the first file that was dropped. Folders are no texts, though a browser hands them out as files.
pub fn drop_files(state: State, data: &DataTransfer) {
    let items = data.items();
    let items = (0..items.length()).filter_map(|index| items.get(index));
    let mut n_folders = 0;
    let mut files = Vec::new();
    for item in items.filter(|item| item.kind() == "file") {
        let entry = item.webkit_get_as_entry().ok().flatten();
        if entry.is_some_and(|entry| entry.is_directory()) {
            n_folders += 1;
        } else {
            files.extend(item.get_as_file().ok().flatten());
        }
    }
    let n_files = files.len();
    let words = state.words();
    match files.into_iter().next() {
        Some(file) if n_files > 1 => {
            let notice = words.first_file_read(&file.name(), n_files);
            open_file_saying(state, file, Some(notice));
        }
        Some(file) => open_file(state, file),
        None if n_folders > 0 => state.text_notice.set(Some(words.folder_dropped.to_owned())),
        None => {}
    }
}

fn open_file_saying(state: State, file: File, notice: Option<String>) {
    let name = file.name();
    if file.size() > MOST_FILE_BYTES {
        let size = bytes_shown(file.size());
        let notice = state.words().file_too_large(&name, &size);
        state.text_notice.set(Some(notice));
        return;
    }
    let origin = Origin::File(name);
    read(state, file.into(), origin, Some(MOST_EDITED), notice);
}

/// Takes all of a long text into the page, to be edited.
pub fn edit_whole(state: State) {
    let text = state.text.get_untracked();
    if let Some(whole) = text.whole {
        read(state, whole, Origin::Shown(text.file), None, None);
    }
}

/// Where a blob comes from.
enum Origin {
    /// A file of this name. How it is written is found out.
    File(String),
    /// The page, which writes UTF-8: a text that is new to it.
    Pasted,
    /// The page too: the text that it shows, which may have been a file's.
    Shown(Option<FileNote>),
}

impl Origin {
    fn file_name(&self) -> Option<&str> {
        match self {
            Self::File(name) => Some(name),
            Self::Pasted => None,
            Self::Shown(file) => file.as_ref().map(|file| file.name.as_str()),
        }
    }
}

/// Has the worker read a blob, up to so many characters for the page; then the notice is shown.
fn read(state: State, blob: Blob, origin: Origin, most: Option<usize>, notice: Option<String>) {
    let next = next_text(state);
    let text = match origin {
        // The same text, which can then be edited.
        Origin::Shown(_) => SHOWN.get(),
        Origin::File(_) | Origin::Pasted => next,
    };
    state.reading.set(Some(Reading {
        text,
        name: origin.file_name().map(str::to_owned),
        bytes: blob.size(),
    }));
    let options: api::DecodeOptions = api::options();
    if let Origin::Pasted | Origin::Shown(_) = origin {
        options.set_encoding("UTF-8");
    }
    if let Some(most) = most {
        options.set_most(most as f64);
    }
    if let Ok(controller) = AbortController::new() {
        options.set_signal(&controller.signal());
        READING.set(Some(controller));
    }
    spawn_local(async move {
        let decoded = decode(state, &blob, &options).await;
        if TextId(TEXTS.get()) != next {
            return;
        }
        state.reading.set(None);
        match decoded {
            Ok((decoded, whole)) => {
                state.text_notice.set(notice);
                let encoding = decoded.encoding;
                let decoded = Text {
                    content: decoded.text.into(),
                    whole,
                    characters: decoded.characters,
                    bytes: decoded.bytes,
                    file: match origin {
                        Origin::File(name) => Some(FileNote { name, encoding }),
                        Origin::Pasted => None,
                        Origin::Shown(file) => file,
                    },
                };
                show(state, text, decoded);
            }
            Err(error) => refuse(state, text, origin.file_name(), error),
        }
    });
}

async fn decode(
    state: State,
    blob: &Blob,
    options: &api::DecodeOptions,
) -> Result<(Decoded, Option<Blob>), JsError> {
    let value = JsFuture::from(api::decode_text(blob, options)).await;
    let value = value.map_err(|error| match browser::error_code(&error) {
        // Words of their own, with the file's name in them.
        code if code == "empty" || code == "binary" => JsError::Failed(code),
        _ => JsError::told(error, state.words()),
    })?;
    let whole = js_sys::Reflect::get(&value, &"whole".into()).ok();
    let whole = whole.and_then(|whole| whole.dyn_into().ok());
    let decoded = serde_wasm_bindgen::from_value(value);
    let decoded = decoded.map_err(|error| JsError::Failed(error.to_string()))?;
    Ok((decoded, whole))
}

fn refuse(state: State, text: TextId, name: Option<&str>, error: JsError) {
    let words = state.words();
    let name = name.unwrap_or(words.this_text);
    if let JsError::Failed(reason) = error {
        let reason = words.file_refused(name, &reason);
        state.text_notice.set(Some(reason.clone()));
        state.refused_text.set(Some(Refusal { text, reason }));
    }
}
