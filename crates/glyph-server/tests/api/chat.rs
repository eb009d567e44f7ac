//! Chat: whole and streamed.

use serde_json::{Value, json};

use crate::client::{Server, image_part, joined, page_urls, question};

const CHAT: &str = "/v1/chat/completions";
const TEXT: &str =
    "Order 4711 of the third of May.\nTwelve lamps for Anna Kern.\nTotal: 96 francs.";

#[tokio::test(flavor = "multi_thread")]
async fn whole_and_streamed_answers_are_the_same() {
    let server = Server::start().await;
    for content in [
        json!("Say something."),
        json!([{"type": "document", "text": TEXT}, {"type": "text", "text": "Read the page."}]),
    ] {
        let mut body = question("", 24);
        // Drawn at random from one seed, so that the answers have some length.
        body["temperature"] = json!(2.0);
        body["seed"] = json!(7);
        body["messages"][0]["content"] = content;
        let whole = server.ask(CHAT, &body).await;
        let choice = &whole["choices"][0];
        let text = choice["message"]["content"].as_str().unwrap();
        assert!(!text.is_empty(), "{whole}");
        assert_eq!(whole["object"], "chat.completion");
        assert_eq!(choice["message"]["role"], "assistant");

        body["stream_options"] = json!({"include_usage": true});
        let chunks = server.stream(CHAT, &body).await;
        assert_eq!(joined(&chunks, "content"), text);
        assert_eq!(chunks[0]["choices"][0]["delta"]["role"], "assistant");
        let (last, pieces) = chunks.split_last().unwrap();
        assert_eq!(last["choices"], json!([]));
        assert!(pieces.iter().all(|piece| piece["usage"] == Value::Null));
        for key in ["prompt_tokens", "completion_tokens", "total_tokens"] {
            assert_eq!(last["usage"][key], whole["usage"][key], "{key}");
        }
        let reason = &pieces.last().unwrap()["choices"][0]["finish_reason"];
        assert_eq!(*reason, choice["finish_reason"]);
        assert!(pieces.len() > 3, "the answer did not come in pieces");
        let ids: Vec<&Value> = chunks.iter().map(|chunk| &chunk["id"]).collect();
        assert!(ids.iter().all(|id| *id == ids[0]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usage_is_sent_only_where_it_is_asked_for() {
    let server = Server::start().await;
    let chunks = server.stream(CHAT, &question("Hello", 4)).await;
    assert!(chunks.iter().all(|chunk| chunk.get("usage").is_none()));
    assert!(chunks.iter().all(|chunk| chunk["choices"] != json!([])));
}

/// The request that the clients of the original send.
fn official_request(pages: &[String]) -> Value {
    let mut content: Vec<Value> = pages.iter().map(|url| image_part(url)).collect();
    content.push(json!({"type": "text", "text": "What is the total?"}));
    json!({
        "messages": [{"role": "user", "content": content}],
        "max_tokens": 8192,
        "top_p": 1.0,
        "top_k": 1,
        "temperature": 0.0001,
        "repetition_penalty": 1.1,
        "skip_special_tokens": false,
        "stop_token_ids": [151329, 151348, 151336],
        "include_stop_str_in_output": true,
        "logprobs": false,
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_request_of_the_original_is_answered_with_true_usage() {
    let server = Server::start().await;
    let pages = page_urls(&[TEXT; 6].join("\n"));
    assert!(pages.len() > 1);
    let mut body = official_request(&pages);
    // Its answers may be as long as the context; here the stop string is what ends them.
    body["stop"] = json!(["e", "a", "\n"]);
    let whole = server.ask(CHAT, &body).await;
    let usage = &whole["usage"];
    let count = |key: &str| usage[key].as_u64().unwrap();
    let details = &usage["prompt_tokens_details"];
    let (text, image) = (&details["text_tokens"], &details["image_tokens"]);
    // A page of 280×112 px is 20×8 patches, 40 vision tokens.
    assert_eq!(image.as_u64().unwrap(), 40 * pages.len() as u64);
    assert_eq!(
        count("prompt_tokens"),
        text.as_u64().unwrap() + image.as_u64().unwrap()
    );
    assert_eq!(
        count("total_tokens"),
        count("prompt_tokens") + count("completion_tokens")
    );
    body["stream_options"] = json!({"include_usage": true});
    let chunks = server.stream(CHAT, &body).await;
    let last = &chunks.last().unwrap()["usage"];
    assert_eq!(last["prompt_tokens"], usage["prompt_tokens"]);
    assert!(
        last["prompt_tokens_details"]["cached_tokens"]
            .as_u64()
            .unwrap()
            > 0
    );
    assert_eq!(
        joined(&chunks, "content"),
        whole["choices"][0]["message"]["content"]
    );
}
