//! The pages: figures, style, and the pages themselves.

use glyph_web_core::messages::RenderSummary;
use glyph_web_core::stage::DrawingStage;
use leptos::html::Div;
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{IntersectionObserver, Url};

use super::{accounting, style};
use crate::browser::pass_focus;
use crate::state::{Drawing, State, Tile, state};
use crate::{export, rendering};

/// Pages that are added at once when the end of the list comes into sight.
const STEP: usize = 24;

/// Most characters that a note lists.
const MOST_LISTED: usize = 20;

/// The pages' part of the page.
#[component]
pub fn PagesPanel(zoomed: RwSignal<Option<usize>>) -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let is_drawing = move || matches!(*state.drawing.read(), Drawing::Running { .. });
    let has_pages = move || state.tiles.with(|tiles| !tiles.is_empty());
    view! {
        <section class="panel pages" id="pages" aria-labelledby="pages-heading" aria-busy=move || is_drawing().to_string()>
            <div class="panel-head">
                <h2 id="pages-heading" tabindex="-1">{move || words().pages_heading}</h2>
                <button
                    class="quiet"
                    data-testid="download-pages"
                    disabled=move || state.packing.get().is_none() && (is_drawing() || !has_pages())
                    on:click=move |_| match state.packing.get_untracked() {
                        None => export::pages(state),
                        Some(_) => export::cancel(state),
                    }
                >
                    {move || match state.packing.get() {
                        None => words().download_pages.to_owned(),
                        Some(packing) => words().packing(packing.done, packing.of),
                    }}
                </button>
            </div>
            <accounting::Figures/>
            <style::StyleFields/>
            <Status/>
            <Show
                when=has_pages
                fallback=move || view! { <p class="empty">{move || words().no_pages}</p> }
            >
                <Gallery zoomed/>
            </Show>
        </section>
    }
}

#[component]
fn Status() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    // Progress moves the bar alone: a button that is made anew cannot be pressed.
    let shown = Memo::new(move |_| match state.drawing.get() {
        Drawing::Running { .. } => Drawing::Running {
            stage: None,
            share: 0.0,
        },
        other => other,
    });
    let what = move || match *state.drawing.read() {
        Drawing::Running { stage: None, .. } => words().fetching_style,
        Drawing::Running {
            stage: Some(DrawingStage::Font),
            ..
        } => words().fetching_font,
        _ => words().drawing,
    };
    let share = move || match *state.drawing.read() {
        Drawing::Running { share, .. } => share.to_string(),
        _ => String::new(),
    };
    let draw_again = move |_| state.attempt.update(|n| *n += 1);
    // What assistive technology says at the end. While somebody types, the same number is no news.
    let announced = Memo::new(move |before: Option<&String>| {
        let before = before.cloned().unwrap_or_default();
        state.drawing.with(|drawing| match drawing {
            Drawing::Running { .. } => before,
            Drawing::Done(summary) => words().pages_drawn(summary.pages),
            Drawing::Idle | Drawing::Cancelled | Drawing::Failed(_) => String::new(),
        })
    });
    let status = move || {
        // Each state has a button of its own.
        on_cleanup(|| {
            pass_focus(
                "#pages .status button",
                &["#pages .status button", "#pages-heading"],
            );
        });
        match shown.get() {
            Drawing::Idle => None,
            Drawing::Running { .. } => Some(
                view! {
                    <label class="progress">
                        <span>{what}</span>
                        <progress max="1" value=share></progress>
                    </label>
                    <button class="quiet" on:click=move |_| rendering::cancel(state)>
                        {words().cancel}
                    </button>
                }
                .into_any(),
            ),
            Drawing::Cancelled => Some(
                view! {
                    <p class="hint">{words().drawing_cancelled}</p>
                    <button class="quiet" on:click=draw_again>
                        {words().draw_again}
                    </button>
                }
                .into_any(),
            ),
            Drawing::Failed(reason) => Some(
                view! {
                    <p class="notice error" data-testid="drawing-failed">
                        <span>{words().drawing_failed(&reason)}</span>
                        <button class="quiet" on:click=draw_again>
                            {words().server_retry}
                        </button>
                    </p>
                }
                .into_any(),
            ),
            Drawing::Done(summary) => Some(notes(state, &summary).into_any()),
        }
    };
    view! {
        <div class="status" role="status" data-testid="drawing">
            {status}
        </div>
        <p class="hidden-label" role="status" data-testid="drawing-announced">{announced}</p>
    }
}

