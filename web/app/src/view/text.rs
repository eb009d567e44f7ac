//! The text: typed, pasted, dropped, opened, or an example.

use glyph_web_core::accounting::{bytes_shown, count_shown};
use js_sys::JsString;
use leptos::ev;
use leptos::html::{Div, Input, Textarea};
use leptos::prelude::*;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, HtmlInputElement};

use crate::browser::{focus_on, has_focus};
use crate::examples::examples;
use crate::state::{State, state};
use crate::text::{MOST_EDITED, Text, drop_files, edit_whole, open_file, put, take};

/// How much of a long text is shown.
const EXCERPT_CHARS: usize = 3000;

/// The text's part of the page.
#[component]
pub fn TextPanel() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let is_dragging = files_are_dragged(state);
    let is_long = Memo::new(move |_| state.text.with(|text| text.whole.is_some()));
    let field = NodeRef::<Textarea>::new();
    let focus = HadFocus(StoredValue::new(false));
    let clear = move |_| {
        // The button that was pressed is disabled then.
        let was_long = is_long.get_untracked();
        put(state, Text::default());
        match field.get_untracked() {
            Some(field) if !was_long => focus_on(&field),
            _ => focus.0.set_value(true),
        }
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
            <Show when=move || is_long.get() fallback=move || view! { <Editor field focus/> }>
                <LongText focus/>
            </Show>
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

/// Whether the keyboard was in what the text's present view has replaced, which then has it.
#[derive(Clone, Copy)]
struct HadFocus(StoredValue<bool>);

impl HadFocus {
    /// Notes when a view goes with the keyboard in it, and gives the keyboard to one that comes.
    fn follow<E>(self, element: NodeRef<E>, part: &'static str)
    where
        E: leptos::html::ElementType,
        E::Output: JsCast + AsRef<HtmlElement> + Clone + 'static,
    {
        Effect::new(move || {
            if let Some(element) = element.get()
                && self.0.get_value()
            {
                self.0.set_value(false);
                focus_on(element.as_ref());
            }
        });
        on_cleanup(move || {
            if has_focus(part) {
                self.0.set_value(true);
            }
        });
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
fn Editor(field: NodeRef<Textarea>, focus: HadFocus) -> impl IntoView {
    let state = state();
    focus.follow(field, "#text textarea");
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
fn LongText(focus: HadFocus) -> impl IntoView {
    let state = state();
    let excerpt_place = NodeRef::<Div>::new();
    focus.follow(
        excerpt_place,
        "#text .excerpt, #text .excerpt ~ .hint button",
    );
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
            node_ref=excerpt_place
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
