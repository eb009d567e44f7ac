//! From a question to an answer: by the server or by the model in this tab.

use glyph_web_core::messages::AnswerSummary;
use glyph_web_core::settings::Runner;
use leptos::prelude::*;
use leptos::task::spawn_local;
use serde::Deserialize;
use wasm_bindgen::prelude::Closure;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

use crate::api::{self, AskOptions};
use crate::browser::{self, JsError};
use crate::exchange::{Exchange, Figures, Progress};
use crate::model;
use crate::server::{self, ChatError, ChatRequest};
use crate::state::State;

/// The question that a model is asked about each page when all of them are to be read.
pub const READ_QUESTION: &str = "Read the page.";

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
    let pages: Vec<Blob> = state
        .tiles
        .with_untracked(|tiles| tiles.iter().map(|tile| tile.blob.clone()).collect());
    let words = state.words();
    let shown = match &question {
        Question::ReadAll => words.preset_read.to_owned(),
        Question::About(question) => question.clone(),
    };
    let id = state.exchanges.with_untracked(Vec::len);
    let name = state.model_name();
    let exchange = Exchange::new(id, &shown, name, pages.len(), words.waiting_start);
    state
        .exchanges
        .update(|exchanges| exchanges.insert(0, exchange));
    spawn_local(async move {
        let clock = Clock::new();
        let outcome = run(state, exchange, &question, pages, &clock).await;
        exchange
            .figures
            .update(|figures| figures.total_s = clock.seconds());
        exchange.progress.set(match outcome {
            Ok(reason) => Progress::Done(reason),
            Err(ChatError::Aborted) => Progress::Stopped,
            Err(ChatError::Gone) => {
                let has_words = !exchange.raw.read_untracked().is_empty();
                let words = state.words();
                let reason = if has_words {
                    words.server_broke_off
                } else {
                    words.server_gone
                };
                Progress::Failed(reason.to_owned())
            }
            Err(ChatError::Refused(reason)) => Progress::Failed(reason),
        });
    });
}

/// Measures an exchange.
struct Clock {
    start_ms: f64,
}

impl Clock {
    fn new() -> Self {
        Self {
            start_ms: browser::now_ms(),
        }
    }

    fn seconds(&self) -> f64 {
        (browser::now_ms() - self.start_ms) / 1000.0
    }
}

/// Runs one prompt or one for each page; says why the last answer ended.
async fn run(
    state: State,
    exchange: Exchange,
    question: &Question,
    pages: Vec<Blob>,
    clock: &Clock,
) -> Result<String, ChatError> {
    let question = match question {
        Question::About(question) => {
            return prompt(state, exchange, question, &pages, clock).await;
        }
        Question::ReadAll => READ_QUESTION,
    };
    let mut reason = String::new();
    for (index, page) in pages.iter().enumerate() {
        if index > 0 {
            exchange.raw.update(|text| text.push('\n'));
        }
        let one = std::slice::from_ref(page);
        reason = prompt(state, exchange, question, one, clock).await?;
    }
    Ok(reason)
}

async fn prompt(
    state: State,
    exchange: Exchange,
    question: &str,
    pages: &[Blob],
    clock: &Clock,
) -> Result<String, ChatError> {
    match state.runner() {
        Runner::Server => ask_server(state, exchange, question, pages, clock).await,
        Runner::Tab => ask_tab(state, exchange, question, pages, clock).await,
    }
}

fn waiting(exchange: Exchange, what: String) {
    exchange.progress.update(|progress| {
        if matches!(progress, Progress::Waiting(_)) {
            *progress = Progress::Waiting(what);
        }
    });
}

fn first_word(exchange: Exchange, clock: &Clock) {
    let first = exchange
        .figures
        .with_untracked(|figures| figures.first_token_s);
    if first.is_none() {
        exchange
            .figures
            .update(|figures| figures.first_token_s = Some(clock.seconds()));
        exchange.progress.set(Progress::Streaming);
    }
}

/// Tokens per second after the first of them.
fn rate(tokens: usize, first_s: Option<f64>, end_s: f64) -> Option<f64> {
    let decode_s = end_s - first_s?;
    (tokens > 1 && decode_s > 0.0).then(|| (tokens - 1) as f64 / decode_s)
}

