//! Choosing how the text is drawn.

use glyph_web_core::style::{Newline, StyleBase, StyleChanges};
use leptos::prelude::*;
use serde_json::Value;

use super::fields::{Choice, NumberField};
use crate::state::{Drawing, State, state};

/// Page sizes that can be chosen: the official one, half of it, the official one on its side, and a small
/// one.
const PAGE_SIZES: [&str; 4] = ["595,842", "420,595", "842,595", "280,224"];

/// Pixels per inch that can be chosen.
const DPIS: [f64; 3] = [72.0, 96.0, 120.0];

/// The person's changes to the style. Cheap to copy.
#[derive(Clone, Copy)]
struct Changes {
    state: State,
    style: Memo<StyleChanges>,
}

impl Changes {
    fn new(state: State) -> Self {
        let style = Memo::new(move |_| state.settings.with(|settings| settings.style.clone()));
        Self { state, style }
    }

    /// A part of them.
    fn part<T>(self, of: fn(&StyleChanges) -> T) -> Signal<T>
    where
        T: Send + Sync + 'static,
    {
        Signal::derive(move || self.style.with(of))
    }

    fn update(self, change: impl FnOnce(&mut StyleChanges)) {
        let settings = self.state.settings;
        settings.update(|settings| change(&mut settings.style));
    }
}

/// Fields for a style's keys.
#[component]
pub fn StyleFields() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let changes = Changes::new(state);
    let bases = Signal::derive(move || {
        vec![
            (StyleBase::Model, words().style_model.to_owned()),
            (StyleBase::Official, words().style_official.to_owned()),
        ]
    });
    view! {
        <div class="style-row">
            <Choice
                legend=move || words().style_base
                name="style-base"
                options=bases
                value=changes.part(|style| style.base)
                set=Callback::new(move |base| changes.update(|style| style.base = base))
            />
            <details class="style-details">
                <summary>{move || words().style_heading}</summary>
                <div class="fields">
                    <Lengths changes/>
                    <PageFields changes/>
                    <Colors changes/>
                    <Reset changes/>
                </div>
                <AllKeys/>
            </details>
        </div>
    }
}

/// Sizes of letters and lines.
#[component]
fn Lengths(changes: Changes) -> impl IntoView {
    let state = state();
    let words = move || state.words();
    // What the style says is shown where nothing was chosen.
    let of_style = move |key: &'static str| {
        Signal::derive(move || match &*state.drawing.read() {
            Drawing::Done(summary) => match summary.style.get(key) {
                Some(Value::Number(number)) => number.to_string(),
                _ => String::new(),
            },
            _ => String::new(),
        })
    };
    view! {
        <NumberField
            label=move || words().font_size
            placeholder=of_style("font-size")
            value=changes.part(|style| style.font_size_pt)
            set=Callback::new(move |size| changes.update(|style| style.font_size_pt = size))
            min="3"
            max="72"
            step="any"
        />
        <NumberField
            label=move || words().line_height
            placeholder=of_style("line-height")
            value=changes.part(|style| style.line_height_pt)
            set=Callback::new(move |height| changes.update(|style| style.line_height_pt = height))
            min="3"
            max="144"
            step="any"
        />
    }
}

