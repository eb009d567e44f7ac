//! Images that cannot be used.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use image::{DynamicImage, ImageFormat};
use serde_json::{Value, json};
use std::io::Cursor;

use glyph_server::RemoteImageLimits;

use crate::client::{CHAT, Server, Setup, image_part, question};

const URL: &str = "messages[0].content[0].image_url.url";

fn about(url: &str) -> Value {
    let mut body = question("", 1);
    let text = json!({"type": "text", "text": "?"});
    body["messages"][0]["content"] = json!([image_part(url), text]);
    body
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn data_url(bytes: &[u8]) -> String {
    format!("data:image/png;base64,{}", BASE64_STANDARD.encode(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn png_jpeg_and_webp_are_read() {
    let server = Server::start().await;
    let image = DynamicImage::new_rgb8(112, 56);
    for format in [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP] {
        let bytes = encoded(&image, format);
        let url = format!(
            "data:{};base64,{}",
            format.to_mime_type(),
            BASE64_STANDARD.encode(bytes)
        );
        let usage = server.ask(CHAT, &about(&url)).await["usage"].clone();
        assert_eq!(usage["prompt_tokens_details"]["image_tokens"], 8);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decoded_is_400_and_the_next_request_is_answered() {
    let server = Server::start().await;
    let whole = encoded(&DynamicImage::new_rgb8(300, 300), ImageFormat::Png);
    for url in [
        data_url(&whole[..whole.len() / 2]),
        data_url(&whole[..20]),
        data_url(b"GIF89a"),
        data_url(b""),
        "data:image/png;base64,????".to_owned(),
        "data:image/svg+xml;base64,PHN2Zy8+".to_owned(),
        "data:,".to_owned(),
        // One hundred times as wide as the model takes.
        data_url(&encoded(
            &DynamicImage::new_luma8(20000, 1),
            ImageFormat::Png,
        )),
    ] {
        let response = server.post(CHAT, &about(&url)).await;
        assert_eq!(response.status(), 400, "{url:.60}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "invalid_image", "{body}");
    }
    let expected = (400, "invalid_value", Some(URL));
    server
        .refuses(CHAT, &about("file:///etc/passwd"), expected)
        .await;
    server.ask(CHAT, &about(&data_url(&whole))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_would_fill_the_memory_is_413() {
    let server = Server::start().await;
    let large = encoded(&DynamicImage::new_luma8(10_000, 10_000), ImageFormat::Png);
    // A few kilobytes claim a hundred million pixels.
    assert!(large.len() < 1 << 20);
    let expected = (413, "image_too_large", Some(URL));
    server
        .refuses(CHAT, &about(&data_url(&large)), expected)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_that_the_plan_cannot_hold_is_refused_by_its_head_alone() {
    let mut setup = Setup::new();
    setup.options.limits.largest_page_patches = 1600;
    let server = setup.start().await;
    let fits = encoded(&DynamicImage::new_luma8(560, 560), ImageFormat::Png);
    server.ask(CHAT, &about(&data_url(&fits))).await;
    // A larger one, of which nothing but the head is there: whoever decoded it would say that it is cut short.
    let larger = encoded(&DynamicImage::new_luma8(1120, 1120), ImageFormat::Png);
    let head = data_url(&larger[..64]);
    let expected = (422, "memory_exceeded", Some(URL));
    server.refuses(CHAT, &about(&head), expected).await;
    let tokenized = server.post("/v1/tokenize", &about(&head)).await;
    assert_eq!(tokenized.status(), 422);
    // Pages that are together longer than the context are not decoded either.
    let mut many = about(&data_url(&fits));
    let part = image_part(&data_url(&fits));
    many["messages"][0]["content"] = json!(vec![part; 40]);
    let param = "messages[0].content[20].image_url.url";
    let expected = (400, "context_length_exceeded", Some(param));
    server.refuses(CHAT, &many, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn narrow_pages_count_as_what_they_are_enlarged_to() {
    let mut setup = Setup::new();
    // Room for one of 28×5600 pixels, and for a dozen and more of 1×200 or 10×1990.
    setup.config.held_pixels_limit = 1 << 18;
    let server = setup.start().await;
    let picture = encoded(&DynamicImage::new_luma8(1, 200), ImageFormat::Png);
    let picture = image_part(&data_url(&picture));
    let style = json!({"page-size": "10,1990"});
    let document = json!({"type": "document", "text": "Hi", "style": style});
    let with = |parts: &[&Value]| {
        let mut body = question("", 1);
        body["messages"][0]["content"] = json!(parts);
        body
    };
    for (part, n_tokens) in [(&picture, 200), (&document, 199)] {
        let counts = server.ask("/v1/tokenize", &with(&[part])).await;
        assert_eq!(counts["image_tokens"], n_tokens, "{part}");
        for (second, key) in [(&picture, "image_url.url"), (&document, "style")] {
            let param = format!("messages[0].content[1].{key}");
            let expected = (413, "image_too_large", Some(param.as_str()));
            let both = with(&[part, second]);
            server.refuses("/v1/tokenize", &both, expected).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_that_wait_take_a_fifth_of_what_decoding_them_takes() {
    let mut setup = Setup::new();
    setup.options.limits.max_batch = 1;
    // 256 times 4,096 pixels. A picture takes 77 of them while it is decoded, and 16 when it waits.
    setup.config.held_pixels_limit = 1 << 20;
    let server = setup.start().await;
    let running = server.open_stream(&question("Hello", 8000)).await;
    server
        .until("one runs", |engine| engine.stats().running == 1)
        .await;
    let picture = encoded(&DynamicImage::new_luma8(560, 560), ImageFormat::Png);
    let body = about(&data_url(&picture));
    let mut waiting = Vec::new();
    for _ in 0..12 {
        waiting.push(server.open_stream(&body).await);
    }
    assert_eq!(server.engine.stats().waiting, 12);
    let expected = (429, "queue_full", None);
    server.refuses(CHAT, &body, expected).await;
    drop((running, waiting));
}

#[tokio::test(flavor = "multi_thread")]
async fn images_elsewhere_are_fetched_only_where_that_is_allowed() {
    let server = Server::start().await;
    let url = format!("{}/health", server.base);
    let expected = (400, "remote_images_disabled", Some(URL));
    server.refuses(CHAT, &about(&url), expected).await;

    let mut setup = Setup::new();
    setup.config.remote_images = Some(RemoteImageLimits::default());
    let server = setup.start().await;
    let port = server.base.rsplit(':').next().unwrap();
    for host in [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "2130706433",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",
    ] {
        let url = format!("http://{host}:{port}/health");
        let response = server.post(CHAT, &about(&url)).await;
        assert_eq!(response.status(), 400, "{url}");
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], "image_fetch_failed", "{body}");
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains("not public"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_token_in_the_text_is_400() {
    let server = Server::start().await;
    let expected = (400, "invalid_value", Some("messages"));
    server
        .refuses(CHAT, &question("What is <|image|>?", 1), expected)
        .await;
}
