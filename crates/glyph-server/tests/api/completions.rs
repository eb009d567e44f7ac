//! Going on with a text.

use serde_json::{Value, json};

use crate::client::Server;

const COMPLETIONS: &str = "/v1/completions";

#[tokio::test(flavor = "multi_thread")]
async fn whole_and_streamed_texts_are_the_same() {
    let server = Server::start().await;
    let mut body = json!({
        "prompt": "Twelve lamps",
        "max_tokens": 16,
        "temperature": 3.0,
        "seed": 5,
        "logprobs": 2,
        "stream_options": {"include_usage": true},
    });
    let whole = server.ask(COMPLETIONS, &body).await;
    let choice = &whole["choices"][0];
    let text = choice["text"].as_str().unwrap();
    assert!(!text.is_empty(), "{whole}");
    let n_tokens = whole["usage"]["completion_tokens"].as_u64().unwrap() as usize;
    for list in ["tokens", "token_logprobs", "top_logprobs", "text_offset"] {
        let list = choice["logprobs"][list].as_array().unwrap();
        assert_eq!(list.len(), n_tokens);
    }
    let chunks = server.stream(COMPLETIONS, &body).await;
    let streamed: String = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["text"].as_str())
        .collect();
    assert_eq!(streamed, text);
    let last = chunks.last().unwrap();
    assert_eq!(last["choices"], json!([]));
    assert_eq!(
        last["usage"]["total_tokens"],
        whole["usage"]["total_tokens"]
    );
    body["prompt"] = json!(["Twelve lamps"]);
    assert_eq!(
        server.ask(COMPLETIONS, &body).await["choices"][0]["text"],
        text
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named() {
    let server = Server::start().await;
    let body = json!({"prompt": "a", "max_tokens": 2});
    for (name, value) in [
        ("prompt", Value::Null),
        ("prompt", json!("")),
        ("prompt", json!(["a", "b"])),
        ("prompt", json!([1, 2])),
        ("echo", json!(true)),
        ("logprobs", json!(21)),
        ("logprobs", json!(true)),
        ("n", json!(2)),
        ("max_tokens", json!(0)),
    ] {
        let mut body = body.clone();
        body[name] = value;
        let expected = (400, "invalid_value", Some(name));
        server.refuses(COMPLETIONS, &body, expected).await;
    }
}
