//! `glyph serve`: starting, options from three places, and stopping.

use std::fs;
use std::net::TcpListener;

use serde_json::Value;

use crate::run::{change_decoder, copy_directory, copy_model, glyph, outcome, run, text};
use crate::server::Server;

#[cfg(unix)]
#[test]
fn the_built_in_model_answers_and_the_signal_to_stop_ends_with_0() {
    let server = Server::start(&[]);
    assert!(
        server
            .line
            .starts_with("glyph-mini is ready at http://127.0.0.1:")
    );
    let ready = server.get("/ready");
    assert_eq!(
        (ready.status, ready.body.contains("\"ready\"")),
        (200, true)
    );
    let answer = server.ask("Hello", 4);
    assert_eq!(answer.status, 200, "{}", answer.body);
    let answer: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(answer["model"], "glyph-mini");
    let (code, errors) = server.stop();
    assert_eq!(code, 0, "{errors}");
    assert!(!errors.contains("panicked"), "{errors}");
}

#[test]
fn greedy_answers_are_the_same_after_a_restart() {
    let documents = [
        "Invoice 4471\nDelivery date: 3 May",
        "one two three",
        "Anna lives in Oslo.",
    ];
    let read = |server: &Server| documents.map(|document| server.read(document));
    let server = Server::start(&[]);
    let first = read(&server);
    // From the caches, and when all three run together.
    assert_eq!(read(&server), first);
    drop(server);
    let server = Server::start(&["--lazy"]);
    let together = std::thread::scope(|scope| {
        let readers = documents.map(|document| {
            let server = &server;
            scope.spawn(move || server.read(document))
        });
        readers.map(|reader| reader.join().unwrap())
    });
    assert_eq!(together, first);
}

#[test]
fn a_flag_wins_over_the_environment_and_that_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    let options = "\
        host = \"127.0.0.1\"\nport = 0\nserved-model-name = [\"of-file\"]\nmax-pages = 3\nmax-context = 300\n\
        device = \"cpu\"\ndtype = \"f16\"\nquantize = \"q8\"\nkv-cache = \"q8\"\n\
        api-key = [\"key-of-file\"]\nmemory-headroom = \"64MiB\"\ndevice-memory = \"2GiB\"\n";
    fs::write(&file, options).unwrap();
    let mut command = glyph(&["serve", "--served-model-name", "of-flag"]);
    command
        .env("GLYPH_CONFIG", &file)
        .env("GLYPH_SERVED_MODEL_NAME", "of-env")
        .env("GLYPH_MAX_PAGES", "5")
        .env("GLYPH_LOG_LEVEL", "");
    let server = Server::of(command);
    assert!(
        server.line.starts_with("of-flag is ready"),
        "{}",
        server.line
    );
    let health: Value = serde_json::from_str(&server.get("/health").body).unwrap();
    assert_eq!(health["device"]["name"], "cpu");
    assert_eq!(health["device"]["dtype"], "f16");
    assert_eq!(health["device"]["quantization"], "q8");
    assert_eq!(health["device"]["kv_cache"], "q8");
    assert_eq!(server.get("/v1/models").status, 401);
    let models = server.send(
        "GET",
        "/v1/models",
        "authorization: Bearer key-of-file\r\n",
        "",
    );
    let models: Value = serde_json::from_str(&models.body).unwrap();
    let model = &models["data"][0];
    assert_eq!(model["id"], "of-flag");
    assert_eq!(model["max_pages"], 5);
    assert_eq!(model["max_model_len"], 300);
}

#[test]
fn keys_are_read_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let keys = folder.path().join("keys.txt");
    fs::write(&keys, "one\n\n two \n").unwrap();
    let server = Server::start(&["--api-key-file", text(&keys)]);
    for (key, status) in [("one", 200), ("two", 200), ("three", 401), ("", 401)] {
        let header = format!("authorization: Bearer {key}\r\n");
        assert_eq!(
            server.send("GET", "/v1/models", &header, "").status,
            status,
            "{key}"
        );
    }
    drop(server);
    fs::write(&keys, "\n").unwrap();
    run(&["serve", "--api-key-file", text(&keys)]).fails(2, &["keys.txt", "no key"]);
    run(&["serve", "--api-key-file", "none.txt"]).fails(3, &["none.txt"]);
}

