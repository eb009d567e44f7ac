//! The text: typed, pasted, dropped, opened, or an example.

use glyph_web_core::accounting::{bytes_shown, count_shown};
use js_sys::JsString;
use leptos::ev;
use leptos::html::{Input, Textarea};
use leptos::prelude::*;
use web_sys::HtmlInputElement;

use crate::examples::examples;
use crate::state::{State, state};
use crate::text::{MOST_EDITED, Text, edit_whole, open_file, put, take};

/// How much of a long text is shown.
const EXCERPT_CHARS: usize = 3000;

/// The text's part of the page.
#[component]
pub fn TextPanel() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let is_dragging = RwSignal::new(false);
    let is_long = Memo::new(move |_| state.text.with(|text| text.whole.is_some()));
    let on_drop = move |event: ev::DragEvent| {
        event.prevent_default();
        is_dragging.set(false);
        let files = event.data_transfer().and_then(|data| data.files());
        if let Some(file) = files.and_then(|files| files.get(0)) {
            open_file(state, file);
        }
    };
    let on_drag = move |event: ev::DragEvent| {
        event.prevent_default();
        is_dragging.set(true);
    };
    view! {
        <section
            class="panel text"
            id="text"
            aria-labelledby="text-heading"
            class:dragging=move || is_dragging.get()
            on:drop=on_drop
            on:dragover=on_drag
            on:dragleave=move |_| is_dragging.set(false)
        >
            <div class="panel-head">
                <h2 id="text-heading">{move || words().text_heading}</h2>
                <FileButton/>
                <button
                    class="quiet"
                    disabled=move || state.text.with(|text| text.content.is_empty())
                    on:click=move |_| put(state, Text::default())
                >
                    {move || words().clear}
                </button>
            </div>
            <Show when=move || is_long.get() fallback=move || view! { <Editor/> }>
                <LongText/>
            </Show>
            <p class="drop-hint" aria-hidden="true">{move || words().drop_here}</p>
            <FileNote/>
            <Examples/>
        </section>
    }
}

#[component]
fn FileButton() -> impl IntoView {
    let state = state();
    let input = NodeRef::<Input>::new();
    let on_change = move |event: ev::Event| {
        let input: HtmlInputElement = event_target(&event);
        if let Some(file) = input.files().and_then(|files| files.get(0)) {
            open_file(state, file);
        }
        // The same file can be chosen again.
        input.set_value("");
    };
    let open = move |_| {
        if let Some(input) = input.get_untracked() {
            input.click();
        }
    };
    view! {
        <button on:click=open>{move || state.words().open_file}</button>
        <input
            type="file"
            hidden
            node_ref=input
            data-testid="file"
            on:change=on_change
            aria-label=move || state.words().open_file
        />
    }
}

#[component]
fn Editor() -> impl IntoView {
    let state = state();
    let field = NodeRef::<Textarea>::new();
    // A long text never enters the field.
    let on_paste = move |event: ev::ClipboardEvent| {
        let pasted = event
            .clipboard_data()
            .and_then(|data| data.get_data("text").ok());
        let (Some(pasted), Some(field)) = (pasted, field.get_untracked()) else {
            return;
        };
        if pasted.len() + field.value().len() <= MOST_EDITED {
            return;
        }
        event.prevent_default();
        let value = JsString::from(field.value());
        let start = field.selection_start().ok().flatten().unwrap_or(0);
        let end = field.selection_end().ok().flatten().unwrap_or(start);
        let before = String::from(value.slice(0, start));
        let after = String::from(value.slice(end, value.length()));
        take(state, format!("{before}{pasted}{after}"));
    };
    view! {
        <textarea
            node_ref=field
            aria-label=move || state.words().text_label
            placeholder=move || state.words().text_placeholder
            spellcheck="false"
            prop:value=move || state.text.with(|text| text.content.to_string())
            on:input=move |event| put(state, Text::new(event_target_value(&event), None))
            on:paste=on_paste
        ></textarea>
    }
}

#[component]
fn LongText() -> impl IntoView {
    let state = state();
    let excerpt = move || {
        state.text.with(|text| {
            let end = text.content.char_indices().nth(EXCERPT_CHARS);
            let end = end.map_or(text.content.len(), |(end, _)| end);
            format!("{}…", &text.content[..end])
        })
    };
    view! {
        <div
            class="excerpt"
            tabindex="0"
            role="region"
            aria-label=move || state.words().text_label
        >
            {excerpt}
        </div>
        <p class="hint">
            {move || state.words().large_text}
            <button class="quiet" on:click=move |_| edit_whole(state)>
                {move || state.words().edit_as_text}
            </button>
        </p>
    }
}

#[component]
fn FileNote() -> impl IntoView {
    let state = state();
    let note = move || note(state);
    view! { <p class="hint file-note" data-testid="file-note">{note}</p> }
}

fn note(state: State) -> Option<String> {
    let words = state.words();
    state.text.with(|text| {
        let file = text.file.as_ref()?;
        let size = bytes_shown(text.bytes as f64);
        let characters = count_shown(text.characters);
        let (name, encoding) = (&file.name, &file.encoding);
        let (from, unit) = (words.from_file, words.characters);
        Some(format!(
            "{from} {name} · {encoding} · {size} · {characters} {unit}"
        ))
    })
}

#[component]
fn Examples() -> impl IntoView {
    let state = state();
    let question = expect_context::<super::ask::QuestionField>();
    let buttons = move || {
        examples(state.language())
            .iter()
            .map(|example| {
                let choose = move |_| {
                    take(state, (example.text)());
                    question.0.set(example.question.to_owned());
                };
                view! { <button class="chip" on:click=choose>{example.name}</button> }
            })
            .collect_view()
    };
    view! {
        <div class="chips" role="group" aria-label=move || state.words().examples>
            <span class="hint">{move || state.words().examples}</span>
            {buttons}
        </div>
    }
}
