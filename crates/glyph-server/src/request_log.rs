//! One line of the access log, and one sample of the metrics, per request.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use glyph_engine::Usage;

use crate::error::Code;
use crate::metrics::Metrics;
use crate::request_id::RequestId;
use crate::state::AppState;

/// Routes of what is no route: within the API, and elsewhere, where the files of the page are.
const NO_ROUTE_OF_API: &str = "/v1/*";
const NO_ROUTE: &str = "/*";

/// Of the path of what is no route so much is logged.
const MOST_PATH_CHARS: usize = 120;

/// Status in log and metrics of a request whose client went away before the answer.
const CLIENT_CLOSED: u16 = 499;

/// Notes what becomes of a request; it is written when the last clone is gone, which is the end of a streamed answer.
#[derive(Clone)]
pub struct RequestLog(Arc<Entry>);

struct Entry {
    method: Method,
    /// One of a few, for counting.
    route: String,
    /// For the log: a route as it is declared, whose parameters are the client's own affair, or else the path as it was
    /// asked for, without its query.
    path: String,
    id: String,
    start: Instant,
    metrics: Metrics,
    figures: Mutex<Figures>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Figures {
    status: Option<StatusCode>,
    code: Option<Code>,
    usage: Option<Usage>,
    first_token_s: Option<f64>,
    /// Answers that have begun, and those of them that have ended.
    n_answers: usize,
    n_ended: usize,
    streams: bool,
}

impl RequestLog {
    fn new(request: &Request, metrics: Metrics) -> Self {
        let route = request.extensions().get::<MatchedPath>();
        let (route, path) = match route.map(MatchedPath::as_str) {
            Some(route) => (route.to_owned(), route.to_owned()),
            None => unmatched(request.uri().path()),
        };
        let id = request.extensions().get::<RequestId>();
        metrics.request_began();
        Self(Arc::new(Entry {
            method: request.method().clone(),
            route,
            path,
            id: id.map(|id| id.0.clone()).unwrap_or_default(),
            start: Instant::now(),
            metrics,
            figures: Mutex::default(),
        }))
    }

    fn note(&self, change: impl FnOnce(&mut Figures)) {
        change(
            &mut self
                .0
                .figures
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        );
    }

    /// When the request came.
    pub fn start(&self) -> Instant {
        self.0.start
    }

    /// The answer is a stream: it is whole when its end has been noted.
    pub fn streams(&self) {
        self.note(|figures| figures.streams = true);
    }

    /// An answer has begun.
    pub fn begins(&self) {
        self.note(|figures| figures.n_answers += 1);
    }

    /// The first token of an answer was chosen `seconds` behind the request.
    pub fn first_token(&self, seconds: f64) {
        self.note(|figures| {
            figures.first_token_s.get_or_insert(seconds);
        });
    }

    /// An answer has ended.
    pub fn done(&self) {
        self.note(|figures| figures.n_ended += 1);
    }

    /// What an answer took, whether it came to its end or not.
    pub fn took(&self, usage: Usage) {
        self.note(|figures| *figures.usage.get_or_insert_default() += usage);
    }

    /// An answer has failed after it had begun, and the others with it.
    pub fn failed(&self, code: Code) {
        self.note(|figures| {
            figures.code = Some(code);
            figures.n_ended = figures.n_answers;
        });
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let figures = *self
            .figures
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let seconds = self.start.elapsed().as_secs_f64();
        let is_cut = figures.streams && figures.n_ended < figures.n_answers;
        let status = match figures.status {
            Some(status) if !is_cut => status.as_u16(),
            _ => CLIENT_CLOSED,
        };
        let code = figures.code.map(Code::name);
        self.metrics
            .request_ended(&self.route, status, code, seconds);
        let usage = figures.usage.unwrap_or_default();
        tracing::info!(
            target: "glyph_server::access",
            method = self.method.as_str(),
            path = self.path,
            status,
            code,
            prompt_tokens = figures.usage.map(|_| usage.prompt_tokens()),
            image_tokens = figures.usage.map(|_| usage.prompt_image_tokens),
            completion_tokens = figures.usage.map(|_| usage.completion_tokens),
            first_token_s = figures.first_token_s,
            seconds,
            request_id = self.id,
            "request"
        );
    }
}

/// Route and path of what is no route.
fn unmatched(path: &str) -> (String, String) {
    let is_of_api = path == "/v1" || path.starts_with("/v1/");
    let route = if is_of_api { NO_ROUTE_OF_API } else { NO_ROUTE };
    let is_plain = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    let path = path.chars().take(MOST_PATH_CHARS).map(is_plain).collect();
    (route.to_owned(), path)
}

/// Logs and counts every request.
pub async fn log_requests(
    State(state): State<AppState>,
    mut request: Request,
    next: Next,
) -> Response {
    let log = RequestLog::new(&request, state.metrics().clone());
    request.extensions_mut().insert(log.clone());
    let response = next.run(request).await;
    let code = response.extensions().get::<Code>().copied();
    log.note(|figures| {
        figures.status = Some(response.status());
        figures.code = figures.code.or(code);
    });
    response
}
