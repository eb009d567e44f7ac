//! Where answers come from: a server, or a model in this tab.

mod options;
mod server;
mod tab;

use glyph_web_core::mini;
use glyph_web_core::settings::Runner;
use leptos::prelude::*;

use self::server::ServerFields;
use self::tab::TabFields;
use super::fields::Choice;
use crate::state::state;

/// The choice and what belongs to it.
#[component]
pub fn RunnerFields() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let options = Signal::derive(move || {
        vec![
            (Runner::Server, words().run_server.to_owned()),
            (Runner::Tab, words().run_tab.to_owned()),
        ]
    });
    view! {
        <div class="runner" role="group" aria-label=move || words().where_heading>
            <Choice
                legend=move || words().where_heading
                name="runner"
                options
                value=Signal::derive(move || state.runner())
                set=Callback::new(move |runner| {
                    state.settings.update(|settings| settings.runner = Some(runner));
                })
            />
            <Show
                when=move || state.runner() == Runner::Server
                fallback=move || view! { <TabFields/> }
            >
                <ServerFields/>
            </Show>
        </div>
    }
}

/// Says why the answer will make no sense, where the built-in model was not trained on such characters or on so many
/// pages.
#[component]
pub fn ReadingNote(question: RwSignal<String>) -> impl IntoView {
    let state = state();
    let is_known_text = Memo::new(move |_| {
        state.text.with(|text| {
            // Of a long text only the beginning is here; its bytes tell of the rest.
            text.characters == text.bytes && mini::can_read(&text.content)
        })
    });
    let is_known_question = Memo::new(move |_| question.with(|text| mini::can_read(text)));
    let is_known = move || is_known_text.get() && is_known_question.get();
    // Where there is no name yet, nobody would answer.
    let is_built_in =
        move || !state.model_name().is_empty() && state.answering_built_in().is_some();
    let are_many_pages = move || state.pages_and_tokens().0 > mini::MOST_PAGES;
    view! {
        <Show when=move || !is_known() && is_built_in()>
            <p class="notice warning" data-testid="unread">{move || state.words().mini_unread}</p>
        </Show>
        <Show when=move || are_many_pages() && is_built_in()>
            <p class="notice warning" data-testid="many-pages">{move || state.words().mini_many_pages}</p>
        </Show>
    }
}
