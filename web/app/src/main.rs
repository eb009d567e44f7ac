//! The page: a text, its pages, questions and answers. Drawing and models run in workers, behind
//! the JavaScript API that other pages embed (`web/api/glyph.js`).

mod answerer;
mod api;
mod ask;
mod browser;
mod chat;
mod examples;
mod exchange;
mod export;
mod i18n;
mod limits;
mod model;
mod rendering;
mod server;
mod state;
mod text;
mod tokens;
mod view;

use leptos::mount::mount_to_body;
use leptos::prelude::document;

fn main() {
    console_error_panic_hook::set_once();
    mount_to_body(view::App);
    // What `index.html` shows until then.
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
}
