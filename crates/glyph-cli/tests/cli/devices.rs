//! Devices and number types: what is listed, chosen, refused.

use serde_json::Value;

use crate::run::{glyph, outcome, run, run_json};

const ASK: [&str; 5] = ["ask", "Who?", "--json", "--max-tokens", "2"];

#[test]
fn every_device_is_listed_with_what_it_has_or_lacks() {
    let report = run_json(&["devices", "--json"]);
    let devices = report["devices"].as_array().unwrap();
    for backend in ["cuda", "wgpu", "cpu"] {
        assert!(devices.iter().any(|device| device["backend"] == backend));
    }
    for device in devices {
        match &device["problem"] {
            Value::Null => assert_eq!(device["dtypes"][0], "f32", "{device}"),
            problem => assert!(problem.as_str().unwrap().len() > 20, "{device}"),
        }
    }
    let cpu = devices.last().unwrap();
    assert_eq!(cpu["name"], "cpu");
    assert_eq!(cpu["problem"], Value::Null);
    if cfg!(target_os = "linux") {
        let bytes = |key: &str| cpu[key].as_u64().unwrap();
        assert!(bytes("total_bytes") > 0 && bytes("free_bytes") > 0);
    }

    let table = run(&["devices"]);
    assert_eq!(table.code, 0);
    for part in ["device", "usable", "cpu", "f32 f16 bf16"] {
        assert!(
            table.stdout.contains(part),
            "no {part:?} in {}",
            table.stdout
        );
    }
    // Only of a device of which some are.
    match &report["kernel_cache"] {
        Value::Null => assert!(!table.stdout.contains("kept in"), "{}", table.stdout),
        cache => {
            let part = |key: &str| cache[key].as_str().unwrap();
            let line = format!("\n{} are kept in {}\n", part("kept"), part("directory"));
            assert!(table.stdout.ends_with(&line), "{}", table.stdout);
        }
    }
}

#[test]
fn a_device_that_is_not_there_is_6_with_what_to_do() {
    for device in ["cuda:999", "wgpu:999"] {
        for command in [&["ask", "q"][..], &["read"], &["serve", "--port", "0"]] {
            let refused = run(&[command, &["--device", device]].concat());
            refused.fails(6, &[device]);
            assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
            let remedies = ["cargo build", "Install", "glyph devices", "nvidia-smi"];
            let has_remedy = remedies.iter().any(|part| refused.stderr.contains(part));
            assert!(has_remedy, "{}", refused.stderr);
        }
    }
}

#[test]
fn auto_says_in_a_line_what_it_took_and_why() {
    let mut command = glyph(&ASK);
    command.env("GLYPH_DEVICE", "auto");
    let outcome = outcome(&command.output().unwrap());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    let reason = outcome.stderr.lines().next().unwrap();
    let name = report["device"].as_str().unwrap();
    assert!(reason.starts_with(name), "{reason}");
    assert!(reason.contains("was chosen: "), "{reason}");
}

#[test]
fn a_model_runs_in_the_type_that_was_asked_for() {
    for (dtype, reported) in [
        ("auto", "f32"),
        ("f32", "f32"),
        ("f16", "f16"),
        ("bf16", "bf16"),
    ] {
        let report = run_json(&[&ASK[..], &["--dtype", dtype]].concat());
        assert_eq!(report["dtype"], reported);
        assert_eq!(report["device"], "cpu");
    }
}
