//! What pages take until a client has them, and what becomes of those that would take too much.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use crate::client::{CHAT, Server, Setup, is_error, question};

const PAGES: &str = "/v1/pages";

/// A request whose answer is larger than the buffers between the two ends of a connection.
fn large(n_lines: usize) -> Value {
    let line = "The lamps of Anna Kern, all twelve of them, and the way to Green Lane.\n";
    let style = json!({"dpi": 300, "font-size": 6, "line-height": 6, "font-color": "#FF0000"});
    json!({"text": line.repeat(n_lines), "style": style})
}

/// Asks for pages and reads no more than the beginning of the answer, which is then on its way.
async fn ask_and_wait(server: &Server, body: &Value) -> TcpStream {
    let address = server.base.strip_prefix("http://").unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1 << 16).unwrap();
    let mut connection = socket.connect(address.parse().unwrap()).await.unwrap();
    let body = body.to_string();
    let n_bytes = body.len();
    let head = format!(
        "POST {PAGES} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/json\r\nconnection: close\r\n\
         content-length: {n_bytes}\r\n\r\n"
    );
    let request = head + &body;
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    connection.read_exact(&mut start).await.unwrap();
    assert_eq!(start, *b"HTTP/1.1 200");
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_under_way_come_whole_though_the_model_has_nothing_to_finish() {
    let mut server = Server::start().await;
    let mut connection = ask_and_wait(&server, &large(1200)).await;
    server.begin_stop();
    // Longer than connections have once the time to finish is over, and shorter than that time.
    tokio::time::sleep(Duration::from_secs(7)).await;
    let mut rest = Vec::new();
    connection.read_to_end(&mut rest).await.unwrap();
    let text = String::from_utf8(rest).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.unwrap().parse().unwrap();
    assert!(length > 12 << 20, "{length} bytes may lie in buffers alone");
    assert_eq!(body.len(), length);
    let answer: Value = serde_json::from_str(body).unwrap();
    assert!(answer["pages"].as_array().unwrap().len() > 20);
    server.stopped().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_not_read_hold_what_they_take() {
    let mut setup = Setup::new();
    setup.config.held_pixels_limit = 1 << 25;
    let server = setup.start().await;
    // A page that takes nearly all that there is.
    let other = json!({"text": "Hello", "style": {"page-size": "5750,5750"}});
    server.ask(PAGES, &other).await;
    let unread = ask_and_wait(&server, &large(750)).await;
    let refused = server.post(PAGES, &other).await;
    assert!(refused.headers().contains_key("retry-after"));
    let status = refused.status();
    let expected = (429, "queue_full", None);
    is_error(status, &refused.json().await.unwrap(), expected);
    drop(unread);
    let start = Instant::now();
    while server.post(PAGES, &other).await.status() == 429 {
        assert!(start.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.ask(PAGES, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_are_too_large_are_refused_before_they_are_drawn() {
    let mut setup = Setup::new();
    // No page of two thousand pixels each way can be drawn, so that who says something else has not tried.
    setup.config.held_pixels_limit = 1 << 20;
    setup.options.limits.largest_page_patches = 1600;
    let server = setup.start().await;
    let chat = |style: &Value| {
        let mut body = question("", 1);
        let document = json!({"type": "document", "text": "Hello", "style": style});
        body["messages"][0]["content"] = json!([document]);
        body
    };
    let path = "messages[0].content[0].style";
    let whole = json!({"page-size": "2000,2000"});
    let too_large = (413, "image_too_large", Some("style"));
    server
        .refuses(PAGES, &json!({"text": "Hello", "style": whole}), too_large)
        .await;
    let expected = (422, "memory_exceeded", Some(path));
    server.refuses(CHAT, &chat(&whole), expected).await;
    // What is left of a page that is cropped is not known before.
    let cropped = json!({"page-size": "2000,2000", "auto-crop-width": true});
    let too_large = (413, "image_too_large", Some(path));
    server.refuses(CHAT, &chat(&cropped), too_large).await;
    // A shape that the model does not take.
    let narrow = json!({"page-size": "10,3000", "font-size": 1, "line-height": 5});
    let expected = (400, "invalid_value", Some("style"));
    server
        .refuses(PAGES, &json!({"text": "Hello", "style": narrow}), expected)
        .await;
    server.ask(PAGES, &json!({"text": "Hello"})).await;
    server.ask(CHAT, &chat(&json!({}))).await;
}
