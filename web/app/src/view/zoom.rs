//! One page, large.

use leptos::html::Dialog;
use leptos::{ev, prelude::*};
use web_sys::Element;

use super::pages::object_url;
use crate::state::{Drawing, state};

/// Sizes of a page against its pixels.
const SCALES: [f64; 6] = [0.5, 1.0, 1.5, 2.0, 3.0, 4.0];

/// Class of the place where the page is.
const PAGE: &str = "zoom-page";

/// A dialog with the page that `zoomed` names.
#[component]
pub fn Zoom(zoomed: RwSignal<Option<usize>>) -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let dialog = NodeRef::<Dialog>::new();
    // `None` fits the page to the window.
    let scale = RwSignal::new(None::<usize>);
    let n_pages = Memo::new(move |_| state.tiles.with(Vec::len));
    Effect::new(move || {
        let Some(dialog) = dialog.get() else {
            return;
        };
        match zoomed.get() {
            Some(_) if !dialog.open() => {
                // Refused only where it is open already.
                let _ = dialog.show_modal();
            }
            None if dialog.open() => dialog.close(),
            _ => {}
        }
    });
    let is_drawing = Memo::new(move |_| {
        state
            .drawing
            .with(|drawing| matches!(drawing, Drawing::Running { .. }))
    });
    // A text with fewer pages: the last of them, or none.
    Effect::new(move || {
        let n_pages = n_pages.get();
        if !is_drawing.get() && zoomed.get().is_some_and(|page| page >= n_pages) {
            zoomed.set(n_pages.checked_sub(1));
        }
    });
    // Which page is shown. While others are drawn, the page of before stays until there is a new one.
    let shown = Memo::new(move |before: Option<&Option<(u32, usize)>>| {
        let index = zoomed.get()?;
        let key = state
            .tiles
            .with(|tiles| tiles.get(index).map(|tile| (tile.drawing_id, index)));
        let is_to_come = key.is_none() && is_drawing.get();
        key.or(before.copied().flatten().filter(|_| is_to_come))
    });
    let turn = move |by: isize| {
        zoomed.update(|page| {
            let last = n_pages.get_untracked().saturating_sub(1);
            *page = page.map(|page| page.saturating_add_signed(by).min(last));
        });
    };
    let step = move |by: isize| {
        scale.update(|scale| {
            let at = scale.map_or(1, |at| at.saturating_add_signed(by).min(SCALES.len() - 1));
            *scale = Some(at);
        });
    };
    let on_key = move |event: ev::KeyboardEvent| {
        // With these a key is the browser's: its own size, its history.
        if event.ctrl_key() || event.alt_key() || event.meta_key() {
            return;
        }
        let target: Element = event_target(&event);
        // An enlarged page is scrolled by the keys that turn it elsewhere.
        let is_scrolled = scale.get_untracked().is_some() && target.class_name() == PAGE;
        match event.key().as_str() {
            "ArrowLeft" | "PageUp" if !is_scrolled => turn(-1),
            "ArrowRight" | "PageDown" if !is_scrolled => turn(1),
            "+" | "=" => step(1),
            "-" => step(-1),
            "0" => scale.set(None),
            _ => {}
        }
    };
    let picture = move || {
        let (_, index) = shown.get()?;
        let tile = state
            .tiles
            .with_untracked(|tiles| tiles.get(index).cloned())?;
        let url = object_url(&tile)?;
        let width_px = f64::from(tile.figures.width_px);
        let style = move || match scale.get() {
            None => String::new(),
            // Enlarged, pixels are what is to be seen.
            Some(at) => format!(
                "width:{}px;max-width:none;max-height:none;image-rendering:pixelated",
                width_px * SCALES[at]
            ),
        };
        let label = move || words().page_number(index + 1);
        Some(view! { <img src=url alt=label style=style/> })
    };
    let title = move || {
        let page = zoomed.get().map_or(1, |page| page + 1);
        words().page_of(page, n_pages.get().max(page))
    };
    view! {
        <dialog
            node_ref=dialog
            class="zoom"
            aria-label=title
            on:close=move |_| zoomed.set(None)
            on:keydown=on_key
        >
            <div class="zoom-bar">
                <div class="zoom-group">
                    <button
                        aria-label=move || words().previous
                        aria-disabled=move || zoomed.get().is_none_or(|page| page == 0).to_string()
                        on:click=move |_| turn(-1)
                    >
                        "←"
                    </button>
                    <span aria-live="polite">{title}</span>
                    <button
                        aria-label=move || words().next
                        aria-disabled=move || {
                            zoomed.get().is_none_or(|page| page + 1 >= n_pages.get()).to_string()
                        }
                        on:click=move |_| turn(1)
                    >
                        "→"
                    </button>
                </div>
                <span class="spacer"></span>
                <div class="zoom-group">
                    <button aria-label=move || words().zoom_out on:click=move |_| step(-1)>
                        "−"
                    </button>
                    <button on:click=move |_| scale.set(None)>{move || words().zoom_fit}</button>
                    <button aria-label=move || words().zoom_in on:click=move |_| step(1)>
                        "+"
                    </button>
                </div>
                <button class="primary" on:click=move |_| zoomed.set(None)>
                    {move || words().close}
                </button>
            </div>
            <div class=PAGE tabindex="0" role="region" aria-label=title>{picture}</div>
        </dialog>
    }
}
