//! From a question to an answer: by the server or by the model in this tab.

use gloo_timers::future::TimeoutFuture;
use glyph_web_core::messages::{AnswerSummary, LoadedModel};
use glyph_web_core::pace::Pace;
use glyph_web_core::stage::{AnswerStage, Finish};
use leptos::prelude::*;
use leptos::task::{spawn_local, tick};
use serde::Deserialize;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use crate::answerer::{Answerer, Place};
use crate::api::{self, AskOptions, Model};
use crate::browser::{self, JsError};
use crate::chat::{self, ChatRequest};
use crate::exchange::{Exchange, Progress};
use crate::limits::refusal;
use crate::model;
use crate::state::{Drawing, State, Tile};
use crate::text::TextId;

/// The question that a model is asked about each page when all of them are to be read.
pub const READ_QUESTION: &str = "Read the page.";

/// Between two looks at what is waited for.
pub const LOOK_MS: u32 = 50;

/// What is asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Question {
    /// Every page is transcribed, each by a prompt of its own.
    ReadAll,
    /// One question about all pages.
    About(String),
}

/// Starts an answer; the newest stands first.
pub fn ask(state: State, question: Question) {
    let words = state.words();
    let shown = match &question {
        Question::ReadAll => words.preset_read.to_owned(),
        Question::About(question) => question.clone(),
    };
    let id = state.exchanges.with_untracked(Vec::len);
    let name = state.model_name();
    let text = TextId::meant(state);
    let exchange = Exchange::new(id, &shown, name, words.waiting_start);
    state
        .exchanges
        .update(|exchanges| exchanges.insert(0, exchange));
    spawn_local(async move {
        let start_ms = browser::now_ms();
        let outcome = run(state, exchange, &question, text).await;
        exchange.figures.update(|figures| {
            figures.total_s = (browser::now_ms() - start_ms) / 1000.0;
        });
        exchange.end(match outcome {
            Ok(reason) => Progress::Done(reason),
            Err(JsError::Aborted) => Progress::Stopped,
            Err(JsError::Failed(reason)) => Progress::Failed(reason),
        });
    });
}

/// Runs one prompt about a text, or one for each of its pages; says why the last answer ended, or that one was
/// cut off.
async fn run(
    state: State,
    exchange: Exchange,
    question: &Question,
    text: TextId,
) -> Result<String, JsError> {
    let max_tokens = state
        .settings
        .with_untracked(|settings| settings.max_tokens);
    // The model first: pages are drawn in its style, which is known when it is there.
    let answerer = Answerer::find(state, exchange).await?;
    let pages = drawn_pages(state, exchange, text).await?;
    if !answerer.has_its_pages(state) {
        let reason = state.words().drawn_for_another(&answerer.name);
        return Err(JsError::Failed(reason));
    }
    exchange.asked_about(state, pages.len());
    let prompts: Vec<(&str, &[Blob])> = match question {
        Question::About(question) => {
            if let Some(reason) = untrack(|| refusal(state, answerer.limits)) {
                return Err(JsError::Failed(reason));
            }
            vec![(question, &pages)]
        }
        Question::ReadAll => pages.chunks(1).map(|page| (READ_QUESTION, page)).collect(),
    };
    let mut reason = String::new();
    for (question, pages) in prompts {
        let answer = Answer::begin(exchange);
        let prompt = Prompt {
            question,
            pages,
            max_tokens,
        };
        let ended = match &answerer.place {
            Place::Server { base } => {
                ask_server(state, answer, (base, &answerer.name), prompt).await?
            }
            Place::Tab { model, info } => ask_tab(state, answer, (model, info), prompt).await?,
        };
        // One page that was cut off makes the whole incomplete.
        if reason != Finish::Length.name() {
            reason = ended;
        }
    }
    Ok(reason)
}

/// One question about some pages.
#[derive(Clone, Copy)]
struct Prompt<'a> {
    question: &'a str,
    pages: &'a [Blob],
    max_tokens: usize,
}

