//! Images that the server fetches, from a server of the test on this machine.

use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use glyph_server::RemoteImageLimits;
use image::{DynamicImage, ImageFormat};
use serde_json::{Value, json};

use crate::client::{CHAT, Server, Setup, image_part, question};

/// Where images are.
struct Origin {
    base: String,
    n_requests: Arc<AtomicUsize>,
}

fn png() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let image = DynamicImage::new_rgb8(112, 56);
    image.write_to(&mut bytes, ImageFormat::Png).unwrap();
    bytes.into_inner()
}

fn of_type(kind: &'static str, body: impl Into<Body>) -> Response {
    ([(header::CONTENT_TYPE, kind)], body.into()).into_response()
}

/// A body that never ends: so many bytes a piece, with a pause behind each.
fn endless(n_bytes: usize, pause: Duration) -> Body {
    Body::from_stream(futures::stream::unfold((), move |()| async move {
        tokio::time::sleep(pause).await;
        Some((Ok::<_, std::io::Error>(vec![0; n_bytes]), ()))
    }))
}

impl Origin {
    async fn start() -> Self {
        let n_requests = Arc::new(AtomicUsize::new(0));
        let page = async |State(n): State<Arc<AtomicUsize>>| {
            n.fetch_add(1, Ordering::Relaxed);
            of_type("image/png", png())
        };
        let app = Router::new()
            .route("/page.png", get(page))
            .route("/text", get(async || of_type("text/html", "<p>")))
            .route("/untyped", get(async || Body::from(png()).into_response()))
            .route(
                "/liar.png",
                get(async || of_type("image/png", "no picture")),
            )
            .route("/none.png", get(async || StatusCode::NOT_FOUND))
            .route("/once", get(async || Redirect::temporary("/page.png")))
            .route("/for-ever", get(async || Redirect::temporary("/for-ever")))
            .route(
                "/file",
                get(async || Redirect::temporary("file:///etc/passwd")),
            )
            .route(
                "/large.png",
                get(async || of_type("image/png", endless(1 << 16, Duration::ZERO))),
            )
            .route(
                "/slow.png",
                get(async || of_type("image/png", endless(1, Duration::from_millis(20)))),
            )
            .with_state(Arc::clone(&n_requests));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, app).await.unwrap() });
        Self { base, n_requests }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }
}

fn about(urls: &[String]) -> Value {
    let mut body = question("", 1);
    let parts: Vec<Value> = urls.iter().map(|url| image_part(url)).collect();
    body["messages"][0]["content"] = json!(parts);
    body
}

async fn server(limits: RemoteImageLimits) -> Server {
    let mut setup = Setup::new();
    setup.config.remote_images = Some(RemoteImageLimits {
        private_addresses: true,
        ..limits
    });
    setup.start().await
}

/// The message of an image that could not be fetched.
async fn failure(server: &Server, urls: &[String]) -> String {
    let response = server.post(CHAT, &about(urls)).await;
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    assert_eq!(status, 400, "{urls:?}: {body}");
    assert_eq!(body["error"]["code"], "image_fetch_failed", "{body}");
    body["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_is_fetched_over_redirects_and_read_as_one_that_was_sent() {
    let origin = Origin::start().await;
    let server = server(RemoteImageLimits::default()).await;
    let urls = [origin.url("/page.png"), origin.url("/once")];
    let answer = server.ask(CHAT, &about(&urls)).await;
    let details = &answer["usage"]["prompt_tokens_details"];
    assert_eq!(details["image_tokens"], 2 * 8);
    assert_eq!(origin.n_requests.load(Ordering::Relaxed), 2);
    let mut sent = about(&[]);
    let png = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, png());
    let part = image_part(&format!("data:image/png;base64,{png}"));
    sent["messages"][0]["content"] = json!([part, part]);
    let of_sent = server.ask(CHAT, &sent).await;
    assert_eq!(of_sent["choices"], answer["choices"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_image_or_leads_nowhere_is_told() {
    let origin = Origin::start().await;
    let server = server(RemoteImageLimits::default()).await;
    for (path, part) in [
        ("/text", "text/html"),
        ("/untyped", "its type is"),
        ("/none.png", "404"),
        ("/for-ever", "redirects too often"),
        ("/file", "307"),
    ] {
        let message = failure(&server, &[origin.url(path)]).await;
        assert!(message.contains(part), "{path}: {message}");
        assert!(message.contains("messages[0].content[0].image_url.url"));
    }
    let response = server.post(CHAT, &about(&[origin.url("/liar.png")])).await;
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["error"]["code"], "invalid_image", "{body}");
    // Nobody listens there.
    failure(&server, &["http://127.0.0.1:1/a.png".to_owned()]).await;
    server.ask(CHAT, &question("Hello", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_images_of_a_request_share_one_budget_of_bytes() {
    let origin = Origin::start().await;
    let n_bytes = png().len();
    let server = server(RemoteImageLimits {
        image_bytes: 1 << 20,
        request_bytes: 3 * n_bytes,
        ..RemoteImageLimits::default()
    })
    .await;
    let page = origin.url("/page.png");
    server.ask(CHAT, &about(&vec![page.clone(); 3])).await;
    let message = failure(&server, &vec![page; 4]).await;
    assert!(message.contains("together larger"), "{message}");
    assert!(message.contains("content[3]"), "{message}");
    let message = failure(&server, &[origin.url("/large.png")]).await;
    assert!(message.contains("larger than"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_images_of_a_request_share_one_deadline() {
    let origin = Origin::start().await;
    let server = server(RemoteImageLimits {
        request_timeout: Duration::from_millis(600),
        ..RemoteImageLimits::default()
    })
    .await;
    let slow = origin.url("/slow.png");
    let start = Instant::now();
    let message = failure(&server, &[origin.url("/page.png"), slow.clone(), slow]).await;
    assert!(message.contains("0.6 s"), "{message}");
    assert!(message.contains("content[1]"), "{message}");
    let waited = start.elapsed();
    assert!(waited < Duration::from_secs(5), "{waited:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_address_is_not_asked_unless_that_is_allowed() {
    let origin = Origin::start().await;
    let mut setup = Setup::new();
    setup.config.remote_images = Some(RemoteImageLimits::default());
    let server = setup.start().await;
    for host in ["127.0.0.1", "localhost"] {
        let port = origin.base.rsplit(':').next().unwrap();
        let message = failure(&server, &[format!("http://{host}:{port}/once")]).await;
        assert!(message.contains("not public"), "{message}");
    }
    assert_eq!(origin.n_requests.load(Ordering::Relaxed), 0);
}
