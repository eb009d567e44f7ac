//! The `glyph` command as its users meet it: arguments in; output, files and exit codes out.
#![allow(clippy::unwrap_used, clippy::panic)]

mod ask;
mod bench;
mod devices;
mod errors;
mod fetch;
mod fetch_cache;
mod help;
mod info;
mod mock_hub;
mod pipes;
mod plan;
mod quantize;
mod read;
mod readme;
mod render;
mod run;
mod serve;
mod serve_logs;
mod server;
