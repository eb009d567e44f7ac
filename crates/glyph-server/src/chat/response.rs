//! What a chat answer looks like.

use std::sync::Arc;

use glyph_engine::{Done, Token};
use glyph_model::checkpoint::CheckpointSettings;
use glyph_model::generate::{SplitAnswer, ThinkSplitter};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::answer::Chunks;
use crate::logprobs::{ChatLogprobs, TokenLogprob};
use crate::state::now_s;
use crate::usage::{Finish, Usage};

/// A whole answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatCompletion {
    /// Its id.
    pub id: String,
    /// `chat.completion`.
    #[schema(example = "chat.completion")]
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// The model.
    pub model: String,
    /// The answer; there is one.
    pub choices: Vec<ChatChoice>,
    /// What it took.
    pub usage: Usage,
}

/// An answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatChoice {
    /// 0.
    pub index: usize,
    /// What the model says.
    pub message: AnswerMessage,
    /// Log-probabilities, where they were asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// Why it ended.
    pub finish_reason: Finish,
}

/// What the model says.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct AnswerMessage {
    /// `assistant`.
    #[schema(example = "assistant")]
    pub role: &'static str,
    /// The answer.
    pub content: String,
    /// What stood between `<think>` and `</think>` before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
}

/// A piece of a streamed answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChatCompletionChunk {
    /// The answer's id.
    pub id: String,
    /// `chat.completion.chunk`.
    #[schema(example = "chat.completion.chunk")]
    pub object: &'static str,
    /// Seconds since 1970.
    pub created: u64,
    /// The model.
    pub model: String,
    /// The piece; none in the chunk that carries the usage.
    pub choices: Vec<ChunkChoice>,
    /// What the answer took, in the last chunk, where it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Usage>)]
    pub usage: Option<Option<Usage>>,
}

/// A piece of an answer.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct ChunkChoice {
    /// 0.
    pub index: usize,
    /// What is new.
    pub delta: Delta,
    /// Log-probabilities, where they were asked for.
    pub logprobs: Option<ChatLogprobs>,
    /// Why the answer ended, in its last piece.
    pub finish_reason: Option<Finish>,
}

/// What is new.
#[derive(Debug, Clone, Default, Serialize, ToSchema)]
pub struct Delta {
    /// `assistant`, in the first piece.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// Text of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<String>,
    /// Text of what the model thinks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<String>,
}

/// What all pieces of an answer have in common.
#[derive(Debug, Clone)]
pub struct Head {
    id: String,
    created: u64,
    model: String,
}

impl Head {
    /// Of a new answer.
    pub fn new(model: String) -> Self {
        Self {
            id: format!("chatcmpl-{}", Uuid::new_v4().simple()),
            created: now_s(),
            model,
        }
    }
}

/// Collects a whole answer.
pub struct ChatAnswer<'a> {
    settings: &'a CheckpointSettings,
    splitter: ThinkSplitter,
    text: SplitAnswer,
    logprobs: Option<ChatLogprobs>,
}

impl<'a> ChatAnswer<'a> {
    /// An empty one.
    pub fn new(settings: &'a CheckpointSettings, with_logprobs: bool) -> Self {
        Self {
            settings,
            splitter: ThinkSplitter::new(),
            text: SplitAnswer::default(),
            logprobs: with_logprobs.then(ChatLogprobs::default),
        }
    }

    /// The next token.
    pub fn push(&mut self, token: &Token) {
        let split = self.splitter.push(&token.text);
        self.text.push(&split);
        let entry = token_logprob(self.settings, token);
        if let Some(logprobs) = &mut self.logprobs {
            logprobs.content.extend(entry);
        }
    }

    /// The answer when it has ended.
    pub fn finish(mut self, head: Head, done: &Done) -> ChatCompletion {
        let rest = self.splitter.finish();
        self.text.push(&rest);
        let SplitAnswer { reasoning, content } = self.text;
        ChatCompletion {
            id: head.id,
            object: "chat.completion",
            created: head.created,
            model: head.model,
            choices: vec![ChatChoice {
                index: 0,
                message: AnswerMessage {
                    role: "assistant",
                    content,
                    reasoning_content: some_text(reasoning),
                },
                logprobs: self.logprobs,
                finish_reason: done.finish_reason.into(),
            }],
            usage: done.usage.into(),
        }
    }
}

fn token_logprob(settings: &CheckpointSettings, token: &Token) -> Option<TokenLogprob> {
    let logprobs = token.logprobs.as_ref()?;
    let tokenizer = &settings.encoder.tokenizer;
    Some(TokenLogprob::new(tokenizer, token.id, logprobs))
}

fn some_text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

/// Cuts an answer into chunks.
pub struct ChatChunks {
    head: Head,
    settings: Arc<CheckpointSettings>,
    splitter: ThinkSplitter,
    include_usage: bool,
}

impl ChatChunks {
    /// For one answer.
    pub fn new(head: Head, settings: Arc<CheckpointSettings>, include_usage: bool) -> Self {
        Self {
            head,
            settings,
            splitter: ThinkSplitter::new(),
            include_usage,
        }
    }

    fn chunk(&self, choices: Vec<ChunkChoice>, usage: Option<Usage>) -> ChatCompletionChunk {
        ChatCompletionChunk {
            id: self.head.id.clone(),
            object: "chat.completion.chunk",
            created: self.head.created,
            model: self.head.model.clone(),
            choices,
            usage: self.include_usage.then_some(usage),
        }
    }

    fn piece(
        &self,
        delta: Delta,
        logprobs: Option<ChatLogprobs>,
        finish_reason: Option<Finish>,
    ) -> ChatCompletionChunk {
        let choice = ChunkChoice {
            index: 0,
            delta,
            logprobs,
            finish_reason,
        };
        self.chunk(vec![choice], None)
    }
}

