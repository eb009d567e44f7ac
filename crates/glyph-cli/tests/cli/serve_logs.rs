//! `glyph serve`: what it logs, and where.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::run::{add_to_weights, copy_directory, text};
use crate::server::Server;

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

/// A device that was chosen and tensors that are left out are told in lines like all others.
#[test]
fn standard_error_is_one_object_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini");
    let model = copy_directory(&from, folder.path());
    add_to_weights(&model, 16, |header, start| {
        header["spare"] = serde_json::json!({
            "dtype": "I64", "shape": [2], "data_offsets": [start, start + 16],
        });
    });
    let chosen = ["--device", "auto", "--log-format", "json"];
    let server = Server::start(&[&chosen[..], &["--model", text(&model)]].concat());
    let (code, errors) = server.stop();
    assert_eq!(code, 0, "{errors}");
    let lines: Vec<Value> = errors
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("no object: {line}")))
        .collect();
    for part in [" was chosen: ", "1 tensors (spare): the model has no use"] {
        let told = lines.iter().filter(|line| {
            let message = line["message"].as_str();
            message.is_some_and(|message| message.contains(part))
        });
        assert_eq!(told.count(), 1, "{part}: {errors}");
    }
}

/// A limit on the size of files stands for a full disk: writing fails.
#[test]
fn a_full_disk_loses_log_lines_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let logs = folder.path().join("logs");
    let json = ["--log-format", "json", "--log-file", text(&logs)];
    let limited = "trap '' XFSZ; ulimit -f 1; exec \"$0\" \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", limited, env!("CARGO_BIN_EXE_glyph"), "serve"])
        .args(["--host", "127.0.0.1", "--port", "0"])
        .args(json)
        .env("GLYPH_DEVICE", "cpu");
    let server = Server::of(command);
    for _ in 0..40 {
        assert_eq!(server.get("/health").status, 200);
    }
    assert_eq!(server.ask("Hello", 2).status, 200);
    assert_eq!(server.stop().0, 0);
    let file = logs.join("glyph.log");
    let n_bytes = file.metadata().unwrap().len();
    assert!(
        (1..=1024).contains(&n_bytes),
        "{n_bytes} bytes were written"
    );

    // Where there is room again, what was cut off stays alone.
    let server = Server::start(&json);
    assert_eq!(server.get("/health").status, 200);
    assert_eq!(server.stop().0, 0);
    let text = fs::read_to_string(&file).unwrap();
    for line in text.lines() {
        let is_whole = serde_json::from_str::<Value>(line).is_ok();
        let n_begun = line.matches("{\"timestamp\"").count();
        assert!(is_whole || n_begun <= 1, "two lines in one: {line}");
    }
    assert!(text.contains("\"stopped\""), "{text}");
}
