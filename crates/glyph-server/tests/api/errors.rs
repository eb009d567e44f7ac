//! Requests that are wrong: refused, with the field named.

use reqwest::Method;
use serde_json::{Value, json};

use crate::client::{CHAT, Server, is_error, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_value_out_of_range_is_named() {
    let server = Server::start().await;
    for (name, value) in [
        ("temperature", json!(-1)),
        ("temperature", json!(1e300)),
        ("top_p", json!(0)),
        ("top_p", json!(1.5)),
        ("top_k", json!(-2)),
        ("top_k", json!(1.5)),
        ("repetition_penalty", json!(0)),
        ("presence_penalty", json!(101)),
        ("frequency_penalty", json!(-101)),
        ("max_tokens", json!(0)),
        ("max_tokens", json!(-5)),
        ("max_completion_tokens", json!(0)),
        ("n", json!(2)),
        ("n", json!(0)),
        ("top_logprobs", json!(21)),
        ("stop", json!("")),
        ("stop", json!(["a", 3])),
        ("stop", json!(vec!["x"; 17])),
        ("stop", json!("x".repeat(257))),
        ("stop_token_ids", json!(3)),
        ("stop_token_ids", json!(vec![1; 1025])),
        ("stream", json!("yes")),
        ("messages", Value::Null),
        ("messages", json!([])),
    ] {
        let mut body = question("Hello", 1);
        body[name] = value;
        server
            .refuses(CHAT, &body, (400, "invalid_value", Some(name)))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_says_what_the_field_takes() {
    let server = Server::start().await;
    let with = |name: &str, value: i64| {
        let mut body = question("Hello", 1);
        body[name] = json!(value);
        body
    };
    let says = |content: Value| json!({"messages": [{"role": "user", "content": content}]});
    let no_picture = json!([{"type": "image_url"}]);
    let number = json!([{"type": "image_url", "image_url": 3}]);
    for (path, body, message) in [
        (
            CHAT,
            with("max_tokens", -1),
            "max_tokens is -1; it must be a whole number, at least 1",
        ),
        (
            CHAT,
            with("max_completion_tokens", 0),
            "max_completion_tokens is 0; it must be a whole number, at least 1",
        ),
        (
            CHAT,
            with("n", -1),
            "n is -1; it must be 1: send the request several times for several answers",
        ),
        (
            CHAT,
            with("n", 2),
            "n is 2; it must be 1: send the request several times for several answers",
        ),
        (
            CHAT,
            says(Value::Null),
            "messages[0].content is missing; it must be a string or a list of parts",
        ),
        (
            CHAT,
            says(no_picture),
            "messages[0].content[0].image_url is missing; it must be an object with url, or a URL as a string",
        ),
        (
            CHAT,
            says(number),
            "messages[0].content[0].image_url is 3; it must be an object with url, or a URL as a string",
        ),
        (
            "/v1/completions",
            json!({"max_tokens": 1}),
            "prompt is missing; it must be a string or a list of strings; lists of tokens are not taken",
        ),
    ] {
        let response = server.post(path, &body).await;
        assert_eq!(response.status(), 400, "{message}");
        let answer: Value = response.json().await.unwrap();
        assert_eq!(answer["error"]["message"], message);
        let param = answer["error"]["param"].as_str().unwrap();
        assert!(message.starts_with(&format!("{param} is ")), "{param}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_in_a_list_is_named_by_its_place() {
    let server = Server::start().await;
    let mut body = question("Hello", 1);
    body["stop_token_ids"] = json!([1, -2]);
    let expected = (400, "invalid_value", Some("stop_token_ids[1]"));
    server.refuses(CHAT, &body, expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_are_bounded_and_the_message_says_so() {
    let server = Server::start().await;
    let message = json!({"role": "user", "content": "x"});
    let part = json!({"type": "text", "text": "x"});
    for (body, param, parts) in [
        (
            json!({"messages": vec![&message; 4097]}),
            "messages",
            ["4097", "4096"],
        ),
        (
            json!({"messages": [{"role": "user", "content": vec![&part; 4097]}]}),
            "messages[0].content",
            ["4097", "4096"],
        ),
        (
            json!({"messages": [message], "stop": vec!["x"; 40]}),
            "stop",
            ["40 strings", "16"],
        ),
        (
            json!({"messages": [message], "stop": ["a", "x".repeat(300)]}),
            "stop[1]",
            ["300 bytes", "256"],
        ),
    ] {
        let response = server.post(CHAT, &body).await;
        let status = response.status();
        let answer: Value = response.json().await.unwrap();
        is_error(status, &answer, (400, "invalid_value", Some(param)));
        let text = answer["error"]["message"].as_str().unwrap();
        assert!(parts.iter().all(|part| text.contains(part)), "{text}");
    }
    // As many stops as may be.
    let mut body = question("Hello", 1);
    body["stop"] = json!(vec!["y".repeat(256); 16]);
    body["stop_token_ids"] = json!(vec![7; 1024]);
    server.ask(CHAT, &body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_have_the_names_that_openais_clients_send() {
    let server = Server::start().await;
    let tokens = async |messages: Value| {
        let body = json!({"messages": messages});
        server.ask("/v1/tokenize", &body).await["text_tokens"].clone()
    };
    let hello = json!({"role": "user", "content": "Hello"});
    for (name, same_as) in [("developer", "system"), ("tool", "user")] {
        let with = |role: &str| json!([{"role": role, "content": "Be short."}, hello]);
        assert_eq!(tokens(with(name)).await, tokens(with(same_as)).await);
        assert_ne!(tokens(with(name)).await, tokens(json!([hello])).await);
        let mut body = question("", 2);
        body["messages"] = with(name);
        server.ask(CHAT, &body).await;
    }
    // An assistant that called a tool has said nothing.
    let silent = json!({"role": "assistant", "content": null, "tool_calls": []});
    let missing = json!({"role": "assistant"});
    let empty = json!({"role": "assistant", "content": ""});
    let of = async |turn: &Value| tokens(json!([hello, turn, hello])).await;
    assert_eq!(of(&silent).await, of(&empty).await);
    assert_eq!(of(&missing).await, of(&empty).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_of_too_many_values_is_refused_before_it_is_unpacked() {
    let server = Server::start().await;
    let bomb = format!("{{\"messages\": [{}0]}}", "[],".repeat(1 << 20));
    let response = server.http.post(server.url(CHAT)).body(bomb);
    let response = response.send().await.unwrap();
    let status = response.status();
    is_error(
        status,
        &response.json().await.unwrap(),
        (400, "invalid_value", None),
    );
    server.ask(CHAT, &question("Hello", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_wrong_is_named_by_its_place() {
    let server = Server::start().await;
    let hello = json!({"role": "user", "content": "Hello"});
    for (message, param) in [
        (json!("Hello"), "messages[1]"),
        (json!({"content": "Hello"}), "messages[1].role"),
        (
            json!({"role": "function", "content": "x"}),
            "messages[1].role",
        ),
        (
            json!({"role": "user", "content": null}),
            "messages[1].content",
        ),
        (
            json!({"role": "tool", "content": null}),
            "messages[1].content",
        ),
        (json!({"role": 3, "content": "x"}), "messages[1].role"),
        (json!({"role": "user"}), "messages[1].content"),
        (json!({"role": "user", "content": 3}), "messages[1].content"),
        (
            json!({"role": "user", "content": ["x"]}),
            "messages[1].content[0]",
        ),
        (
            json!({"role": "user", "content": [{"text": "x"}]}),
            "messages[1].content[0].type",
        ),
        (
            json!({"role": "user", "content": [{"type": "audio"}]}),
            "messages[1].content[0].type",
        ),
        (
            json!({"role": "user", "content": [{"type": "text"}]}),
            "messages[1].content[0].text",
        ),
        (
            json!({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
            "messages[1].content[0].image_url.url",
        ),
        (
            json!({"role": "user", "content": [{"type": "document", "text": ""}]}),
            "messages[1].content[0].text",
        ),
        (
            json!({"role": "user", "content": [{"type": "document", "text": "x", "style": 1}]}),
            "messages[1].content[0].style",
        ),
        (
            json!({"role": "assistant", "content": [{"type": "document", "text": "x"}]}),
            "messages[1].content",
        ),
    ] {
        let body = json!({"messages": [hello, message], "max_tokens": 1});
        server
            .refuses(CHAT, &body, (400, "invalid_value", Some(param)))
            .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_and_nulls_are_passed_over() {
    let server = Server::start().await;
    let mut body = question("Hello", 1);
    for (name, value) in [
        ("user", json!("me")),
        (
            "tools",
            json!([{"type": "function", "function": {"name": "look_up"}}]),
        ),
        ("tool_choice", json!("required")),
        ("response_format", json!({"type": "json_object"})),
        ("logit_bias", json!({"1": 2})),
        ("temperature", Value::Null),
        ("stop", Value::Null),
        ("stream_options", Value::Null),
        ("n", json!(1)),
    ] {
        body[name] = value;
    }
    server.ask(CHAT, &body).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_is_400() {
    let server = Server::start().await;
    for (body, code) in [
        (&b"{\"messages\": ["[..], "invalid_json"),
        (b"", "invalid_json"),
        (
            b"{\"messages\": [{\"role\": \"user\", \"content\": \"\xFF\"}]}",
            "invalid_json",
        ),
        (b"[]", "invalid_value"),
        (b"3", "invalid_value"),
    ] {
        let request = server.http.post(server.url(CHAT));
        let request = request.header("content-type", "application/json");
        let response = request.body(body.to_vec()).send().await.unwrap();
        let status = response.status();
        is_error(status, &response.json().await.unwrap(), (400, code, None));
    }
    let nested = "[".repeat(100_000);
    let request = server.http.post(server.url(CHAT)).body(nested);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 400);
    server.ask(CHAT, &question("Hello", 1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_content_type_is_415() {
    let server = Server::start().await;
    for (kind, status) in [
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("multipart/form-data; boundary=x", 415),
        ("application/json; charset=utf-8", 200),
    ] {
        let request = server
            .http
            .post(server.url(CHAT))
            .header("content-type", kind);
        let body = question("Hello", 1).to_string();
        let response = request.body(body).send().await.unwrap();
        assert_eq!(response.status(), status, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encoded_body_is_415_and_the_encoding_is_named() {
    let server = Server::start().await;
    let ask = async |encoding: &str| {
        let request = server.http.post(server.url(CHAT));
        let request = request.header("content-encoding", encoding);
        let response = request.json(&question("Hello", 1)).send().await.unwrap();
        (response.status(), response.json::<Value>().await.unwrap())
    };
    for encoding in ["gzip", "br", "identity, deflate"] {
        let (status, answer) = ask(encoding).await;
        is_error(status, &answer, (415, "unsupported_media_type", None));
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(encoding), "{message}");
    }
    let (status, answer) = ask("Identity").await;
    assert_eq!(status, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_documentation_has_not_is_an_error_like_all_others() {
    let server = Server::start().await;
    for (method, path, expected) in [
        (Method::GET, "/docs/nope", (404, "not_found", None)),
        (Method::POST, "/docs", (405, "method_not_allowed", None)),
        (Method::POST, "/docs/", (405, "method_not_allowed", None)),
        (Method::POST, "/docs/x", (405, "method_not_allowed", None)),
    ] {
        let request = server.http.request(method, server.url(path));
        let response = request.send().await.unwrap();
        let status = response.status();
        if status == 405 {
            let allowed = response.headers()["allow"].to_str().unwrap();
            assert!(allowed.contains("GET"), "{path}: {allowed}");
        }
        is_error(status, &response.json().await.unwrap(), expected);
    }
    // A sample may come a moment after its answer.
    for line in [
        "glyph_rejections_total{reason=\"not_found\"} 1",
        "glyph_rejections_total{reason=\"method_not_allowed\"} 3",
    ] {
        let start = std::time::Instant::now();
        loop {
            let text = server.get("/metrics").await.text().await.unwrap();
            if text.lines().any(|of_text| of_text == line) {
                break;
            }
            assert!(start.elapsed().as_secs() < 10, "no {line} in\n{text}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_404_or_405() {
    let server = Server::start().await;
    for path in [
        "/v1/nothing",
        "/nothing",
        "/v1/chat/completions/x",
        "/v1/models/a/b/c",
    ] {
        let response = server.get(path).await;
        let status = response.status();
        is_error(
            status,
            &response.json().await.unwrap(),
            (404, "not_found", None),
        );
    }
    let response = server.get(CHAT).await;
    assert_eq!(response.headers()["allow"], "POST");
    let status = response.status();
    is_error(
        status,
        &response.json().await.unwrap(),
        (405, "method_not_allowed", None),
    );
    let response = server
        .http
        .request(Method::DELETE, server.url("/v1/models"));
    assert_eq!(response.send().await.unwrap().status(), 405);

    let mut body = question("Hello", 1);
    body["model"] = json!("gpt-4o");
    let response = server.post(CHAT, &body).await;
    let status = response.status();
    let answer: Value = response.json().await.unwrap();
    is_error(status, &answer, (404, "model_not_found", Some("model")));
    let message = answer["error"]["message"].as_str().unwrap();
    assert!(message.contains("glyph-mini"), "{message}");
    body["model"] = json!("glyph-mini");
    server.ask(CHAT, &body).await;
}
