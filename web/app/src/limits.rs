//! What one question may be about.

use glyph_web_core::limits::{Excess, Limits};
use glyph_web_core::settings::Runner;
use leptos::prelude::*;

use crate::state::State;

/// What who would answer takes.
pub fn limits(state: State) -> Limits {
    match state.runner() {
        Runner::Server => {
            let chosen = state
                .settings
                .with(|settings| settings.server_model.clone());
            let of_model = state.server.with(|server| {
                let model = server.find(chosen.as_deref())?;
                Some(Limits {
                    context_tokens: model.context_tokens,
                    most_pages: model.max_pages,
                })
            });
            of_model.unwrap_or_default()
        }
        Runner::Tab => Limits {
            context_tokens: state.answering_loaded().map(|loaded| loaded.context_tokens),
            most_pages: None,
        },
    }
}

/// Why the pages are too much for who takes so much, and what to do; `None` where they fit.
pub fn refusal(state: State, limits: Limits) -> Option<String> {
    let (pages, tokens) = state.pages_and_tokens();
    let words = state.words();
    Some(match limits.excess(pages, tokens)? {
        Excess::Pages(most) => words.too_many_pages(pages, most),
        Excess::Tokens(context) => words.context_exceeded(tokens, context),
    })
}

/// The same for who would answer.
pub fn limit(state: State) -> Option<String> {
    refusal(state, limits(state))
}
