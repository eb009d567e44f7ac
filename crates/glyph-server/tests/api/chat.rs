//! Chat: whole and streamed.

use serde_json::{Value, json};

use crate::client::{CHAT, Server, Setup, image_part, joined, long_answer, page_urls, question};

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
        // Whether it thinks or answers in so few tokens is the model's business.
        let texts = ["content", "reasoning_content"]
            .map(|key| (key, choice["message"][key].as_str().unwrap_or_default()));
        assert!(texts.iter().any(|(_, text)| !text.is_empty()), "{whole}");
        assert_eq!(whole["object"], "chat.completion");
        assert_eq!(choice["message"]["role"], "assistant");

        body["stream_options"] = json!({"include_usage": true});
        let chunks = server.stream(CHAT, &body).await;
        for (key, text) in texts {
            assert_eq!(joined(&chunks, key), text, "{key}");
        }
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
    // A page of 280×224 px is 20×16 patches, 80 vision tokens.
    assert_eq!(image.as_u64().unwrap(), 80 * pages.len() as u64);
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

#[tokio::test(flavor = "multi_thread")]
async fn the_requests_settings_change_the_answer() {
    let server = Server::start().await;
    let text = |answer: &Value| {
        let content = &answer["choices"][0]["message"]["content"];
        content.as_str().unwrap().to_owned()
    };
    let mut body = long_answer(12);
    let long = server.ask(CHAT, &body).await;
    assert_eq!(long["choices"][0]["finish_reason"], "length");
    assert_eq!(long["usage"]["completion_tokens"], 12);
    let first = text(&long).chars().next().unwrap().to_string();

    body["stop"] = json!(first);
    let stopped = server.ask(CHAT, &body).await;
    assert_eq!(
        (
            text(&stopped).as_str(),
            &stopped["choices"][0]["finish_reason"]
        ),
        ("", &json!("stop"))
    );
    body["include_stop_str_in_output"] = json!(true);
    assert_eq!(text(&server.ask(CHAT, &body).await), first);

    body = long_answer(12);
    body["max_completion_tokens"] = json!(3);
    assert_eq!(
        server.ask(CHAT, &body).await["usage"]["completion_tokens"],
        3
    );

    let mut drawn = long_answer(12);
    drawn["presence_penalty"] = json!(0);
    drawn["temperature"] = json!(5.0);
    let mut texts = Vec::new();
    for seed in [1, 1, -2] {
        drawn["seed"] = json!(seed);
        texts.push(text(&server.ask(CHAT, &drawn).await));
    }
    assert_eq!(texts[0], texts[1]);
    assert_ne!(texts[0], texts[2]);
    drawn["top_k"] = json!(1);
    let greedy = text(&server.ask(CHAT, &drawn).await);
    drawn["top_k"] = json!(-1);
    drawn["temperature"] = json!(0);
    assert_eq!(text(&server.ask(CHAT, &drawn).await), greedy);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_beyond_the_context_is_cut_to_it() {
    let mut setup = Setup::new();
    setup.options.limits.max_context = Some(200);
    let server = setup.start().await;
    let answer = server.ask(CHAT, &long_answer(8192)).await;
    assert_eq!(answer["usage"]["total_tokens"], 200, "{answer}");
    assert_eq!(answer["choices"][0]["finish_reason"], "length");
    let expected = (400, "context_length_exceeded", None);
    server
        .refuses(CHAT, &question(&"word ".repeat(100), 1), expected)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_token_has_its_log_probability() {
    let server = Server::start().await;
    let mut body = long_answer(5);
    body["logprobs"] = json!(true);
    body["top_logprobs"] = json!(3);
    let whole = server.ask(CHAT, &body).await;
    let entries = whole["choices"][0]["logprobs"]["content"]
        .as_array()
        .unwrap();
    assert_eq!(entries.len(), 5);
    for entry in entries {
        assert!(entry["logprob"].as_f64().unwrap() <= 0.0, "{entry}");
        let top = entry["top_logprobs"].as_array().unwrap();
        assert_eq!(top.len(), 3);
        let likely: Vec<f64> = top
            .iter()
            .map(|top| top["logprob"].as_f64().unwrap())
            .collect();
        assert!(likely.is_sorted_by(|a, b| a >= b), "{entry}");
    }
    let chunks = server.stream(CHAT, &body).await;
    let streamed: Vec<&Value> = chunks
        .iter()
        .filter_map(|chunk| chunk["choices"][0]["logprobs"]["content"].as_array())
        .flatten()
        .collect();
    let ids = |entries: &[&Value]| {
        entries
            .iter()
            .map(|e| e["token"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(ids(&streamed), ids(&entries.iter().collect::<Vec<_>>()));
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_get_the_answers_that_each_gets_alone() {
    let server = Server::start().await;
    let bodies: Vec<Value> = (0..8)
        .map(|n| {
            let mut body = long_answer(20);
            body["messages"][0]["content"][0]["text"] = json!(format!("Order {n}{n}: {n} lamps."));
            body["presence_penalty"] = json!(0);
            body
        })
        .collect();
    let text = |answer: Value| answer["choices"][0]["message"]["content"].clone();
    let together =
        futures::future::join_all(bodies.iter().map(|body| server.ask(CHAT, body))).await;
    for (body, answer) in bodies.iter().zip(together) {
        assert_eq!(text(answer), text(server.ask(CHAT, body).await));
    }
}
