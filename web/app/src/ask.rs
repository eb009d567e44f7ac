//! From a question to an answer: by the server or by the model in this tab.

use std::sync::Arc;

use gloo_timers::future::TimeoutFuture;
use glyph_web_core::messages::{AnswerSummary, LoadedModel};
use glyph_web_core::settings::Runner;
use js_sys::Function;
use leptos::prelude::*;
use leptos::task::{spawn_local, tick};
use serde::Deserialize;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{AbortSignal, Blob};

use crate::api::{self, AskOptions, Model};
use crate::browser::{self, JsError};
use crate::exchange::{Exchange, Progress};
use crate::limits::limit;
use crate::model::{self, TabModel};
use crate::server::{self, ChatRequest};
use crate::state::{Drawing, State, Tile};

/// The question that a model is asked about each page when all of them are to be read.
pub const READ_QUESTION: &str = "Read the page.";

/// Between two looks at a drawing that is waited for.
const LOOK_MS: u32 = 50;

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
    let exchange = Exchange::new(id, &shown, name, words.waiting_start);
    state
        .exchanges
        .update(|exchanges| exchanges.insert(0, exchange));
    spawn_local(async move {
        let start_ms = browser::now_ms();
        let outcome = run(state, exchange, &question, start_ms).await;
        exchange.figures.update(|figures| {
            figures.total_s = (browser::now_ms() - start_ms) / 1000.0;
        });
        exchange.progress.set(match outcome {
            Ok(reason) => Progress::Done(reason),
            Err(JsError::Aborted) => Progress::Stopped,
            Err(JsError::Failed(reason)) => Progress::Failed(reason),
        });
    });
}

/// Who answers all prompts of a question, whatever the person chooses meanwhile.
enum Answerer {
    Server {
        /// Its address.
        route: String,
        model: String,
    },
    Tab {
        model: Model,
        info: Arc<LoadedModel>,
    },
}

