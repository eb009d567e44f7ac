use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::run::{
    Outcome, add_to_weights, change_decoder, change_json, copy_model, fixture, run, run_json, text,
};

#[test]
fn the_built_in_model_is_complete() {
    let info = run_json(&["info", "--json"]);
    assert_eq!(info["model"], "glyph-mini");
    assert_eq!(info["is_complete"], true);
    let count = |key: &str| info["parameters"][key].as_u64().unwrap();
    let parts = count("vision") + count("decoder") + count("embeddings") + count("output_head");
    assert_eq!(count("total"), parts);
    assert_eq!(info["memory"]["weights_f32_bytes"], count("total") * 4);
    assert_eq!(info["memory"]["weights_f16_bytes"], count("total") * 2);
    let architecture = |key: &str| info["architecture"][key].as_u64().unwrap();
    let stored: u64 = info["stored"]["dtypes"]
        .as_object()
        .unwrap()
        .values()
        .map(|d| d["bytes"].as_u64().unwrap())
        .sum();
    assert_eq!(info["stored"]["bytes"], stored);
    let kv = info["memory"]["kv_f32_bytes_per_token"].as_u64().unwrap();
    assert_eq!(info["memory"]["kv_f16_bytes_per_token"], kv / 2);
    assert_eq!(
        info["memory"]["kv_f32_bytes_full_context"],
        kv * architecture("context_tokens")
    );
}

#[test]
fn people_get_a_table() {
    let model = fixture("model/base");
    let table = run(&["info", "--model", text(&model)]);
    assert_eq!(table.code, 0, "{table:?}");
    for part in [
        "architecture",
        "parameters",
        "vision",
        "f32",
        "cache",
        "complete",
        "yes",
    ] {
        assert!(
            table.stdout.contains(part),
            "no {part:?} in {}",
            table.stdout
        );
    }
}

/// Bytes of weights by `glyph plan` for a CPU.
fn planned(model: &[&str], dtype: &str, quantize: &[&str]) -> u64 {
    let of_cpu = ["--device", "cpu", "--device-memory", "4GiB", "--json"];
    let parts = [&["plan", "--dtype", dtype][..], &of_cpu, model, quantize];
    let plan = run_json(&parts.concat());
    plan["weights"][0]["model_needs"]["weight_bytes"]
        .as_u64()
        .unwrap()
}

const BY_TYPE: [(&str, &str); 2] = [("f32", "weights_f32_bytes"), ("f16", "weights_f16_bytes")];

#[test]
fn what_quantising_saves_is_told_for_each_kind_of_device() {
    let info = run_json(&["info", "--json"]);
    let kinds = info["memory"]["quantized"].as_array().unwrap();
    assert_eq!(kinds.len(), 2);
    for (kind, name) in kinds.iter().zip(["q8", "q4"]) {
        assert_eq!(kind["quantize"], name);
        for (dtype, key) in BY_TYPE {
            assert_eq!(
                kind[key],
                planned(&[], dtype, &["--quantize", name]),
                "{info}"
            );
        }
    }
    let table = run(&["info"]).stdout;
    for part in [
        "as f32, on a CPU",
        "on a GPU that has f16",
        "--quantize q8",
        "--quantize q4",
    ] {
        assert!(table.contains(part), "no {part:?} in {table}");
    }
}

#[test]
fn quantised_files_take_what_they_hold_and_are_not_quantised_again() {
    let folder = tempfile::tempdir().unwrap();
    let (model, out) = (fixture("model/mini-f16"), folder.path().join("q4"));
    let quantize = ["quantize", text(&model), text(&out), "--quantize", "q4"];
    assert_eq!(run(&quantize).code, 0);
    let at = ["--model", text(&out)];
    let info = run_json(&[&["info", "--json"], &at[..]].concat());
    assert_eq!(info["is_complete"], true, "{info}");
    assert_eq!(info["stored"]["quantization"], "q4");
    assert_eq!(info["memory"]["quantized"], json!([]));
    for (dtype, key) in BY_TYPE {
        let n_bytes = &info["memory"][key];
        assert_eq!(*n_bytes, planned(&at, dtype, &[]), "{info}");
        let plain = planned(&["--model", text(&model)], dtype, &[]);
        assert!(n_bytes.as_u64().unwrap() < plain, "{info}");
    }
    let table = run(&[&["info"], &at[..]].concat()).stdout;
    assert!(
        table.contains("as q4, the others as f32, on a CPU"),
        "{table}"
    );
    assert!(!table.contains("--quantize"), "{table}");
}

