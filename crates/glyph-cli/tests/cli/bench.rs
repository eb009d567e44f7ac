use std::fs;

use serde_json::{Value, json};

use crate::run::{fixture, run, run_json, text};

/// The smallest measurement.
const SMALL: [&str; 14] = [
    "bench",
    "model",
    "--shape",
    "mini",
    "--device",
    "cpu",
    "--prompt-tokens",
    "40",
    "--prefill-chunk",
    "16",
    "--new-tokens",
    "4",
    "--repeat",
    "1",
];

fn small(more: &[&str]) -> Vec<&'static str> {
    let more = more.iter().map(|arg| &*String::leak((*arg).to_owned()));
    let page = ["--page", "56x84"];
    SMALL.into_iter().chain(page).chain(more).collect()
}

#[track_caller]
fn number(value: &Value) -> f64 {
    value
        .as_f64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}

#[track_caller]
fn assert_near(a: f64, b: f64) {
    assert!((a - b).abs() <= 1e-6 * a.abs().max(b.abs()), "{a} and {b}");
}

/// Work over time is the rate, and the rate over the ceiling the share.
#[track_caller]
fn assert_consistent(part: &Value, work: &str, ceiling: f64) {
    let seconds = &part["seconds"];
    let [median, least, most] = ["median", "least", "most"].map(|key| number(&seconds[key]));
    assert!(
        0.0 < least && least <= median && median <= most,
        "{seconds}"
    );
    assert!(number(&seconds["first"]) > 0.0);
    let rate = number(&part[format!("{work}_per_s")]);
    assert_near(rate, number(&part[work]) / median);
    let share = if work == "bytes" {
        "share_of_copy"
    } else {
        "share_of_matmul"
    };
    assert_near(number(&part[share]), rate / ceiling);
}

#[test]
fn every_figure_is_there_and_they_agree() {
    let report = run_json(&small(&["--json"]));
    assert_eq!(report["model"], "mini");
    assert_eq!(report["dtype"], "f32");
    assert_eq!(report["problems"], json!([]));
    assert_eq!(report["transformers"], Value::Null);
    assert_eq!(report["load"]["is_random"], true);
    assert!(report["load"]["bytes_per_s"].as_f64().unwrap() > 0.0);

    let ceilings = &report["ceilings"];
    let copy = number(&ceilings["copy"]["bytes_per_s"]);
    let matmul = number(&ceilings["matmul"]["flops_per_s"]);
    assert!(copy > 1e8 && matmul > 1e8, "{ceilings}");
    // Of the best of their runs.
    let best = |ceiling: &str| number(&ceilings[ceiling]["seconds"]["least"]);
    let (copied, side) = (&ceilings["copy"]["bytes"], &ceilings["matmul"]["side"]);
    assert_near(copy, 2.0 * number(copied) / best("copy"));
    assert_near(matmul, 2.0 * number(side).powi(3) / best("matmul"));

    let (vision, prefill, decode) = (&report["vision"], &report["prefill"], &report["decode"]);
    assert_eq!(vision["page_px"], json!([56, 84]));
    assert_eq!(
        (&vision["patches"], &vision["tokens"]),
        (&json!(24), &json!(6))
    );
    assert_consistent(vision, "flops", matmul);
    assert_eq!(prefill["tokens"], 40);
    assert_eq!(prefill["chunk_tokens"], 16);
    assert_consistent(prefill, "flops", matmul);
    assert_eq!(
        (&decode["tokens"], &decode["context_tokens"]),
        (&json!(4), &json!(42))
    );
    assert_consistent(decode, "bytes", copy);
    for (part, tokens) in [(vision, 6.0), (prefill, 40.0), (decode, 1.0)] {
        let median = number(&part["seconds"]["median"]);
        assert_near(number(&part["tokens_per_s"]), tokens / median);
    }

    // Four kinds of layers, over a token and over a chunk; the head is tied.
    let products = report["products"].as_array().unwrap();
    let rows = products
        .iter()
        .map(|product| product["rows"].as_u64().unwrap());
    assert_eq!(rows.collect::<Vec<_>>(), [1, 16].repeat(4));
    for product in products {
        let [d_in, d_out, rows] = ["d_in", "d_out", "rows"].map(|key| number(&product[key]));
        let rate = 2.0 * d_in * d_out * rows / number(&product["seconds"]["median"]);
        assert_near(rate, number(&product["flops_per_s"]));
        assert_near(number(&product["share_of_matmul"]), rate / matmul);
    }

    // The same model as `glyph info` counts it.
    let info = run_json(&["info", "--json"]);
    let (parameters, memory) = (&info["parameters"], &report["memory"]);
    assert_eq!(report["parameters"], parameters["total"]);
    assert_eq!(memory["weight_bytes"], info["memory"]["weights_f32_bytes"]);
    let kv = info["memory"]["kv_f32_bytes_per_token"].as_u64().unwrap();
    assert_eq!(memory["kv_bytes_per_token"], kv);
    assert_eq!(memory["kv_bytes"], kv * 44);
    // The token table is the output head too: all but the vision tower is read.
    let read = 4 * (number(&parameters["total"]) as u64 - parameters["vision"].as_u64().unwrap());
    assert_eq!(number(&decode["bytes"]) as u64, read + kv * 42);
    if cfg!(target_os = "linux") {
        assert!(number(&memory["peak_bytes"]) > number(&memory["weight_bytes"]));
    }
}

