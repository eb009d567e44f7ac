//! What one question may be about.

use glyph_web_core::settings::Runner;
use leptos::prelude::*;

use crate::state::State;

/// Why pages and answer together are too much for who would answer, and what to do; `None` where they fit.
pub fn limit(state: State) -> Option<String> {
    let (pages, tokens) = state.pages_and_tokens();
    let words = state.words();
    let (context, most_pages) = match state.runner() {
        Runner::Server => {
            let chosen = state
                .settings
                .with(|settings| settings.server_model.clone());
            state.server.with(|server| {
                let model = server.find(chosen.as_deref())?;
                Some((model.context_tokens, model.max_pages))
            })?
        }
        Runner::Tab => {
            let context = state
                .model
                .with(|model| model.info().map(|info| info.context_tokens));
            (context, None)
        }
    };
    if let Some(most) = most_pages.filter(|most| pages > *most) {
        return Some(words.too_many_pages(pages, most));
    }
    let answer = state.settings.with(|settings| settings.max_tokens);
    let context = context.filter(|context| tokens + answer > *context)?;
    Some(words.context_exceeded(tokens, answer, context))
}
