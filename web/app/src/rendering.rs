//! From text and style to pages: started anew whenever one of them changes.

use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use glyph_web_core::messages::{PageFigures, RenderSummary, SizeRules};
use glyph_web_core::stage::DrawingStage;
use js_sys::{Array, Reflect};
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use serde_json::{Map, Value};
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortController, AbortSignal, Blob};

use crate::api::{self, RenderOptions};
use crate::browser::{self, JsError};
use crate::state::{Drawing, State, Tile};
use crate::text::Text;

/// How long the page waits for the next key before it draws.
const PATIENCE_MS: u32 = 200;

/// What the pages follow from.
#[derive(Clone, PartialEq)]
struct Inputs {
    text: Text,
    style: Option<Map<String, Value>>,
    overrides: Map<String, Value>,
    rules: SizeRules,
    attempt: u32,
}

/// Draws whenever text or style change.
pub fn follow(state: State) {
    let inputs = Memo::new(move |_| Inputs {
        text: state.text.get(),
        style: state.base_style(),
        overrides: state.settings.with(|settings| settings.style.overrides()),
        rules: state.rules(),
        attempt: state.attempt.get(),
    });
    Effect::new(move |was_starting: Option<bool>| {
        let inputs = inputs.get();
        let is_starting = state.is_starting.get();
        // The style that was waited for is no reason to draw what the person has cancelled meanwhile.
        let has_started = was_starting == Some(true) && !is_starting;
        if has_started && state.drawing.get_untracked() == Drawing::Cancelled {
            return is_starting;
        }
        let id = state.drawing_id.get_untracked() + 1;
        state.drawing_id.set(id);
        abort(state);
        if inputs.text.is_blank() {
            state.tiles.set(Vec::new());
            state.drawing.set(Drawing::Idle);
            return is_starting;
        }
        let (stage, share) = ((!is_starting).then_some(DrawingStage::Pages), 0.0);
        state.drawing.set(Drawing::Running { stage, share });
        // Until the built-in model's style is known, pages would be drawn twice.
        if is_starting {
            return is_starting;
        }
        // From now on the person can cancel, before anything is drawn too.
        let controller = AbortController::new().ok();
        let signal = controller.as_ref().map(AbortController::signal);
        state.drawing_abort.set_value(controller);
        spawn_local(async move {
            TimeoutFuture::new(PATIENCE_MS).await;
            if is_current(state, id) {
                draw(state, id, inputs, signal).await;
            }
        });
        is_starting
    });
}

/// Whether a drawing is the one that the page shows, and under way.
fn is_current(state: State, id: u32) -> bool {
    let is_running = |drawing: &Drawing| matches!(drawing, Drawing::Running { .. });
    state.drawing_id.get_untracked() == id && state.drawing.with_untracked(is_running)
}

/// Ends the drawing that is under way because the person wants that: at once, whatever its worker may be
/// waiting for.
pub fn cancel(state: State) {
    let id = state.drawing_id.get_untracked();
    if !is_current(state, id) {
        return;
    }
    abort(state);
    // Those of the text before were only to bridge the time.
    state
        .tiles
        .update(|tiles| tiles.retain(|tile| tile.drawing_id == id));
    state.drawing.set(Drawing::Cancelled);
}

fn abort(state: State) {
    let current = state.drawing_abort.try_update_value(Option::take).flatten();
    if let Some(current) = current {
        current.abort();
    }
}

#[derive(Deserialize)]
struct Progress {
    stage: DrawingStage,
    share: f64,
}

async fn draw(state: State, id: u32, inputs: Inputs, signal: Option<AbortSignal>) {
    let is_current = move || is_current(state, id);
    let options: RenderOptions = api::options();
    match &inputs.style {
        None => options.set_style(&"official".into()),
        Some(style) => options.set_style(&browser::described(style)),
    }
    options.set_overrides(&browser::described(&inputs.overrides));
    options.set_rules(&browser::described(&inputs.rules));
    let mut is_first = true;
    let on_pages = Closure::<dyn FnMut(Array)>::new(move |pages: Array| {
        if !is_current() {
            return;
        }
        state.tiles.update(|tiles| {
            // The pages of before stay in sight until there is something new.
            if std::mem::take(&mut is_first) {
                tiles.clear();
            }
            tiles.extend(pages.iter().filter_map(|page| tile(id, &page)));
        });
    });
    let on_progress = Closure::<dyn FnMut(JsValue)>::new(move |progress: JsValue| {
        let progress = serde_wasm_bindgen::from_value::<Progress>(progress);
        if let (true, Ok(Progress { stage, share })) = (is_current(), progress) {
            let stage = Some(stage);
            state.drawing.set(Drawing::Running { stage, share });
        }
    });
    options.set_on_pages(on_pages.as_ref().unchecked_ref());
    options.set_on_progress(on_progress.as_ref().unchecked_ref());
    if let Some(signal) = signal {
        options.set_signal(&signal);
    }
    let summary = api::render_pages(&inputs.text.source(), &options);
    let summary = browser::awaited_of_worker::<RenderSummary>(summary, state.words()).await;
    if is_current() {
        state.drawing.set(match summary {
            Ok(summary) => Drawing::Done(Arc::new(summary)),
            Err(JsError::Aborted) => Drawing::Cancelled,
            Err(JsError::Failed(reason)) => {
                state.tiles.set(Vec::new());
                Drawing::Failed(reason)
            }
        });
    }
}

fn tile(drawing_id: u32, page: &JsValue) -> Option<Tile> {
    let blob = Reflect::get(page, &"blob".into()).ok()?;
    Some(Tile {
        drawing_id,
        figures: serde_wasm_bindgen::from_value::<PageFigures>(page.clone()).ok()?,
        blob: blob.dyn_into::<Blob>().ok()?,
    })
}
