use std::fs;

use serde_json::Value;

use crate::run::{change_decoder, change_json, copy_model, fixture, run, run_json, text};

/// A directory with a fixture's `config.json` and nothing else.
fn config_alone(name: &str, folder: &std::path::Path) -> std::path::PathBuf {
    let from = fixture("model").join(name).join("config.json");
    fs::copy(from, folder.join("config.json")).unwrap();
    folder.to_owned()
}

fn bytes(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap()
}

const GIB: u64 = 1 << 30;

#[test]
fn the_built_in_model_fits_a_small_device() {
    let plan = run_json(&[
        "plan",
        "--device-memory",
        "4GiB",
        "--memory-headroom",
        "1GB",
        "--device",
        "cpu",
        "--json",
    ]);
    assert_eq!(plan["model"], "glyph-mini");
    assert_eq!(plan["dtype"], "f32");
    assert_eq!(bytes(&plan, "device_bytes"), 4 * GIB);
    assert_eq!(bytes(&plan, "headroom_bytes"), 1_000_000_000);
    let info = run_json(&["info", "--json"]);
    let needs = &plan["weights"][0]["model_needs"];
    assert_eq!(needs["weight_bytes"], info["memory"]["weights_f32_bytes"]);
    // On a CPU they are kept in 16 bits.
    assert_eq!(
        2 * bytes(needs, "kv_bytes_per_token"),
        bytes(&info["memory"], "kv_f32_bytes_per_token")
    );
    assert_eq!(
        needs["context_tokens"],
        info["architecture"]["context_tokens"]
    );
    let rows = plan["weights"][0]["rows"].as_array().unwrap();
    // Three pages, three batches, the model's own context.
    assert_eq!(rows.len(), 9);
    for row in rows {
        assert_eq!(row["fits"], true, "{row}");
        assert_eq!(row["shortfall"], Value::Null);
        assert_eq!(row["largest_context_tokens"], needs["context_tokens"]);
        let parts = ["vision_bytes", "decoder_bytes", "kv_bytes", "feature_bytes"];
        let sum: u64 = parts.iter().map(|part| bytes(row, part)).sum();
        let fixed = bytes(needs, "weight_bytes") + bytes(&plan, "headroom_bytes");
        assert_eq!(bytes(row, "total_bytes"), sum + fixed);
    }
}

#[test]
fn what_is_left_free_depends_on_the_kind_of_device() {
    let headroom = |memory: &str, kind: &[&str]| {
        let args = ["plan", "--device-memory", memory, "--json"];
        bytes(&run_json(&[&args[..], kind].concat()), "headroom_bytes")
    };
    let cpu = ["--device", "cpu"];
    assert_eq!(headroom("24GiB", &[]), 4 * GIB);
    assert_eq!(headroom("2GiB", &["--device", "gpu"]), 4 * GIB);
    assert_eq!(headroom("2GiB", &cpu), GIB / 2);
    assert_eq!(headroom("24GiB", &cpu), 4 * GIB);
    let given = [&cpu[..], &["--memory-headroom", "1GiB"]].concat();
    assert_eq!(headroom("2GiB", &given), GIB);
    run(&["plan", "--device-memory", "2GiB", "--device", "tpu"]).fails(2, &["--device", "tpu"]);
}

/// The arguments that plan a model in bf16 for 24 GiB.
fn bf16_in_24_gib(model: &str) -> [&str; 7] {
    [
        "plan",
        "--model",
        model,
        "--device-memory",
        "24GiB",
        "--dtype",
        "bf16",
    ]
}

#[test]
fn weights_are_counted_as_they_lie_on_the_kind_of_device() {
    let model = fixture("shapes/9b");
    let weight_bytes = |kind: &str, quantize: &str| {
        let of_kind = ["--device", kind, "--quantize", quantize, "--json"];
        let plan = run_json(&[&bf16_in_24_gib(text(&model))[..], &of_kind].concat());
        bytes(&plan["weights"][0]["model_needs"], "weight_bytes")
    };
    // Rows of 13,696 values, and those of a patch, are longer on a GPU; all others are as they are saved.
    for (quantize, on_cpu, on_gpu) in [
        ("full", 20_585_554_944, 20_628_866_048),
        ("q8", 12_355_544_064, 12_405_408_768),
        ("q4", 8_276_583_424, 8_357_905_408),
    ] {
        let found = (weight_bytes("cpu", quantize), weight_bytes("gpu", quantize));
        assert_eq!(found, (on_cpu, on_gpu), "{quantize}");
    }
}