#[test]
fn images_are_fetched_only_where_the_flag_says_so() {
    let body = serde_json::json!({
        "messages": [{"role": "user", "content": [
            {"type": "image_url", "image_url": {"url": "http://127.0.0.1:9/page.png"}},
        ]}],
        "max_tokens": 1,
    });
    for (flags, code) in [
        (&["--lazy"][..], "remote_images_disabled"),
        (
            &["--lazy", "--allow-remote-images", "false"],
            "remote_images_disabled",
        ),
        // It would be fetched, were the address not one of this machine.
        (&["--lazy", "--allow-remote-images"], "image_fetch_failed"),
    ] {
        let server = Server::start(flags);
        let answer = server.send("POST", "/v1/chat/completions", "", &body.to_string());
        let error: Value = serde_json::from_str(&answer.body).unwrap();
        let found = (answer.status, error["error"]["code"].as_str());
        assert_eq!(found, (400, Some(code)), "{flags:?}: {}", answer.body);
    }
}

#[test]
fn options_that_are_wrong_are_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    for (options, parts) in [
        (
            "max-batsh = 3",
            &["serve.toml", "max-batsh", "max-batch"][..],
        ),
        ("port = \"high\"", &["serve.toml", "port = \"high\""]),
        ("port = ", &["serve.toml"]),
        ("log-format = \"xml\"", &["xml", "json"]),
        ("body-limit = \"much\"", &["serve.toml", "body-limit"]),
    ] {
        fs::write(&file, options).unwrap();
        run(&["serve", "--config", text(&file)]).fails(2, parts);
    }
    for (flag, value) in [
        ("--port", "70000"),
        ("--max-batch", "many"),
        ("--memory-headroom", "lots"),
        ("--log-format", "xml"),
        ("--log-level", "a=b=c"),
        ("--log-level", "warning"),
        ("--log-level", "nope="),
        ("--cors-origin", "page.example"),
        ("--web", "none"),
        ("--device", "abacus"),
        ("--dtype", "int8"),
        ("--api-key", " "),
    ] {
        run(&["serve", "--host", "127.0.0.1", flag, value]).fails(2, &[flag]);
    }
    run(&["serve", "--config", "none.toml"]).fails(3, &["none.toml"]);
}

/// Before anything else is looked at: there is no such model.
#[test]
fn a_limit_of_nothing_and_a_name_without_letters_are_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    let serve = ["serve", "--model", "none", "--host", "127.0.0.1"];
    for key in [
        "max-batch",
        "max-pages",
        "max-context",
        "max-connections",
        "body-limit",
    ] {
        let flag = &format!("--{key}")[..];
        let parts = [flag, " is 0: ", "Leave the option out"];
        run(&[&serve[..], &[flag, "0"]].concat()).fails(2, &parts);
        fs::write(&file, format!("{key} = 0")).unwrap();
        run(&[&serve[..], &["--config", text(&file)]].concat()).fails(2, &parts);
    }
    for names in ["", ",a", "a, "] {
        let parts = ["--served-model-name", "a name is empty"];
        run(&[&serve[..], &["--served-model-name", names]].concat()).fails(2, &parts);
    }
    run(&[&serve[..], &["--queue", "0"]].concat()).fails(4, &["none"]);
}

/// What is not refused ends with 4: there is no such model.
#[test]
fn a_size_without_a_unit_is_2() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("serve.toml");
    let serve = ["serve", "--model", "none", "--host", "127.0.0.1"];
    for key in ["memory-headroom", "device-memory", "body-limit"] {
        let flag = &format!("--{key}")[..];
        let variable = format!("GLYPH_{}", key.replace('-', "_").to_uppercase());
        for value in ["4", "68719476736"] {
            let parts = [flag, value, "24GiB"];
            run(&[&serve[..], &[flag, value]].concat()).fails(2, &parts);
            let mut command = glyph(&serve);
            command.env(&variable, value);
            outcome(&command.output().unwrap()).fails(2, &parts);
            for in_file in [value.to_owned(), format!("\"{value}\"")] {
                let line = format!("{key} = {in_file}");
                fs::write(&file, &line).unwrap();
                let parts = ["serve.toml", &line[..], "24GiB"];
                run(&[&serve[..], &["--config", text(&file)]].concat()).fails(2, &parts);
            }
        }
        run(&[&serve[..], &[flag, "4GiB"]].concat()).fails(4, &["none"]);
    }
}