/// On the device that `GLYPH_TEST_DEVICE` names, the CPU where it names none.
#[test]
fn on_device_every_part_is_measured_with_work_that_suits_it() {
    let device = std::env::var("GLYPH_TEST_DEVICE").unwrap_or_else(|_| "cpu".to_owned());
    let args: Vec<&str> = small(&["--json"])
        .into_iter()
        .map(|arg| if arg == "cpu" { device.as_str() } else { arg })
        .collect();
    let report = run_json(&args);
    assert_eq!(report["problems"], json!([]));
    let opened = report["device"].as_str().unwrap();
    let listed = run_json(&["devices", "--json"]);
    let listed = listed["devices"].as_array().unwrap();
    let used = listed.iter().find(|device| {
        let name = device["name"].as_str().unwrap();
        opened.starts_with(&format!("{name}: "))
    });
    let is_software = used.unwrap()["is_software"] == true;
    let side = report["ceilings"]["matmul"]["side"].as_u64();
    assert_eq!(side == Some(1024), is_software, "{opened}: {side:?}");
}

#[test]
fn quantised_weights_are_fewer_bytes() {
    let bytes = |more: &[&str]| {
        let report = run_json(&small(&[more, &["--json"]].concat()));
        assert_eq!(report["problems"], json!([]));
        let (weights, decode) = (
            &report["memory"]["weight_bytes"],
            &report["decode"]["bytes"],
        );
        let total = &report["parameters"];
        (
            number(total),
            number(weights),
            number(decode),
            report["quantize"].clone(),
        )
    };
    let f32 = bytes(&[]);
    let q8 = bytes(&["--quantize", "q8"]);
    let q4 = bytes(&["--quantize", "q4"]);
    assert_eq!((f32.0, f32.0), (q8.0, q4.0));
    assert_eq!((f32.3, q8.3, q4.3), (Value::Null, json!("q8"), json!("q4")));
    assert!(q4.1 < q8.1 && q8.1 < f32.1);
    assert!(q4.2 < q8.2 && q8.2 < f32.2);
    // What is no longer stored is no longer read.
    assert_near(f32.1 - q4.1, f32.2 - q4.2);
}

#[test]
fn weights_take_what_was_planned() {
    // Stored in f32, with an output head of its own.
    let model = fixture("model/base");
    let quantize = ["--quantize", "q8", "--json"];
    let measured: Vec<&str> = small(&quantize)
        .into_iter()
        .map(|arg| match arg {
            "--shape" => "--model",
            "mini" => text(&model),
            arg => arg,
        })
        .chain(["--dtype", "f32"])
        .collect();
    let measured = run_json(&measured);
    let plan = |model: &std::path::Path| {
        let args = ["plan", "--device-memory", "1GiB", "--device", "cpu"];
        let of_model = ["--dtype", "f32", "--model", text(model)];
        let plan = run_json(&[&args[..], &of_model, &quantize].concat());
        plan["weights"][0]["model_needs"]["weight_bytes"].clone()
    };
    assert_eq!(plan(&model), measured["memory"]["weight_bytes"]);
    // From its configuration alone, which does not say what the weights are stored as.
    let folder = tempfile::tempdir().unwrap();
    fs::copy(model.join("config.json"), folder.path().join("config.json")).unwrap();
    assert_eq!(plan(folder.path()), measured["memory"]["weight_bytes"]);
}