#[test]
fn quantised_weights_are_planned_for() {
    let model = fixture("shapes/9b");
    let args = [
        &bf16_in_24_gib(text(&model))[..],
        &["--page", "595x842", "--batch", "1"],
    ]
    .concat();
    let weights = |quantize: &[&str]| {
        let plan = run_json(&[&args[..], quantize, &["--json"]].concat());
        let needs = &plan["weights"][0]["model_needs"];
        let largest = plan["weights"][0]["rows"][0]["largest_context_tokens"]
            .as_u64()
            .unwrap();
        (
            bytes(needs, "weight_bytes"),
            needs["quantization"].clone(),
            largest,
        )
    };
    let (plain, none, least) = weights(&[]);
    assert_eq!(none, Value::Null);
    assert!(least < 32_768, "{least}");
    for (scheme, share, reached) in [("q8", 0.61, 120_000), ("q4", 0.41, 131_072)] {
        let (quantized, name, largest) = weights(&["--quantize", scheme]);
        assert_eq!(name, scheme);
        assert!(
            (quantized as f64) < share * plain as f64,
            "{scheme}: {quantized} of {plain}"
        );
        assert!(largest >= reached, "{scheme}: {largest}");
    }
    let table = run(&[&args[..], &["--quantize", "q4"]].concat());
    assert!(
        table.stdout.contains("the decoder's as q4"),
        "{}",
        table.stdout
    );
    run(&[&args[..], &["--quantize", "q3"]].concat()).fails(2, &["full, q8 or q4"]);
    // All in one.
    let plan = run_json(&[&args[..], &["--quantize", "full,q8,q4", "--json"]].concat());
    let each = plan["weights"].as_array().unwrap();
    let schemes: Vec<&Value> = each
        .iter()
        .map(|plan| &plan["model_needs"]["quantization"])
        .collect();
    assert_eq!(
        schemes,
        [&Value::Null, &Value::from("q8"), &Value::from("q4")]
    );
    for (plan, alone) in each
        .iter()
        .zip([&[][..], &["--quantize", "q8"], &["--quantize", "q4"]])
    {
        let (weight_bytes, _, largest) = weights(alone);
        assert_eq!(bytes(&plan["model_needs"], "weight_bytes"), weight_bytes);
        assert_eq!(bytes(&plan["rows"][0], "largest_context_tokens"), largest);
    }
}

#[test]
fn the_configuration_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let model = config_alone("base", folder.path());
    let plan = |kind: &str, dtype: &str| {
        let args = [
            "plan",
            "--device-memory",
            "1GiB",
            "--page",
            "56x56",
            "--json",
        ];
        let of_kind = ["--device", kind, "--model", text(&model), "--dtype", dtype];
        run_json(&[&args[..], &of_kind].concat())
    };
    let full = plan("cpu", "f32");
    for dtype in ["f16", "bf16"] {
        let half = plan("cpu", dtype);
        assert_eq!(half["dtype"], dtype);
        let needs =
            |key: &str| [&half, &full].map(|plan| bytes(&plan["weights"][0]["model_needs"], key));
        for key in ["weight_bytes", "feature_bytes_per_token"] {
            let [half, full] = needs(key);
            assert_eq!(2 * half, full, "{key}");
        }
        let [half, full] = needs("kv_bytes_per_token");
        assert_eq!(half, full, "16 bits either way");
    }
    // The headroom alone is more than the device has.
    for row in plan("gpu", "f32")["weights"][0]["rows"].as_array().unwrap() {
        assert_eq!(row["fits"], false);
        assert_eq!(row["shortfall"], "memory");
        assert_eq!(row["largest_context_tokens"], 0);
    }
}

#[test]
fn an_output_head_in_the_weights_counts() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("base", folder.path());
    let plan = || {
        let args = ["plan", "--device-memory", "8GiB", "--json", "--model"];
        run_json(&[&args[..], &[text(&model)]].concat())["weights"][0]["model_needs"]["n_parameters"].clone()
    };
    let untied = plan();
    change_json(&model.join("config.json"), |config| {
        config["tie_word_embeddings"] = true.into();
    });
    assert_eq!(plan(), untied);
}