#[test]
fn a_port_that_is_taken_is_told_in_one_line() {
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = other.local_addr().unwrap().port().to_string();
    let outcome = run(&["serve", "--host", "127.0.0.1", "--port", &port]);
    let process = format!("(process {})", std::process::id());
    outcome.fails(1, &[&port, &process, "--port"]);
    assert_eq!(outcome.stderr.lines().count(), 1, "{}", outcome.stderr);
}

#[test]
fn a_model_that_cannot_be_served_is_4_with_a_line_for_each_problem() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |model: &str| run(&["serve", "--port", "0", "--model", model]);
    serve("none").fails(4, &["none", "not a directory"]);
    serve(text(folder.path())).fails(4, &["config.json is missing"]);

    let model = copy_model("mini-f16", folder.path());
    fs::remove_file(model.join("tokenizer.json")).unwrap();
    change_decoder(&model, "num_hidden_layers", 9);
    let outcome = serve(text(&model));
    outcome.fails(
        4,
        &[
            "mini-f16",
            "tokenizer.json is missing",
            "layers.8.",
            "is missing from",
        ],
    );
    assert!(outcome.stderr.lines().count() > 5, "{}", outcome.stderr);

    let other = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", other.path());
    let weights = fs::read(model.join("model.safetensors")).unwrap();
    fs::write(
        model.join("model.safetensors"),
        &weights[..weights.len() / 2],
    )
    .unwrap();
    serve(text(&model)).fails(4, &["model.safetensors", "cut short"]);
}

#[test]
fn a_model_that_memory_cannot_hold_is_4_with_the_figures() {
    let args = [
        "serve",
        "--port",
        "0",
        "--device-memory",
        "8MiB",
        "--memory-headroom",
        "1MiB",
    ];
    run(&args).fails(4, &["of weights", "8.0 MiB are free", "--memory-headroom"]);
}

/// Counted and not answered: a page of 24,120 patches takes the tower the better part of a minute on a small CPU.
#[test]
fn a_page_of_a_cameras_size_is_taken() {
    let server = Server::start(&["--device-memory", "2GiB", "--memory-headroom", "64MiB"]);
    let body = serde_json::json!({
        "messages": [{"role": "user", "content": [
            {
                "type": "document",
                "text": "A page of twelve megapixels.",
                "style": {
                    "page-size": "4000,3000",
                    "dpi": 72,
                    "auto-crop-width": false,
                    "auto-crop-last-page": false,
                },
            },
            {"type": "text", "text": "Read the page."},
        ]}],
    });
    let answer = server.send("POST", "/v1/tokenize", "", &body.to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    let counts: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(counts["image_tokens"], 24_120 / 4, "{counts}");
}

#[cfg(unix)]
#[test]
fn a_batch_that_memory_has_no_room_for_is_lowered_and_told() {
    let memory = ["--device-memory", "1GiB", "--memory-headroom", "64MiB"];
    let many = ["--max-batch", "1000000", "--max-context", "4321"];
    let server = Server::start(&[&many[..], &memory[..]].concat());
    assert_eq!(server.ask("Hello", 2).status, 200);
    let models: Value = serde_json::from_str(&server.get("/v1/models").body).unwrap();
    assert_eq!(models["data"][0]["max_model_len"], 4321);
    let (code, errors) = server.stop();
    assert_eq!(code, 0, "{errors}");
    let told = errors.lines().filter(|line| line.contains("--max-batch"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{errors}");
    for part in ["asked=1000000", "context_tokens=4321"] {
        assert!(told[0].contains(part), "{errors}");
    }

    let server = Server::start(&[&["--max-batch", "2"], &memory[..]].concat());
    let (_, errors) = server.stop();
    assert!(!errors.contains("--max-batch"), "{errors}");
}

#[cfg(unix)]
#[test]
fn a_model_directory_that_goes_away_is_not_missed() {
    let folder = tempfile::tempdir().unwrap();
    let from = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini");
    let model = copy_directory(&from, folder.path());
    let server = Server::start(&["--model", text(&model)]);
    fs::remove_dir_all(&model).unwrap();
    for max_tokens in [1, 4] {
        let answer = server.ask("Hello", max_tokens);
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}
