//! What the page and its workers say to each other, and the page's logic that needs no browser.

pub mod accounting;
pub mod address;
pub mod editing;
pub mod encoding;
pub mod keys;
pub mod limits;
pub mod memory;
pub mod messages;
pub mod mini;
pub mod pace;
pub mod scripts;
pub mod settings;
pub mod sse;
pub mod stage;
pub mod style;
pub mod thinking;
pub mod webgpu;
