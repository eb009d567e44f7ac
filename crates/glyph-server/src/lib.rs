//! OpenAI-compatible HTTP server over glyph-engine.
//!
//! [`serve`] takes a listener, a [`ServerConfig`] and an engine, whose model may still be loading. One table of routes
//! (`routes`) feeds the router and the OpenAPI document. There are no tensors in here.

mod answer;
mod auth;
mod body;
mod byte_pool;
mod chat;
mod completions;
mod config;
mod connections;
mod drawing;
mod error;
mod fields;
mod generation;
mod health;
mod images;
mod log_file;
mod log_lines;
pub mod logging;
mod logprobs;
mod machine;
pub mod metrics;
mod models;
mod no_route;
mod pages;
mod port;
mod preparation;
mod prepare;
mod remote;
mod renderers;
mod request_id;
mod request_log;
mod routes;
mod server;
mod state;
mod style_schema;
mod tokenize;
mod unread;
mod usage;
mod web;

pub use chat::{ChatCompletionRequest, ChatContent, ChatMessage, ChatPart, ChatRole, ImageUrl};
pub use completions::{CompletionRequest, Prompt};
pub use config::{
    DEFAULT_BODY_LIMIT_BYTES, DEFAULT_DRAIN_TIMEOUT, DEFAULT_MAX_CONNECTIONS, DEFAULT_MAX_PAGES,
    DeviceInfo, ServerConfig,
};
pub use generation::{GenerationFields, Stop, StreamOptions};
pub use metrics::{Metrics, MetricsError};
pub use pages::{PagesFormat, PagesRequest};
pub use port::{BindError, bind};
pub use remote::RemoteImageLimits;
pub use server::serve;
pub use style_schema::StyleKeys;