#[test]
fn people_get_a_table() {
    let table = run(&small(&[]));
    assert_eq!(table.code, 0, "{table:?}");
    for part in [
        "mini",
        "vision, a page",
        "prefill",
        "decode, a token",
        "% of copy",
        "% of matmul",
        "peak memory",
    ] {
        assert!(
            table.stdout.contains(part),
            "no {part:?} in {}",
            table.stdout
        );
    }
    assert!(
        table.stderr.contains("bench: prefill: "),
        "{}",
        table.stderr
    );
}

/// Something that stands in for Python, and prints `report`.
#[cfg(unix)]
fn python_that_prints(folder: &std::path::Path, report: &Value) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join("python");
    let script = format!(
        "#!/bin/sh\ncat > {}/script\necho '{report}'\n",
        folder.display()
    );
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[cfg(unix)]
#[test]
fn transformers_stand_beside() {
    let folder = tempfile::tempdir().unwrap();
    let mut theirs = run_json(&small(&["--json"]));
    theirs["engine"] = json!("the other");
    for (part, tokens_per_s) in [("vision", 1.0), ("prefill", 2.0), ("decode", 4.0)] {
        theirs[part]["tokens_per_s"] = json!(tokens_per_s);
    }
    // A device that others saw do more.
    theirs["ceilings"]["copy"]["bytes_per_s"] = json!(1e15);
    let python = python_that_prints(folder.path(), &theirs);
    let both = run_json(&small(&["--json", "--python", text(&python)]));
    assert_eq!(both["transformers"]["engine"], "the other");
    for (part, theirs) in [("vision", 1.0), ("prefill", 2.0), ("decode", 4.0)] {
        let ours = number(&both[part]["tokens_per_s"]);
        assert_near(number(&both["ratios"][part]), ours / theirs);
    }
    let decode = &both["decode"];
    assert_near(
        number(&decode["share_of_copy"]),
        number(&decode["bytes_per_s"]) / 1e15,
    );
    let script = fs::read_to_string(folder.path().join("script")).unwrap();
    assert!(script.contains("Glm4vForConditionalGeneration"), "{script}");
}

#[test]
fn without_transformers_the_rest_is_measured() {
    let outcome = run(&small(&["--json", "--python", "/nothing/python"]));
    assert_eq!(outcome.code, 1, "{outcome:?}");
    assert!(outcome.stderr.contains("transformers was not measured"));
    let report: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert!(number(&report["decode"]["tokens_per_s"]) > 0.0);
    assert_eq!(report["transformers"], Value::Null);
}

#[test]
fn what_cannot_be_measured_is_refused() {
    let bench = |args: &[&str]| run(&[&["bench", "model"], args].concat());
    bench(&["--shape", "mini", "--prompt-tokens", "100000"]).fails(5, &["100000", "8192"]);
    bench(&["--shape", "mini", "--page", "1x1000"]).fails(2, &["--page", "1x1000"]);
    bench(&["--shape", "mini", "--device", "abacus"]).fails(2, &["abacus"]);
    bench(&["--shape", "mini", "--model", "."]).fails(2, &["--shape", "--model"]);
    bench(&["--shape", "7b"]).fails(2, &["9b", "300m", "mini"]);
    bench(&["--repeat", "0"]).fails(2, &["--repeat"]);
    bench(&["--memory-headroom", "-1"]).fails(2, &["--memory-headroom"]);
    bench(&["--model", "/nothing"]).fails(4, &["/nothing"]);
}

/// Only Linux says how much memory a CPU has.
#[cfg(target_os = "linux")]
#[test]
fn what_memory_does_not_hold_is_refused_before_it_is_made() {
    let free = ["--device", "cpu", "--memory-headroom", "1000TB"];
    for (shape, quantize, kind) in [
        ("9b", &[][..], "9b as f32"),
        ("9b", &["--quantize", "q4"][..], "9b as f32"),
        ("mini", &[][..], "mini as f32"),
    ] {
        let args = [&["bench", "model", "--shape", shape][..], quantize, &free];
        let refused = run(&args.concat());
        let parts = [kind, "of weights", "free on cpu", "--memory-headroom"];
        refused.fails(4, &parts);
        assert_eq!(refused.stderr.lines().count(), 1, "{}", refused.stderr);
    }
}
