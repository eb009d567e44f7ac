//! What the page and its workers say to each other, and the page's logic that needs no browser.

pub mod accounting;
pub mod address;
pub mod keys;
pub mod messages;
pub mod mini;
pub mod scripts;
pub mod settings;
pub mod sse;
pub mod style;
pub mod thinking;
