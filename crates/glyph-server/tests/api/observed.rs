//! The metrics.

use std::path::{Path, PathBuf};

use glyph_server::metrics;
use serde_json::json;

use crate::client::{CHAT, Server, image_part, long_answer, page_urls, question};

fn documentation() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/SERVER.md")
}

/// The value of a series, by its name and labels as they are written.
fn value(text: &str, series: &str) -> Option<f64> {
    let line = text.lines().find(|line| {
        line.strip_prefix(series)
            .is_some_and(|rest| rest.starts_with(' '))
    })?;
    line.rsplit(' ').next()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_series_is_there_after_some_requests() {
    let server = Server::start().await;
    let answer = server.ask(CHAT, &long_answer(5)).await;
    server.ask(CHAT, &long_answer(5)).await;
    let mut images = question("", 2);
    images["messages"][0]["content"] = json!([image_part(&page_urls("Some page.")[0])]);
    server.stream(CHAT, &images).await;
    server
        .refuses(CHAT, &json!({}), (400, "invalid_value", Some("messages")))
        .await;
    // What is noted at the end of a request may come a moment after its answer.
    let response = loop {
        let text = server.get("/metrics").await.text().await.unwrap();
        if value(
            &text,
            "glyph_requests_total{route=\"/v1/chat/completions\",status=\"400\"}",
        )
        .is_some()
        {
            break text;
        }
    };
    let documentation = std::fs::read_to_string(documentation()).unwrap();
    for name in [
        metrics::REQUESTS,
        metrics::IN_FLIGHT,
        metrics::REFUSED_HEADS,
        metrics::REQUEST_SECONDS,
        metrics::REJECTIONS,
        metrics::QUEUE_LENGTH,
        metrics::QUEUE_SECONDS,
        metrics::FIRST_TOKEN_SECONDS,
        metrics::INTER_TOKEN_SECONDS,
        metrics::PROMPT_TOKENS,
        metrics::GENERATED_TOKENS,
        metrics::PAGES_RENDERED,
        metrics::RENDER_SECONDS,
        metrics::ENCODE_SECONDS,
        metrics::PREFILL_SECONDS,
        metrics::DECODE_SECONDS,
        metrics::BATCH_SIZE,
        metrics::RUNNING,
        metrics::KV_BYTES,
        metrics::KV_PLANNED_BYTES,
        metrics::CACHE_HITS,
        metrics::CACHE_MISSES,
        metrics::CACHE_EVICTIONS,
        metrics::CACHE_BYTES,
        metrics::CACHE_LIMIT_BYTES,
        metrics::ENGINE_STATE,
    ] {
        for line in [format!("# HELP {name} "), format!("# TYPE {name} ")] {
            assert!(response.contains(&line), "no {line:?} in\n{response}");
        }
        assert!(
            documentation.contains(&format!("`{name}`")),
            "docs/SERVER.md does not name {name}"
        );
    }
    let is = |series: &str, expected: f64| {
        assert_eq!(
            value(&response, series),
            Some(expected),
            "{series} in\n{response}"
        );
    };
    is(
        "glyph_requests_total{route=\"/v1/chat/completions\",status=\"200\"}",
        3.0,
    );
    is("glyph_rejections_total{reason=\"invalid_value\"}", 1.0);
    is("glyph_engine_state{state=\"ready\"}", 1.0);
    is("glyph_engine_state{state=\"loading\"}", 0.0);
    is("glyph_pages_rendered_total", 2.0);
    is("glyph_prompt_tokens_total{kind=\"image\"}", 3.0 * 80.0);
    is("glyph_cache_hits_total{cache=\"vision\"}", 1.0);
    is("glyph_cache_misses_total{cache=\"vision\"}", 2.0);
    is("glyph_vision_encode_seconds_count", 2.0);
    is("glyph_time_to_first_token_seconds_count", 3.0);
    is("glyph_queue_wait_seconds_count", 3.0);
    // This request is the only one.
    is("glyph_requests_in_flight", 1.0);
    let generated = value(&response, "glyph_generated_tokens_total").unwrap();
    assert!(generated >= 2.0 * answer["usage"]["completion_tokens"].as_f64().unwrap());
    let buckets = response
        .lines()
        .filter(|line| line.starts_with("glyph_batch_size_bucket"));
    assert!(buckets.count() > 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_count_for_themselves() {
    let (first, second) = (Server::start().await, Server::start().await);
    first.get("/v1/models").await;
    let series = "glyph_requests_total{route=\"/v1/models\",status=\"200\"}";
    let text = |server: &Server| {
        let request = server.http.get(server.url("/metrics"));
        async { request.send().await.unwrap().text().await.unwrap() }
    };
    first.get("/health").await;
    assert_eq!(value(&text(&first).await, series), Some(1.0));
    assert_eq!(value(&text(&second).await, series), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_went_away_is_counted_so() {
    let server = Server::start().await;
    drop(server.open_stream(&long_answer(8000)).await);
    server
        .until("its place is free", |engine| engine.stats().running == 0)
        .await;
    let series = "glyph_requests_total{route=\"/v1/chat/completions\",status=\"499\"}";
    let start = std::time::Instant::now();
    while value(&server.get("/metrics").await.text().await.unwrap(), series) != Some(1.0) {
        assert!(start.elapsed().as_secs() < 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paths_that_are_no_routes_are_counted_as_two_and_no_more() {
    let server = Server::start().await;
    for n in 0..50 {
        server.get(&format!("/v1/secret-{n}")).await;
        server.get(&format!("/page-{n}")).await;
    }
    let text = server.get("/metrics").await.text().await.unwrap();
    for route in ["/v1/*", "/*"] {
        let series = format!("glyph_requests_total{{route=\"{route}\",status=\"404\"}}");
        assert_eq!(value(&text, &series), Some(50.0), "{route}");
    }
    assert!(!text.contains("secret-") && !text.contains("page-"));
}