fn info_of_incomplete(args: &[&str]) -> (Outcome, Value) {
    let outcome = run(&[&["info", "--json"], args].concat());
    assert_eq!(outcome.code, 4, "{outcome:?}");
    let info: Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!(info["is_complete"], false);
    (outcome, info)
}

#[test]
fn missing_tensors_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    change_decoder(&model, "num_hidden_layers", 3);
    let (outcome, info) = info_of_incomplete(&["--model", text(&model)]);
    let missing = info["missing_tensors"].as_array().unwrap();
    assert!(missing.len() > 5);
    assert!(
        missing
            .iter()
            .all(|name| name.as_str().unwrap().contains("layers.2."))
    );
    assert!(outcome.stderr.contains("cannot run"), "{}", outcome.stderr);
    let problems = format!("{} problems are in the object above", missing.len());
    assert!(outcome.stderr.contains(&problems), "{}", outcome.stderr);
    let table = run(&["info", "--model", text(&model)]);
    assert_eq!(table.code, 4);
    assert!(table.stdout.contains("missing tensors"), "{}", table.stdout);
}

#[test]
fn extra_tensors_do_no_harm() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    change_decoder(&model, "num_hidden_layers", 1);
    let info = run_json(&["info", "--json", "--model", text(&model)]);
    assert_eq!(info["is_complete"], true);
    assert!(info["unexpected_tensors"].as_array().unwrap().len() > 5);
}

#[test]
fn wrong_shapes_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    change_decoder(&model, "intermediate_size", 300);
    let (_, info) = info_of_incomplete(&["--model", text(&model)]);
    let wrong = info["wrong_shapes"].as_array().unwrap();
    assert!(!wrong.is_empty());
    assert!(
        wrong
            .iter()
            .all(|tensor| tensor["expected"] != tensor["found"])
    );
}

#[test]
fn broken_files_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mha-sharded", folder.path());
    fs::remove_file(model.join("model-00002-of-00004.safetensors")).unwrap();
    fs::remove_file(model.join("tokenizer.json")).unwrap();
    let (_, info) = info_of_incomplete(&["--model", text(&model)]);
    assert_eq!(info["stored"], Value::Null);
    let problems = info["file_problems"].to_string();
    assert!(
        problems.contains("model-00002-of-00004.safetensors"),
        "{problems}"
    );
    assert!(problems.contains("tokenizer.json"), "{problems}");
}

#[test]
fn every_file_that_is_missing_or_wrong_has_a_line_whoever_asks() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    for name in ["tokenizer.json", "chat_template.jinja"] {
        fs::remove_file(model.join(name)).unwrap();
    }
    for name in ["preprocessor_config.json", "generation_config.json"] {
        fs::write(model.join(name), "{").unwrap();
    }
    let mut named = vec![
        "preprocessor_config.json is not valid",
        "generation_config.json is not valid",
        "tokenizer.json is missing",
        "chat_template.jinja (or",
    ];
    let (_, info) = info_of_incomplete(&["--model", text(&model)]);
    let problems = info["file_problems"].as_array().unwrap();
    assert_eq!(problems.len(), named.len(), "{problems:?}");
    for (problem, part) in problems.iter().zip(&named) {
        assert!(problem.as_str().unwrap().contains(part), "{problem}");
    }
    // All else that can be seen without the configuration is told with it.
    named.insert(0, "config.json is not valid");
    named.push("model.safetensors (or");
    fs::write(model.join("config.json"), "{").unwrap();
    fs::remove_file(model.join("model.safetensors")).unwrap();
    for command in [
        &["info"][..],
        &["info", "--json"],
        &["ask", "q"],
        &["serve", "--port", "0"],
    ] {
        let outcome = run(&[command, &["--model", text(&model)]].concat());
        outcome.fails(4, &["mini-f16 cannot be used:"]);
        let lines: Vec<&str> = outcome.stderr.lines().collect();
        assert_eq!(lines.len(), 1 + named.len(), "{}", outcome.stderr);
        for (line, part) in lines[1..].iter().zip(&named) {
            assert!(line.contains(part), "no {part:?} in {line}");
        }
        let n_heads = outcome.stderr.matches("cannot be used:").count();
        assert_eq!(n_heads, 1, "{}", outcome.stderr);
    }
}

