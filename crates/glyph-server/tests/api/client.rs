//! Starting a server, and calling it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};
use glyph_engine::{Engine, EngineOptions, EngineState, Limits};
use glyph_model::config::GenerationConfig;
use glyph_model::{Checkpoint, ModelError};
use glyph_render::{FontLibrary, RenderStyle, Renderer};
use glyph_server::{Metrics, ServerConfig, serve};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub const MODEL: &str = "glyph-mini";
pub const CHAT: &str = "/v1/chat/completions";

/// A running server; it stops when the test ends.
pub struct Server {
    pub base: String,
    pub engine: Engine,
    pub http: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<std::io::Result<()>>,
}

/// What a test may choose.
pub struct Setup {
    pub config: ServerConfig,
    pub options: EngineOptions,
}

pub fn model_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini")
}

/// The model's own style.
pub fn model_style() -> RenderStyle {
    let json = std::fs::read_to_string(model_directory().join("render.json")).unwrap();
    RenderStyle::from_json(&json).unwrap()
}

/// glyph-mini, whose answers go on until they are as long as they may be: what a test sees must not depend on when the
/// weights have no more to say.
pub fn endless_model() -> Result<Checkpoint, ModelError> {
    let mut checkpoint = Checkpoint::open(&model_directory(), &Device::flex(), DType::F32, |_| {})?;
    let settings = Arc::get_mut(&mut checkpoint.settings).unwrap();
    settings.generation = GenerationConfig::default();
    assert!(settings.generation.stop_ids().is_empty());
    Ok(checkpoint)
}

impl Setup {
    pub fn new() -> Self {
        let renderer = Renderer::new(model_style(), FontLibrary::bundled()).unwrap();
        Self {
            config: ServerConfig {
                model_renderer: Some(renderer),
                ..ServerConfig::new(MODEL)
            },
            options: EngineOptions {
                limits: Limits {
                    max_batch: 4,
                    max_pages: 64,
                    max_context: None,
                    buffer_tokens: None,
                    device_bytes: 2 << 30,
                    headroom_bytes: 0,
                    largest_page_patches: 4096,
                },
                queue: 16,
                warm_up: false,
            },
        }
    }

    /// Starts the server; the model may still be loading.
    pub async fn begin(self) -> Server {
        self.begin_with(|on_share| {
            on_share(0.5);
            endless_model()
        })
        .await
    }

    /// The same with another way of loading.
    pub async fn begin_with(
        mut self,
        load: impl FnOnce(&mut dyn FnMut(f64)) -> Result<Checkpoint, ModelError> + Send + 'static,
    ) -> Server {
        self.config.max_pages = self.options.limits.max_pages;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let metrics = Metrics::new().unwrap();
        let engine = Engine::start(self.options, load, metrics.clone()).unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async {
            let _ = stopped.await;
        };
        let task = tokio::spawn(serve(
            listener,
            self.config,
            engine.clone(),
            metrics,
            shutdown,
        ));
        Server {
            base,
            engine,
            http: Client::builder().no_proxy().build().unwrap(),
            stop: Some(stop),
            task,
        }
    }

    /// Starts the server and waits until the model answers.
    pub async fn start(self) -> Server {
        let server = self.begin().await;
        assert_eq!(server.engine.settled().await, EngineState::Ready);
        server
    }
}

