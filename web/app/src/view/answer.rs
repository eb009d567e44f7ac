//! One answer: its words as they come, its thinking folded away, its figures.

use glyph_web_core::thinking::PromptAnswer;
use leptos::prelude::*;

use crate::browser::{copy, pass_focus};
use crate::exchange::{Exchange, Part, Progress};
use crate::state::state;

/// Most characters of an answer that assistive technology says by itself when it has ended.
const MOST_SPOKEN: usize = 300;

/// A question and its answer.
#[component]
pub fn Answer(exchange: Exchange) -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let is_running = move || exchange.is_running();
    let has_thinking = Memo::new(move |_| exchange.has_thinking());
    let status = move || match exchange.progress.get() {
        Progress::Waiting(what) => format!("{what}…"),
        Progress::Streaming | Progress::Done(_) => String::new(),
        Progress::Stopped => words().stopped.to_owned(),
        Progress::Failed(_) => words().failed.to_owned(),
    };
    // What assistive technology says: neither every word of the answer nor every step before it.
    let announced = Memo::new(move |_| match exchange.progress.get() {
        Progress::Waiting(_) => words().answer_prepared.to_owned(),
        Progress::Streaming => words().answer_comes.to_owned(),
        Progress::Done(_) => {
            let (_, answer) = exchange.whole();
            words().answer_ended(&spoken(&answer))
        }
        Progress::Stopped => words().stopped.to_owned(),
        Progress::Failed(_) => words().failed.to_owned(),
    });
    let heading_id = || format!("answer-{}", exchange.id);
    let failure = move || match exchange.progress.get() {
        Progress::Failed(reason) => {
            Some(view! { <p class="notice error" role="alert">{reason}</p> })
        }
        _ => None,
    };
    let hint = move || match exchange.progress.get() {
        Progress::Done(reason) if reason == "length" => Some(words().cut_off),
        Progress::Done(_) if exchange.is_blank() => Some(words().empty_answer),
        _ => None,
    };
    view! {
        // Not aria-busy: assistive technology would hold back what is said in it until the end.
        <article
            class="answer"
            data-testid="answer"
            data-busy=move || is_running().to_string()
            aria-labelledby=heading_id()
        >
            <div class="answer-head">
                <h3 class="asked" id=heading_id() tabindex="-1">
                    {exchange.question.get_value()}
                </h3>
                // Above the text: what stands below it moves with every line that comes.
                <Show when=is_running>
                    <StopButton exchange/>
                </Show>
            </div>
            <Show when=move || has_thinking.get()>
                <details class="thinking">
                    <summary>{move || words().thinking}</summary>
                    <p>
                        <For
                            each=move || exchange.parts.get()
                            key=|part| part.number
                            children=|part| view! { <span>{thinking(part)}</span> }
                        />
                    </p>
                </details>
            </Show>
            <div
                class="answer-text"
                class:streaming=is_running
                data-testid="answer-text"
                aria-label=move || words().answer_label
                role="group"
            >
                <For
                    each=move || exchange.parts.get()
                    key=|part| part.number
                    children=|part| view! { <div>{answer(part)}</div> }
                />
            </div>
            <p class="hint" data-testid="answer-status">{status}</p>
            <p class="hidden-label" role="status" data-testid="answer-announced">{announced}</p>
            {failure}
            <p class="hint">{hint}</p>
            <div class="answer-foot">
                <Show when=move || !is_running()>
                    <CopyButton exchange/>
                </Show>
                <span class="hint" data-testid="answer-figures">{move || figures(exchange)}</span>
            </div>
        </article>
    }
}

/// What a model thinks of one prompt.
fn thinking(part: Part) -> impl Fn() -> String + Send + 'static {
    move || part.text.with(PromptAnswer::thinking)
}

/// What it answers to it.
fn answer(part: Part) -> impl Fn() -> String + Send + 'static {
    move || part.text.with(|text| text.answer().to_owned())
}

/// What is said of an answer: its beginning.
fn spoken(answer: &str) -> String {
    let answer = answer.trim();
    match answer.char_indices().nth(MOST_SPOKEN) {
        Some((end, _)) => format!("{}…", &answer[..end]),
        None => answer.to_owned(),
    }
}

fn figures(exchange: Exchange) -> String {
    let words = state().words();
    let figures = exchange.figures.get();
    let mut shown = vec![exchange.model.get_value(), exchange.place.get()];
    if figures.answer_tokens > 0 {
        let about = if figures.is_estimate { "≈ " } else { "" };
        shown.push(format!("{about}{} {}", figures.answer_tokens, words.tokens));
    }
    if let Some(seconds) = figures.first_token_s {
        shown.push(format!("{} {seconds:.2} s", words.first_token));
    }
    if let Some(rate) = figures.tokens_per_s {
        shown.push(format!("{rate:.1} {}", words.tokens_per_second));
    }
    shown.retain(|part| !part.is_empty());
    shown.join(" · ")
}

#[component]
fn StopButton(exchange: Exchange) -> impl IntoView {
    let state = state();
    // It goes when the answer ends.
    let heading = format!("#answer-{}", exchange.id);
    on_cleanup(move || pass_focus("[data-testid=stop]", &[heading.as_str()]));
    view! {
        <button data-testid="stop" on:click=move |_| exchange.stop()>
            {move || state.words().stop}
        </button>
    }
}

#[component]
fn CopyButton(exchange: Exchange) -> impl IntoView {
    let state = state();
    let is_copied = RwSignal::new(None::<bool>);
    let on_click = move |_| {
        let (_, answer) = untrack(|| exchange.whole());
        copy(answer, move |done| is_copied.set(Some(done)));
    };
    let label = move || match is_copied.get() {
        Some(true) => state.words().copied,
        _ => state.words().copy,
    };
    let refusal = move || {
        let is_refused = is_copied.get() == Some(false);
        let reason = state.words().copy_refused;
        is_refused.then(|| view! { <span class="hint" role="alert">{reason}</span> })
    };
    view! {
        <button class="quiet" data-testid="copy" on:click=on_click>
            {label}
        </button>
        {refusal}
    }
}