/// All pages of a text, which are waited for; never those of another one that has taken its place.
async fn drawn_pages(state: State, exchange: Exchange, text: TextId) -> Result<Vec<Blob>, JsError> {
    let words = state.words();
    loop {
        // Before the tick: a text that is new is drawn from the next one on.
        let was_shown = text.is_shown();
        tick().await;
        if exchange.signal().is_some_and(|signal| signal.aborted()) {
            return Err(JsError::Aborted);
        }
        if text.is_shown() {
            let is_running = |drawing: &Drawing| matches!(drawing, Drawing::Running { .. });
            if state.drawing.with_untracked(is_running) {
                exchange.waiting(words.drawing.to_owned());
            } else if was_shown {
                break;
            }
        } else {
            let reading = state.reading.get_untracked();
            let Some(reading) = reading.filter(|reading| reading.text == text) else {
                let refusal = state.refused_text.get_untracked();
                let refusal = refusal.filter(|refusal| refusal.text == text);
                let reason = refusal.map(|refusal| refusal.reason);
                let reason = reason.unwrap_or_else(|| words.text_replaced.to_owned());
                return Err(JsError::Failed(reason));
            };
            exchange.waiting(reading.shown(words));
        }
        TimeoutFuture::new(LOOK_MS).await;
    }
    match state.drawing.get_untracked() {
        Drawing::Cancelled => return Err(JsError::Failed(words.drawing_incomplete.to_owned())),
        Drawing::Failed(reason) => return Err(JsError::Failed(words.drawing_failed(&reason))),
        Drawing::Idle | Drawing::Running { .. } | Drawing::Done(_) => {}
    }
    let pages = |tiles: &Vec<Tile>| tiles.iter().map(|tile| tile.blob.clone()).collect();
    let pages: Vec<Blob> = state.tiles.with_untracked(pages);
    if pages.is_empty() {
        return Err(JsError::Failed(words.no_pages_to_ask.to_owned()));
    }
    Ok(pages)
}

/// The answer to one prompt, and where it goes: an exchange may hold several. Cheap to copy.
#[derive(Clone, Copy)]
struct Answer {
    exchange: Exchange,
    /// When the prompt was sent on its way.
    start_ms: f64,
    /// Tokens of the prompts and answers before this one.
    prompt_tokens_before: usize,
    answer_tokens_before: usize,
}

impl Answer {
    fn begin(exchange: Exchange) -> Self {
        exchange.begin_prompt();
        let before = exchange.figures.get_untracked();
        Self {
            exchange,
            start_ms: browser::now_ms(),
            prompt_tokens_before: before.prompt_tokens.unwrap_or_default(),
            answer_tokens_before: before.answer_tokens,
        }
    }

    /// New text of the answer, and of what the model thinks, which has so many tokens by now.
    fn add(self, content: &str, reasoning: &str, tokens: usize, is_estimate: bool) {
        let now_ms = browser::now_ms();
        let Exchange {
            pace,
            figures,
            progress,
            ..
        } = self.exchange;
        pace.update_value(|pace| pace.note(now_ms, tokens));
        let has_text = !content.is_empty() || !reasoning.is_empty();
        if has_text && figures.with_untracked(|figures| figures.first_token_s.is_none()) {
            let first_token_s = (now_ms - self.start_ms) / 1000.0;
            figures.update(|figures| figures.first_token_s = Some(first_token_s));
            progress.set(Progress::Streaming);
        }
        figures.update(|figures| {
            figures.answer_tokens = self.answer_tokens_before + tokens;
            figures.is_estimate = is_estimate;
            figures.tokens_per_s = pace.with_value(Pace::tokens_per_s);
        });
        if has_text {
            self.exchange.add(content, reasoning);
        }
    }

