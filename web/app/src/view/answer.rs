//! One answer: its words as they come, its thinking folded away, its figures.

use leptos::prelude::*;
use leptos::task::spawn_local;
use wasm_bindgen_futures::JsFuture;

use crate::exchange::{Exchange, Progress};
use crate::state::state;

/// A question and its answer.
#[component]
pub fn Answer(exchange: Exchange) -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let parts = Memo::new(move |_| exchange.parts());
    let is_running = move || exchange.is_running();
    let has_thinking = move || parts.with(|(thinking, _)| !thinking.is_empty());
    let status = move || match exchange.progress.get() {
        Progress::Waiting(what) => format!("{what}…"),
        Progress::Streaming | Progress::Done(_) => String::new(),
        Progress::Stopped => words().stopped.to_owned(),
        Progress::Failed(_) => words().failed.to_owned(),
    };
    let failure = move || match exchange.progress.get() {
        Progress::Failed(reason) => {
            Some(view! { <p class="notice error" role="alert">{reason}</p> })
        }
        _ => None,
    };
    let hint = move || match exchange.progress.get() {
        Progress::Done(reason) if reason == "length" => Some(words().cut_off),
        Progress::Done(_) if exchange.raw.read().trim().is_empty() => Some(words().empty_answer),
        _ => None,
    };
    view! {
        <article class="answer" data-testid="answer" aria-busy=move || is_running().to_string()>
            <p class="asked">{exchange.question.get_value()}</p>
            <Show when=has_thinking>
                <details class="thinking">
                    <summary>{move || words().thinking}</summary>
                    <p>{move || parts.with(|(thinking, _)| thinking.clone())}</p>
                </details>
            </Show>
            <div
                class="answer-text"
                class:streaming=is_running
                data-testid="answer-text"
                aria-live="polite"
                aria-label=move || words().answer_label
                role="log"
            >
                {move || parts.with(|(_, answer)| answer.clone())}
            </div>
            <p class="hint" role="status" data-testid="answer-status">{status}</p>
            {failure}
            <p class="hint">{hint}</p>
            <div class="answer-foot">
                <Show
                    when=is_running
                    fallback=move || view! { <CopyButton parts/> }
                >
                    <button data-testid="stop" on:click=move |_| exchange.stop()>
                        {move || words().stop}
                    </button>
                </Show>
                <span class="hint" data-testid="answer-figures">{move || figures(exchange)}</span>
            </div>
        </article>
    }
}

fn figures(exchange: Exchange) -> String {
    let words = state().words();
    let figures = exchange.figures.get();
    let mut shown = vec![exchange.model.get_value(), exchange.place.get()];
    if figures.answer_tokens > 0 {
        shown.push(format!("{} {}", figures.answer_tokens, words.tokens));
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
fn CopyButton(parts: Memo<(String, String)>) -> impl IntoView {
    let state = state();
    let is_copied = RwSignal::new(false);
    let copy = move |_| {
        let answer = parts.with(|(_, answer)| answer.clone());
        let promise = window().navigator().clipboard().write_text(&answer);
        spawn_local(async move {
            is_copied.set(JsFuture::from(promise).await.is_ok());
        });
    };
    view! {
        <button class="quiet" on:click=copy>
            {move || if is_copied.get() { state.words().copied } else { state.words().copy }}
        </button>
    }
}
