//! Connections that keep the server waiting, that are too many, that read slowly, and whose client goes away.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{CHAT, Server, Setup, long_answer, question};

pub const GET: &[u8] = b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n";
const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

pub async fn connect(server: &Server) -> TcpStream {
    let address = server.base.strip_prefix("http://").unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// Whether the other end has been closed, and what came before that.
pub async fn read_to_end(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = connection.read_to_end(&mut bytes);
    let read = tokio::time::timeout(Duration::from_secs(10), reading).await;
    // A connection that is reset has been closed too.
    let _ = read.expect("the connection is still open");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer that has a length.
pub async fn read_answer(connection: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "));
            if body.len() >= length.unwrap().parse::<usize>().unwrap() {
                return text;
            }
        }
        let mut more = [0; 1024];
        let n = connection.read(&mut more).await.unwrap();
        assert!(n > 0, "closed after {text:?}");
        bytes.extend_from_slice(&more[..n]);
    }
}

fn impatient() -> Setup {
    let mut setup = Setup::new();
    setup.config.idle_timeout = Duration::from_millis(300);
    setup
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_does_not_come_or_trickles_is_not_waited_for() {
    let server = impatient().start().await;
    // Nothing, and beginnings.
    for start in [&b""[..], b"G", b"GET / HTTP/1.1\r\nhost: x\r\nx: "] {
        let mut connection = connect(&server).await;
        connection.write_all(start).await.unwrap();
        let since = Instant::now();
        read_to_end(&mut connection).await;
        let waited = since.elapsed();
        assert!(
            waited >= Duration::from_millis(200),
            "{start:?}: {waited:?}"
        );
    }
    // One byte after the other does not help.
    let mut connection = connect(&server).await;
    let since = Instant::now();
    connection
        .write_all(b"GET / HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    while connection.write_all(b"a").await.is_ok() {
        assert!(since.elapsed() < Duration::from_secs(5), "it goes on");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_serves_many_requests_and_ends_when_it_is_idle() {
    let server = impatient().start().await;
    let mut connection = connect(&server).await;
    for _ in 0..4 {
        // Together longer than a connection may be idle.
        tokio::time::sleep(Duration::from_millis(150)).await;
        connection.write_all(GET).await.unwrap();
        assert!(
            read_answer(&mut connection)
                .await
                .starts_with("HTTP/1.1 200")
        );
    }
    assert_eq!(read_to_end(&mut connection).await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_takes_as_long_as_it_takes() {
    let server = impatient().start().await;
    let start = Instant::now();
    let answer = server.ask(CHAT, &long_answer(1500)).await;
    assert_eq!(answer["usage"]["completion_tokens"], 1500);
    println!("an answer of {:?}", start.elapsed());
    assert!(
        start.elapsed() > Duration::from_millis(300),
        "this shows nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn idle_connections_make_room_and_busy_ones_do_not() {
    let mut setup = Setup::new();
    setup.config.max_connections = 4;
    let server = setup.start().await;
    let mut busy = server.open_stream(&long_answer(500)).await;
    busy.chunk().await.unwrap().unwrap();
    // Many more than there are places, none of which sends anything.
    let mut idle = Vec::new();
    for _ in 0..12 {
        idle.push(connect(&server).await);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for _ in 0..4 {
        let mut connection = connect(&server).await;
        connection.write_all(GET).await.unwrap();
        assert!(
            read_answer(&mut connection)
                .await
                .starts_with("HTTP/1.1 200")
        );
    }
    assert_eq!(read_to_end(&mut idle[0]).await, "");
    let mut n_chunks = 0;
    while busy.chunk().await.unwrap().is_some() {
        n_chunks += 1;
    }
    assert!(
        n_chunks > 100,
        "the busy one was cut off after {n_chunks} pieces"
    );
}

/// A connection on which the server waits for a body of so many bytes.
async fn begin_upload(server: &Server, n_bytes: usize) -> TcpStream {
    let mut connection = connect(server).await;
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: {n_bytes}\r\n\r\n"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; CONTINUE.len()];
    connection.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, CONTINUE);
    connection
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come_make_room_where_none_is_idle() {
    let mut setup = Setup::new();
    setup.config.max_connections = 4;
    let server = setup.start().await;
    let _busy = server.open_stream(&long_answer(8000)).await;
    let body = question("Hello", 1).to_string();
    let mut uploads = Vec::new();
    for _ in 0..3 {
        uploads.push(begin_upload(&server, body.len()).await);
    }
    let mut connection = connect(&server).await;
    connection.write_all(GET).await.unwrap();
    // Long before the time for a body is over.
    let answering = read_answer(&mut connection);
    let answer = tokio::time::timeout(Duration::from_secs(20), answering).await;
    let answer = answer.expect("there is still no place for it");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    // The one that had waited the longest is gone, and no other.
    assert_eq!(read_to_end(&mut uploads.remove(0)).await, "");
    for upload in &mut uploads {
        upload.write_all(body.as_bytes()).await.unwrap();
        let answer = read_answer(upload).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    server
        .until("the busy one alone runs", |engine| {
            engine.stats().running == 1
        })
        .await;
}

/// A request whose answer is whole, and goes on for long.
fn long_request() -> Vec<u8> {
    let body = long_answer(8000).to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head, body].concat().into_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_is_noticed_whatever_came_behind_the_request() {
    let server = Server::start().await;
    // Nothing, a stray line break, a second request, and more of them than are read at once.
    let behind = [vec![], b"\r\n".to_vec(), GET.to_vec(), GET.repeat(1000)];
    let mut n_gone = 0;
    for bytes in &behind {
        for closes_half in [false, true] {
            let mut connection = connect(&server).await;
            let request = [long_request(), bytes.clone()].concat();
            connection.write_all(&request).await.unwrap();
            server
                .until("it runs", |engine| engine.stats().running == 1)
                .await;
            if closes_half {
                connection.shutdown().await.unwrap();
                assert_eq!(read_to_end(&mut connection).await, "");
            }
            drop(connection);
            server
                .until("its place is free", |engine| engine.stats().running == 0)
                .await;
            n_gone += 1;
        }
    }
    // None of them was answered to its end.
    let series = "glyph_requests_total{route=\"/v1/chat/completions\",status=";
    let gone = format!("{series}\"499\"}} {n_gone}\n");
    let start = Instant::now();
    loop {
        let text = server.get("/metrics").await.text().await.unwrap();
        assert!(!text.contains(&format!("{series}\"200\"")), "{text}");
        if text.contains(&gone) {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_closes_half_a_connection_within_a_body_is_told_so() {
    let server = Server::start().await;
    let mut connection = begin_upload(&server, 100).await;
    connection.write_all(b"{").await.unwrap();
    connection.shutdown().await.unwrap();
    let answer = read_to_end(&mut connection).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains("incomplete_body"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_does_not_read_the_answers_is_not_waited_for() {
    const N_REQUESTS: usize = 2000;
    let mut setup = Setup::new();
    setup.config.write_timeout = Duration::from_millis(300);
    let server = setup.start().await;
    let address = server.base.strip_prefix("http://").unwrap();
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut connection = socket.connect(address.parse().unwrap()).await.unwrap();
    // More answers than the buffers of both ends hold, and nobody takes them.
    let request = b"GET /openapi.json HTTP/1.1\r\nhost: x\r\n\r\n";
    let sending = async {
        for _ in 0..N_REQUESTS {
            if connection.write_all(request).await.is_err() {
                return;
            }
        }
    };
    // A server that is blocked reads no more either.
    let _ = tokio::time::timeout(Duration::from_secs(2), sending).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let answers = read_to_end(&mut connection).await;
    let n_answers = answers.matches("HTTP/1.1 200").count();
    assert!(n_answers < N_REQUESTS, "it waited until all were taken");
    assert_eq!(server.get("/health").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_not_spoken_so_that_nobody_can_hold_an_answer_back_in_it() {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    // The window of every stream is 0: nothing of a body may be sent.
    const SETTINGS: &[u8] = &[0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    // GET, http, /, by their numbers in the static table; the stream ends with it.
    const HEADERS: &[u8] = &[0, 0, 3, 1, 5, 0, 0, 0, 1, 0x82, 0x86, 0x84];
    let mut setup = Setup::new();
    setup.config.max_connections = 2;
    let server = setup.start().await;
    let request = [PREFACE, SETTINGS, HEADERS].concat();
    for start in [&request[..], PREFACE, b"PRI * HTTP/2.0\r\n"] {
        for _ in 0..4 {
            let mut connection = connect(&server).await;
            connection.write_all(start).await.unwrap();
            // Long before it counts as idle.
            let answer = read_to_end(&mut connection).await;
            assert!(
                answer.is_empty() || answer.starts_with("HTTP/1.1 400"),
                "{answer:?}"
            );
        }
    }
    assert_eq!(server.get("/health").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_may_follow_each_other_without_waiting_for_answers() {
    let server = Server::start().await;
    let mut connection = connect(&server).await;
    let body = question("Hello", 1).to_string();
    let post = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let last = "GET /ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let all = [GET, post.as_bytes(), GET, last.as_bytes()].concat();
    connection.write_all(&all).await.unwrap();
    let answers = read_to_end(&mut connection).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 4, "{answers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_are_bounded() {
    let server = Server::start().await;
    let many: String = (0..2000).map(|n| format!("x-{n}: a\r\n")).collect();
    let long = format!("x: {}\r\n", "a".repeat(1 << 20));
    for headers in [many, long] {
        let mut connection = connect(&server).await;
        let head = format!("GET /health HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        // The server may have answered before all of it is sent.
        let _ = connection.write_all(head.as_bytes()).await;
        let answer = read_to_end(&mut connection).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
            "{answer}"
        );
    }
    let path = format!("/{}", "a".repeat(1 << 15));
    assert!(matches!(
        server.get(&path).await.status().as_u16(),
        404 | 414
    ));
    assert_eq!(server.get("/health").await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_that_are_no_requests_are_counted() {
    let server = Server::start().await;
    let many: String = (0..200).map(|n| format!("x-{n}: a\r\n")).collect();
    let large = format!("GET /health HTTP/1.1\r\nhost: x\r\n{many}\r\n");
    for (head, status) in [
        ("no request\r\n\r\n", "400"),
        ("GET /health HTTP/1.1\r\nno field\r\n\r\n", "400"),
        (large.as_str(), "431"),
    ] {
        let mut connection = connect(&server).await;
        connection.write_all(head.as_bytes()).await.unwrap();
        let answer = read_to_end(&mut connection).await;
        let start = format!("HTTP/1.1 {status} ");
        assert!(answer.starts_with(&start), "{answer}");
        assert!(answer.ends_with("\r\n\r\n"), "it has a body: {answer}");
    }
    let mut connection = connect(&server).await;
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    connection.write_all(preface).await.unwrap();
    assert_eq!(read_to_end(&mut connection).await, "");
    // One whose client leaves in its middle is not refused.
    let mut connection = connect(&server).await;
    connection
        .write_all(b"GET / HTTP/1.1\r\nx: ")
        .await
        .unwrap();
    connection.shutdown().await.unwrap();
    read_to_end(&mut connection).await;
    let text = server.get("/metrics").await.text().await.unwrap();
    for (reason, n) in [("malformed", 2), ("too_large", 1), ("http2", 1)] {
        let line = format!("glyph_refused_heads_total{{reason=\"{reason}\"}} {n}\n");
        assert!(text.contains(&line), "no {line:?} in\n{text}");
    }
}
