use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::run::{
    add_to_weights, copy_directory, copy_model, fixture, glyph, run, run_json, sample_text, text,
};

/// A matrix of 64 rows of 64 values in f32 of the fixture `base`.
const Q: &str = "model.language_model.layers.0.self_attn.q_proj.weight";

fn mini() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/glyph-mini")
}

#[test]
fn a_quantised_model_answers_without_the_original_and_without_a_flag() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_directory(&mini(), folder.path());
    let sample = sample_text();
    for scheme in ["q8", "q4"] {
        let out = folder.path().join(scheme);
        let report = run_json(&[
            "quantize",
            text(&model),
            text(&out),
            "--quantize",
            scheme,
            "--json",
        ]);
        assert_eq!(report["quantization"], scheme);
        let count = |key: &str| report[key].as_u64().unwrap();
        assert_eq!(count("quantized_tensors"), 7 * 6);
        assert_eq!(report["left_tensors"], Value::Array(Vec::new()));
        assert!(count("bytes_after") < count("bytes_before"), "{report}");
        let config: Value =
            serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
        assert_eq!(config["quantization_config"]["scheme"], scheme);

        let info = run_json(&["info", "--model", text(&out), "--json"]);
        assert_eq!(info["is_complete"], true, "{info}");
        assert_eq!(info["stored"]["bytes"], report["bytes_after"]);
        let bits = format!("{} bits", &scheme[1..]);
        assert_eq!(info["stored"]["dtypes"][&bits]["tensors"], 7 * 6, "{info}");

        let ask = |model: &str, flag: &[&str]| {
            ask(text(&sample), &[&["--model", model][..], flag].concat())
        };
        let saved = ask(text(&out), &[]);
        assert_eq!(saved["quantization"], scheme);
        let while_loading = ask(text(&model), &["--quantize", scheme]);
        assert_eq!(saved["answer"], while_loading["answer"]);
        // glyph-mini says what stands on the page, whatever its weights.
        assert_eq!(
            saved["answer"],
            ask(text(&model), &[])["answer"],
            "{scheme}"
        );

        let twice = run(&["quantize", text(&out), text(&folder.path().join("twice"))]);
        twice.fails(4, &["quantised already"]);
        let other = if scheme == "q8" { "q4" } else { "q8" };
        let asked = run(&[
            "read",
            "--text",
            text(&sample),
            "--model",
            text(&out),
            "--quantize",
            other,
        ]);
        asked.fails(4, &["already", "cannot be made"]);
    }
}

#[test]
fn keys_and_values_of_fewer_bits_give_the_same_answer() {
    let sample = sample_text();
    let ask = |flag: &[&str]| ask(text(&sample), flag)["answer"].clone();
    for kept in ["full", "f16", "q8"] {
        assert_eq!(ask(&["--kv-cache", kept]), ask(&[]), "{kept}");
    }
    let outcome = run(&["ask", "?", "--text", text(&sample), "--kv-cache", "q4"]);
    outcome.fails(2, &["full, f16 or q8"]);
}

#[test]
fn layers_of_no_whole_blocks_are_left_and_named() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["base", "mha-sharded", "full-rotary"] {
        let out = folder.path().join(name);
        let model = fixture("model").join(name);
        let report = run_json(&["quantize", text(&model), text(&out), "--json"]);
        let left = report["left_tensors"].as_array().unwrap();
        let info = run_json(&["info", "--model", text(&out), "--json"]);
        assert_eq!(info["is_complete"], true, "{info}");
        let config: Value =
            serde_json::from_slice(&fs::read(model.join("config.json")).unwrap()).unwrap();
        let width = config["text_config"]["hidden_size"].as_u64().unwrap();
        let is_left = left
            .iter()
            .any(|name| name.as_str().unwrap().contains("q_proj"));
        assert_eq!(is_left, !width.is_multiple_of(32), "{name}: {left:?}");
    }
}

#[test]
fn nothing_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("base", folder.path());
    let out = folder.path().join("out");
    fs::create_dir(&out).unwrap();
    fs::write(out.join("notes.txt"), "mine").unwrap();
    let outcome = run(&["quantize", text(&model), text(&out)]);
    outcome.fails(2, &["is there already", "out"]);
    outcome_is_clean(folder.path());
    assert_eq!(fs::read_to_string(out.join("notes.txt")).unwrap(), "mine");
    // An empty one is taken.
    fs::remove_file(out.join("notes.txt")).unwrap();
    assert_eq!(run(&["quantize", text(&model), text(&out)]).code, 0);
    assert!(out.join("model.safetensors").exists());
    outcome_is_clean(folder.path());
}

