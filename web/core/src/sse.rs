//! Server-sent events of a chat answer, from bytes as they come.

use serde::Deserialize;
use serde_json::Value;

/// Cuts a stream of bytes into the data of its events.
#[derive(Debug, Default)]
pub struct EventStream {
    bytes: Vec<u8>,
}

impl EventStream {
    /// Adds bytes; returns the data of every event that is now complete.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        self.bytes.extend_from_slice(bytes);
        let mut events = Vec::new();
        while let Some((end, next)) = self.end_of_event() {
            let event: Vec<u8> = self.bytes.drain(..next).take(end).collect();
            let event = String::from_utf8_lossy(&event);
            let data: Vec<&str> = event
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(|data| data.strip_prefix(' ').unwrap_or(data))
                .collect();
            if !data.is_empty() {
                events.push(data.join("\n"));
            }
        }
        events
    }

    /// Where the first event ends and where the next begins: behind an empty line.
    fn end_of_event(&self) -> Option<(usize, usize)> {
        let found = |mark: &[u8]| {
            let at = self
                .bytes
                .windows(mark.len())
                .position(|window| window == mark);
            at.map(|at| (at, at + mark.len()))
        };
        [found(b"\n\n"), found(b"\r\n\r\n")]
            .into_iter()
            .flatten()
            .min()
    }
}

/// What one event of a chat answer says.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatEvent {
    /// New text.
    Piece(Piece),
    /// The server gives up.
    Error(String),
    /// Nothing follows.
    End,
}

/// New text of an answer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Piece {
    /// Of the answer.
    pub content: String,
    /// Of what the model thinks.
    pub reasoning: String,
    /// Events with such text: where a server sends token by token, their number.
    pub n_pieces: usize,
    /// Why the answer ended, in its last piece.
    pub finish_reason: Option<String>,
    /// Tokens, where the event carries them.
    pub usage: Option<Usage>,
}

/// Tokens of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
pub struct Usage {
    /// Of the prompt.
    pub prompt_tokens: usize,
    /// Of the answer.
    pub completion_tokens: usize,
}

impl ChatEvent {
    /// Reads an event's data.
    ///
    /// # Errors
    /// A sentence when it is no JSON.
    pub fn from_data(data: &str) -> Result<Self, String> {
        if data.trim() == "[DONE]" {
            return Ok(Self::End);
        }
        let value: Value = serde_json::from_str(data)
            .map_err(|error| format!("the server sent what is no JSON: {error}"))?;
        if let Some(message) = error_message(&value) {
            return Ok(Self::Error(message));
        }
        let choice = value.pointer("/choices/0");
        let text = |key: &str| {
            let text = choice.and_then(|choice| choice.pointer(key));
            text.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        let finish = choice.and_then(|choice| choice.get("finish_reason"));
        let usage = value.get("usage").filter(|usage| !usage.is_null());
        let (content, reasoning) = (text("/delta/content"), text("/delta/reasoning_content"));
        Ok(Self::Piece(Piece {
            n_pieces: usize::from(!content.is_empty() || !reasoning.is_empty()),
            content,
            reasoning,
            finish_reason: finish.and_then(Value::as_str).map(str::to_owned),
            usage: usage.and_then(|usage| Usage::deserialize(usage).ok()),
        }))
    }
}

/// The message of OpenAI's error object.
pub fn error_message(value: &Value) -> Option<String> {
    // Some servers have the key in every event.
    let error = value.get("error").filter(|error| !error.is_null())?;
    let message = error.get("message").or(Some(error)).and_then(Value::as_str);
    Some(
        message
            .unwrap_or("the server failed without saying why")
            .to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::{ChatEvent, EventStream, Piece, Usage};

    #[test]
    fn events_come_whole_whatever_the_pieces() {
        let stream = "data: {\"a\":\"你好\"}\n\ndata: 1\r\n\r\n: note\n\ndata: [DONE]\n\n";
        for size in 1..stream.len() {
            let mut events = EventStream::default();
            let found: Vec<String> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| events.push(chunk))
                .collect();
            assert_eq!(found, ["{\"a\":\"你好\"}", "1", "[DONE]"], "{size}");
        }
    }

    #[test]
    fn pieces_errors_and_the_end_are_told_apart() {
        let piece = |data: &str| ChatEvent::from_data(data).unwrap();
        assert_eq!(piece("[DONE]"), ChatEvent::End);
        assert_eq!(
            piece(r#"{"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}],"usage":null}"#),
            ChatEvent::Piece(Piece {
                content: "a".to_owned(),
                n_pieces: 1,
                finish_reason: Some("stop".to_owned()),
                ..Piece::default()
            })
        );
        assert_eq!(
            piece(r#"{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}"#),
            ChatEvent::Piece(Piece {
                usage: Some(Usage {
                    prompt_tokens: 3,
                    completion_tokens: 2
                }),
                ..Piece::default()
            })
        );
        let error = piece(r#"{"error":{"message":"too long","code":"x"}}"#);
        assert_eq!(error, ChatEvent::Error("too long".to_owned()));
        let content = piece(r#"{"choices":[{"delta":{"content":"a"}}],"error":null}"#);
        assert!(matches!(content, ChatEvent::Piece(piece) if piece.content == "a"));
        assert!(ChatEvent::from_data("{").is_err());
    }
}
