//! From loading to the end.

use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use futures::executor::block_on;
use glyph_engine::{EngineState, Request};
use glyph_model::generate::{Generation, PREFILL_CHUNK, SamplingParams, StopParams};
use glyph_model::prompt::Message;
use glyph_model::{Checkpoint, ModelError};
use serde_json::Value;
use tokio::net::TcpStream;

use crate::client::{
    CHAT, Server, Setup, chunks, endless_model, is_error, joined, long_answer, question,
};

async fn state(server: &Server, path: &str) -> (u16, Value) {
    let response = server.get(path).await;
    let status = response.status().as_u16();
    (status, response.json().await.unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_model_loads_the_server_says_so() {
    let (go, wait) = channel::<()>();
    let server = Setup::new()
        .begin_with(move |on_share| {
            on_share(0.25);
            wait.recv().unwrap();
            endless_model()
        })
        .await;
    server
        .until("a quarter is loaded", |engine| {
            engine.state() == EngineState::Loading { done: 0.25 }
        })
        .await;
    let (status, body) = state(&server, "/health").await;
    assert_eq!((status, &body["state"]), (200, &"loading".into()));
    let (status, body) = state(&server, "/ready").await;
    assert_eq!((status, &body["progress"]), (503, &0.25.into()), "{body}");
    let response = server.post(CHAT, &question("Hello", 1)).await;
    assert!(response.headers().contains_key("retry-after"));
    let status = response.status();
    is_error(
        status,
        &response.json().await.unwrap(),
        (503, "model_loading", None),
    );
    let (status, _) = state(&server, "/v1/models").await;
    assert_eq!(status, 200);
    go.send(()).unwrap();
    assert_eq!(server.engine.settled().await, EngineState::Ready);
    let (status, body) = state(&server, "/ready").await;
    assert_eq!((status, &body["state"]), (200, &"ready".into()));
    server.ask(CHAT, &question("Hello", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_cannot_be_loaded_is_told_with_the_reason() {
    let server = Setup::new()
        .begin_with(|_| {
            Err(ModelError::MissingFile {
                file: "tokenizer.json".to_owned(),
            })
        })
        .await;
    server.engine.settled().await;
    let (status, body) = state(&server, "/ready").await;
    assert_eq!((status, &body["state"]), (503, &"failed".into()));
    assert!(body["reason"].as_str().unwrap().contains("tokenizer.json"));
    assert_eq!(state(&server, "/health").await.0, 200);
    server
        .refuses(CHAT, &question("Hello", 1), (503, "model_failed", None))
        .await;
}

/// A model that is ready, and fails with the first request.
fn failing_model() -> Result<Checkpoint, ModelError> {
    let mut checkpoint = endless_model()?;
    // The keys and values of requests are made for one layer more, so that no step succeeds.
    checkpoint.model.model.language_model.layers.pop();
    Ok(checkpoint)
}

async fn failing_server() -> Server {
    let server = Setup::new().begin_with(|_| failing_model()).await;
    assert_eq!(server.engine.settled().await, EngineState::Ready);
    server
}

async fn fails(server: &Server) {
    server
        .refuses(CHAT, &question("Hello", 1), (500, "device_error", None))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_can_be_run_no_longer_ends_the_server() {
    let server = failing_server().await;
    fails(&server).await;
    let error = server.ended().await.unwrap_err().to_string();
    assert!(error.contains("can be run no longer"), "{error}");
}

/// There is one thread, and this test does not let go of it before the model has failed.
#[tokio::test]
async fn a_model_that_fails_before_the_server_has_seen_it_ready_ends_the_server() {
    let server = Setup::new().begin_with(|_| failing_model()).await;
    let engine = &server.engine;
    assert_eq!(block_on(engine.settled()), EngineState::Ready);
    let prepared = engine
        .prepare_chat(&[Message::pages_and_question(0, "Hello")], Vec::new())
        .unwrap();
    let request = Request {
        prepared,
        generation: Generation {
            sampling: SamplingParams::default(),
            stop: StopParams::default(),
            max_new_tokens: 1,
            prefill_chunk: PREFILL_CHUNK,
            keep_special_tokens: false,
        },
        top_logprobs: None,
        caller: String::new(),
    };
    let _events = engine.submit(request).unwrap();
    block_on(engine.stopped());
    let error = server.ended().await.unwrap_err().to_string();
    assert!(error.contains("can be run no longer"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_does_not_keep_a_failed_server() {
    let server = failing_server().await;
    let slow = server.begin_body(1000).await;
    fails(&server).await;
    let start = Instant::now();
    assert!(server.ended().await.is_err());
    // Running answers would have half a minute.
    let seconds = start.elapsed().as_secs();
    assert!((3..15).contains(&seconds), "{seconds} s");
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_signal_to_stop_ends_a_failed_server_at_once() {
    let mut server = failing_server().await;
    let slow = server.begin_body(1000).await;
    fails(&server).await;
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    // It has seen the failure when it takes no connections any more.
    let start = Instant::now();
    while TcpStream::connect(&address).await.is_ok() {
        assert!(start.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let start = Instant::now();
    server.begin_stop();
    let error = server.ended().await.unwrap_err().to_string();
    assert!(error.contains("can be run no longer"), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    drop(slow);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_is_finished_before_the_end() {
    let mut server = Server::start().await;
    let mut stream = server.open_stream(&long_answer(600)).await;
    let mut text = Vec::new();
    text.extend(stream.chunk().await.unwrap().unwrap());
    server
        .until("it runs", |engine| engine.stats().running == 1)
        .await;
    server.begin_stop();
    server
        .until("it drains", |engine| {
            engine.state() == EngineState::Draining
        })
        .await;
    let (status, body) = state(&server, "/ready").await;
    assert_eq!((status, &body["state"]), (503, &"draining".into()));
    server
        .refuses(CHAT, &question("Hello", 1), (503, "server_draining", None))
        .await;
    while let Some(chunk) = stream.chunk().await.unwrap() {
        text.extend(chunk);
    }
    let chunks = chunks(&String::from_utf8(text).unwrap());
    assert!(!joined(&chunks, "content").is_empty());
    assert_eq!(
        chunks.last().unwrap()["choices"][0]["finish_reason"],
        "length"
    );
    let address = server.base.strip_prefix("http://").unwrap().to_owned();
    server.stopped().await;
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_finish_in_time_is_ended() {
    let mut setup = Setup::new();
    setup.config.drain_timeout = Duration::from_millis(100);
    let mut server = setup.start().await;
    let stream = server.open_stream(&long_answer(8000)).await;
    server
        .until("it runs", |engine| engine.stats().running == 1)
        .await;
    let start = Instant::now();
    server.begin_stop();
    let chunks = chunks(&stream.text().await.unwrap());
    assert_eq!(chunks.last().unwrap()["error"]["code"], "server_draining");
    server.stopped().await;
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
}
