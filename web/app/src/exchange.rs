//! A question and its answer.

use glyph_web_core::pace::Pace;
use glyph_web_core::thinking::split_each;
use leptos::prelude::*;
use serde::Serialize;
use serde_json::{Value, json};
use web_sys::{AbortController, AbortSignal};

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
    /// Seconds to the first text, from the prompt that brought it: pages and model were there by then.
    pub first_token_s: Option<f64>,
    /// Tokens per second after each prompt's first, where enough came apart to be measured.
    pub tokens_per_s: Option<f64>,
    /// Seconds from the press of the button to the end.
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
    /// The answers to all prompts as they came, one behind the other.
    pub raw: RwSignal<String>,
    /// Where in it each prompt's answer begins.
    starts: StoredValue<Vec<usize>>,
    /// How fast they came.
    pub pace: StoredValue<Pace>,
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
            starts: StoredValue::new(Vec::new()),
            pace: StoredValue::new(Pace::default()),
            reasoning: RwSignal::new(String::new()),
            progress: RwSignal::new(Progress::Waiting(waiting.to_owned())),
            figures: RwSignal::new(Figures::default()),
            abort: StoredValue::new_local(AbortController::new().ok()),
        }
    }

    /// The answer to the next prompt begins.
    pub fn begin_prompt(self) {
        let is_first = self.starts.with_value(Vec::is_empty);
        if !is_first {
            self.raw.update(|raw| raw.push('\n'));
        }
        if self.reasoning.with_untracked(|text| !text.is_empty()) {
            self.reasoning.update(|text| text.push('\n'));
        }
        let start = self.raw.with_untracked(String::len);
        self.starts.update_value(|starts| starts.push(start));
        self.pace.update_value(Pace::begin_prompt);
    }

    /// What is being done before the first word.
    pub fn waiting(self, what: String) {
        self.progress.update(|progress| {
            if matches!(progress, Progress::Waiting(_)) {
                *progress = Progress::Waiting(what);
            }
        });
    }

    /// What ends it when the person wants that.
    pub fn signal(self) -> Option<AbortSignal> {
        self.abort
            .with_value(|abort| abort.as_ref().map(AbortController::signal))
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
        let (thinking, answer) = self.starts.with_value(|starts| split_each(&raw, starts));
        let mut all = self.reasoning.get();
        all.push_str(&thinking);
        (all, answer)
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