/// Runs one prompt or one for each page; says why the last answer ended.
async fn run(
    state: State,
    exchange: Exchange,
    question: &Question,
    start_ms: f64,
) -> Result<String, JsError> {
    let settings = state.settings.get_untracked();
    let first = Answer::new(exchange, start_ms);
    // The model first: pages are drawn in its style, which is known when it is there.
    let answerer = match untrack(|| state.runner()) {
        Runner::Server => {
            let chosen = settings.server_model.as_deref();
            let model = state.server.with_untracked(|server| server.model(chosen));
            let not_ready = || JsError::Failed(state.words().server_not_ready.to_owned());
            Answerer::Server {
                route: settings.server_route(""),
                model: model.ok_or_else(not_ready)?,
            }
        }
        Runner::Tab => {
            let (model, info) = loaded(state, first).await?;
            Answerer::Tab { model, info }
        }
    };
    let pages = drawn_pages(state, first).await?;
    exchange.asked_about(state, pages.len());
    let prompts: Vec<(&str, &[Blob])> = match question {
        Question::About(question) => {
            if let Some(limit) = untrack(|| limit(state)) {
                return Err(JsError::Failed(limit));
            }
            vec![(question, &pages)]
        }
        Question::ReadAll => pages.chunks(1).map(|page| (READ_QUESTION, page)).collect(),
    };
    let max_tokens = settings.max_tokens;
    let mut reason = String::new();
    for (index, (question, pages)) in prompts.into_iter().enumerate() {
        if index > 0 {
            exchange.raw.update(|text| text.push('\n'));
        }
        let answer = Answer::new(exchange, start_ms);
        let prompt = Prompt {
            question,
            pages,
            max_tokens,
        };
        reason = match &answerer {
            Answerer::Server { route, model } => {
                ask_server(state, answer, (route, model), prompt).await?
            }
            Answerer::Tab { model, info } => ask_tab(state, answer, (model, info), prompt).await?,
        };
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

/// The text's pages, all of them, in the style of who answers.
async fn drawn_pages(state: State, answer: Answer) -> Result<Vec<Blob>, JsError> {
    let words = state.words();
    loop {
        // What has just changed is drawn from the next tick on.
        tick().await;
        if answer.signal().is_some_and(|signal| signal.aborted()) {
            return Err(JsError::Aborted);
        }
        let is_running = |drawing: &Drawing| matches!(drawing, Drawing::Running { .. });
        if !state.drawing.with_untracked(is_running) {
            break;
        }
        answer.waiting(words.drawing.to_owned());
        TimeoutFuture::new(LOOK_MS).await;
    }
    if state
        .drawing
        .with_untracked(|drawing| *drawing == Drawing::Cancelled)
    {
        return Err(JsError::Failed(words.drawing_incomplete.to_owned()));
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
    start_ms: f64,
    /// Tokens of the prompts and answers before this one.
    prompt_tokens_before: usize,
    answer_tokens_before: usize,
}

impl Answer {
    fn new(exchange: Exchange, start_ms: f64) -> Self {
        let before = exchange.figures.get_untracked();
        Self {
            exchange,
            start_ms,
            prompt_tokens_before: before.prompt_tokens.unwrap_or_default(),
            answer_tokens_before: before.answer_tokens,
        }
    }

    fn seconds(self) -> f64 {
        (browser::now_ms() - self.start_ms) / 1000.0
    }

    /// What ends it when the person wants that.
    fn signal(self) -> Option<AbortSignal> {
        let abort = self.exchange.abort;
        abort.with_value(|abort| abort.as_ref().map(web_sys::AbortController::signal))
    }

    /// What is being done before the first word.
    fn waiting(self, what: String) {
        self.exchange.progress.update(|progress| {
            if matches!(progress, Progress::Waiting(_)) {
                *progress = Progress::Waiting(what);
            }
        });
    }

    /// New text of the answer, and of what the model thinks.
    fn add(self, content: &str, reasoning: &str) {
        if content.is_empty() && reasoning.is_empty() {
            return;
        }
        let exchange = self.exchange;
        let figures = exchange.figures;
        if figures.with_untracked(|figures| figures.first_token_s.is_none()) {
            figures.update(|figures| figures.first_token_s = Some(self.seconds()));
            exchange.progress.set(Progress::Streaming);
        }
        exchange.reasoning.update(|text| text.push_str(reasoning));
        exchange.raw.update(|text| text.push_str(content));
    }

    /// Tokens of the prompt, once they are known, and of the answer so far.
    fn count(self, prompt_tokens: Option<usize>, answer_tokens: usize, is_estimate: bool) {
        let now_s = self.seconds();
        self.exchange.figures.update(|figures| {
            if let Some(prompt_tokens) = prompt_tokens {
                figures.prompt_tokens = Some(self.prompt_tokens_before + prompt_tokens);
            }
            figures.answer_tokens = self.answer_tokens_before + answer_tokens;
            figures.is_estimate = is_estimate;
            figures.tokens_per_s = rate(figures.answer_tokens, figures.first_token_s, now_s);
        });
    }
}

/// Tokens per second after the first of them.
fn rate(tokens: usize, first_s: Option<f64>, end_s: f64) -> Option<f64> {
    let decode_s = end_s - first_s?;
    (tokens > 1 && decode_s > 0.0).then(|| (tokens - 1) as f64 / decode_s)
}

async fn ask_server(
    state: State,
    answer: Answer,
    (route, model): (&str, &str),
    prompt: Prompt<'_>,
) -> Result<String, JsError> {
    let words = state.words();
    answer.exchange.place.set(words.on_server.to_owned());
    answer.waiting(words.waiting_server.to_owned());
    let request = ChatRequest {
        server: route,
        model,
        pages: prompt.pages,
        question: prompt.question,
        max_tokens: prompt.max_tokens,
        signal: answer.signal(),
    };
    let mut reason = "stop".to_owned();
    let mut n_pieces = 0;
    server::chat(state, request, |piece| {
        answer.add(&piece.content, &piece.reasoning);
        // A piece is a token, or nearly so; the server's own count comes last.
        n_pieces += piece.n_pieces;
        answer.count(None, n_pieces, true);
        if let Some(finish_reason) = piece.finish_reason {
            reason = finish_reason;
        }
        if let Some(usage) = piece.usage {
            answer.count(Some(usage.prompt_tokens), usage.completion_tokens, false);
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
    stage: String,
    done: usize,
    of: usize,
}

/// The model in this tab, loaded where it is not there.
async fn loaded(state: State, answer: Answer) -> Result<(Model, Arc<LoadedModel>), JsError> {
    let words = state.words();
    answer.waiting(words.waiting_model.to_owned());
    // Who stops an answer does not wait for the model either.
    let stop = Closure::<dyn FnMut()>::new(move || model::unload(state));
    let signal = answer.signal();
    let on_abort = |stop: Option<&Function>| {
        if let Some(signal) = &signal {
            signal.set_onabort(stop);
        }
    };
    on_abort(Some(stop.as_ref().unchecked_ref()));
    let loaded = model::ready(state).await;
    on_abort(None);
    loaded.map_err(|error| {
        let reason = format!("{}{error}", words.model_failed);
        error.or(reason)
    })
}

async fn ask_tab(
    state: State,
    answer: Answer,
    (model, info): (&Model, &LoadedModel),
    prompt: Prompt<'_>,
) -> Result<String, JsError> {
    let words = state.words();
    let signal = answer.signal();
    let device = match info.adapter.as_deref() {
        Some(adapter) => format!("WebGPU ({adapter})"),
        None => words.on_cpu.to_owned(),
    };
    answer.exchange.place.set(device);
    answer.waiting(words.waiting_pages.to_owned());
    let options: AskOptions = api::options();
    options.set_pages(&prompt.pages.iter().collect());
    options.set_question(prompt.question);
    options.set_max_tokens(prompt.max_tokens as f64);
    if let Some(signal) = &signal {
        options.set_signal(signal);
    }
    let on_token = Closure::<dyn FnMut(JsValue)>::new(move |piece: JsValue| {
        if let Ok(TokenPiece { text, tokens }) = serde_wasm_bindgen::from_value(piece) {
            answer.add(&text, "");
            answer.count(None, tokens, false);
        }
    });
    let on_progress = Closure::<dyn FnMut(JsValue)>::new(move |progress: JsValue| {
        let progress = serde_wasm_bindgen::from_value(progress);
        if let Ok(AskProgress { stage, done, of }) = progress {
            let words = state.words();
            answer.waiting(words.reading(stage == "encode", done, of));
        }
    });
    options.set_on_token(on_token.as_ref().unchecked_ref());
    options.set_on_progress(on_progress.as_ref().unchecked_ref());
    let summary = browser::awaited_of_worker::<AnswerSummary>(model.ask(&options), words).await;
    let summary = summary.map_err(|error| {
        // The next question loads it anew.
        if model.is_closed() && error != JsError::Aborted {
            state.model.set(TabModel::Failed(error.to_string()));
            let reason = words.model_crashed(&error.to_string());
            return error.or(reason);
        }
        error
    })?;
    answer.count(Some(summary.prompt_tokens), summary.answer_tokens, false);
    if summary.finish_reason == "cancelled" {
        return Err(JsError::Aborted);
    }
    Ok(summary.finish_reason)
}
