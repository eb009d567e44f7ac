//! Files for the person: pages and conversation.

use js_sys::Array;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use serde_json::json;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortController, Blob, BlobPropertyBag};

use crate::api;
use crate::browser::{self, JsError};
use crate::state::{Drawing, State};

/// How many files of an archive are packed.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
pub struct Packing {
    /// Packed.
    pub done: usize,
    /// In all.
    pub of: usize,
}

/// Ends the packing that is under way, if there is one.
pub fn cancel(state: State) {
    let current = state.packing_abort.try_update_value(Option::take).flatten();
    if let Some(current) = current {
        current.abort();
    }
}

/// All pages with their style. They are named as `glyph render` names them, and with more digits where
/// they would not be in order by their names.
pub fn pages(state: State) {
    let entries = Array::new();
    state.tiles.with_untracked(|tiles| {
        let digits = tiles.len().to_string().len().max(4);
        for tile in tiles {
            let name = format!("page_{:0digits$}.png", tile.figures.index + 1);
            entries.push(&Array::of2(&name.into(), &tile.blob));
        }
    });
    if let Drawing::Done(summary) = state.drawing.get_untracked()
        && let Some(figures) = json_blob(&json!(*summary))
    {
        entries.push(&Array::of2(&"pages.json".into(), &figures));
    }
    let of = entries.length() as usize;
    state.packing.set(Some(Packing { done: 0, of }));
    let on_progress = Closure::<dyn FnMut(JsValue)>::new(move |progress: JsValue| {
        if let Ok(packing) = serde_wasm_bindgen::from_value::<Packing>(progress) {
            state.packing.set(Some(packing));
        }
    });
    let options: api::ZipOptions = api::options();
    options.set_on_progress(on_progress.as_ref().unchecked_ref());
    if let Ok(controller) = AbortController::new() {
        options.set_signal(&controller.signal());
        state.packing_abort.set_value(Some(controller));
    }
    spawn_local(async move {
        let archive = JsFuture::from(api::zip(&entries, &options)).await;
        drop(on_progress);
        state.packing.set(None);
        match archive {
            Ok(archive) => browser::download(&archive.unchecked_into(), "pages.zip"),
            Err(error) => {
                if let JsError::Failed(reason) = JsError::told(error, state.words()) {
                    state.notice.set(Some(reason));
                }
            }
        }
    });
}

/// Questions and answers, oldest first, each with the text and the style of its pages.
pub fn conversation(state: State) {
    let exchanges = state.exchanges.get_untracked();
    let records: Vec<_> = exchanges
        .iter()
        .rev()
        .map(|exchange| exchange.record())
        .collect();
    let conversation = json!({ "exchanges": records });
    if let Some(blob) = json_blob(&conversation) {
        browser::download(&blob, "conversation.json");
    }
}

fn json_blob(value: &serde_json::Value) -> Option<Blob> {
    let text = serde_json::to_string_pretty(value).ok()?;
    let options = BlobPropertyBag::new();
    options.set_type("application/json");
    let parts = Array::of1(&JsValue::from(text));
    Blob::new_with_str_sequence_and_options(&parts, &options).ok()
}