/// Spoils one file of a checkpoint; returns what is said of it.
fn problem_of(name: &str, spoil: impl FnOnce(&Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    spoil(&model.join(name));
    let (outcome, info) = info_of_incomplete(&["--model", text(&model)]);
    let problems = info["file_problems"].as_array().unwrap();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(
        outcome
            .stderr
            .contains("; 1 problem is in the object above"),
        "{}",
        outcome.stderr
    );
    let table = run(&["info", "--model", text(&model)]);
    table.ends(4, &["; 1 problem is listed above"]);
    problems[0].as_str().unwrap().to_owned()
}

#[test]
fn what_would_stop_a_question_is_listed() {
    let temperature = problem_of("generation_config.json", |file| {
        change_json(file, |config| config["temperature"] = 1000.into());
    });
    assert!(temperature.contains("generation_config.json") && temperature.contains("1000"));
    let end = problem_of("generation_config.json", |file| {
        change_json(file, |config| config["eos_token_id"] = 999_999.into());
    });
    assert!(
        end.contains("eos_token_id") && end.contains("999999"),
        "{end}"
    );
    let template = problem_of("chat_template.jinja", |file| fs::write(file, "").unwrap());
    assert!(template.contains("chat template"), "{template}");
    let token = problem_of("tokenizer.json", |file| {
        change_json(file, |tokenizer| {
            tokenizer["model"]["vocab"]["new"] = 5000.into();
        });
    });
    assert!(token.contains("5000"), "{token}");
    let style = problem_of("render.json", |file| {
        fs::write(file, r#"{"font-path": 3}"#).unwrap()
    });
    assert!(
        style.contains("render.json") && style.contains("font-path"),
        "{style}"
    );
}

#[test]
fn an_output_head_counts_whatever_the_configuration_says() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("base", folder.path());
    change_json(&model.join("config.json"), |config| {
        config["tie_word_embeddings"] = true.into();
    });
    let info = run_json(&["info", "--json", "--model", text(&model)]);
    assert_eq!(info["is_complete"], true);
    assert_eq!(info["architecture"]["tied_embeddings"], false);
    assert!(info["parameters"]["output_head"].as_u64().unwrap() > 0);
    assert_eq!(info["unexpected_tensors"], Value::Array(Vec::new()));
}

#[test]
fn tensors_of_a_type_that_is_not_read_are_there_all_the_same() {
    const NORM: &str = "model.language_model.norm.weight";
    const EXTRA: &str = "model.visual.position_ids";
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    add_to_weights(&model, 16, |header, start| {
        header[EXTRA] = json!({
            "dtype": "I64", "shape": [2], "data_offsets": [start, start + 16],
        });
    });
    let info = run_json(&["info", "--json", "--model", text(&model)]);
    assert_eq!(info["unexpected_tensors"], json!([EXTRA]));
    assert_eq!(info["is_complete"], true);

    // The bytes of the same tensor, as if they were whole numbers.
    add_to_weights(&model, 0, |header, _| header[NORM]["dtype"] = json!("I16"));
    let (outcome, info) = info_of_incomplete(&["--model", text(&model)]);
    assert_eq!(info["missing_tensors"], json!([]));
    assert_eq!(
        info["wrong_types"],
        json!([{ "tensor": NORM, "found": "I16" }])
    );
    assert!(outcome.stderr.contains("1 problem is in the object above"));
    let table = run(&["info", "--model", text(&model)]);
    let line = format!("  {NORM} is I16; F32, F16 and BF16 are read\n");
    assert!(table.stdout.contains(&line), "{}", table.stdout);
}

#[test]
fn a_name_of_a_tensor_stays_on_its_line_and_gives_no_commands() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    add_to_weights(&model, 4, |header, start| {
        header["bad\u{1b}[2J\ncomplete yes"] = json!({
            "dtype": "F32", "shape": [1], "data_offsets": [start, start + 4],
        });
    });
    let table = run(&["info", "--model", text(&model)]);
    assert_eq!(table.code, 0, "{table:?}");
    let name = "  bad\u{FFFD}[2J\u{FFFD}complete yes\n";
    assert!(table.stdout.contains(name), "{}", table.stdout);
    assert!(!table.stdout.contains('\u{1b}'), "{}", table.stdout);
}

#[test]
fn a_configuration_that_cannot_be_used_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    change_decoder(&model, "num_attention_heads", 0);
    run(&["info", "--model", text(&model)]).fails(4, &["num_attention_heads"]);
    fs::write(model.join("config.json"), "{").unwrap();
    run(&["info", "--model", text(&model)]).fails(4, &["config.json"]);
    fs::remove_file(model.join("config.json")).unwrap();
    run(&["info", "--model", text(&model)]).fails(4, &["config.json"]);
}