#[test]
fn nothing_that_was_there_is_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let here = folder.path();
    let model = copy_model("base", here);
    // Names that a half-written model might have had.
    let original = here.join("m.partial");
    fs::rename(&model, &original).unwrap();
    let other = here.join("sibling.partial");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("notes.txt"), "mine").unwrap();
    let before = names(&original);
    for out in ["m", "sibling"] {
        let outcome = run(&["quantize", text(&original), text(&here.join(out))]);
        assert_eq!(outcome.code, 0, "{outcome:?}");
    }
    assert_eq!(names(&original), before);
    assert_eq!(names(&other), ["notes.txt"]);
    assert_eq!(names(&here.join("m")), names(&here.join("sibling")));
    assert!(here.join("m/tokenizer.json").exists());

    // The directory that one is in.
    let empty = here.join("empty");
    fs::create_dir(&empty).unwrap();
    let mut command = glyph(&["quantize", text(&original), "."]);
    assert!(command.current_dir(&empty).status().unwrap().success());
    assert_eq!(names(&empty), names(&here.join("m")));
}

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let name = |entry: std::io::Result<fs::DirEntry>| entry.unwrap().file_name();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_broken_model_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("base", folder.path());
    crate::run::change_decoder(&model, "num_hidden_layers", 9);
    let out = folder.path().join("out");
    run(&["quantize", text(&model), text(&out)]).fails(4, &["is missing"]);
    assert!(!out.exists());
    outcome_is_clean(folder.path());
    run(&["quantize", text(&folder.path().join("none")), text(&out)])
        .fails(4, &["not a directory"]);
    run(&["quantize", text(&model), text(&out), "--quantize", "q5"]).fails(2, &["q8 or q4"]);
}

#[test]
fn a_configuration_is_taken_as_it_is_loaded() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("base", folder.path());
    let path = model.join("config.json");
    let config = fs::read(&path).unwrap();
    fs::write(&path, [b"\xEF\xBB\xBF", &config[..]].concat()).unwrap();
    let out = folder.path().join("out");
    let outcome = run(&["quantize", text(&model), text(&out)]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let written: Value =
        serde_json::from_slice(&fs::read(out.join("config.json")).unwrap()).unwrap();
    assert_eq!(written["quantization_config"]["scheme"], "q4");

    // A byte that is no character is not made one.
    fs::write(&path, [&config[..], b"\xFF"].concat()).unwrap();
    let latin = folder.path().join("latin");
    run(&["quantize", text(&model), text(&latin)]).fails(4, &["config.json", "not UTF-8"]);
    run(&["info", "--model", text(&model)]).fails(4, &["config.json", "not UTF-8"]);
}

/// Overwrites the first bytes of a tensor.
fn damage(model: &Path, tensor: &str, bytes: &[u8]) {
    let path = model.join("model.safetensors");
    let mut file = fs::read(&path).unwrap();
    let (len, rest) = file.split_first_chunk::<8>().unwrap();
    let n_header = u64::from_le_bytes(*len) as usize;
    let header: Value = serde_json::from_slice(&rest[..n_header]).unwrap();
    let offset = header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
    let start = 8 + n_header + offset;
    file[start..start + bytes.len()].copy_from_slice(bytes);
    fs::write(&path, file).unwrap();
}

#[test]
fn damaged_weights_are_named_and_not_hidden() {
    for (value, named) in [
        (f32::NAN, "holds NaN in row 0"),
        (f32::INFINITY, "holds inf in row 0"),
        (1e20, "holds 1e20 in row 0"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let model = copy_model("base", folder.path());
        damage(&model, Q, &value.to_le_bytes());
        let out = folder.path().join("out");
        for scheme in ["q8", "q4"] {
            let flag = ["--quantize", scheme];
            let quantize = ["quantize", text(&model), text(&out)];
            run(&[&quantize[..], &flag].concat()).fails(4, &[Q, named]);
            assert!(!out.exists());
            outcome_is_clean(folder.path());
            let ask = ["ask", "q", "--model", text(&model)];
            run(&[&ask[..], &flag].concat()).fails(4, &[Q, named]);
        }
    }
}

#[test]
fn a_model_that_is_quantised_in_part_is_refused_and_not_planned_for() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("base", folder.path());
    let (n_values, n_scales) = (64 * 64 / 2, 2 * 64 * 64 / 32);
    add_to_weights(&model, n_values + n_scales, |header, start| {
        // The bytes that were the matrix are one that the model has no use for.
        header["unused"] = header[Q].take();
        let (middle, end) = (start + n_values, start + n_values + n_scales);
        header[Q] = json!({
            "dtype": "U8", "shape": [64, 32], "data_offsets": [start, middle],
        });
        header[format!("{Q}_scale")] = json!({
            "dtype": "F16", "shape": [64, 2], "data_offsets": [middle, end],
        });
    });
    let (model, out) = (text(&model), folder.path().join("out"));
    for args in [
        &["plan", "--device-memory", "1GiB", "--model", model][..],
        &["ask", "q", "--model", model],
        &["ask", "q", "--model", model, "--quantize", "q4"],
        &["quantize", model, text(&out)],
    ] {
        run(args).fails(4, &[&format!("{Q} in 4 bits"), "not quantised"]);
    }
}

fn outcome_is_clean(folder: &std::path::Path) {
    let names = fs::read_dir(folder).unwrap();
    for entry in names {
        let name = entry.unwrap().file_name();
        assert!(!name.to_string_lossy().contains("partial"), "{name:?}");
    }
}

/// The report of a question about a text.
fn ask(source: &str, flags: &[&str]) -> Value {
    let question = ["ask", "What is the delivery date?", "--text", source];
    run_json(&[&question[..], &["--temperature", "0", "--json"], flags].concat())
}
