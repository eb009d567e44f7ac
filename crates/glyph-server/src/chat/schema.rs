//! A chat request as the OpenAPI document describes it.

use serde::Serialize;
use utoipa::ToSchema;

use crate::generation::{GenerationFields, StreamOptions};
use crate::style_schema::StyleKeys;

/// A conversation and how to answer it. Fields that are not named here are passed over.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct ChatCompletionRequest {
    /// The model; the one that is served when it is missing.
    pub model: Option<String>,
    /// What has been said.
    #[schema(min_items = 1, max_items = 4096)]
    pub messages: Vec<ChatMessage>,
    /// Sends the answer token by token, as server-sent events.
    pub stream: Option<bool>,
    /// How a stream is sent.
    pub stream_options: Option<StreamOptions>,
    /// Reports the log-probability of every token.
    pub logprobs: Option<bool>,
    /// And those of so many likely ones.
    #[schema(minimum = 0, maximum = 20)]
    pub top_logprobs: Option<usize>,
    /// How the answer is generated.
    #[serde(flatten)]
    pub generation: GenerationFields,
}

/// A message.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatMessage {
    /// Who speaks.
    pub role: ChatRole,
    /// What is said; null only where the assistant said nothing.
    pub content: ChatContent,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum ChatRole {
    /// Instructions.
    System,
    /// The same by its newer name.
    Developer,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool has said, which is read as the user's.
    Tool,
}

/// What is said.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(untagged)]
pub enum ChatContent {
    /// Text.
    Text(String),
    /// Text, images and documents in order.
    Parts(Vec<ChatPart>),
}

/// A piece of a message. Images and documents stand in messages of the user alone.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ChatPart {
    /// Text as it is.
    Text {
        /// The text.
        text: String,
    },
    /// A page or picture: PNG, JPEG or WebP.
    ImageUrl {
        /// Where it is.
        image_url: ImageUrl,
    },
    /// A text that the server renders to pages, which the model reads.
    Document {
        /// The text.
        #[schema(min_length = 1, pattern = r"\S")]
        text: String,
        /// How it is rendered; as the model's own style says, or else the official one, when it is missing.
        style: Option<Box<StyleKeys>>,
    },
}

/// Where an image is.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ImageUrl {
    /// `data:image/png;base64,…`, or an http(s) URL where the server fetches those.
    #[schema(
        example = "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAABwAAAAcCAAAAABXZoBIAAAAFElEQVR4nGP4jwcwjEqOSo5KwgAA0FYNHk8YRIwAAAAASUVORK5CYII="
    )]
    pub url: String,
}
