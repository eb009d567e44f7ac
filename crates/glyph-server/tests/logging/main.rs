//! What a process logs. It is one of its own: there is one logger in each, and one that is told of panics.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::fs;
use std::panic::{catch_unwind, take_hook};
use std::thread;

use glyph_server::logging::{self, LogFormat};
use serde_json::Value;

fn run_out() {
    panic!("no room for {} bytes\nof the device", 9);
}

#[test]
fn a_panic_is_one_object_with_its_reason_and_place() {
    let folder = tempfile::tempdir().unwrap();
    let guard = logging::init(LogFormat::Json, "error", Some(folder.path())).unwrap();
    assert!(catch_unwind(run_out).is_err());
    let named = thread::Builder::new().name("device".to_owned());
    assert!(named.spawn(run_out).unwrap().join().is_err());
    drop(guard);
    // What follows is told to whoever runs the test.
    drop(take_hook());
    let text = fs::read_to_string(folder.path().join("glyph.log")).unwrap();
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(lines.len(), 2, "{text}");
    for line in &lines {
        assert_eq!(line["level"], "ERROR", "{line}");
        assert_eq!(line["message"], "a thread panicked", "{line}");
        assert_eq!(line["reason"], "no room for 9 bytes\nof the device");
        let place = line["place"].as_str().unwrap();
        assert!(place.contains("main.rs:"), "{place}");
    }
    assert_eq!(lines[1]["thread"], "device");
}
