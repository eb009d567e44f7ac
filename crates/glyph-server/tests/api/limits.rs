//! Bodies that are too large or too slow, and queues that are full.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::client::{CHAT, Server, Setup, is_error, long_answer, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_413_and_the_next_request_is_answered() {
    let mut setup = Setup::new();
    setup.config.body_limit_bytes = 1 << 20;
    let server = setup.start().await;
    let large = question(&"x".repeat(8 << 20), 1).to_string();
    let expected = (413, "body_too_large", None);
    let request = server.http.post(server.url(CHAT)).body(large.clone());
    let response = request.send().await.unwrap();
    let status = response.status();
    is_error(status, &response.json().await.unwrap(), expected);

    // The same without saying in advance how long it is.
    let pieces: Vec<Result<Vec<u8>, std::io::Error>> = large
        .as_bytes()
        .chunks(1 << 16)
        .map(|piece| Ok(piece.to_vec()))
        .collect();
    let body = reqwest::Body::wrap_stream(futures::stream::iter(pieces));
    let response = server
        .http
        .post(server.url(CHAT))
        .body(body)
        .send()
        .await
        .unwrap();
    let status = response.status();
    is_error(status, &response.json().await.unwrap(), expected);
    server.ask(CHAT, &question("Hello", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_408() {
    let mut setup = Setup::new();
    setup.config.body_timeout = Duration::from_millis(200);
    let server = setup.start().await;
    let mut connection = server.begin_body(100).await;
    connection.write_all(b"{").await.unwrap();
    let mut answer = vec![0; 4096];
    let n_bytes = connection.read(&mut answer).await.unwrap();
    let answer = String::from_utf8_lossy(&answer[..n_bytes]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("request_timeout"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_trickles_is_408_however_steadily_it_does() {
    let mut setup = Setup::new();
    setup.config.body_timeout = Duration::from_millis(500);
    let server = setup.start().await;
    let mut connection = server.begin_body(1000).await;
    let start = Instant::now();
    let trickling = async {
        loop {
            connection.write_all(b" ").await.unwrap();
            let mut answer = vec![0; 4096];
            let reading = connection.read(&mut answer);
            if let Ok(n) = tokio::time::timeout(Duration::from_millis(20), reading).await {
                return String::from_utf8_lossy(&answer[..n.unwrap()]).into_owned();
            }
        }
    };
    let answer = trickling.await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(start.elapsed() < Duration::from_secs(5));
    server.ask(CHAT, &question("Hello", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_share_what_there_is_for_them() {
    let mut setup = Setup::new();
    setup.config.body_limit_bytes = 1 << 20;
    setup.config.bodies_limit_bytes = 1 << 20;
    let server = setup.start().await;
    // A client that says much and sends nothing holds nothing.
    let silent = server.begin_body(1 << 20).await;
    server.ask(CHAT, &question("Hello", 1)).await;
    // One that has sent nearly all that there is holds it, and others are told to come again.
    let mut large = server.begin_body(1 << 20).await;
    large
        .write_all(&vec![b' '; (1 << 20) - 4096])
        .await
        .unwrap();
    // Until the server has it: asking meanwhile could take what it still wants.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut body = question("Hello", 1);
    body["passed over"] = json!("x".repeat(8000));
    let refused = server.post(CHAT, &body).await;
    assert!(refused.headers().contains_key("retry-after"));
    let status = refused.status();
    is_error(
        status,
        &refused.json().await.unwrap(),
        (429, "queue_full", None),
    );
    drop(large);
    let start = Instant::now();
    while server.post(CHAT, &body).await.status() == 429 {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_429_and_says_when_to_come_again() {
    let mut setup = Setup::new();
    setup.options.limits.max_batch = 1;
    setup.options.queue = 1;
    let server = setup.start().await;
    let running = server.open_stream(&long_answer(8000)).await;
    server
        .until("one runs", |engine| engine.stats().running == 1)
        .await;
    let waiting = server.open_stream(&long_answer(2)).await;
    server
        .until("one waits", |engine| engine.stats().waiting == 1)
        .await;
    for stream in [false, true] {
        let mut body = question("Hello", 1);
        body["stream"] = json!(stream);
        let response = server.post(CHAT, &body).await;
        let wait: u64 = response.headers()["retry-after"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        is_error(status, &answer, (429, "queue_full", None));
        assert_eq!(answer["error"]["type"], "rate_limit_error");
    }
    // Who goes away leaves the place to who waits.
    drop(running);
    let text = waiting.text().await.unwrap();
    assert!(text.contains("\"length\""), "{text}");
    server.ask(CHAT, &question("Hello", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_goes_away_frees_its_place() {
    let server = Server::start().await;
    let mut stream = server.open_stream(&long_answer(8000)).await;
    stream.chunk().await.unwrap().unwrap();
    server
        .until("it runs", |engine| engine.stats().running == 1)
        .await;
    drop(stream);
    server
        .until("its place is free", |engine| engine.stats().running == 0)
        .await;

    let body = long_answer(8000);
    let whole = server.post(CHAT, &body);
    let gone = tokio::time::timeout(Duration::from_millis(400), whole).await;
    assert!(gone.is_err(), "the answer should not have been whole yet");
    server
        .until("its place is free", |engine| engine.stats().running == 0)
        .await;
    assert_eq!(server.engine.stats().kv_bytes, 0);
}
