//! Who may call, from where, and under which id.

use serde_json::Value;

use crate::client::{CHAT, MODEL, Server, Setup, is_error, question};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_opens_what_asks_for_one() {
    let mut setup = Setup::new();
    setup.config.api_keys = vec!["first".to_owned(), "second".to_owned()];
    setup.config.model_names.push("zai-org/Glyph".to_owned());
    let server = setup.start().await;
    let get = async |path: &str, key: Option<&str>| {
        let mut request = server.http.get(server.url(path));
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        request.send().await.unwrap()
    };
    for path in [
        "/v1/models",
        "/v1/models/glyph-mini",
        "/v1/models/zai-org/Glyph",
        "/metrics",
    ] {
        for key in [
            None,
            Some("Bearer wrong"),
            Some("Bearer "),
            Some("Basic first"),
            Some("first"),
        ] {
            let response = get(path, key).await;
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            let status = response.status();
            is_error(
                status,
                &response.json().await.unwrap(),
                (401, "invalid_api_key", None),
            );
        }
        for key in ["Bearer first", "Bearer second"] {
            assert_eq!(get(path, Some(key)).await.status(), 200, "{path}");
        }
    }
    // What a request without a key holds is not looked at.
    server
        .refuses(CHAT, &question("Hello", 1), (401, "invalid_api_key", None))
        .await;
    for path in ["/", "/health", "/ready", "/openapi.json", "/docs/"] {
        assert_eq!(get(path, None).await.status(), 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_model_is_listed_under_all_its_names() {
    let mut setup = Setup::new();
    setup.config.model_names = vec![MODEL.to_owned(), "zai-org/Glyph".to_owned()];
    let server = setup.start().await;
    let list: Value = server.get("/v1/models").await.json().await.unwrap();
    assert_eq!(list["object"], "list");
    let ids: Vec<&Value> = list["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| &m["id"])
        .collect();
    assert_eq!(ids, ["glyph-mini", "zai-org/Glyph"]);
    assert_eq!(list["data"][0]["max_model_len"], 8192);
    for (path, id) in [
        ("/v1/models/glyph-mini", "glyph-mini"),
        ("/v1/models/zai-org%2FGlyph", "zai-org/Glyph"),
        // As clients send it that do not escape names.
        ("/v1/models/zai-org/Glyph", "zai-org/Glyph"),
    ] {
        let model: Value = server.get(path).await.json().await.unwrap();
        assert_eq!(model["object"], "model", "{path}: {model}");
        assert_eq!(model["id"], id, "{path}");
    }
    for path in ["/v1/models/other", "/v1/models/other/glyph-mini"] {
        let response = server.get(path).await;
        let status = response.status();
        is_error(
            status,
            &response.json().await.unwrap(),
            (404, "model_not_found", Some("model")),
        );
    }
    let mut body = question("Hello", 1);
    body["model"] = "zai-org/Glyph".into();
    assert_eq!(server.ask(CHAT, &body).await["model"], "zai-org/Glyph");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_carries_an_id() {
    let server = Server::start().await;
    for path in ["/health", "/v1/models", "/nothing", CHAT] {
        let request = server
            .http
            .get(server.url(path))
            .header("x-request-id", "mine-1");
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-request-id"], "mine-1", "{path}");
        let new = server.get(path).await.headers()["x-request-id"].clone();
        assert_eq!(new.len(), 36, "{new:?}");
    }
    for bad in ["a b".to_owned(), "x".repeat(500)] {
        let request = server
            .http
            .get(server.url("/health"))
            .header("x-request-id", &bad);
        let response = request.send().await.unwrap();
        assert_eq!(response.headers()["x-request-id"].len(), 36);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_pages_of_the_origins_named_may_call() {
    let mut setup = Setup::new();
    setup.config.cors_origins = vec!["https://page.example".to_owned()];
    let server = setup.start().await;
    let asked = async |origin: &str| {
        let request = server
            .http
            .get(server.url("/nothing"))
            .header("origin", origin);
        let headers = request.send().await.unwrap().headers().clone();
        headers.get("access-control-allow-origin").cloned()
    };
    assert_eq!(
        asked("https://page.example").await.unwrap(),
        "https://page.example"
    );
    assert_eq!(asked("https://other.example").await, None);
    let preflight = server
        .http
        .request(reqwest::Method::OPTIONS, server.url(CHAT))
        .header("origin", "https://page.example")
        .header("access-control-request-method", "POST")
        .header(
            "access-control-request-headers",
            "authorization,content-type",
        );
    let headers = preflight.send().await.unwrap().headers().clone();
    let allowed = headers["access-control-allow-headers"].to_str().unwrap();
    assert!(allowed.contains("authorization") && allowed.contains("content-type"));
}