/// What a reader of the pages would not expect.
fn notes(state: State, summary: &RenderSummary) -> impl IntoView + use<> {
    let words = state.words();
    let name = |character: &str| {
        let codes = character.chars().map(|c| format!("U+{:04X}", u32::from(c)));
        let is_shown = !character.chars().any(char::is_control);
        let shown = if is_shown { character } else { "" };
        format!("{shown} {}", codes.collect::<String>())
    };
    let missing: Vec<String> = summary
        .missing
        .iter()
        .take(MOST_LISTED)
        .map(|missing| format!("{} ×{}", name(&missing.character), missing.count))
        .collect();
    let more = summary.missing.len().saturating_sub(MOST_LISTED);
    let missing = (!missing.is_empty()).then(|| {
        let more = if more > 0 {
            format!(" +{more}")
        } else {
            String::new()
        };
        let list = format!("{} {}{more}", words.missing_characters, missing.join(", "));
        view! { <p class="notice warning" data-testid="missing">{list}</p> }
    });
    let substitutions: Vec<String> = summary
        .substitutions
        .iter()
        .map(|font| format!("{} {} {}", font.used, words.substituted, font.requested))
        .collect();
    let borrowed: Vec<String> = summary
        .borrowed
        .iter()
        .map(|font| format!("{} {} ×{}", words.borrowed, font.font, font.count))
        .collect();
    let fonts: Vec<String> = substitutions.into_iter().chain(borrowed).collect();
    let fonts = (!fonts.is_empty()).then(|| {
        view! { <p class="hint" data-testid="fonts">{fonts.join(" · ")}</p> }
    });
    let scripts = summary.has_complex_scripts.then(|| {
        let reason = words.complex_scripts;
        view! { <p class="notice warning" data-testid="scripts">{reason}</p> }
    });
    view! { {missing} {scripts} {fonts} }
}

#[component]
fn Gallery(zoomed: RwSignal<Option<usize>>) -> impl IntoView {
    let state = state();
    let n_shown = RwSignal::new(STEP);
    // Another text begins at its beginning.
    Effect::new(move || {
        state.drawing_id.track();
        n_shown.set(STEP);
    });
    let n_pages = Memo::new(move |_| state.tiles.with(Vec::len));
    let shown = move || {
        let n_shown = n_shown.get();
        let of_tiles = |tiles: &Vec<Tile>| -> Vec<(u32, usize)> {
            let keys = tiles
                .iter()
                .map(|tile| (tile.drawing_id, tile.figures.index));
            keys.take(n_shown).collect()
        };
        state.tiles.with(of_tiles)
    };
    let end = NodeRef::<Div>::new();
    let grow = move || n_shown.update(|n| *n = (*n).min(n_pages.get_untracked()) + STEP);
    Effect::new(move || {
        if let Some(end) = end.get() {
            grow_in_sight(&end, grow);
        }
    });
    view! {
        <div class="gallery-place">
            <ol class="gallery" data-testid="gallery">
                <For
                    each=shown
                    key=|key| *key
                    children=move |(_, index)| view! { <PageTile index zoomed/> }
                />
            </ol>
            <div node_ref=end class="gallery-end">
                <Show when=move || { n_shown.get() < n_pages.get() }>
                    <MoreButton grow=Callback::new(move |()| grow())/>
                </Show>
            </div>
        </div>
    }
}

/// Adds pages. It goes when all of them are shown.
#[component]
fn MoreButton(grow: Callback<()>) -> impl IntoView {
    let state = state();
    on_cleanup(|| {
        pass_focus(
            ".gallery-end button",
            &[".gallery li:last-child button", "#pages-heading"],
        );
    });
    view! {
        <button class="quiet" on:click=move |_| grow.run(())>
            {move || state.words().show_more}
        </button>
    }
}

/// Calls `grow` whenever the end of the list comes into sight, in whatever scrolls.
fn grow_in_sight(end: &web_sys::HtmlDivElement, grow: impl Fn() + 'static) {
    let on_sight = Closure::<dyn Fn(js_sys::Array)>::new(move |entries: js_sys::Array| {
        let is_seen = entries.iter().any(|entry| {
            let entry: web_sys::IntersectionObserverEntry = entry.unchecked_into();
            entry.is_intersecting()
        });
        if is_seen {
            grow();
        }
    });
    if let Ok(observer) = IntersectionObserver::new(on_sight.as_ref().unchecked_ref()) {
        observer.observe(end);
        let kept = StoredValue::new_local((observer, on_sight));
        on_cleanup(move || {
            kept.with_value(|(observer, _)| observer.disconnect());
        });
    }
}

/// The address of a page's picture while it is shown.
pub fn object_url(tile: &Tile) -> Option<String> {
    let url = Url::create_object_url_with_blob(&tile.blob).ok()?;
    let kept = url.clone();
    on_cleanup(move || {
        let _ = Url::revoke_object_url(&kept);
    });
    Some(url)
}

#[component]
fn PageTile(index: usize, zoomed: RwSignal<Option<usize>>) -> impl IntoView {
    let state = state();
    let tile = state
        .tiles
        .with_untracked(|tiles| tiles.get(index).cloned());
    let picture = tile.and_then(|tile| {
        let url = object_url(&tile)?;
        let (width, height) = (tile.figures.width_px, tile.figures.height_px);
        let n_tokens = tile.figures.vision_tokens;
        let label = move || state.words().page_number(index + 1);
        Some(view! {
            <button class="tile" on:click=move |_| zoomed.set(Some(index))>
                <img src=url width=width height=height alt=label loading="lazy" decoding="async"/>
                <span class="tile-note" aria-hidden="true">
                    <b>{index + 1}</b>
                    {format!(" {width}×{height} · {n_tokens}")}
                </span>
            </button>
        })
    });
    view! { <li>{picture}</li> }
}
