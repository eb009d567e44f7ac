//! What a chat request says.

use glyph_model::prompt::Role;
use serde_json::{Map, Value};

use crate::error::{ApiError, Code};
use crate::fields::{Fields, at_most, shown};
use crate::generation::{GenerationFields, Streaming};
use crate::images::ImageSource;
use crate::logprobs::MOST_TOP_LOGPROBS;

/// Messages of a conversation. The shortest take some tokens each, so that contexts are not longer.
const MOST_MESSAGES: usize = 4096;

/// Parts of a message.
const MOST_PARTS: usize = 4096;

/// What the fields of several types must be, for messages.
const CONTENT: &str = "a string or a list of parts";
const IMAGE_URL: &str = "an object with url, or a URL as a string";

/// A conversation and how to answer it. Fields that are not named here are passed over.
#[derive(Debug)]
pub struct ChatRequest {
    /// The model asked for.
    pub model: Option<String>,
    /// What has been said.
    pub conversation: Conversation,
    /// How the answer comes.
    pub streaming: Streaming,
    /// Alternatives per token, where log-probabilities are asked for.
    pub top_logprobs: Option<usize>,
    /// How it is generated.
    pub generation: GenerationFields,
}

/// Messages whose images and documents are not looked at yet.
#[derive(Debug)]
pub struct Conversation(pub Vec<Turn>);

/// A message.
#[derive(Debug)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub parts: Vec<Part>,
}

/// A piece of a message.
#[derive(Debug)]
pub enum Part {
    /// Text as it is.
    Text(String),
    /// A page or picture; the path names it in messages.
    Image(ImageSource, String),
    /// Text that the model reads as pages.
    Document {
        /// The text.
        text: String,
        /// Keys of the render configuration.
        style: Option<Map<String, Value>>,
        /// Where it stands, for messages.
        path: String,
    },
}

impl ChatRequest {
    /// Takes the fields of a body.
    ///
    /// # Errors
    /// Names the one that is wrong.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let logprobs = fields.optional("logprobs")?.unwrap_or(false);
        let top: Option<usize> = fields.optional("top_logprobs")?;
        if let Some(top) = top.filter(|top| *top > MOST_TOP_LOGPROBS) {
            let expected = format!("at most {MOST_TOP_LOGPROBS}");
            return Err(ApiError::value("top_logprobs", top, expected));
        }
        Ok(Self {
            model: fields.optional("model")?,
            streaming: Streaming::read(fields)?,
            top_logprobs: logprobs.then(|| top.unwrap_or(0)),
            generation: GenerationFields::read(fields)?,
            conversation: Conversation::read(fields)?,
        })
    }
}

impl Conversation {
    /// Takes `messages`.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn read(fields: &mut Fields) -> Result<Self, ApiError> {
        let messages: Vec<Value> = fields.required("messages")?;
        if messages.is_empty() {
            let expected = "a list of at least one message";
            return Err(ApiError::value("messages", "empty", expected));
        }
        at_most(MOST_MESSAGES, "messages", messages.len(), "messages")?;
        let turns = messages.into_iter().enumerate().map(|(index, message)| {
            let mut message = Fields::of_value(message, &format!("messages[{index}]"))?;
            Turn::read(&mut message)
        });
        turns.collect::<Result<_, _>>().map(Self)
    }
}

impl Turn {
    fn read(message: &mut Fields) -> Result<Self, ApiError> {
        let name: String = message.required("role")?;
        let role = match name.as_str() {
            // OpenAI's newer name of the same.
            "system" | "developer" => Role::System,
            // Templates of the family have no turn for tools: what one said is read as the user's.
            "user" | "tool" => Role::User,
            "assistant" => Role::Assistant,
            other => {
                let value = shown(&Value::from(other));
                return Err(ApiError::value(
                    &message.path("role"),
                    value,
                    "system, developer, user, assistant or tool",
                ));
            }
        };
        let path = message.path("content");
        let content = match role {
            // A turn in which the model called tools may say nothing.
            Role::Assistant => message.value("content").unwrap_or(Value::from("")),
            Role::System | Role::User => message.required_value("content", CONTENT)?,
        };
        let parts = match content {
            Value::String(text) => vec![Part::Text(text)],
            Value::Array(parts) => {
                at_most(MOST_PARTS, &path, parts.len(), "parts")?;
                let parts = parts.into_iter().enumerate();
                let parts = parts.map(|(index, part)| {
                    Part::read(&mut Fields::of_value(part, &format!("{path}[{index}]"))?)
                });
                parts.collect::<Result<_, _>>()?
            }
            other => return Err(ApiError::value(&path, shown(&other), CONTENT)),
        };
        let has_pages = parts.iter().any(|part| !matches!(part, Part::Text(_)));
        if has_pages && role != Role::User {
            let message = format!(
                "{path} holds an image or a document, in a message of the role {name}; send those in messages of the \
                 role user"
            );
            return Err(ApiError::of(Code::InvalidValue, path, message));
        }
        Ok(Self { role, parts })
    }
}

impl Part {
    fn read(part: &mut Fields) -> Result<Self, ApiError> {
        let kind: String = part.required("type")?;
        match kind.as_str() {
            "text" => Ok(Self::Text(part.required("text")?)),
            "image_url" => {
                let path = part.path("image_url");
                let (url, path) = match part.required_value("image_url", IMAGE_URL)? {
                    Value::String(url) => (url, path),
                    value @ Value::Object(_) => {
                        let mut object = Fields::of_value(value, &path)?;
                        (object.required("url")?, object.path("url"))
                    }
                    other => return Err(ApiError::value(&path, shown(&other), IMAGE_URL)),
                };
                Ok(Self::Image(ImageSource::read(url, &path)?, path))
            }
            "document" => {
                let text: String = part.required("text")?;
                let path = part.path("text");
                if text.trim().is_empty() {
                    return Err(ApiError::value(&path, "empty", "text to read"));
                }
                Ok(Self::Document {
                    text,
                    style: part.optional("style")?,
                    path: part.path("style"),
                })
            }
            other => Err(ApiError::value(
                &part.path("type"),
                shown(&Value::from(other)),
                "text, image_url or document",
            )),
        }
    }
}
