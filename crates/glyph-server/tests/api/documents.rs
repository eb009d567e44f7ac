//! Documents: their pages, their token counts, and answers about them.

use std::io::{Cursor, Read};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Value, json};

use crate::client::{CHAT, Server, Setup, image_part, page_urls, question};

const PAGES: &str = "/v1/pages";
const TOKENIZE: &str = "/v1/tokenize";
const LINE: &str = "A line of a text that goes on for some pages.\n";

fn about(parts: Vec<Value>) -> Value {
    let mut body = question("", 8);
    let mut content = parts;
    content.push(json!({"type": "text", "text": "Read the page."}));
    body["messages"][0]["content"] = json!(content);
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn a_document_is_read_as_its_pages_are() {
    let server = Server::start().await;
    let text = LINE.repeat(20);
    let urls = page_urls(&text);
    assert!(urls.len() > 2);
    let drawn = about(vec![json!({"type": "document", "text": text})]);
    let sent = about(urls.iter().map(|url| image_part(url)).collect());
    let (drawn, sent) = (
        server.ask(CHAT, &drawn).await,
        server.ask(CHAT, &sent).await,
    );
    assert_eq!(
        drawn["choices"][0]["message"],
        sent["choices"][0]["message"]
    );
    assert_eq!(
        drawn["usage"]["prompt_tokens"],
        sent["usage"]["prompt_tokens"]
    );
    // The second prompt is the first one, pixel by pixel.
    let cached = &sent["usage"]["prompt_tokens_details"]["cached_tokens"];
    assert!(cached.as_u64().unwrap() > 40 * urls.len() as u64, "{sent}");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_counted_as_the_answer_counts_them() {
    let server = Server::start().await;
    for parts in [
        vec![],
        vec![json!({"type": "document", "text": LINE.repeat(9)})],
        vec![
            image_part(&page_urls(LINE)[0]),
            json!({"type": "document", "text": LINE, "style": {"dpi": 96}}),
        ],
    ] {
        let body = about(parts);
        let counts = server.ask(TOKENIZE, &body).await;
        let usage = server.ask(CHAT, &body).await["usage"].clone();
        assert_eq!(counts["total_tokens"], usage["prompt_tokens"]);
        let details = &usage["prompt_tokens_details"];
        for kind in ["text_tokens", "image_tokens"] {
            assert_eq!(counts[kind], details[kind], "{kind}");
        }
        let parts = body["messages"][0]["content"].as_array().unwrap().len();
        assert_eq!(counts["pages"] == 0, parts == 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn counting_tokens_looks_for_nothing_in_the_cache() {
    let server = Server::start().await;
    let document = json!({"type": "document", "text": LINE});
    let body = about(vec![document, image_part(&page_urls("Some page.")[0])]);
    let looked_for = || {
        let stats = server.engine.stats().vision_cache;
        (stats.hits, stats.misses)
    };
    server.ask(TOKENIZE, &body).await;
    assert_eq!(looked_for(), (0, 0));
    server.ask(CHAT, &body).await;
    assert_eq!(looked_for(), (0, 2));
    server.ask(TOKENIZE, &body).await;
    assert_eq!(looked_for(), (0, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_exceeds_the_context_is_counted_all_the_same() {
    let server = Server::start().await;
    let text = LINE.repeat(2500);
    let body = question(&text, 1);
    let counts = server.ask(TOKENIZE, &body).await;
    let count = |key: &str| counts[key].as_u64().unwrap();
    assert!(count("text_tokens") > text.len() as u64, "{counts}");
    assert!(count("total_tokens") > count("max_model_len"), "{counts}");
    let expected = (400, "context_length_exceeded", None);
    server.refuses(CHAT, &body, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_with_their_figures() {
    let server = Server::start().await;
    let text = format!("{}\u{10FFFD}\n", LINE.repeat(20));
    let answer = server.ask(PAGES, &json!({"text": text})).await;
    let pages = answer["pages"].as_array().unwrap();
    let expected = page_urls(&text);
    assert_eq!(pages.len(), expected.len());
    for (page, url) in pages.iter().zip(&expected) {
        let png = page["png"].as_str().unwrap();
        assert_eq!(format!("data:image/png;base64,{png}"), *url);
        let image = image::load_from_memory(&BASE64_STANDARD.decode(png).unwrap()).unwrap();
        assert_eq!(page["width_px"], image.width());
        assert_eq!(page["height_px"], image.height());
        assert_eq!(page["vision_tokens"], 80);
    }
    let n_vision = 80 * pages.len();
    assert_eq!(answer["vision_tokens"], n_vision);
    let n_text = answer["text_tokens"].as_u64().unwrap();
    assert!(n_text >= text.len() as u64, "glyph-mini's tokens are bytes");
    let ratio = answer["compression_ratio"].as_f64().unwrap();
    assert!((ratio - n_text as f64 / n_vision as f64).abs() < 1e-9);
    assert_eq!(answer["missing_characters"], json!({"\u{10FFFD}": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_come_as_an_archive() {
    let server = Server::start().await;
    let text = LINE.repeat(20);
    let body = json!({"text": text, "format": "zip", "style": {"dpi": 96}});
    let response = server.post(PAGES, &body).await;
    assert_eq!(response.headers()["content-type"], "application/zip");
    let bytes = response.bytes().await.unwrap();
    let mut archive = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
    let mut file = |name: &str| {
        let mut bytes = Vec::new();
        archive
            .by_name(name)
            .unwrap()
            .read_to_end(&mut bytes)
            .unwrap();
        bytes
    };
    let figures: Value = serde_json::from_slice(&file("pages.json")).unwrap();
    let pages = figures["pages"].as_array().unwrap();
    assert!(pages.len() > 2);
    for page in pages {
        assert_eq!(page.get("png"), None);
        let image = image::load_from_memory(&file(page["file"].as_str().unwrap())).unwrap();
        // 280 points at 96 dots per inch.
        assert_eq!((image.width(), &page["width_px"]), (374, &json!(374)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_style_that_is_wrong_is_named_by_its_key() {
    let server = Server::start().await;
    for (style, param) in [
        (json!({"dpi": "high"}), "dpi"),
        (json!({"colour": "red"}), "colour"),
        (json!({"font-path": "/etc/passwd"}), "font-path"),
        (
            json!({"font-path": "Verdana.ttf", "font-size": -1}),
            "font-size",
        ),
    ] {
        let body = json!({"text": LINE, "style": style});
        let param = format!("style.{param}");
        let expected = (400, "invalid_value", Some(param.as_str()));
        server.refuses(PAGES, &body, expected).await;
        let body = about(vec![
            json!({"type": "document", "text": LINE, "style": body["style"]}),
        ]);
        let param = format!("messages[0].content[0].{param}");
        let expected = (400, "invalid_value", Some(param.as_str()));
        server.refuses(CHAT, &body, expected).await;
    }
    for (body, param) in [
        (json!({}), "text"),
        (json!({"text": " \n"}), "text"),
        (json!({"text": "a", "format": "pdf"}), "format"),
        (json!({"text": "a", "style": "official"}), "style"),
    ] {
        server
            .refuses(PAGES, &body, (400, "invalid_value", Some(param)))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_style_of_its_own_a_model_reads_official_pages() {
    let mut setup = Setup::new();
    setup.config.model_renderer = None;
    let server = setup.start().await;
    let answer = server.ask(PAGES, &json!({"text": LINE.repeat(100)})).await;
    assert_eq!(answer["pages"].as_array().unwrap().len(), 2);
    assert!(answer["pages"][0]["height_px"].as_u64().unwrap() >= 840);
    assert_eq!(
        answer["font_substitutions"]["Verdana.ttf"],
        "DejaVuSans.ttf"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn more_pages_than_allowed_are_413() {
    let mut setup = Setup::new();
    setup.options.limits.max_pages = 3;
    let server = setup.start().await;
    let text = LINE.repeat(2000);
    let expected = (413, "too_many_pages", None);
    server
        .refuses(PAGES, &json!({"text": text}), expected)
        .await;
    let document = json!({"type": "document", "text": text});
    server.refuses(CHAT, &about(vec![document]), expected).await;
    let page = image_part(&page_urls(LINE)[0]);
    server
        .refuses(CHAT, &about(vec![page.clone(); 4]), expected)
        .await;
    server.ask(CHAT, &about(vec![page; 3])).await;
}
