//! An answer while it comes: whole, or as server-sent events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use glyph_engine::{Done, EngineError, Event, Events, Request, Token};
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
        let events = state.engine().submit(request)?;
        Ok(Self {
            events,
            log,
            metrics: state.metrics().clone(),
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
                    self.time_token();
                    return Ok(Step::Token(token));
                }
                Event::Done(done) => {
                    self.metrics.prompt(&done.usage);
                    self.log.done(done.usage);
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

    fn time_token(&mut self) {
        let now = Instant::now();
        match self.last_token.replace(now) {
            Some(last) => self.metrics.next_token((now - last).as_secs_f64()),
            None => {
                self.pixels = None;
                self.log.first_token();
                let seconds = (now - self.log.start()).as_secs_f64();
                self.metrics.first_token(seconds);
            }
        }
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
}

struct Sending<C> {
    answer: Answer,
    chunks: C,
    ready: VecDeque<SseEvent>,
    is_over: bool,
}

impl<C: Chunks> Sending<C> {
    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            match self.answer.next().await {
                Ok(Step::Token(token)) => {
                    let chunk = self.chunks.token(token);
                    self.ready.extend(chunk.as_ref().map(data));
                }
                Ok(Step::Done(done)) => {
                    self.ready.extend(self.chunks.end(&done).iter().map(data));
                    self.close();
                }
                Err(error) => {
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

/// Sends an answer as it comes. Whoever stops reading ends it.
pub fn stream<C: Chunks>(answer: Answer, mut chunks: C) -> Response {
    answer.log.streams();
    let ready = chunks.begin().as_ref().map(data).into_iter().collect();
    let sending = Sending {
        answer,
        chunks,
        ready,
        is_over: false,
    };
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
