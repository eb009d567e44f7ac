//! `glyph serve`: starting, options from three places, logs, and stopping.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::run::{change_decoder, copy_directory, copy_model, glyph, outcome, run, text};

/// A server in a process of its own; it is killed when the test ends.
struct Server {
    process: Child,
    /// Such as `127.0.0.1:43210`.
    address: String,
    /// The line that it printed.
    line: String,
}

/// An answer: status, and what follows the head.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Server {
    fn start(args: &[&str]) -> Self {
        let all = [&["serve", "--host", "127.0.0.1", "--port", "0"], args].concat();
        Self::of(glyph(&all))
    }

    fn of(mut command: Command) -> Self {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let mut line = String::new();
        let mut output = BufReader::new(process.stdout.take().unwrap());
        output.read_line(&mut line).unwrap();
        if line.is_empty() {
            let failed = outcome(&process.wait_with_output().unwrap());
            panic!("the server did not start: {failed:?}");
        }
        let address = line.trim().rsplit("http://").next().unwrap().to_owned();
        Self {
            process,
            address,
            line,
        }
    }

    fn send(&self, method: &str, path: &str, headers: &str, body: &str) -> Answer {
        let mut connection = TcpStream::connect(&self.address).unwrap();
        connection
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        let n_bytes = body.len();
        write!(
            connection,
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {n_bytes}\r\n{headers}\r\n{body}",
            self.address
        )
        .unwrap();
        let mut answer = String::new();
        connection.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "", "")
    }

    /// The text of an answer about a document, its usage, and how it ended.
    fn read(&self, document: &str) -> Value {
        let body = serde_json::json!({
            "messages": [{"role": "user", "content": [
                {"type": "document", "text": document},
                {"type": "text", "text": "Read the page."},
            ]}],
            "temperature": 0,
            "presence_penalty": -2,
            "max_tokens": 60,
        });
        let answer = self.send("POST", "/v1/chat/completions", "", &body.to_string());
        assert_eq!(answer.status, 200, "{}", answer.body);
        let answer: Value = serde_json::from_str(&answer.body).unwrap();
        answer["choices"][0].clone()
    }

    fn ask(&self, question: &str, max_tokens: usize) -> Answer {
        let body = serde_json::json!({
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
        });
        let body = body.to_string();
        self.send("POST", "/v1/chat/completions", "", &body)
    }

    /// Sends the signal that an orchestrator sends; returns exit code and standard error.
    #[cfg(unix)]
    fn stop(mut self) -> (i32, String) {
        let id = self.process.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
        let mut errors = String::new();
        let mut pipe = self.process.stderr.take().unwrap();
        pipe.read_to_string(&mut errors).unwrap();
        (self.process.wait().unwrap().code().unwrap(), errors)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // A process that has ended cannot be killed again.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

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

#[cfg(unix)]
#[test]
fn logs_are_one_object_a_line_and_hold_no_content() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let server = Server::start(&["--log-format", "json", "--log-file", text(&logs)]);
    server.ask("A question about lighthouses", 3);
    server.get("/v1/models/lighthouses?secret=1");
    server.get("/v1/no/such/route?secret=2");
    let id = server.send("GET", "/health", "x-request-id: my-id\r\n", "");
    assert!(id.head.contains("x-request-id: my-id"), "{}", id.head);
    let (code, errors) = server.stop();
    assert_eq!((code, errors.as_str()), (0, ""));
    let files: Vec<_> = logs
        .read_dir()
        .unwrap()
        .map(|file| file.unwrap().path())
        .collect();
    let [file] = &files[..] else {
        panic!("{files:?}");
    };
    let lines = fs::read_to_string(file).unwrap();
    assert!(
        !lines.contains("lighthouses") && !lines.contains("secret"),
        "{lines}"
    );
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let of = |path: &str| lines.iter().find(|line| line["path"] == path).unwrap();
    let chat = of("/v1/chat/completions");
    assert_eq!(
        (&chat["method"], &chat["status"]),
        (&"POST".into(), &200.into())
    );
    assert!(chat["prompt_tokens"].as_u64().unwrap() > 20, "{chat}");
    assert!(chat["completion_tokens"].as_u64().unwrap() >= 1, "{chat}");
    assert!(chat["seconds"].as_f64().unwrap() > 0.0, "{chat}");
    assert_eq!(of("/v1/models/{id}")["code"], "model_not_found");
    assert_eq!(of("/v1/no/such/route")["status"], 404);
    assert_eq!(of("/health")["request_id"], "my-id");
}

/// A limit on the size of files stands for a full disk: writing fails.
#[cfg(unix)]
#[test]
fn a_full_disk_loses_log_lines_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", limited, env!("CARGO_BIN_EXE_glyph"), "serve"])
        .args(["--host", "127.0.0.1", "--port", "0", "--log-file"])
        .arg(&logs);
    let server = Server::of(command);
    for _ in 0..40 {
        assert_eq!(server.get("/health").status, 200);
    }
    assert_eq!(server.ask("Hello", 2).status, 200);
    assert_eq!(server.stop().0, 0);
    let file = logs.read_dir().unwrap().next().unwrap().unwrap();
    let n_bytes = file.metadata().unwrap().len();
    assert!(
        (1..=1024).contains(&n_bytes),
        "{n_bytes} bytes were written"
    );
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
