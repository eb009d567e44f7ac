//! The text: typed, pasted, dropped, opened, or an example.

use std::sync::Arc;

use glyph_web_core::accounting::{bytes_shown, count_shown};
use glyph_web_core::editing::stays_in_field;
use js_sys::JsString;
use leptos::ev;
use leptos::html::{Input, Textarea};
use leptos::prelude::*;
use web_sys::HtmlInputElement;

use crate::browser::{focus_soon, pass_focus};
use crate::examples::examples;
use crate::state::{State, state};
use crate::text::{Text, cancel_reading, drop_files, edit_whole, open_file, put, take};

/// How much of a long text is shown.
const EXCERPT_CHARS: usize = 3000;

/// The text's part of the page.
#[component]
pub fn TextPanel() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let is_dragging = files_are_dragged(state);
    let is_long = Memo::new(move |_| state.text.with(|text| text.whole.is_some()));
    let is_reading = Memo::new(move |_| state.reading.with(Option::is_some));
    let clear = move |_| {
        put(state, Text::default());
        // The button that was pressed is disabled then.
        focus_soon(&["#text textarea"]);
    };
    view! {
        <section
            class="panel text"
            id="text"
            aria-labelledby="text-heading"
            class:dragging=move || is_dragging.get()
        >
            <div class="panel-head">
                <h2 id="text-heading">{move || words().text_heading}</h2>
                <FileButton/>
                <button
                    class="quiet"
                    disabled=move || state.text.with(|text| text.content.is_empty())
                    on:click=clear
                >
                    {move || words().clear}
                </button>
            </div>
            <Show when=move || is_long.get() fallback=move || view! { <Editor/> }>
                <LongText/>
            </Show>
            <div role="status">
                <Show when=move || is_reading.get()>
                    <BeingRead/>
                </Show>
            </div>
            <p class="drop-hint" aria-hidden="true">{move || words().drop_here}</p>
            <FileNote/>
            <Examples/>
        </section>
    }
}

/// Takes files that are dropped anywhere on the page: where nobody does, a browser opens them in its
/// place. Words that are dragged are the browser's own matter.
fn files_are_dragged(state: State) -> RwSignal<bool> {
    let is_dragging = RwSignal::new(false);
    let files = |event: &ev::DragEvent| {
        let data = event.data_transfer()?;
        let has_files = data.types().includes(&"Files".into(), 0);
        has_files.then_some(data)
    };
    let over = window_event_listener(ev::dragover, move |event| {
        if let Some(data) = files(&event) {
            event.prevent_default();
            data.set_drop_effect("copy");
            is_dragging.set(true);
        }
    });
    let leave = window_event_listener(ev::dragleave, move |event| {
        // From one part of the page to another there is a part that is entered.
        if event.related_target().is_none() {
            is_dragging.set(false);
        }
    });
    let drop = window_event_listener(ev::drop, move |event| {
        is_dragging.set(false);
        if let Some(data) = files(&event) {
            event.prevent_default();
            drop_files(state, &data);
        }
    });
    on_cleanup(move || {
        over.remove();
        leave.remove();
        drop.remove();
    });
    is_dragging
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
    on_cleanup(|| pass_focus("#text textarea", &["#text .excerpt"]));
    // A long text never enters the field.
    let on_paste = move |event: ev::ClipboardEvent| {
        let pasted = event
            .clipboard_data()
            .and_then(|data| data.get_data("text").ok());
        let (Some(pasted), Some(field)) = (pasted, field.get_untracked()) else {
            return;
        };
        if field.read_only() {
            return;
        }
        let value = JsString::from(field.value());
        let start = field.selection_start().ok().flatten().unwrap_or(0);
        let end = field.selection_end().ok().flatten().unwrap_or(start);
        let before = String::from(value.slice(0, start));
        let after = String::from(value.slice(end, value.length()));
        let changed = format!("{before}{pasted}{after}");
        if !stays_in_field(state.text.with_untracked(|text| text.bytes), changed.len()) {
            event.prevent_default();
            take(state, changed);
        }
    };
    let on_input = move |event| {
        let changed = event_target_value(&event);
        let (bytes, content) = state
            .text
            .with_untracked(|text| (text.bytes, Arc::clone(&text.content)));
        // What follows a long insertion, such as the end of an input method, must not end its reading.
        let is_reading = state.reading.with_untracked(Option::is_some);
        if !is_reading && stays_in_field(bytes, changed.len()) {
            put(state, Text::new(changed, None));
            return;
        }
        // Dragged or dictated: it is there already, and must go before the browser lays it out.
        if let Some(field) = field.get_untracked() {
            field.set_value(&content);
        }
        if !is_reading {
            take(state, changed);
        }
    };
    view! {
        <textarea
            node_ref=field
            aria-label=move || state.words().text_label
            placeholder=move || state.words().text_placeholder
            spellcheck="false"
            // What is typed while a text is read would be lost to it.
            readonly=move || state.reading.with(Option::is_some)
            prop:value=move || state.text.with(|text| text.content.to_string())
            on:input=on_input
            on:paste=on_paste
        ></textarea>
    }
}

/// What is being read, and a button that ends that.
#[component]
fn BeingRead() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    on_cleanup(|| {
        pass_focus(
            "#text .reading button",
            &["#text textarea", "#text .excerpt"],
        );
    });
    let what = move || Some(state.reading.get()?.shown(words()));
    view! {
        <div class="loading reading" data-testid="reading">
            <label class="progress">
                <span>{what}</span>
                <progress></progress>
            </label>
            <button class="quiet" on:click=move |_| cancel_reading(state)>
                {move || words().cancel}
            </button>
        </div>
    }
}

#[component]
fn LongText() -> impl IntoView {
    let state = state();
    on_cleanup(|| {
        pass_focus(
            "#text .excerpt, #text .excerpt ~ .hint button",
            &["#text textarea"],
        );
    });
    let can_be_edited = Memo::new(move |_| state.text.with(Text::can_be_edited));
    let hint = move || match can_be_edited.get() {
        true => state.words().large_text,
        false => state.words().too_long_to_edit,
    };
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
            {hint}
            <Show when=move || can_be_edited.get()>
                <button class="quiet" on:click=move |_| edit_whole(state)>
                    {move || state.words().edit_as_text}
                </button>
            </Show>
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