fn delta(split: SplitAnswer) -> Delta {
    Delta {
        role: None,
        content: some_text(split.content),
        reasoning_content: some_text(split.reasoning),
    }
}

impl Chunks for ChatChunks {
    type Chunk = ChatCompletionChunk;

    fn begin(&mut self) -> Option<ChatCompletionChunk> {
        let delta = Delta {
            role: Some("assistant"),
            content: Some(String::new()),
            reasoning_content: None,
        };
        Some(self.piece(delta, None, None))
    }

    fn token(&mut self, token: Token) -> Option<ChatCompletionChunk> {
        let split = self.splitter.push(&token.text);
        let logprobs = token_logprob(&self.settings, &token).map(|entry| ChatLogprobs {
            content: vec![entry],
        });
        if split == SplitAnswer::default() && logprobs.is_none() {
            return None;
        }
        Some(self.piece(delta(split), logprobs, None))
    }

    fn end(&mut self, done: &Done) -> Vec<ChatCompletionChunk> {
        let rest = self.splitter.finish();
        let mut chunks = Vec::new();
        if rest != SplitAnswer::default() {
            chunks.push(self.piece(delta(rest), None, None));
        }
        let reason = Some(done.finish_reason.into());
        chunks.push(self.piece(Delta::default(), None, reason));
        chunks
    }

    fn usage(&self, usage: glyph_engine::Usage) -> Option<ChatCompletionChunk> {
        self.include_usage
            .then(|| self.chunk(Vec::new(), Some(usage.into())))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::Instant;

    use glyph_engine::{Done, Times, Token, TokenLogprobs, Usage};
    use glyph_model::checkpoint::{CheckpointDir, CheckpointSettings};
    use glyph_model::generate::FinishReason;
    use serde_json::{Value, json};

    use super::{ChatAnswer, ChatChunks, Head};
    use crate::answer::Chunks;

    /// Tokens end where tags do not.
    const THINKING: &[&str] = &["\n<th", "ink>Six", " lamps</think", ">\n\nThree."];

    fn settings() -> Arc<CheckpointSettings> {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini");
        Arc::new(CheckpointSettings::read(&CheckpointDir(&directory)).unwrap())
    }

    fn token(text: &str) -> Token {
        Token {
            id: 0,
            text: text.to_owned(),
            logprobs: None,
            chosen: Instant::now(),
        }
    }

    fn done() -> Done {
        Done {
            finish_reason: FinishReason::Stop,
            usage: Usage::default(),
            times: Times::default(),
        }
    }

    fn head() -> Head {
        Head::new("glyph-mini".to_owned())
    }

    /// The message of a whole answer.
    fn whole(texts: &[&str]) -> Value {
        let settings = settings();
        let mut answer = ChatAnswer::new(&settings, false);
        for text in texts {
            answer.push(&token(text));
        }
        let answer = serde_json::to_value(answer.finish(head(), &done())).unwrap();
        answer["choices"][0]["message"].clone()
    }

    /// The deltas of a streamed answer.
    fn streamed(texts: &[&str]) -> Vec<Value> {
        let mut chunks = ChatChunks::new(head(), settings(), false);
        let mut sent = Vec::from_iter(chunks.begin());
        sent.extend(texts.iter().filter_map(|text| chunks.token(token(text))));
        sent.extend(chunks.end(&done()));
        let sent = serde_json::to_value(sent).unwrap();
        let sent = sent.as_array().unwrap().iter();
        sent.map(|chunk| chunk["choices"][0]["delta"].clone())
            .collect()
    }

    fn is_thought(delta: &Value) -> bool {
        delta.get("reasoning_content").is_some()
    }

    fn joined(deltas: &[Value], key: &str) -> String {
        let texts = deltas.iter().filter_map(|delta| delta[key].as_str());
        texts.collect()
    }

    #[test]
    fn what_the_model_thinks_is_told_apart_whole_and_streamed() {
        for (texts, reasoning, content) in [
            (THINKING, "Six lamps", "Three."),
            // Too long to come to its end.
            (&["<think>", "Six </thi"], "Six </thi", ""),
        ] {
            let said =
                json!({"role": "assistant", "content": content, "reasoning_content": reasoning});
            assert_eq!(whole(texts), said);
            let deltas = streamed(texts);
            assert_eq!(joined(&deltas, "reasoning_content"), reasoning);
            assert_eq!(joined(&deltas, "content"), content);
            // They come as they are thought, behind the piece with the role and before the answer.
            assert!(deltas[1..=2].iter().all(is_thought), "{deltas:?}");
            assert!(!deltas[3..].iter().any(is_thought), "{deltas:?}");
        }
    }

    #[test]
    fn an_answer_without_thoughts_says_nothing_of_them() {
        let texts = ["Three", " < ", "<think>"];
        let said = json!({"role": "assistant", "content": "Three < <think>"});
        assert_eq!(whole(&texts), said);
        let deltas = streamed(&texts);
        assert_eq!(joined(&deltas, "content"), "Three < <think>");
        assert!(!deltas.iter().any(is_thought), "{deltas:?}");
    }

    #[test]
    fn a_token_whose_text_waits_has_its_log_probability_all_the_same() {
        let mut chunks = ChatChunks::new(head(), settings(), false);
        for text in THINKING {
            let token = Token {
                logprobs: Some(TokenLogprobs {
                    chosen: -0.5,
                    top: Vec::new(),
                }),
                ..token(text)
            };
            let chunk = chunks.token(token).unwrap();
            let logprobs = chunk.choices[0].logprobs.as_ref().unwrap();
            assert_eq!(logprobs.content.len(), 1, "{text:?}");
        }
    }
}
