//! A question and its answer.

use glyph_web_core::thinking::split_thinking;
use leptos::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use web_sys::AbortController;

use crate::state::{Drawing, State};

/// How far an answer is.
#[derive(Debug, Clone, PartialEq)]
pub enum Progress {
    /// Waiting for the first word; what is being done, for people.
    Waiting(String),
    /// Words are coming.
    Streaming,
    /// It has ended: `stop` or `length`.
    Done(String),
    /// The person stopped it.
    Stopped,
    /// It failed; why.
    Failed(String),
}

/// Figures of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Figures {
    /// Tokens of all prompts.
    pub prompt_tokens: Option<usize>,
    /// Tokens of the answer.
    pub answer_tokens: usize,
    /// They are pieces of a stream, whose end with the exact number has not come.
    pub is_estimate: bool,
    /// Seconds to the first token.
    pub first_token_s: Option<f64>,
    /// Tokens per second after the first.
    pub tokens_per_s: Option<f64>,
    /// Seconds in all.
    pub total_s: f64,
}

/// A question and its answer as it comes. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Exchange {
    /// Its number.
    pub id: usize,
    /// The question.
    pub question: StoredValue<String>,
    /// Who answers: a model's name.
    pub model: StoredValue<String>,
    /// Where: a server's address or a device.
    pub place: RwSignal<String>,
    /// What it is about, once that is drawn.
    pub about: StoredValue<About>,
    /// The answer as it came.
    pub raw: RwSignal<String>,
    /// What the server told apart as thinking.
    pub reasoning: RwSignal<String>,
    /// How far it is.
    pub progress: RwSignal<Progress>,
    /// What it took.
    pub figures: RwSignal<Figures>,
    /// Ends it.
    pub abort: StoredValue<Option<AbortController>, LocalStorage>,
}

impl Exchange {
    /// A new one.
    pub fn new(id: usize, question: &str, model: String, waiting: &str) -> Self {
        Self {
            id,
            question: StoredValue::new(question.to_owned()),
            model: StoredValue::new(model),
            place: RwSignal::new(String::new()),
            about: StoredValue::new(About::default()),
            raw: RwSignal::new(String::new()),
            reasoning: RwSignal::new(String::new()),
            progress: RwSignal::new(Progress::Waiting(waiting.to_owned())),
            figures: RwSignal::new(Figures::default()),
            abort: StoredValue::new_local(AbortController::new().ok()),
        }
    }

    /// Notes what it is about: the text may be another one when the answer is kept.
    pub fn asked_about(self, state: State, pages: usize) {
        let style = match &*state.drawing.read_untracked() {
            Drawing::Done(summary) => json!(summary.style),
            _ => Value::Null,
        };
        let text = state.text.read_untracked();
        self.about.set_value(About {
            characters: text.characters,
            file: text.file.as_ref().map(|file| file.name.clone()),
            pages,
            style,
        });
    }

    /// Whether the answer may still grow.
    pub fn is_running(self) -> bool {
        let progress = self.progress.read();
        matches!(*progress, Progress::Waiting(_) | Progress::Streaming)
    }

    /// Thinking and answer.
    pub fn parts(self) -> (String, String) {
        let raw = self.raw.read();
        let (thinking, answer) = split_thinking(&raw);
        let mut all = self.reasoning.get();
        all.push_str(thinking);
        (all, answer.to_owned())
    }

    /// Ends it.
    pub fn stop(self) {
        self.abort.with_value(|abort| {
            if let Some(abort) = abort {
                abort.abort();
            }
        });
    }

    /// What a download holds.
    pub fn record(self) -> Record {
        let (thinking, answer) = self.parts();
        Record {
            question: self.question.get_value(),
            model: self.model.get_value(),
            place: self.place.get(),
            about: self.about.get_value(),
            answer,
            thinking,
            outcome: match self.progress.get() {
                Progress::Waiting(_) | Progress::Streaming => "running".to_owned(),
                Progress::Done(reason) => reason,
                Progress::Stopped => "stopped".to_owned(),
                Progress::Failed(reason) => format!("failed: {reason}"),
            },
            figures: self.figures.get(),
        }
    }
}

/// The text and the pages of a question.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct About {
    /// Characters of the text.
    pub characters: usize,
    /// The file that it was read from.
    pub file: Option<String>,
    /// Pages.
    pub pages: usize,
    /// All keys of their style.
    pub style: Value,
}

/// A question and its answer in a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    question: String,
    model: String,
    place: String,
    #[serde(flatten)]
    about: About,
    answer: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    thinking: String,
    outcome: String,
    figures: Figures,
}