async fn ask_server(
    state: State,
    exchange: Exchange,
    question: &str,
    pages: &[Blob],
    clock: &Clock,
) -> Result<String, ChatError> {
    let words = state.words();
    let settings = state.settings.get_untracked();
    let model = state
        .server
        .with_untracked(|server| server.model(settings.server_model.as_deref()));
    let model = model.ok_or_else(|| ChatError::Refused(words.server_not_ready.to_owned()))?;
    exchange.place.set(words.on_server.to_owned());
    waiting(exchange, words.waiting_server.to_owned());
    let request = ChatRequest {
        model: &model,
        pages,
        question,
        max_tokens: settings.max_tokens,
        signal: exchange
            .abort
            .with_value(|abort| abort.as_ref().map(web_sys::AbortController::signal)),
    };
    let before = exchange.figures.get_untracked();
    let mut reason = "stop".to_owned();
    let mut pieces = 0;
    server::chat(state, request, |piece| {
        if !piece.content.is_empty() || !piece.reasoning.is_empty() {
            first_word(exchange, clock);
            pieces += 1;
            exchange
                .reasoning
                .update(|text| text.push_str(&piece.reasoning));
            exchange.raw.update(|text| text.push_str(&piece.content));
        }
        if let Some(finish_reason) = piece.finish_reason {
            reason = finish_reason;
        }
        if let Some(usage) = piece.usage {
            let now_s = clock.seconds();
            exchange.figures.update(|figures| {
                let prompt_tokens = before.prompt_tokens.unwrap_or_default() + usage.prompt_tokens;
                figures.prompt_tokens = Some(prompt_tokens);
                figures.answer_tokens = before.answer_tokens + usage.completion_tokens;
                let (tokens, first_s) = (figures.answer_tokens, figures.first_token_s);
                figures.tokens_per_s = rate(tokens, first_s, now_s);
            });
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

async fn ask_tab(
    state: State,
    exchange: Exchange,
    question: &str,
    pages: &[Blob],
    clock: &Clock,
) -> Result<String, ChatError> {
    let words = state.words();
    waiting(exchange, words.waiting_model.to_owned());
    let loading = model::ready(state).await;
    let (model, info) = loading.map_err(|error| refused(error, words.model_failed))?;
    let device = match info.adapter.as_deref() {
        Some(adapter) => format!("WebGPU ({adapter})"),
        None => words.on_cpu.to_owned(),
    };
    exchange.place.set(device);
    waiting(exchange, words.waiting_pages.to_owned());
    let options: AskOptions = api::options();
    options.set_pages(&pages.iter().collect());
    options.set_question(question);
    let max_tokens = state
        .settings
        .with_untracked(|settings| settings.max_tokens);
    options.set_max_tokens(max_tokens as f64);
    exchange.abort.with_value(|abort| {
        if let Some(abort) = abort {
            options.set_signal(&abort.signal());
        }
    });
    let before = exchange.figures.get_untracked();
    let start_ms = clock.start_ms;
    let on_token = Closure::<dyn FnMut(JsValue)>::new(move |piece: JsValue| {
        let Ok(TokenPiece { text, tokens }) = serde_wasm_bindgen::from_value(piece) else {
            return;
        };
        let clock = Clock { start_ms };
        first_word(exchange, &clock);
        exchange.raw.update(|raw| raw.push_str(&text));
        let now_s = clock.seconds();
        exchange.figures.update(|figures| {
            figures.answer_tokens = before.answer_tokens + tokens;
            figures.tokens_per_s = rate(figures.answer_tokens, figures.first_token_s, now_s);
        });
    });
    let on_progress = Closure::<dyn FnMut(JsValue)>::new(move |progress: JsValue| {
        let progress = serde_wasm_bindgen::from_value(progress);
        if let Ok(AskProgress { stage, done, of }) = progress {
            let words = state.words();
            waiting(exchange, words.reading(stage == "encode", done, of));
        }
    });
    options.set_on_token(on_token.as_ref().unchecked_ref());
    options.set_on_progress(on_progress.as_ref().unchecked_ref());
    let answer = browser::awaited::<AnswerSummary>(model.ask(&options)).await;
    let answer = answer.map_err(|error| refused(error, ""))?;
    exchange.figures.update(|figures: &mut Figures| {
        let prompt_tokens = before.prompt_tokens.unwrap_or_default() + answer.prompt_tokens;
        figures.prompt_tokens = Some(prompt_tokens);
        figures.answer_tokens = before.answer_tokens + answer.answer_tokens;
    });
    if answer.finish_reason == "cancelled" {
        return Err(ChatError::Aborted);
    }
    Ok(answer.finish_reason)
}

fn refused(error: JsError, what: &str) -> ChatError {
    match error {
        JsError::Aborted => ChatError::Aborted,
        JsError::Failed(reason) => ChatError::Refused(format!("{what}{reason}")),
    }
}
