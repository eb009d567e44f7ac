//! A question and its answer.

use glyph_web_core::pace::Pace;
use glyph_web_core::thinking::{PromptAnswer, joined};
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

/// The answer to one prompt as it comes. Cheap to copy.
#[derive(Clone, Copy)]
pub struct Part {
    /// Its number among the prompts.
    pub number: usize,
    /// What has come. Who follows it hears of news once per frame.
    pub text: RwSignal<PromptAnswer>,
    is_frame_due: StoredValue<bool>,
}

impl Part {
    fn new(number: usize) -> Self {
        Self {
            number,
            text: RwSignal::new(PromptAnswer::default()),
            is_frame_due: StoredValue::new(false),
        }
    }

    /// Adds new text. It is shown in the next frame, with all that comes until then.
    fn add(self, content: &str, reasoning: &str) {
        self.text.update_untracked(|text| {
            text.raw.push_str(content);
            text.reasoning.push_str(reasoning);
        });
        if !self.is_frame_due.get_value() {
            self.is_frame_due.set_value(true);
            request_animation_frame(move || self.show());
        }
    }

    /// Shows what waits for the next frame.
    fn show(self) {
        if self.is_frame_due.get_value() {
            self.is_frame_due.set_value(false);
            self.text.notify();
        }
    }
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
    /// The answers to all prompts, apart from each other: what is new changes the last of them alone.
    pub parts: RwSignal<Vec<Part>>,
    /// How fast they came.
    pub pace: StoredValue<Pace>,
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
            parts: RwSignal::new(Vec::new()),
            pace: StoredValue::new(Pace::default()),
            progress: RwSignal::new(Progress::Waiting(waiting.to_owned())),
            figures: RwSignal::new(Figures::default()),
            abort: StoredValue::new_local(AbortController::new().ok()),
        }
    }

    /// The answer to the next prompt begins, on a line of its own.
    pub fn begin_prompt(self) {
        self.add("\n", "");
        self.parts
            .update(|parts| parts.push(Part::new(parts.len())));
        self.pace.update_value(Pace::begin_prompt);
    }

    /// New text of the last prompt's answer, and of its thinking where the server tells that apart.
    pub fn add(self, content: &str, reasoning: &str) {
        let last = self.parts.with_untracked(|parts| parts.last().copied());
        if let Some(last) = last {
            last.add(content, reasoning);
        }
    }

    /// It has ended: all that came is shown, also where the tab is hidden and draws no frames.
    pub fn end(self, how: Progress) {
        self.parts.get_untracked().into_iter().for_each(Part::show);
        self.progress.set(how);
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

    /// Whether a part is such.
    fn any(self, is_such: impl Fn(&PromptAnswer) -> bool) -> bool {
        let parts = self.parts.read();
        parts.iter().any(|part| part.text.with(&is_such))
    }

    /// Whether there is any thinking.
    pub fn has_thinking(self) -> bool {
        self.any(PromptAnswer::has_thinking)
    }

    /// Whether nothing has come.
    pub fn is_blank(self) -> bool {
        !self.any(|text| !text.raw.trim().is_empty())
    }

    /// Thinking and answer.
    pub fn whole(self) -> (String, String) {
        let parts = self.parts.get();
        let texts: Vec<PromptAnswer> = parts.iter().map(|part| part.text.get()).collect();
        joined(&texts)
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
        let (thinking, answer) = self.whole();
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