/// Resolution, size of the page, and newlines.
#[component]
fn PageFields(changes: Changes) -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let style = changes.style;
    let choose_dpi = move |event| {
        let dpi = event_target_value(&event).parse::<f64>().ok();
        changes.update(|style| style.dpi = dpi);
    };
    let choose_size = move |event| {
        let size = Some(event_target_value(&event)).filter(|size| !size.is_empty());
        changes.update(|style| style.page_size = size);
    };
    let choose_newline = move |event| {
        let newline = match event_target_value(&event).as_str() {
            "break" => Newline::Break,
            "marker" => Newline::Marker,
            _ => Newline::Style,
        };
        changes.update(|style| style.newline = newline);
    };
    let dpis = DPIS
        .map(|dpi| {
            let is_chosen = move || style.with(|style| style.dpi == Some(dpi));
            view! { <option value=dpi.to_string() prop:selected=is_chosen>{dpi.to_string()}</option> }
        })
        .collect_view();
    let sizes = PAGE_SIZES
        .map(|size| {
            let is_chosen = move || style.with(|style| style.page_size.as_deref() == Some(size));
            view! { <option value=size prop:selected=is_chosen>{size.replace(',', " × ")}</option> }
        })
        .collect_view();
    let newlines = move || {
        [
            ("style", Newline::Style, words().newline_style),
            ("break", Newline::Break, words().newline_break),
            ("marker", Newline::Marker, words().newline_marker),
        ]
        .map(|(value, newline, label)| {
            let is_chosen = move || style.with(|style| style.newline == newline);
            view! { <option value=value prop:selected=is_chosen>{label}</option> }
        })
        .collect_view()
    };
    view! {
        <label class="field">
            <span>{move || words().dpi}</span>
            <select on:change=choose_dpi data-testid="dpi">
                <option value="" prop:selected=move || style.with(|style| style.dpi.is_none())>
                    {move || words().style_value}
                </option>
                {dpis}
            </select>
        </label>
        <label class="field">
            <span>{move || words().page_size}</span>
            <select on:change=choose_size>
                <option value="" prop:selected=move || style.with(|style| style.page_size.is_none())>
                    {move || words().page_size_style}
                </option>
                {sizes}
            </select>
        </label>
        <label class="field">
            <span>{move || words().newline}</span>
            <select on:change=choose_newline>{newlines}</select>
        </label>
    }
}

#[component]
fn Colors(changes: Changes) -> impl IntoView {
    let state = state();
    let words = move || state.words();
    view! {
        <ColorField
            label=move || words().font_color
            value=changes.part(|style| style.font_color.clone())
            otherwise="#000000"
            set=Callback::new(move |color| changes.update(|style| style.font_color = Some(color)))
        />
        <ColorField
            label=move || words().page_color
            value=changes.part(|style| style.page_color.clone())
            otherwise="#ffffff"
            set=Callback::new(move |color| changes.update(|style| style.page_color = Some(color)))
        />
    }
}

/// Takes back everything but the base.
#[component]
fn Reset(changes: Changes) -> impl IntoView {
    let state = state();
    let is_changed = move || changes.style.with(StyleChanges::is_changed);
    let reset = move |_| {
        changes.update(|style| {
            let base = style.base;
            *style = StyleChanges {
                base,
                ..StyleChanges::default()
            };
        });
    };
    view! {
        // Not disabled: the keyboard stays where it was pressed.
        <button
            class="quiet"
            aria-disabled=move || (!is_changed()).to_string()
            on:click=reset
        >
            {move || state.words().reset_style}
        </button>
    }
}

#[component]
fn ColorField<L>(
    label: L,
    value: Signal<Option<String>>,
    otherwise: &'static str,
    set: Callback<String>,
) -> impl IntoView
where
    L: Fn() -> &'static str + Send + 'static,
{
    view! {
        <label class="field">
            <span>{label}</span>
            <input
                type="color"
                prop:value=move || value.get().unwrap_or_else(|| otherwise.to_owned())
                on:change=move |event| set.run(event_target_value(&event).to_uppercase())
            />
        </label>
    }
}

/// The style as it was used, for a `--style` file.
#[component]
fn AllKeys() -> impl IntoView {
    let state = state();
    let json = move || match &*state.drawing.read() {
        Drawing::Done(summary) => serde_json::to_string_pretty(&summary.style).ok(),
        _ => None,
    };
    view! {
        <details class="keys">
            <summary>{move || state.words().style_used}</summary>
            <pre tabindex="0" role="region" aria-label=move || state.words().style_used>{json}</pre>
        </details>
    }
}
