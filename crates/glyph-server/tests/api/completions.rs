//! Going on with a text.

use serde_json::{Value, json};

use crate::client::{Server, is_error};

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
async fn several_prompts_give_as_many_choices_each_as_it_is_alone() {
    let server = Server::start().await;
    let prompts = ["Twelve lamps", "A river", "3 + 4 ="];
    let body = |prompt: Value| json!({"prompt": prompt, "max_tokens": 12, "logprobs": 1});
    let mut alone = Vec::new();
    for prompt in prompts {
        alone.push(server.ask(COMPLETIONS, &body(json!(prompt))).await);
    }
    let together = server.ask(COMPLETIONS, &body(json!(prompts))).await;
    let choices = together["choices"].as_array().unwrap();
    assert_eq!(choices.len(), prompts.len());
    for (index, (choice, alone)) in choices.iter().zip(&alone).enumerate() {
        assert_eq!(choice["index"], index);
        for key in ["text", "finish_reason"] {
            assert_eq!(choice[key], alone["choices"][0][key]);
        }
        let n_tokens = choice["logprobs"]["tokens"].as_array().unwrap().len();
        assert_eq!(n_tokens, 12);
    }
    let sum = |key: &str| -> u64 {
        let counts = alone.iter().map(|answer| answer["usage"][key].as_u64());
        counts.map(Option::unwrap).sum()
    };
    for key in ["prompt_tokens", "completion_tokens", "total_tokens"] {
        assert_eq!(together["usage"][key], sum(key), "{key}");
    }

    let mut streamed = body(json!(prompts));
    streamed["stream_options"] = json!({"include_usage": true});
    let chunks = server.stream(COMPLETIONS, &streamed).await;
    let (last, pieces) = chunks.split_last().unwrap();
    assert_eq!(last["usage"]["completion_tokens"], sum("completion_tokens"));
    for (index, alone) in alone.iter().enumerate() {
        let of_index = pieces.iter().map(|piece| &piece["choices"][0]);
        let of_index: Vec<&Value> = of_index.filter(|c| c["index"] == index).collect();
        let text: String = of_index.iter().filter_map(|c| c["text"].as_str()).collect();
        assert_eq!(text, alone["choices"][0]["text"].as_str().unwrap());
        assert_eq!(of_index.last().unwrap()["finish_reason"], "length");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_prompt_in_a_list_that_is_wrong_is_named_by_its_place() {
    let server = Server::start().await;
    for (prompt, place) in [
        (json!(["a", ""]), "prompt[1]"),
        (json!(["a", 3]), "prompt[1]"),
        (json!([1, 2]), "prompt[0]"),
        (json!([[1, 2]]), "prompt[0]"),
    ] {
        let body = json!({"prompt": prompt, "max_tokens": 1});
        let expected = (400, "invalid_value", Some(place));
        server.refuses(COMPLETIONS, &body, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_token_in_a_prompt_is_named_by_its_place() {
    let server = Server::start().await;
    for (prompt, place) in [
        (json!("What is <|image|>?"), "prompt"),
        (json!(["a", "<|image|><|image|>"]), "prompt[1]"),
    ] {
        let body = json!({"prompt": prompt, "max_tokens": 1});
        let response = server.post(COMPLETIONS, &body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        is_error(status, &answer, (400, "invalid_value", Some(place)));
        let message = answer["error"]["message"].as_str().unwrap();
        let begin = format!("{place} holds <|image|>, ");
        assert!(message.starts_with(&begin), "{message}");
        assert!(!message.contains("image part"), "{message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_named() {
    let server = Server::start().await;
    let body = json!({"prompt": "a", "max_tokens": 2});
    for (name, value) in [
        ("prompt", Value::Null),
        ("prompt", json!("")),
        ("prompt", json!([])),
        ("prompt", json!(vec!["a"; 65])),
        ("prompt", json!(3)),
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
