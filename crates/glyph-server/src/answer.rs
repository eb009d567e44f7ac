//! An answer while it comes: whole, or as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use glyph_engine::{Done, EngineError, Event, Events, Request, Token, Usage};
use serde::Serialize;
use utoipa::ToSchema;

use crate::error::ApiError;
use crate::images::PixelHold;
use crate::metrics::Metrics;
use crate::request_log::RequestLog;
use crate::state::AppState;

/// A comment is sent after so long without a token, so that nothing between here and the client gives up.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// An answer under way. Dropping it gives the request's place free.
pub struct Answer {
    events: Events,
    log: RequestLog,
    metrics: Metrics,
    /// Of the prompt, and of the answer as far as it has come.
    usage: Usage,
    last_token: Option<Instant>,
    /// Pages that the model has not seen yet.
    pixels: Option<PixelHold>,
}

/// What an answer is told as.
pub enum Step {
    /// The next token.
    Token(Token),
    /// The end.
    Done(Done),
}

impl Answer {
    /// Sends a request to the model.
    ///
    /// # Errors
    /// What [`glyph_engine::Engine::submit`] says.
    pub fn start(state: &AppState, request: Request, log: RequestLog) -> Result<Self, ApiError> {
        let usage = Usage {
            prompt_text_tokens: request.prepared.n_text_tokens(),
            prompt_image_tokens: request.prepared.n_image_tokens(),
            ..Usage::default()
        };
        let events = state.engine().submit(request)?;
        log.begins();
        Ok(Self {
            events,
            log,
            metrics: state.metrics().clone(),
            usage,
            last_token: None,
            pixels: None,
        })
    }

    /// Holds what the request's pages take, until the model has seen them.
    pub fn holding(mut self, pixels: PixelHold) -> Self {
        self.pixels = Some(pixels);
        self
    }

    /// What comes next; nothing comes behind [`Step::Done`] or an error.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn next(&mut self) -> Result<Step, ApiError> {
        loop {
            // A thread that has ended meanwhile sends no last word.
            let event = self.events.next().await;
            match event.unwrap_or(Event::Failed(EngineError::Stopped)) {
                Event::Queued { .. } | Event::Encoded { .. } | Event::Prefilled { .. } => {}
                Event::Started { waited_s, .. } => self.metrics.waited(waited_s),
                Event::Token(token) => {
                    self.time_token(token.chosen);
                    return Ok(Step::Token(token));
                }
                Event::Done(done) => {
                    self.metrics.prompt(&done.usage);
                    self.usage = done.usage;
                    self.log.done();
                    return Ok(Step::Done(done));
                }
                Event::Failed(error) => {
                    let error = ApiError::from(error);
                    self.log.failed(error.code());
                    return Err(error);
                }
            }
        }
    }

    fn time_token(&mut self, chosen: Instant) {
        match self.last_token.replace(chosen) {
            Some(last) => self.metrics.next_token((chosen - last).as_secs_f64()),
            None => {
                self.pixels = None;
                let seconds = (chosen - self.log.start()).as_secs_f64();
                self.log.first_token(seconds);
                self.metrics.first_token(seconds);
            }
        }
        self.usage.completion_tokens += 1;
        self.metrics.token();
    }

    /// Waits for all of it; `on_token` sees every token.
    ///
    /// # Errors
    /// When the request fails.
    pub async fn whole(mut self, mut on_token: impl FnMut(Token)) -> Result<Done, ApiError> {
        loop {
            match self.next().await? {
                Step::Token(token) => on_token(token),
                Step::Done(done) => return Ok(done),
            }
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        // Also where nobody has waited for its end.
        self.log.took(self.usage);
    }
}

/// An event of a stream, as the OpenAPI document describes it.
#[derive(Debug, Clone, Serialize, ToSchema)]
pub struct StreamEvent {
    /// A chunk of the answer (`ChatCompletionChunk`, `Completion`) as JSON, or an error's object; at the end `[DONE]`.
    #[schema(example = "[DONE]")]
    pub data: String,
}

/// How an answer is cut into chunks.
pub trait Chunks: Send + 'static {
    /// One of them.
    type Chunk: Serialize;
    /// Before the first token.
    fn begin(&mut self) -> Option<Self::Chunk>;
    /// For a token.
    fn token(&mut self, token: Token) -> Option<Self::Chunk>;
    /// For the end.
    fn end(&mut self, done: &Done) -> Vec<Self::Chunk>;
    /// Behind the last answer of a request, for what they all took.
    fn usage(&self, usage: Usage) -> Option<Self::Chunk>;
}

/// An answer that has taken its next step.
type Stepped<C> = (Answer, C, Result<Step, ApiError>);

struct Sending<C> {
    /// Those that go on, each waiting for its next step.
    answers: FuturesUnordered<BoxFuture<'static, Stepped<C>>>,
    usage: Usage,
    ready: VecDeque<SseEvent>,
    is_over: bool,
}

impl<C: Chunks> Sending<C> {
    fn wait_for(&self, mut answer: Answer, chunks: C) {
        self.answers.push(Box::pin(async move {
            let step = answer.next().await;
            (answer, chunks, step)
        }));
    }

    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            let Some((answer, mut chunks, step)) = self.answers.next().await else {
                self.close();
                continue;
            };
            match step {
                Ok(Step::Token(token)) => {
                    let chunk = chunks.token(token);
                    self.ready.extend(chunk.as_ref().map(data));
                    self.wait_for(answer, chunks);
                }
                Ok(Step::Done(done)) => {
                    self.usage += done.usage;
                    self.ready.extend(chunks.end(&done).iter().map(data));
                    if self.answers.is_empty() {
                        let usage = chunks.usage(self.usage);
                        self.ready.extend(usage.as_ref().map(data));
                        self.close();
                    }
                }
                Err(error) => {
                    self.answers.clear();
                    self.ready.push_back(data(&error.body()));
                    self.close();
                }
            }
        }
    }

    fn close(&mut self) {
        self.ready.push_back(SseEvent::default().data("[DONE]"));
        self.is_over = true;
    }
}

fn data(chunk: &impl Serialize) -> SseEvent {
    match serde_json::to_string(chunk) {
        Ok(json) => SseEvent::default().data(json),
        // Answers hold nothing that JSON has no word for; a comment is passed over by every client.
        Err(error) => SseEvent::default().comment(error.to_string()),
    }
}

/// Sends the answers to a request as they come. Whoever stops reading ends them.
pub fn stream<C: Chunks>(answers: Vec<(Answer, C)>) -> Response {
    let mut sending = Sending {
        answers: FuturesUnordered::new(),
        usage: Usage::default(),
        ready: VecDeque::new(),
        is_over: false,
    };
    for (answer, mut chunks) in answers {
        answer.log.streams();
        sending.ready.extend(chunks.begin().as_ref().map(data));
        sending.wait_for(answer, chunks);
    }
    let events = futures::stream::unfold(sending, |mut sending| async move {
        let event = sending.next().await?;
        Some((Ok::<_, Infallible>(event), sending))
    });
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
    // Proxies that collect answers would hold the tokens back.
    response.headers_mut().insert(
        axum::http::HeaderName::from_static("x-accel-buffering"),
        axum::http::HeaderValue::from_static("no"),
    );
    response
}
