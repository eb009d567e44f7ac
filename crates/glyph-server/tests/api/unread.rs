//! Answers that come before the body has been read.

use std::time::Duration;

use reqwest::StatusCode;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::client::{CHAT, Server, Setup, is_error};
use crate::connections::{GET, connect, read_answer, read_to_end};

/// As much as a request with many pages brings.
const BODY_BYTES: usize = 16 << 20;
const KEY: &str = "authorization: Bearer right\r\n";

/// A server that takes one key, and bodies that are much smaller.
async fn strict_server() -> Server {
    let mut setup = Setup::new();
    setup.config.api_keys = vec!["right".to_owned()];
    setup.config.body_limit_bytes = 1 << 20;
    setup.start().await
}

/// Sends the head of a request whose body is large.
async fn begin(server: &Server, request: &str, headers: &str) -> TcpStream {
    let mut connection = connect(server).await;
    let head =
        format!("{request} HTTP/1.1\r\nhost: x\r\n{headers}content-length: {BODY_BYTES}\r\n\r\n");
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

#[track_caller]
fn is_refused(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let found: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
    let body: Value = serde_json::from_str(body).unwrap();
    let found = StatusCode::from_u16(found).unwrap();
    is_error(found, &body, (status, code, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_everything_first_learns_why_it_was_refused() {
    let server = strict_server().await;
    let text = format!("{KEY}content-type: text/plain\r\n");
    let chat = format!("POST {CHAT}");
    let other_method = format!("DELETE {CHAT}");
    for (request, headers, status, code) in [
        (
            chat.as_str(),
            "authorization: Bearer wrong\r\n",
            401,
            "invalid_api_key",
        ),
        (&chat, "", 401, "invalid_api_key"),
        (&chat, &text, 415, "unsupported_media_type"),
        (&chat, KEY, 413, "body_too_large"),
        (&other_method, KEY, 405, "method_not_allowed"),
        ("POST /health", "", 405, "method_not_allowed"),
        ("POST /v1/nothing", KEY, 404, "not_found"),
        ("POST /nothing", "", 404, "not_found"),
    ] {
        let mut connection = begin(&server, request, headers).await;
        let body = vec![b' '; BODY_BYTES];
        let sent = connection.write_all(&body).await;
        assert!(sent.is_ok(), "{request}, {status}: {sent:?}");
        is_refused(&read_answer(&mut connection).await, status, code);
        // All of it has been read: what follows is taken for the next request.
        connection.write_all(GET).await.unwrap();
        let next = read_answer(&mut connection).await;
        assert!(next.starts_with("HTTP/1.1 200"), "{next}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_does_not_wait_for_the_body() {
    let server = strict_server().await;
    let chat = format!("POST {CHAT}");
    for (headers, status, code) in [
        ("authorization: Bearer wrong\r\n", 401, "invalid_api_key"),
        (KEY, 413, "body_too_large"),
    ] {
        let mut connection = begin(&server, &chat, headers).await;
        let answer = read_answer(&mut connection);
        let answer = tokio::time::timeout(Duration::from_secs(5), answer).await;
        is_refused(&answer.unwrap(), status, code);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_asks_before_it_sends_is_not_asked_for_what_nobody_reads() {
    let server = strict_server().await;
    let chat = format!("POST {CHAT}");
    let expecting = "expect: 100-continue\r\n";
    let with_key = format!("{KEY}{expecting}");
    for (headers, status, code) in [
        (expecting, 401, "invalid_api_key"),
        (&with_key, 413, "body_too_large"),
    ] {
        let mut connection = begin(&server, &chat, headers).await;
        is_refused(&read_answer(&mut connection).await, status, code);
        assert_eq!(read_to_end(&mut connection).await, "");
    }
}