#[test]
fn rows_are_those_that_are_asked_for() {
    let plan = run_json(&[
        "plan",
        "--device-memory",
        "8GB",
        "--page",
        "595x842,56x56",
        "--batch",
        "1,3",
        "--context",
        "100,8192,8193",
        "--json",
    ]);
    let rows = plan["weights"][0]["rows"].as_array().unwrap();
    let asked: Vec<_> = rows
        .iter()
        .map(|row| {
            let page = row["page_px"][0].as_u64().unwrap();
            (page, bytes(row, "batch"), bytes(row, "context_tokens"))
        })
        .collect();
    let mut expected = Vec::new();
    for page in [595, 56] {
        for batch in [1, 3] {
            expected.extend([100, 8192, 8193].map(|context| (page, batch, context)));
        }
    }
    assert_eq!(asked, expected);
    let page = &plan["pages"][0];
    assert_eq!(page["resized_px"], serde_json::json!([588, 840]));
    assert_eq!(
        (bytes(page, "patches"), bytes(page, "vision_tokens")),
        (2520, 630)
    );
    // 630 tokens of a page are more than 100; no position is beyond the model's.
    let why = |row: usize| rows[row]["shortfall"].as_str();
    assert_eq!(
        [why(0), why(1), why(2)],
        [Some("page"), None, Some("model_context")]
    );
}

#[test]
fn a_larger_page_takes_no_more_than_the_processor_lets_through() {
    let plan = run_json(&[
        "plan",
        "--device-memory",
        "8GiB",
        "--page",
        "3000x3000,30000x30000",
        "--json",
    ]);
    let [first, second] = [0, 1].map(|page| bytes(&plan["pages"][page], "vision_tokens"));
    assert!(first <= 6144 && second <= 6144, "{first} {second}");
}

#[test]
fn people_get_tables_of_a_hundred_columns() {
    let folder = tempfile::tempdir().unwrap();
    let model = copy_model("mini-f16", folder.path());
    change_decoder(&model, "max_position_embeddings", 131_072);
    let args = ["plan", "--device-memory", "6GiB", "--model", text(&model)];
    let outcome = run(&[&args[..], &["--context", "64,1000,131072,262144"]].concat());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    for part in [
        "weights",
        "6.0 GiB, 4.0 GiB of it left free",
        "2048x2048",
        "131072",
        "yes",
        "no: page ",
        "no: context ",
        "headroom",
    ] {
        assert!(outcome.stdout.contains(part), "no {part:?} in {outcome:?}");
    }
    for line in outcome
        .stdout
        .lines()
        .filter(|line| !line.contains(text(&model)))
    {
        assert!(line.chars().count() <= 100, "{line}");
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn wrong_values_are_2_and_say_what_is_right() {
    run(&["plan"]).fails(2, &["--device-memory"]);
    for value in ["", "24", "-4GiB", "much", "24XB"] {
        run(&["plan", "--device-memory", value]).fails(2, &["--device-memory", value, "24GiB"]);
    }
    run(&["plan", "--device-memory", "0GiB"]).fails(2, &["--device-memory", "more than 0"]);
    let plan = |flag: &str, value: &str| run(&["plan", "--device-memory", "8GiB", flag, value]);
    for value in ["", "4", "-1GB", "none"] {
        plan("--memory-headroom", value).fails(2, &["--memory-headroom", value, "24GB"]);
    }
    for value in ["f8", "", "F32"] {
        plan("--dtype", value).fails(2, &["--dtype", value, "f32, f16, bf16"]);
    }
    for value in ["512", "0x5", "512x-1", "512x512,", "512x512,axb"] {
        plan("--page", value).fails(2, &["--page", "WIDTHxHEIGHT"]);
    }
    plan("--page", "10x30000").fails(2, &["--page is 10x30000", "aspect ratio"]);
    for flag in ["--batch", "--context"] {
        for value in ["0", "-1", "1.5", "1,,2", "some"] {
            plan(flag, value).fails(2, &[flag, "at least 1"]);
        }
    }
}

#[test]
fn a_configuration_that_cannot_be_used_is_4() {
    let plan = |model: &str| run(&["plan", "--device-memory", "8GiB", "--model", model]);
    plan("none").fails(4, &["none", "not a directory"]);
    let folder = tempfile::tempdir().unwrap();
    plan(text(folder.path())).fails(4, &["config.json", "missing"]);
    let model = config_alone("base", folder.path());
    change_decoder(&model, "hidden_size", 0);
    plan(text(&model)).fails(4, &["text_config.hidden_size", "0"]);
}
