//! Asking: question, presets, and the answers.

use glyph_web_core::settings::{MOST_TOKENS, max_tokens};
use leptos::{ev, prelude::*};

use super::answer::Answer;
use super::runner::{ReadingNote, RunnerFields};
use crate::ask::{Question, ask};
use crate::export;
use crate::limits::limit;
use crate::state::{Drawing, state};

/// What browsers give as the code of a key that an input method takes. Safari has ended the word by
/// then and says of it nothing else.
const KEY_OF_INPUT_METHOD: u32 = 229;

/// The question as it is typed; examples fill it.
#[derive(Clone, Copy)]
pub struct QuestionField(pub RwSignal<String>);

/// The asking part of the page.
#[component]
pub fn AskPanel() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let question = expect_context::<QuestionField>().0;
    let has_pages = move || state.tiles.with(|tiles| !tiles.is_empty());
    let is_busy = move || {
        let running = |exchanges: &Vec<crate::exchange::Exchange>| {
            exchanges.iter().any(|exchange| exchange.is_running())
        };
        state.exchanges.with(running)
    };
    // Who asks before the pages are there waits for them.
    let is_text_coming = move || {
        let is_drawing = state
            .drawing
            .with(|drawing| matches!(drawing, Drawing::Running { .. }));
        is_drawing || state.reading.with(Option::is_some)
    };
    let has_text = move || has_pages() || is_text_coming();
    let is_possible = move || has_text() && !is_busy();
    let submit = move || {
        let text = question.get_untracked();
        if is_possible() && !text.trim().is_empty() {
            ask(state, Question::About(text.trim().to_owned()));
        }
    };
    // Enter asks; with Shift it is a new line. The one that ends a word of an input method does neither.
    let on_key = move |event: ev::KeyboardEvent| {
        let is_composing = event.is_composing() || event.key_code() == KEY_OF_INPUT_METHOD;
        if event.key() == "Enter" && !event.shift_key() && !is_composing {
            event.prevent_default();
            submit();
        }
    };
    view! {
        <section class="panel ask" id="ask" aria-labelledby="ask-heading">
            <div class="panel-head">
                <h2 id="ask-heading">{move || words().ask_heading}</h2>
                <button
                    class="quiet"
                    disabled=move || state.exchanges.with(Vec::is_empty)
                    on:click=move |_| export::conversation(state)
                >
                    {move || words().download_conversation}
                </button>
            </div>
            <RunnerFields/>
            <div class="question">
                <textarea
                    id="question"
                    rows="2"
                    aria-label=move || words().question_label
                    placeholder=move || words().question_placeholder
                    prop:value=question
                    on:input=move |event| question.set(event_target_value(&event))
                    on:keydown=on_key
                ></textarea>
                <button
                    class="primary"
                    data-testid="ask"
                    // Not disabled: the keyboard stays where it was pressed.
                    aria-disabled=move || {
                        (!is_possible() || question.read().trim().is_empty()).to_string()
                    }
                    on:click=move |_| submit()
                >
                    {move || words().ask_button}
                </button>
            </div>
            <Presets question is_possible=Signal::derive(is_possible)/>
            <p class="hint">
                {move || (!has_text()).then(|| words().no_pages_to_ask)}
            </p>
            <Limits/>
            <ReadingNote question/>
            <div class="answers" data-testid="answers">
                <For
                    each=move || state.exchanges.get()
                    key=|exchange| exchange.id
                    children=|exchange| view! { <Answer exchange/> }
                />
                <Show when=move || state.exchanges.with(Vec::is_empty)>
                    <p class="empty">{move || words().no_answers}</p>
                </Show>
            </div>
        </section>
    }
}

#[component]
fn Presets(question: RwSignal<String>, is_possible: Signal<bool>) -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let fill = move |text: &'static str| move |_| question.set(text.to_owned());
    // The built-in model transcribes and finds; it was not made to summarise.
    let can_summarise = move || state.answering_built_in().is_none();
    view! {
        <div class="chips" role="group" aria-label=move || words().presets>
            <button
                class="chip strong"
                aria-disabled=move || (!is_possible.get()).to_string()
                on:click=move |_| {
                    if is_possible.get_untracked() {
                        ask(state, Question::ReadAll);
                    }
                }
            >
                {move || words().preset_read}
            </button>
            <button class="chip" on:click=move |event| fill(words().needle_question)(event)>
                {move || words().preset_needle}
            </button>
            <button class="chip" on:click=move |event| fill(words().lookup_question)(event)>
                {move || words().preset_lookup}
            </button>
            <Show when=can_summarise>
                <button class="chip" on:click=move |event| fill(words().summary_question)(event)>
                    {move || words().preset_summary}
                </button>
            </Show>
            <label class="field inline">
                <span>{move || words().max_tokens}</span>
                <input
                    type="number"
                    min="1"
                    max=MOST_TOKENS.to_string()
                    data-testid="max-tokens"
                    prop:value=move || state.settings.with(|settings| settings.max_tokens.to_string())
                    on:change=move |event| {
                        let tokens = max_tokens(&event_target_value(&event));
                        state.settings.update(|settings| settings.max_tokens = tokens);
                    }
                />
            </label>
        </div>
    }
}

/// Says before a question is asked that all pages together are too much.
#[component]
fn Limits() -> impl IntoView {
    let state = state();
    view! {
        {move || {
            limit(state).map(|limit| view! { <p class="notice warning" data-testid="limit">{limit}</p> })
        }}
    }
}
