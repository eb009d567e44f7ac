//! The description of the API: complete, and true.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::client::{CHAT, Server, Setup};

const ROUTES: [(&str, &str); 11] = [
    ("post", "/v1/chat/completions"),
    ("post", "/v1/completions"),
    ("post", "/v1/tokenize"),
    ("post", "/v1/pages"),
    ("get", "/v1/models"),
    ("get", "/v1/models/{id}"),
    ("get", "/v1/models/{owner}/{name}"),
    ("get", "/health"),
    ("get", "/ready"),
    ("get", "/metrics"),
    ("get", "/openapi.json"),
];

async fn document(server: &Server) -> Value {
    server.get("/openapi.json").await.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_route_is_described_and_every_description_is_a_route() {
    let mut setup = Setup::new();
    setup
        .config
        .model_names
        .push("glyph-owner/glyph-mini".to_owned());
    let server = setup.start().await;
    let document = document(&server).await;
    let described: BTreeSet<(String, String)> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(|method| (method.clone(), path.clone()))
        })
        .collect();
    let routes: BTreeSet<(String, String)> = ROUTES
        .iter()
        .map(|(method, path)| ((*method).to_owned(), (*path).to_owned()))
        .collect();
    assert_eq!(described, routes);
    for (method, path) in ROUTES {
        let responses = document["paths"][path][method]["responses"]
            .as_object()
            .unwrap();
        for status in ["200", "405", "500"] {
            assert!(responses.contains_key(status), "{method} {path}: {status}");
        }
        let path = path
            .replace("{id}", "glyph-mini")
            .replace("{owner}/{name}", "glyph-owner/glyph-mini");
        let answer = match method {
            "get" => server.get(&path).await,
            _ => server.post(&path, &json!({})).await,
        };
        let expected = if method == "get" { 200 } else { 400 };
        assert_eq!(answer.status(), expected, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_reference_leads_somewhere() {
    let server = Server::start().await;
    let document = document(&server).await;
    let mut references = BTreeSet::new();
    collect(&document, &mut references);
    assert!(references.len() > 10);
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(
            document.pointer(pointer).is_some(),
            "{reference} leads nowhere"
        );
    }
}

fn collect(value: &Value, references: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get("$ref") {
                references.insert(reference.clone());
            }
            map.values().for_each(|value| collect(value, references));
        }
        Value::Array(values) => values.iter().for_each(|value| collect(value, references)),
        _ => {}
    }
}

/// Names of all properties of a schema, those of the schemas that it is made of included.
fn properties(document: &Value, schema: &Value) -> BTreeSet<String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let pointer = reference.strip_prefix('#').unwrap();
        return properties(document, document.pointer(pointer).unwrap());
    }
    let own = schema["properties"].as_object();
    let own = own.into_iter().flat_map(|map| map.keys().cloned());
    let parts = schema["allOf"].as_array();
    let parts = parts.into_iter().flatten();
    own.chain(parts.flat_map(|part| properties(document, part)))
        .collect()
}

/// The description of a property, which may stand in one of the schemas that a schema is made of.
fn property<'a>(document: &'a Value, schema: &'a Value, name: &str) -> Option<&'a Value> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.strip_prefix('#')?)?;
        return property(document, schema, name);
    }
    let parts = schema["allOf"].as_array();
    let mut parts = parts.into_iter().flatten();
    schema["properties"]
        .get(name)
        .or_else(|| parts.find_map(|part| property(document, part, name)))
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_begin_at_one_are_described_so() {
    let server = Server::start().await;
    let document = document(&server).await;
    for path in [CHAT, "/v1/completions"] {
        let content = &document["paths"][path]["post"]["requestBody"]["content"];
        let schema = &content["application/json"]["schema"];
        for name in ["max_tokens", "max_completion_tokens", "n"] {
            let field = property(&document, schema, name).unwrap();
            assert_eq!(field["minimum"].as_f64(), Some(1.0), "{name}: {field}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_field_that_is_described_is_read_and_refused_by_name_when_its_type_is_wrong() {
    let server = Server::start().await;
    let document = document(&server).await;
    for (path, least, base) in [
        (
            CHAT,
            20,
            json!({"messages": [{"role": "user", "content": "a"}]}),
        ),
        (
            "/v1/tokenize",
            20,
            json!({"messages": [{"role": "user", "content": "a"}]}),
        ),
        ("/v1/completions", 17, json!({"prompt": "a"})),
        ("/v1/pages", 3, json!({"text": "a"})),
    ] {
        let content = &document["paths"][path]["post"]["requestBody"]["content"];
        let names = properties(&document, &content["application/json"]["schema"]);
        assert!(names.len() >= least, "{path}: {names:?}");
        for name in names {
            let mut body = base.clone();
            let takes_objects = ["stream_options", "style"].contains(&name.as_str());
            body[&name] = if takes_objects {
                json!(3)
            } else {
                json!({"a": 1})
            };
            let expected = (400, "invalid_value", Some(name.as_str()));
            server.refuses(path, &body, expected).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_files_and_the_description_itself_are_described() {
    let server = Server::start().await;
    let document = document(&server).await;
    let content = |path: &str, method: &str, kind: &str| {
        let content = &document["paths"][path][method]["responses"]["200"]["content"];
        let schema = &content[kind]["schema"];
        let reference = schema["$ref"].as_str();
        let pointer = reference.and_then(|reference| reference.strip_prefix('#'));
        let found = pointer.and_then(|pointer| document.pointer(pointer));
        found.unwrap_or(schema).clone()
    };
    let archive = content("/v1/pages", "post", "application/zip");
    assert!(archive["description"].is_string(), "{archive}");
    assert!(archive["type"].is_null(), "{archive}");
    let description = content("/openapi.json", "get", "application/json");
    assert_eq!(description["type"], "object", "{description}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_description_can_be_looked_at() {
    let server = Server::start().await;
    let page = server.get("/docs/").await;
    assert!(
        page.headers()["content-type"]
            .to_str()
            .unwrap()
            .starts_with("text/html")
    );
    assert!(page.text().await.unwrap().contains("Swagger UI"));
    let settings = server
        .get("/docs/swagger-initializer.js")
        .await
        .text()
        .await
        .unwrap();
    assert!(settings.contains("/openapi.json"), "{settings}");
}
