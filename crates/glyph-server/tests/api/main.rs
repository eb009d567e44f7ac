//! The real server with the real glyph-mini, called over HTTP as its clients call it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod access;
mod chat;
mod client;
mod completions;
mod connections;
mod documents;
mod errors;
mod images;
mod life;
mod limits;
mod observed;
mod openapi;
mod pages;
mod remote;
mod unread;
mod web;
