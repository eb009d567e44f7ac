//! Name, language and colours.

use glyph_web_core::settings::{Language, Theme};
use leptos::prelude::*;

use crate::state::state;

/// The page's head.
#[component]
pub fn Header() -> impl IntoView {
    let state = state();
    let words = move || state.words();
    let choose_language = move |event| {
        let language = match event_target_value(&event).as_str() {
            "zh" => Language::Zh,
            _ => Language::En,
        };
        state
            .settings
            .update(|settings| settings.language = Some(language));
    };
    let choose_theme = move |event| {
        let theme = match event_target_value(&event).as_str() {
            "light" => Theme::Light,
            "dark" => Theme::Dark,
            _ => Theme::System,
        };
        state.settings.update(|settings| settings.theme = theme);
    };
    let is_theme = move |theme| state.settings.with(|settings| settings.theme == theme);
    view! {
        <header>
            <svg class="logo" viewBox="0 0 32 32" aria-hidden="true">
                <rect x="5" y="2" width="22" height="28" rx="3"/>
                <path d="M10 9h12M10 14h12M10 19h8M10 24h5"/>
                <circle cx="22" cy="22.5" r="4.5"/>
            </svg>
            <div class="name">
                <h1>{move || words().title}</h1>
                <p>{move || words().tagline}</p>
            </div>
            <nav>
                <a href="docs/" class="quiet" class:hidden=move || {
                    state.server.with(|server| server.models().is_empty())
                        || !state.settings.with(|settings| settings.server.is_empty())
                }>{move || words().api_docs}</a>
                <label class="compact">
                    <span class="hidden-label">{move || words().language}</span>
                    <select on:change=choose_language>
                        <option value="en" prop:selected=move || state.language() == Language::En>
                            "English"
                        </option>
                        <option value="zh" prop:selected=move || state.language() == Language::Zh>
                            "中文"
                        </option>
                    </select>
                </label>
                <label class="compact">
                    <span class="hidden-label">{move || words().theme}</span>
                    <select on:change=choose_theme>
                        <option value="system" prop:selected=move || is_theme(Theme::System)>
                            {move || words().theme_system}
                        </option>
                        <option value="light" prop:selected=move || is_theme(Theme::Light)>
                            {move || words().theme_light}
                        </option>
                        <option value="dark" prop:selected=move || is_theme(Theme::Dark)>
                            {move || words().theme_dark}
                        </option>
                    </select>
                </label>
            </nav>
        </header>
    }
}
