//! Server-sent events of a chat answer, from bytes as they come.

use serde::Deserialize;
use serde_json::Value;

/// Most bytes of an event. A piece of an answer has some hundreds; what never ends would fill the memory.
pub const MOST_EVENT_BYTES: usize = 4_000_000;

/// Most characters of an event's data that an error shows.
const MOST_SHOWN: usize = 80;

/// Why a stream of events cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamError {
    /// An event has more than [`MOST_EVENT_BYTES`].
    LargeEvent,
    /// The data of an event is no JSON; its beginning.
    NoJson(String),
}

/// Cuts a stream of bytes into the data of its events.
#[derive(Debug, Default)]
pub struct EventStream {
    bytes: Vec<u8>,
    /// Where the next event begins.
    start: usize,
    /// Before this the next event has no end.
    searched: usize,
}

impl EventStream {
    /// Adds bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The data of the next event that is complete and has data.
    pub fn next_data(&mut self) -> Option<Result<String, StreamError>> {
        loop {
            let found = self.end_of_event();
            let (end, next) = found.unwrap_or((self.bytes.len(), self.start));
            if end - self.start > MOST_EVENT_BYTES {
                return Some(Err(StreamError::LargeEvent));
            }
            if found.is_none() {
                // An empty line may have begun with the last two bytes.
                let whole = self.bytes.len().saturating_sub(2);
                self.searched = whole.max(self.start);
                return None;
            }
            let event = self.bytes.get(self.start..end).unwrap_or_default();
            let event = String::from_utf8_lossy(event);
            let data: Vec<&str> = event
                .lines()
                .filter_map(|line| line.strip_prefix("data:"))
                .map(|data| data.strip_prefix(' ').unwrap_or(data))
                .collect();
            let data = (!data.is_empty()).then(|| data.join("\n"));
            self.start = next;
            self.searched = next;
            if let Some(data) = data {
                return Some(Ok(data));
            }
        }
    }

    /// Where the next event ends and where the one after it begins: behind an empty line.
    fn end_of_event(&self) -> Option<(usize, usize)> {
        (self.searched..self.bytes.len()).find_map(|at| {
            let line = self.bytes.get(at..)?.strip_prefix(b"\n")?;
            let line = line.strip_prefix(b"\r").unwrap_or(line);
            let rest = line.strip_prefix(b"\n")?;
            Some((at + 1, self.bytes.len() - rest.len()))
        })
    }
}

/// What one event of a chat answer says.
#[derive(Debug, Clone, PartialEq)]
pub enum ChatEvent {
    /// New text.
    Piece(Piece),
    /// The server gives up; its words, if it has any.
    Error(Option<String>),
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
    /// [`StreamError::NoJson`].
    pub fn from_data(data: &str) -> Result<Self, StreamError> {
        if data.trim() == "[DONE]" {
            return Ok(Self::End);
        }
        let value: Value = serde_json::from_str(data).map_err(|_| {
            let beginning = data.chars().take(MOST_SHOWN).collect();
            StreamError::NoJson(beginning)
        })?;
        if error_of(&value).is_some() {
            return Ok(Self::Error(error_message(&value)));
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

/// OpenAI's error object. Some servers have the key in every event.
fn error_of(value: &Value) -> Option<&Value> {
    value.get("error").filter(|error| !error.is_null())
}

/// The message of OpenAI's error object, if it has one.
pub fn error_message(value: &Value) -> Option<String> {
    let error = error_of(value)?;
    let message = error.get("message").unwrap_or(error).as_str()?;
    Some(message.to_owned()).filter(|message| !message.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::{
        ChatEvent, EventStream, MOST_EVENT_BYTES, Piece, StreamError, Usage, error_message,
    };

    /// What comes of a chunk.
    fn read(events: &mut EventStream, chunk: &[u8]) -> Vec<Result<String, StreamError>> {
        events.push(chunk);
        std::iter::from_fn(|| events.next_data()).collect()
    }

    #[test]
    fn events_come_whole_whatever_the_pieces() {
        let stream = "data: {\"a\":\"你好\"}\n\ndata: 1\r\n\r\n: note\n\ndata: [DONE]\n\n";
        for size in 1..stream.len() {
            let mut events = EventStream::default();
            let found: Result<Vec<String>, StreamError> = stream
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| read(&mut events, chunk))
                .collect();
            let expected = ["{\"a\":\"你好\"}", "1", "[DONE]"];
            assert_eq!(found.unwrap(), expected, "{size}");
        }
    }

    #[test]
    fn an_event_that_does_not_end_is_refused_after_those_before_it() {
        let mut events = EventStream::default();
        assert_eq!(
            read(&mut events, b"data: 1\n\ndata: "),
            [Ok("1".to_owned())]
        );
        let chunk = [b'x'; 1 << 14];
        let whole_chunks = MOST_EVENT_BYTES / chunk.len();
        for _ in 0..whole_chunks {
            assert!(read(&mut events, &chunk).is_empty());
        }
        events.push(&chunk);
        assert_eq!(events.next_data(), Some(Err(StreamError::LargeEvent)));
    }

    #[test]
    fn an_event_that_came_whole_is_held_to_the_same_size() {
        let event = |bytes: usize| format!("data: {}\n\n", "x".repeat(bytes));
        let mut events = EventStream::default();
        events.push(event(MOST_EVENT_BYTES).as_bytes());
        assert_eq!(events.next_data(), Some(Err(StreamError::LargeEvent)));
        let most = "x".repeat(MOST_EVENT_BYTES - "data: \n".len());
        let mut events = EventStream::default();
        events.push(event(most.len()).as_bytes());
        assert!(events.next_data() == Some(Ok(most)));
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
        assert_eq!(error, ChatEvent::Error(Some("too long".to_owned())));
        for wordless in [r#"{"error":{"code":7}}"#, r#"{"error":{"message":""}}"#] {
            assert_eq!(piece(wordless), ChatEvent::Error(None), "{wordless}");
        }
        let content = piece(r#"{"choices":[{"delta":{"content":"a"}}],"error":null}"#);
        assert!(matches!(content, ChatEvent::Piece(piece) if piece.content == "a"));
        let html = format!("<html>{}", "字".repeat(1000));
        let beginning = html.chars().take(80).collect();
        assert_eq!(
            ChatEvent::from_data(&html),
            Err(StreamError::NoJson(beginning))
        );
    }

    #[test]
    fn servers_write_errors_as_objects_and_as_words() {
        let message = |json: &str| error_message(&serde_json::from_str(json).unwrap());
        for (json, words) in [
            (r#"{"error":{"message":"no key"}}"#, Some("no key")),
            (r#"{"error":"no key"}"#, Some("no key")),
            (r#"{"error":{"message":7}}"#, None),
            (r#"{"error":null}"#, None),
            (r#"{"detail":"no key"}"#, None),
        ] {
            assert_eq!(message(json).as_deref(), words, "{json}");
        }
    }
}
