//! What the pages take, beside the text.

use glyph_web_core::accounting::{Accounting, bytes_shown, count_shown};
use leptos::prelude::*;

use crate::state::{Drawing, TextTokens, state};

/// The figures, as they change.
#[component]
pub fn Figures() -> impl IntoView {
    let state = state();
    let figures = Memo::new(move |_| state.accounting());
    let words = move || state.words();
    // Ratios of a part of the pages to the whole text would mislead.
    let is_whole = move || matches!(*state.drawing.read(), Drawing::Done(_));
    let ratio = move |of: fn(&Accounting) -> Option<f64>| {
        let ratio = figures.with(of).filter(|_| is_whole());
        ratio.map_or_else(
            || words().unknown_yet.to_owned(),
            |ratio| format!("{ratio:.1}"),
        )
    };
    let tokens = move || {
        let tokens = figures.with(|figures| figures.text_tokens);
        tokens.map_or_else(|| words().unknown_yet.to_owned(), count_shown)
    };
    let uncounted = move || match state.text_tokens.get() {
        TextTokens::Refused(reason) => Some(view! {
            <p class="hint" data-testid="uncounted">{words().tokens_uncounted(&reason.reason(words()))}</p>
        }),
        _ => None,
    };
    let tokens_label = move || match state.answering_built_in() {
        Some(_) => words().text_bytes,
        None => words().text_tokens,
    };
    let kv = move || {
        let figures = figures.get();
        let pages = bytes_shown(figures.kv_bytes_of_pages() as f64);
        let text = figures
            .kv_bytes_of_text()
            .map(|bytes| bytes_shown(bytes as f64));
        match text.filter(|_| is_whole()) {
            Some(text) => format!("{pages} · {} {text}", words().kv_text),
            None => pages,
        }
    };
    let png_bytes = move || match &*state.drawing.read() {
        Drawing::Done(summary) => bytes_shown(summary.png_bytes as f64),
        _ => words().unknown_yet.to_owned(),
    };
    let kv_label = move || {
        let (_, is_own) = state.kv_bytes_per_token();
        let whose = if is_own {
            words().kv_of_model
        } else {
            words().kv_of_9b
        };
        words().kv_of_pages(whose)
    };
    let count = move |of: fn(&Accounting) -> usize| move || count_shown(figures.with(of));
    view! {
        <dl class="figures" data-testid="figures">
            <Figure id="characters" label=move || words().characters value=count(|f| f.characters)/>
            <Figure id="text-tokens" label=tokens_label value=tokens/>
            <Figure id="pages" label=move || words().pages_count value=count(|f| f.pages)/>
            <Figure id="png-bytes" label=move || words().png_bytes value=png_bytes/>
            <Figure
                id="vision-tokens"
                label=move || words().vision_tokens
                value=count(|f| f.vision_tokens)
            />
            <Figure
                id="compression"
                label=move || words().compression
                value=move || match ratio(Accounting::compression) {
                    ratio if ratio == words().unknown_yet => ratio,
                    ratio => format!("{ratio} ×"),
                }
            />
            <Figure
                id="per-token"
                label=move || words().per_token
                value=move || ratio(Accounting::characters_per_token)
            />
            <Figure id="kv" label=kv_label value=kv/>
        </dl>
        {uncounted}
    }
}

#[component]
fn Figure<L, LV, V>(id: &'static str, label: L, value: V) -> impl IntoView
where
    L: Fn() -> LV + Send + 'static,
    LV: IntoView + 'static,
    V: Fn() -> String + Send + 'static,
{
    view! {
        <div class="figure" class:wide=id == "kv">
            <dt>{label}</dt>
            <dd data-testid=format!("figure-{id}")>{value}</dd>
        </div>
    }
}
