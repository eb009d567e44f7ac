//! The real server with the real glyph-mini, called over HTTP as its clients call it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod chat;
mod client;