impl Server {
    pub async fn start() -> Self {
        Setup::new().start().await
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    pub async fn post(&self, path: &str, body: &Value) -> Response {
        let request = self.http.post(self.url(path)).json(body);
        request.send().await.unwrap()
    }

    /// A request that succeeds.
    pub async fn ask(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        assert_eq!(status, StatusCode::OK, "{answer}");
        answer
    }

    /// A streamed request: all its chunks.
    pub async fn stream(&self, path: &str, body: &Value) -> Vec<Value> {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let response = self.post(path, &body).await;
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        chunks(&response.text().await.unwrap())
    }

    /// Begins a streamed request, whose answer is not read yet.
    pub async fn open_stream(&self, body: &Value) -> Response {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let response = self.post(CHAT, &body).await;
        assert_eq!(response.status(), StatusCode::OK);
        response
    }

    /// A connection on which the head of a request has been sent, whose body is to have so many bytes.
    pub async fn begin_body(&self, n_bytes: usize) -> TcpStream {
        let address = self.base.strip_prefix("http://").unwrap();
        let mut connection = TcpStream::connect(address).await.unwrap();
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\n\
             content-length: {n_bytes}\r\n\r\n"
        );
        connection.write_all(head.as_bytes()).await.unwrap();
        connection
    }

    /// Tells the server to stop, as a signal does.
    pub fn begin_stop(&mut self) {
        self.stop.take().unwrap().send(()).unwrap();
    }

    /// Waits until it has stopped.
    pub async fn stopped(self) {
        self.ended().await.unwrap();
    }

    /// Waits until it has stopped, or failed.
    pub async fn ended(self) -> std::io::Result<()> {
        self.task.await.unwrap()
    }

    /// Waits until the engine is as asked.
    pub async fn until(&self, what: &str, is_so: impl Fn(&Engine) -> bool) {
        let start = Instant::now();
        while !is_so(&self.engine) {
            assert!(start.elapsed() < Duration::from_secs(20), "not yet: {what}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The chunks of a stream, which ends as it must.
pub fn chunks(text: &str) -> Vec<Value> {
    let mut lines: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("data: "))
        .collect();
    assert_eq!(lines.pop(), Some("[DONE]"), "{text}");
    let chunks = lines.iter().map(|line| serde_json::from_str(line).unwrap());
    chunks.collect()
}

/// Joins a key of the deltas.
pub fn joined(chunks: &[Value], key: &str) -> String {
    chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["delta"][key].as_str())
        .collect()
}

/// Checks an error's status, code and field.
#[track_caller]
pub fn is_error(status: StatusCode, body: &Value, expected: (u16, &str, Option<&str>)) {
    let error = &body["error"];
    let found = (
        status.as_u16(),
        error["code"].as_str().unwrap_or_default(),
        error["param"].as_str(),
    );
    assert_eq!(found, expected, "{body}");
    assert!(error["message"].as_str().unwrap().len() > 10, "{body}");
    assert!(error["type"].is_string(), "{body}");
}

impl Server {
    /// A request that is refused.
    pub async fn refuses(&self, path: &str, body: &Value, expected: (u16, &str, Option<&str>)) {
        let response = self.post(path, body).await;
        let status = response.status();
        is_error(status, &response.json().await.unwrap(), expected);
    }
}

/// A conversation of one question.
pub fn question(text: &str, max_tokens: usize) -> Value {
    json!({
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
    })
}

/// A conversation whose answer says what it has said once again and again.
pub fn long_answer(max_tokens: usize) -> Value {
    json!({
        "messages": [{"role": "user", "content": [
            {"type": "document", "text": "Twelve lamps for Anna Kern."},
            {"type": "text", "text": "Read the page."},
        ]}],
        "presence_penalty": -100,
        "max_tokens": max_tokens,
    })
}

/// The pages of a text in the model's style, as PNG data URLs.
pub fn page_urls(text: &str) -> Vec<String> {
    use base64::Engine as _;
    static RENDERER: OnceLock<Renderer> = OnceLock::new();
    let renderer =
        RENDERER.get_or_init(|| Renderer::new(model_style(), FontLibrary::bundled()).unwrap());
    renderer
        .png_pages(text)
        .map(|page| {
            let png = base64::prelude::BASE64_STANDARD.encode(page.unwrap().png);
            format!("data:image/png;base64,{png}")
        })
        .collect()
}

/// An image part.
pub fn image_part(url: &str) -> Value {
    json!({"type": "image_url", "image_url": {"url": url}})
}
