//! What is seen.

mod accounting;
mod answer;
mod ask;
mod fields;
mod header;
mod pages;
mod runner;
mod style;
mod text;
mod zoom;

use glyph_web_core::settings::Theme;
use leptos::prelude::*;

use crate::browser::focus_soon;
use crate::state::{State, state};
use crate::{model, rendering, server, tokens};

/// The whole page.
#[component]
pub fn App() -> impl IntoView {
    let state = State::new();
    provide_context(state);
    provide_context(ask::QuestionField(RwSignal::new(String::new())));
    state.keep();
    follow_language_and_theme(state);
    model::read_built_in(state);
    tokens::follow(state);
    rendering::follow(state);
    server::follow(state);
    let zoomed = RwSignal::new(None::<usize>);
    view! {
        <a class="skip" href="#text">{move || state.words().skip_to_text}</a>
        <a class="skip" href="#question">{move || state.words().skip_to_question}</a>
        <header::Header/>
        <Notices/>
        <main>
            <text::TextPanel/>
            <pages::PagesPanel zoomed/>
            <ask::AskPanel/>
        </main>
        <footer>{move || state.words().footer}</footer>
        <zoom::Zoom zoomed/>
    }
}

/// What has no other place: files that were refused, parts that are missing.
#[component]
fn Notices() -> impl IntoView {
    let state = state();
    let shown = move |notice: RwSignal<Option<String>>| {
        let close = move |_| {
            notice.set(None);
            focus_soon(&["#text textarea", "#text .excerpt"]);
        };
        let line = move |words: String| {
            view! {
                <p class="notice error">
                    <span>{words}</span>
                    <button class="quiet" on:click=close>
                        {move || state.words().close}
                    </button>
                </p>
            }
        };
        move || notice.get().map(line)
    };
    view! {
        <div role="alert" class="notice-place">
            {shown(state.notice)}
            {shown(state.text_notice)}
        </div>
    }
}

/// The document's language and colours follow the settings.
fn follow_language_and_theme(state: State) {
    let set = |name: &str, value: &str| {
        if let Some(root) = document().document_element() {
            // The names are valid.
            let _ = root.set_attribute(name, value);
        }
    };
    Effect::new(move || {
        set("lang", state.language().tag());
        document().set_title(&format!(
            "{} · {}",
            state.words().title,
            state.words().tagline
        ));
        let theme = state.settings.with(|settings| settings.theme);
        set(
            "data-theme",
            match theme {
                Theme::System => "system",
                Theme::Light => "light",
                Theme::Dark => "dark",
            },
        );
    });
}