    /// The exact numbers of tokens of prompt and answer, which come last.
    fn counted(self, prompt_tokens: usize, answer_tokens: usize) {
        let Exchange { pace, figures, .. } = self.exchange;
        pace.update_value(|pace| pace.correct(answer_tokens));
        figures.update(|figures| {
            figures.prompt_tokens = Some(self.prompt_tokens_before + prompt_tokens);
            figures.answer_tokens = self.answer_tokens_before + answer_tokens;
            figures.is_estimate = false;
            figures.tokens_per_s = pace.with_value(Pace::tokens_per_s);
        });
    }
}

async fn ask_server(
    state: State,
    answer: Answer,
    (base, model): (&str, &str),
    prompt: Prompt<'_>,
) -> Result<String, JsError> {
    let words = state.words();
    answer.exchange.place.set(words.on_server.to_owned());
    answer.exchange.waiting(words.waiting_server.to_owned());
    let request = ChatRequest {
        server: base,
        model,
        pages: prompt.pages,
        question: prompt.question,
        max_tokens: prompt.max_tokens,
        signal: answer.exchange.signal(),
    };
    let mut reason = Finish::Stop.name().to_owned();
    let mut n_pieces = 0;
    chat::chat(state, request, |piece| {
        // A piece is a token, or nearly so; the server's own count comes last.
        n_pieces += piece.n_pieces;
        if piece.n_pieces > 0 {
            answer.add(&piece.content, &piece.reasoning, n_pieces, true);
        }
        if let Some(finish_reason) = piece.finish_reason {
            reason = finish_reason;
        }
        if let Some(usage) = piece.usage {
            answer.counted(usage.prompt_tokens, usage.completion_tokens);
        }
    })
    .await?;
    Ok(reason)
}

#[derive(Deserialize)]
struct TokenPiece {
    text: String,
    tokens: usize,
}

#[derive(Deserialize)]
struct AskProgress {
    stage: AnswerStage,
    done: usize,
    of: usize,
}

async fn ask_tab(
    state: State,
    answer: Answer,
    (model, info): (&Model, &LoadedModel),
    prompt: Prompt<'_>,
) -> Result<String, JsError> {
    let words = state.words();
    let signal = answer.exchange.signal();
    let device = match info.adapter.as_deref() {
        Some(adapter) => format!("WebGPU ({adapter})"),
        None => words.on_cpu.to_owned(),
    };
    answer.exchange.place.set(device);
    answer.exchange.waiting(words.waiting_pages.to_owned());
    let options: AskOptions = api::options();
    options.set_pages(&prompt.pages.iter().collect());
    options.set_question(prompt.question);
    options.set_max_tokens(prompt.max_tokens as f64);
    if let Some(signal) = &signal {
        options.set_signal(signal);
    }
    let on_token = Closure::<dyn FnMut(JsValue)>::new(move |piece: JsValue| {
        if let Ok(TokenPiece { text, tokens }) = serde_wasm_bindgen::from_value(piece) {
            answer.add(&text, "", tokens, false);
        }
    });
    let on_progress = Closure::<dyn FnMut(JsValue)>::new(move |progress: JsValue| {
        let progress = serde_wasm_bindgen::from_value(progress);
        if let Ok(AskProgress { stage, done, of }) = progress {
            let words = state.words();
            let what = words.reading(stage == AnswerStage::Encode, done, of);
            answer.exchange.waiting(what);
        }
    });
    options.set_on_token(on_token.as_ref().unchecked_ref());
    options.set_on_progress(on_progress.as_ref().unchecked_ref());
    let summary = browser::awaited_of_worker::<AnswerSummary>(model.ask(&options), words).await;
    let summary = summary.map_err(|error| model::failure(state, model, error))?;
    answer.counted(summary.prompt_tokens, summary.answer_tokens);
    match summary.finish_reason {
        Finish::Cancelled => Err(JsError::Aborted),
        finish => Ok(finish.name().to_owned()),
    }
}
